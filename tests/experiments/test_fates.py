"""Every line that was read ends in exactly one place."""

import os
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gymrecipe.errors import DataError
from gymrecipe.experiments import fates
from tests.experiments.conftest import MISSING, graded, records, rollout, run, save
from tests.forked import python
from tests.full import often

VERBS = ["explain dpo_same_prompt/v0001 a.jsonl:1", "rejects dpo_same_prompt/v0001",
         "diff dpo_same_prompt/v0001 dpo_same_prompt/v0002"]  # fmt: skip


def two_versions(folder: Path) -> None:
    source = str(save(folder / "a.jsonl", graded()))
    for seed in (1, 2):
        run(folder, input=source, seed=seed)


@pytest.mark.parametrize("name", [fates.REJECTS, fates.USED])
@pytest.mark.parametrize("verb", VERBS)
def test_a_pipe_in_the_place_of_a_table_is_not_waited_for(
    verb: str, name: str, as_made: Any
) -> None:
    folder = as_made(two_versions)
    table = folder / "experiments/dpo_same_prompt/v0001" / name
    table.unlink()
    os.mkfifo(table)
    done = python("-m", "gymrecipe", *verb.split(), cwd=folder)
    expected = 0 if verb.startswith("rejects") and name == fates.USED else 3
    assert done.returncode == expected, done.stderr


ROWS, STAGES = 8, 4
REASONS = st.sampled_from(["a", "b", "c"])
FATES = st.lists(st.tuples(st.integers(0, ROWS - 1), st.integers(0, STAGES - 1), REASONS))
USED = st.lists(st.tuples(st.integers(0, ROWS - 1), st.sampled_from(["", "chosen", "rejected"])))


def frames(
    left: list[tuple[int, int, str]], used: list[tuple[int, str]]
) -> tuple[list[pl.DataFrame], pl.DataFrame]:
    schema = fates.no_fates().schema
    split = [
        pl.DataFrame([fate for fate in left if fate[1] == stage], schema=schema, orient="row")
        for stage in range(STAGES)
    ]
    uses = [(row, side, "data/train.jsonl", at) for at, (row, side) in enumerate(used)]
    return split, pl.DataFrame(uses, schema=fates.no_uses().schema, orient="row")


@given(FATES, USED, st.integers(1, ROWS + 1))
@settings(max_examples=often(32, 400))
def test_one_fate_for_each_rollout_that_left_and_is_not_used(
    left: list[tuple[int, int, str]], used: list[tuple[int, str]], together: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fates, "PART_ROWS", together)
        settled = fates.settle(*frames(left, used))
    expected = {
        row: max(
            ((stage, reason) for r, stage, reason in left if r == row),
            # The latest stage wins, and at a tie the first reason by name.
            key=lambda fate: (fate[0], -ord(fate[1])),
        )
        for row in {row for row, _, _ in left} - {row for row, _ in used}
    }
    assert {row: (stage, reason) for row, stage, reason in settled.iter_rows()} == expected
    assert settled["row"].is_sorted()
    assert settled.height == len(expected)


@given(FATES, USED, st.randoms(use_true_random=False))
def test_fates_do_not_depend_on_the_order_of_rows(
    left: list[tuple[int, int, str]], used: list[tuple[int, str]], chance: random.Random
) -> None:
    one = fates.settle(*frames(left, used))
    chance.shuffle(left)
    chance.shuffle(used)
    assert fates.settle(*frames(left, used)).equals(one)


@given(
    sizes=st.lists(st.integers(0, 12), max_size=8),
    together=st.integers(1, 30),
    chance=st.randoms(use_true_random=False),
)
@settings(max_examples=often(32, 400))
def test_what_is_used_is_put_in_order_a_few_files_at_a_time(
    sizes: list[int], together: int, chance: random.Random
) -> None:
    rows = [
        (chance.randrange(99), side, f"data/{file}.jsonl", at)
        for file, size in enumerate(sizes)
        for at in range(size)
        for side in (["chosen", "rejected"] if chance.random() < 0.5 else [""])
    ]
    chance.shuffle(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fates, "PART_ROWS", together)
        ordered = fates._in_order(pl.DataFrame(rows, schema=fates.no_uses().schema, orient="row"))
    expected = sorted(rows, key=lambda use: (use[2], use[3], use[1], use[0]))
    assert [tuple(map(str, use)) for use in ordered.iter_rows()] == [
        tuple(map(str, use)) for use in expected
    ]


def test_a_pair_that_leaves_gives_both_its_rollouts_a_fate_and_half_a_pair_one() -> None:
    rows = pl.DataFrame(
        {"chosen_row": [1, 2], "rejected_row": [3, None], "reason": ["x", "y"]},
        schema={"chosen_row": pl.UInt32, "rejected_row": pl.UInt32, "reason": pl.String},
    )
    assert sorted(fates.leaving(rows, 2).iter_rows()) == [(1, 2, "x"), (2, 2, "y"), (3, 2, "x")]


def test_rows_that_are_no_rollouts_have_no_fate() -> None:
    metrics = pl.DataFrame({"metric": ["a"], "reason": ["x"]})
    assert fates.leaving(metrics, 1).is_empty()


def reasons(version: Any) -> dict[int, tuple[str, str]]:
    table = pl.read_parquet(version.path / "rejects.parquet")
    return {row["line"]: (row["stage"], row["reason"]) for row in table.to_dicts()}


def test_an_unusable_side_rejects_its_partner_and_makes_no_new_pair(tmp_path: Path) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "not json"}
    good = {
        "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}],
    }  # fmt: skip
    rows = [
        {
            "responses_create_params": {"input": "p"},
            "response": {"output": output},
            "reward": reward,
        }
        for output, reward in (([call, good], 1.0), ([good], 0.5), ([good | {"id": "x"}], 0.1))
    ]
    rows[2]["response"] = {"output": [good | {"content": [{"type": "output_text", "text": "no"}]}]}
    other = [rollout("q", "better", 1.0), rollout("q", "worse", 0.0)]
    source = save(tmp_path / "a.jsonl", [*rows, *other])
    version = run(tmp_path, input=str(source))
    assert version.manifest.stages[-1].rows_in == 2
    assert version.manifest.stages[-1].rows_out == 1
    assert len(version.manifest.stages[-1].rejected) == 1  # in pairs: one pair, one reason
    found = reasons(version)
    (unusable,) = version.manifest.stages[-1].rejected
    assert found == {
        1: ("write", unusable),
        2: ("pair", "not_selected"),
        3: ("write", "partner_rejected"),
    }


def test_a_line_used_in_one_branch_is_not_rejected_by_the_other(tmp_path: Path) -> None:
    source = save(tmp_path / "a.jsonl", [*graded(3, 2), rollout("x", "alone", 0.2)])
    version = run(tmp_path, "sft_and_dpo", input=str(source), validation_fraction=0.0)
    assert reasons(version) == {7: ("pair", "only_one")}
    used = pl.read_parquet(version.path / "used.parquet")
    assert used.filter(pl.col("output") == "data/sft/train.jsonl").height == 3
    assert used.filter(pl.col("output") == "data/dpo/train.jsonl").height == 6
    assert version.manifest.lines.used == 6


def some_line(chance: random.Random) -> dict[str, Any] | bytes:
    kind = chance.random()
    if kind < 0.08:
        return chance.choice([b"", b"{", b"[]", b"null", b"\xff", b'{"reward": 1}', b"  "])
    reward = chance.choice([0.0, 0.5, 1.0, 0.3, None, MISSING, "1", True])
    line = rollout(f"p{chance.randrange(6)}", f"a{chance.randrange(9)}", reward)
    if kind < 0.2:
        line["response"] = ""
    return line


@pytest.mark.parametrize("recipe", ["dpo_same_prompt", "sft_and_dpo", "sft_threshold", "balanced"])
@pytest.mark.parametrize("seed", range(often(1, 3)))
def test_used_and_rejected_lines_are_all_that_was_read(
    recipe: str, seed: int, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    for name in ("a", "b"):
        save(tmp_path / f"{name}.jsonl", [some_line(chance) for _ in range(60)])
    files = [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]
    version = run(tmp_path, recipe, input=files, max_bad_rows="100%", shard_rows=7)
    assert version.path is not None
    used = pl.read_parquet(version.path / "used.parquet")
    rejects = pl.read_parquet(version.path / "rejects.parquet")
    places = [
        *used.select("source", "line").unique().iter_rows(),
        *rejects.select("source", "line").iter_rows(),
    ]
    assert sorted(places) == [(file, line) for file in files for line in range(1, 61)]
    lines = version.manifest.lines
    assert (lines.read, lines.used) == (120, 120 - rejects.height)
    names = [stage.name for stage in version.manifest.stages]
    assert set(rejects["stage"]) <= set(names)
    for row in [*used.to_dicts(), *rejects.to_dicts()]:
        data = Path(row["source"]).read_bytes()
        text = data[row["offset"] : row["offset"] + row["bytes"]]
        assert text == data.split(b"\n")[row["line"] - 1]
    rows = {output.path: output.rows for output in version.manifest.outputs if output.rows}
    assert dict(used.group_by("output").agg(pl.col("row").n_unique()).iter_rows()) == rows


def test_used_says_in_which_row_a_line_stands(tmp_path: Path) -> None:
    source = save(tmp_path / "a.jsonl", graded())
    version = run(tmp_path, input=str(source), order="shuffled")
    rows = records(version)
    assert version.path is not None
    lines = source.read_text().splitlines()
    for use in pl.read_parquet(version.path / "used.parquet").to_dicts():
        assert rows[use["row"]][use["side"]][0]["content"] in lines[use["line"] - 1]


REFUSING = (
    "{% for m in messages %}{% if m.content in ['answer 1 2', 'answer 1 3', 'answer 2 0'] %}"
    "{{ raise_exception('No \x1b[2J' ~ m.content[:8]) }}{% endif %}{{ m.role }}: {{ m.content }}\n"
    "{% endfor %}"
)


@pytest.mark.parametrize("order", ["source", "shuffled"])
def test_a_line_that_the_template_refuses_has_what_it_said(order: str, tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text(REFUSING)
    source = save(tmp_path / "a.jsonl", graded())
    knobs: dict[str, Any] = {
        "input": str(source), "format": "rendered", "chat_template": str(tmp_path / "t.jinja"),
        "order": order,
    }  # fmt: skip
    one, other = (
        run(tmp_path / str(workers), **knobs, **{"engine.workers": workers}) for workers in (1, 3)
    )
    assert one.path is not None
    assert other.path is not None
    data = (one.path / "rejects.parquet").read_bytes()
    assert data == (other.path / "rejects.parquet").read_bytes()
    table = pl.read_parquet(one.path / "rejects.parquet")
    assert sorted(table.filter(pl.col("stage") == "write").select("reason", "cause").rows()) == [
        ("partner_rejected", ""),
        ("partner_rejected", ""),
        ("partner_rejected", ""),
        ("template_refused", "No \x1b[2Janswer 1"),
        ("template_refused", "No \x1b[2Janswer 1"),
        ("template_refused", "No \x1b[2Janswer 2"),
    ]
    assert one.manifest.stages[-1].facts["causes"] == [
        {"reason": "template_refused", "cause": "No \x1b[2Janswer 1", "rows": 2},
        {"reason": "template_refused", "cause": "No \x1b[2Janswer 2", "rows": 1},
    ]


def test_where_no_reason_has_a_cause_there_is_no_column_for_one(tmp_path: Path) -> None:
    source = save(tmp_path / "a.jsonl", [*graded(), rollout("x", "alone", 0.2)])
    version = run(tmp_path, input=str(source))
    assert version.path is not None
    assert "cause" not in pl.read_parquet_schema(version.path / "rejects.parquet")
    assert "causes" not in version.manifest.stages[-1].facts


def test_of_several_causes_of_a_rollout_the_first_by_name_stands() -> None:
    kinds = {**fates.no_fates().schema, "cause": pl.Categorical()}
    rows = [(1, 3, "r", "b"), (1, 3, "r", None), (1, 3, "r", "a"), (2, 3, "r", None)]
    left = pl.DataFrame(rows, schema=kinds, orient="row")
    earlier = pl.DataFrame([(1, 2, "x"), (3, 2, "y")], schema=fates.no_fates().schema, orient="row")
    settled = fates.settle([earlier, left], fates.no_uses())
    assert settled.rows() == [(1, 3, "r", "a"), (2, 3, "r", None), (3, 2, "y", None)]


def test_of_a_million_causes_a_thousand_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gymrecipe.experiments.written.KEPT_CAUSES", 3)
    (tmp_path / "t.jinja").write_text("{{ raise_exception(messages[-1].content) }}")
    knobs = {"format": "rendered", "chat_template": str(tmp_path / "t.jinja")}
    source = str(save(tmp_path / "a.jsonl", [*graded(6, 2), rollout("p", "a", 1.0)]))
    with pytest.raises(DataError) as caught:
        run(tmp_path, "sft_threshold", input=source, **knobs)
    record: Any = caught.value
    (write,) = (stage for stage in record.manifest.stages if stage.use == "write")
    assert write.rejected == {"template_refused": 7}
    assert [row["rows"] for row in write.facts["causes"]] == [1, 1, 1]
