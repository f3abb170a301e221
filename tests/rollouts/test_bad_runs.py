"""Bad lines as they are kept: a run is told apart, and gives back every line."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gymrecipe.rollouts.bad import BadLines
from gymrecipe.rollouts.bad_runs import Bad, Runs
from gymrecipe.rollouts.files import Source

SOURCE = Source("a.jsonl", str(Path("a.jsonl")), 0, 2**40, "", (0, 0, 0, 0))


def runs_of(lines: list[Bad]) -> Runs:
    runs = Runs()
    for line in lines:
        runs.add(line)
    return runs


def test_lines_alike_that_follow_each_other_are_one_run() -> None:
    runs = runs_of([Bad(1, 0, 2, "bad_json"), Bad(2, 3, 2, "bad_json"), Bad(3, 6, 2, "bad_json")])
    assert (list(runs.line), list(runs.count), runs.rows) == ([1], [3], 3)


def test_a_gap_another_length_and_another_reason_end_a_run() -> None:
    first = Bad(1, 0, 2, "bad_json")
    for other in (
        Bad(3, 6, 2, "bad_json"),
        Bad(2, 3, 1, "bad_json"),
        Bad(2, 3, 2, "not_object"),
        Bad(2, 6, 2, "bad_json"),
    ):
        assert list(runs_of([first, other]).count) == [1, 1]


def test_blank_lines_are_no_bad_rows() -> None:
    runs = runs_of([Bad(1, 0, 0, "blank"), Bad(2, 1, 0, "blank"), Bad(3, 2, 2, "bad_json")])
    assert (runs.rows, runs.blanks) == (1, 2)


@given(
    st.lists(
        st.tuples(st.sampled_from(["blank", "bad_json", "not_object", ""]), st.integers(0, 2)),
        max_size=40,
    ),
    st.integers(0, 40),
)
def test_every_line_comes_back_from_runs_as_it_was(
    drawn: list[tuple[str, int]], split: int
) -> None:
    lines, offset = [], 0
    for number, (reason, length) in enumerate(drawn, 1):
        if reason:  # else it is a good one
            lines.append(Bad(number, offset, length, reason))
        offset += length + 1
    bad = BadLines([SOURCE], "100%", None)
    slices = [line for line in lines if line.line <= split], [x for x in lines if x.line > split]
    bad.add(runs_of(slices[0]), 0, 0, 0)
    behind = [Bad(x.line - split, x.offset, x.length, x.reason) for x in slices[1]]
    bad.add(runs_of(behind), 0, split, 0)
    assert bad.frame().rows() == [(0, x.line, x.offset, x.length, x.reason) for x in lines]
