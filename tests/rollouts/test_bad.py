"""When bad lines are too many: no sooner than is certain, and at one line however it is read."""

from __future__ import annotations

import gzip
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gymrecipe.rollouts import bad, bad_runs, batches, digests, table
from gymrecipe.rollouts.bad import BadLines, TooManyBadRows
from gymrecipe.rollouts.bad_runs import Bad, Runs
from gymrecipe.rollouts.files import open_source
from tests.full import often
from tests.rollouts.conftest import Write, read, rollout


def outcome(*paths: Any, **wanted: Any) -> tuple[str, int, dict[str, int]] | None:
    """What a reading says that bad rows stop; None for one that they do not."""
    try:
        read(*paths, **wanted)
    except TooManyBadRows as error:
        return str(error), error.lines, error.reasons
    return None


def test_a_share_stops_where_no_end_of_the_inputs_could_meet_it(
    jsonl: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = jsonl(*[b"bad"] * 100)
    whole = outcome(path, max_bad_rows="50%")
    assert whole is not None
    assert (whole[1], whole[2]) == (100, {"bad_json": 100})
    monkeypatch.setattr(bad, "FEW", 5)
    stopped = outcome(path, max_bad_rows="50%")
    assert stopped is not None
    # After 81 lines of 4 bytes there are 77 bytes, and as many lines, at most.
    said, lines, reasons = stopped
    assert (lines, reasons) == (81, {"bad_json": 81})
    assert "a.jsonl:1: bad_json" in said
    assert "81 of the first 81 lines are bad rows; max_bad_rows=50% allows 79 at most" in said


def test_a_higher_limit_is_advised_only_where_it_would_help(jsonl: Write) -> None:
    few = outcome(jsonl(b"bad"), max_bad_rows=0)
    some = outcome(jsonl(rollout(), *[b"bad"] * 20), max_bad_rows=None)
    none = outcome(jsonl(*[b"bad"] * 20), max_bad_rows=None)
    assert few is not None
    assert some is not None
    assert none is not None
    assert few[0].endswith("Mend the file, or raise max_bad_rows.")
    assert some[0].endswith("Mend the file, or raise max_bad_rows.")
    assert none[0].endswith("None of them is a rollout: is this a rollout file of NeMo Gym?")
    lines = [rollout(reward=2**53 + 1)] * 20
    wide = outcome(jsonl(*lines, name="wide.jsonl"), max_bad_rows=None)
    assert wide is not None
    assert wide[0].endswith("allows 10. Ask for another field, or mend the file.")


@pytest.mark.parametrize("seed", range(often(12, 30)))
def test_stopping_early_changes_no_verdict(
    seed: int, jsonl: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    kinds = [b"bad", b"", b"[]", rollout()]
    paths = [
        jsonl(*chance.choices(kinds, [3, 3, 3, chance.choice([0, 1, 9])], k=60), name=f"{n}.jsonl")
        for n in range(2)
    ]
    if seed % 3 == 0:
        packed = Path(paths[1] + ".gz")
        packed.write_bytes(gzip.compress(Path(paths[1]).read_bytes()))
        paths[1] = str(packed)
    wanted: dict[str, Any] = {"max_bad_rows": chance.choice([None, "0%", "20%", "60%", "90%"])}
    if chance.random() < 0.3:
        wanted["limit"] = chance.randrange(1, 150)
    at_the_end = outcome(*paths, **wanted)
    monkeypatch.setattr(bad, "FEW", 0)
    early = outcome(*paths, **wanted)
    assert (early is None) == (at_the_end is None)
    monkeypatch.setattr(digests, "BLOCK_BYTES", 50)
    monkeypatch.setattr(table, "SLICE_BYTES", 100)
    assert outcome(*paths, **wanted) == early


def test_a_compressed_input_may_swell_to_its_bound_before_it_is_judged(
    jsonl: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(jsonl(*[b"bad"] * 100) + ".gz")
    path.write_bytes(gzip.compress(b"bad\n" * 100))
    monkeypatch.setattr(bad, "FEW", 5)
    stopped = outcome(path, max_bad_rows="50%")
    assert stopped is not None
    assert stopped[1] == 100
    monkeypatch.setattr(bad, "SWELLING_BYTES", 400)
    monkeypatch.setattr(bad, "SWELLING", 1)
    stopped = outcome(path, max_bad_rows="50%")
    assert stopped is not None
    assert stopped[1] == 81


@pytest.mark.parametrize("seed", range(often(8, 20)))
def test_a_count_stops_as_an_obvious_count_does(
    seed: int, jsonl: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    kinds = {b"{}": "not_a_rollout", b"": "blank", b"[]": "not_object", b"x": "bad_json"}
    lines = chance.choices([*kinds, None], [4, 2, 1, 1, chance.choice([1, 9])], k=80)
    path = jsonl(*[rollout() if line is None else line for line in lines])
    most = chance.randrange(40)
    expected, reasons = None, Counter[str]()
    for number, line in enumerate(lines, 1):
        if line is not None:
            reasons[kinds[line]] += 1
        if reasons.total() - reasons["blank"] > most:
            expected = number, dict(reasons)
            break
    monkeypatch.setattr(batches, "BATCH_ROWS", chance.choice([1, 5, 256]))
    for size in (chance.choice([3, 20, 200]), table.SLICE_BYTES):
        monkeypatch.setattr(table, "SLICE_BYTES", size)
        stopped = outcome(path, max_bad_rows=most, cache=None)
        assert (stopped and stopped[1:]) == expected
        if stopped is not None:
            assert f"a.jsonl:{stopped[1]}: {kinds[lines[stopped[1] - 1] or b'']}: " in stopped[0]
            assert f"That is bad row {most + 1}; max_bad_rows={most} allows {most}." in stopped[0]


@pytest.mark.parametrize("most", [3, "50%", None])
def test_every_slice_is_left_where_no_run_goes_on(
    most: Any, jsonl: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = jsonl(*[b"bad"] * 3_000)
    monkeypatch.setattr(bad, "FEW", 100)
    monkeypatch.setattr(batches, "BATCH_ROWS", 10)
    monkeypatch.setattr(table, "SLICE_BYTES", 10_000)
    read_lines: list[int] = []
    found: list[int] = []

    def every_one(function: Callable[[Any], Any], jobs: list[Any], size: int) -> list[Any]:
        """As workers do that run ahead: all slices are done before the first one is looked at."""
        slices = [function(job) for job in jobs]
        read_lines.extend(scanned.lines for scanned in slices)
        found.extend(scanned.bad.rows for scanned in slices)
        return slices

    stopped = outcome(path, max_bad_rows=most, engine=every_one)
    assert stopped == outcome(path, max_bad_rows=most)
    # A line of 4 bytes may be four lines: 50% allows 6,000 bad ones, more than a slice has.
    expected = {3: [10, 10], "50%": [2500, 500], None: [110, 110]}[most]
    assert read_lines == found == expected


@pytest.mark.parametrize("seed", range(often(8, 20)))
def test_blank_lines_stop_where_an_obvious_count_says_that_they_outnumber_all_others(
    seed: int, jsonl: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    most = chance.choice([0, 3, 20])
    monkeypatch.setattr(bad_runs, "BLANKS", most)
    monkeypatch.setattr(bad, "BLANKS", most)
    share = chance.choice([[1, 1, 5], [1, 1, 1], [9, 9, 1]])
    files = [chance.choices([b"", b" ", rollout()], share, k=60) for _ in range(2)]
    paths = [jsonl(*lines, name=f"{n}.jsonl") for n, lines in enumerate(files)]
    blanks, expected = 0, None
    for read_lines, line in enumerate([*files[0], *files[1]], 1):
        blanks += isinstance(line, bytes)
        if blanks > max(most, read_lines - blanks):
            expected = read_lines, {"blank": blanks}
            break
    monkeypatch.setattr(batches, "BATCH_ROWS", chance.choice([1, 5, 256]))
    monkeypatch.setattr(digests, "BLOCK_BYTES", 50)
    for size in (50, 200, table.SLICE_BYTES):
        monkeypatch.setattr(table, "SLICE_BYTES", size)
        stopped = outcome(*paths)
        assert (stopped and stopped[1:]) == expected
        if stopped is not None:
            lines = f"{blanks} of the first {stopped[1]} lines are blank, more than all others."
            assert f"jsonl:{(stopped[1] - 1) % 60 + 1}: blank: " in stopped[0]
            assert stopped[0].endswith(f"{lines} Take the blank lines out.")


def test_a_slice_is_left_where_no_lines_before_it_could_outnumber_its_blank_ones(
    jsonl: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = jsonl(*[b""] * 3_000)
    for module in (bad_runs, bad):
        monkeypatch.setattr(module, "BLANKS", 10)
    monkeypatch.setattr(batches, "BATCH_ROWS", 1)
    monkeypatch.setattr(table, "SLICE_BYTES", 1_000)
    read_lines: list[int] = []

    def every_one(function: Callable[[Any], Any], jobs: list[Any], size: int) -> list[Any]:
        slices = [function(job) for job in jobs]
        read_lines.extend(scanned.lines for scanned in slices)
        return slices

    stopped = outcome(path, engine=every_one)
    assert stopped is not None
    assert stopped[1:] == (11, {"blank": 11})
    assert read_lines == [11, 501, 1_000]


def test_a_slice_is_left_at_the_same_line_of_a_file_that_is_compressed(jsonl: Write) -> None:
    plain = jsonl(*[rollout()] * 5, *[b"bad"] * 5_000)
    packed = Path(plain + ".gz")
    packed.write_bytes(gzip.compress(Path(plain).read_bytes()))
    stopped = outcome(packed, max_bad_rows=7)
    assert stopped is not None
    assert stopped[1:] == (13, {"bad_json": 8})


def test_what_was_left_is_never_taken_for_a_whole_slice(
    jsonl: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = jsonl(*[b"bad"] * 5)
    assert read(path).bad.height == 5
    monkeypatch.setattr(BadLines, "most_rows", 2)
    with pytest.raises(RuntimeError, match="a bug of gymrecipe"):
        read(path)


def test_a_flood_takes_the_memory_of_one_line() -> None:
    found = Runs()
    for n in range(5_000):
        found.add(Bad(n + 1, 3 * n, 2, "not_a_rollout"))
    assert len(found.line) == 1
    assert (found.count[0], found.rows, found.blanks) == (5_000, 5_000, 0)


def test_a_bad_line_takes_less_than_forty_bytes(jsonl: Write) -> None:
    source = open_source(jsonl(*[b"bad"] * 50_000), 0)
    lines, found = BadLines([source], "100%", None), Runs()
    for n in range(1, 50_001):  # no two of a length stand together
        found.add(Bad(n, 4 * n, n % 2, "bad_json"))
    tracemalloc.start()
    lines.add(found, 0, 0, 0)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken / 50_000 < 40
    assert lines.frame().row(-1) == (0, 50_000, 200_000, 0, "bad_json")
