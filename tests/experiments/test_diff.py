from pathlib import Path
from typing import Any

import polars as pl
import pytest
from msgspec import UNSET

from gymrecipe.errors import DataError, InputError
from gymrecipe.experiments.diff import Change, Moved, diff, flatten
from gymrecipe.experiments.diff import Rows as Changed
from gymrecipe.experiments.manifest import (
    Environment,
    Input,
    Lines,
    Manifest,
    Output,
    StageRecord,
    encode,
)
from tests.experiments.conftest import graded, rollout, run, save

USED = {
    "output": pl.String,
    "row": pl.UInt64,
    "side": pl.String,
    "source": pl.String,
    "line": pl.UInt64,
    "offset": pl.UInt64,
    "bytes": pl.UInt64,
    "id": pl.String,
}
REJECTS = {
    "source": pl.String,
    "line": pl.UInt64,
    "offset": pl.UInt64,
    "bytes": pl.UInt64,
    "stage": pl.String,
    "reason": pl.String,
    "id": pl.String,
}

Rows = list[tuple[Any, ...]]


def id(line: int) -> str:
    return f"{line:032x}"


def stage(name: str, rows_in: int, rows_out: int, **parameters: object) -> StageRecord:
    return StageRecord(
        name, name, 1, "rollouts", "rollouts", "", parameters, rows_in, rows_out, {}, {}
    )


def version(
    folder: Path, used: Rows, rejects: Rows = (), source: str = "a.jsonl", **fields: Any
) -> Path:
    """A version that used (output, row, side, line) and rejected (line, stage, reason)."""
    folder.mkdir()
    known = {
        "parameters": {},
        "stages": [],
        "lines": Lines(0, 0, 0),
        "inputs": [],
        "outputs": [],
    } | fields
    manifest = Manifest(
        schema=1,
        name="dpo",
        version=folder.name,
        id="",
        statistics={},
        warnings=[],
        environment=Environment(),
        **known,
    )
    (folder / "manifest.json").write_bytes(encode(manifest))
    pl.DataFrame(
        [(output, row, side, source, line, 0, 9, id(line)) for output, row, side, line in used],
        schema=USED,
        orient="row",
    ).write_parquet(folder / "used.parquet")
    pl.DataFrame(
        [(source, line, 0, 9, stage, reason, id(line)) for line, stage, reason in rejects],
        schema=REJECTS,
        orient="row",
    ).write_parquet(folder / "rejects.parquet")
    return folder


def demonstrations(*lines: int) -> Rows:
    return [("data/train.jsonl", row, "", line) for row, line in enumerate(lines)]


def pairs(*sides: tuple[int, int]) -> Rows:
    return [
        ("data/train.jsonl", row, side, line)
        for row, pair in enumerate(sides)
        for side, line in zip(("chosen", "rejected"), pair, strict=True)
    ]


def test_a_version_does_not_differ_from_itself(tmp_path):
    one = version(
        tmp_path / "v0001",
        pairs((1, 2), (3, 4)),
        [(5, "pair", "all_equal")],
        parameters={"min_gap": 0.2},
        inputs=[Input("a.jsonl", 0, 9, 5, "aa")],
    )
    found = diff(one, one)
    assert found.a == found.b == "dpo/v0001"
    assert not any((found.knobs, found.counts, found.inputs, found.gained, found.lost))
    assert found.rows == []


def test_knobs_differ_under_dotted_names(tmp_path):
    a = version(
        tmp_path / "v0001",
        [],
        parameters={"min_gap": 0.2, "seed": 1, "columns": {"x": {"path": "p"}}},
        stages=[stage("pair", 0, 0, min_gap=0.2), stage("check", 0, 0, purpose="dpo")],
    )
    b = version(
        tmp_path / "v0002",
        [],
        parameters={"min_gap": 0.3, "seed": 1, "columns": {"x": {"path": "q"}}, "again": True},
        stages=[stage("pair", 0, 0, min_gap=0.3)],
    )
    assert diff(a, b).knobs == [
        Change("min_gap", 0.2, 0.3),
        Change("columns.x.path", "p", "q"),
        Change("stages.pair.min_gap", 0.2, 0.3),
        Change("stages.check.use", "check", UNSET),
        Change("stages.check.version", 1, UNSET),
        Change("stages.check.purpose", "dpo", UNSET),
        Change("again", UNSET, True),
    ]


def test_a_quantile_that_comes_to_another_number_is_a_difference(tmp_path):
    def pair(number: float) -> StageRecord:
        facts = {"resolved": [{"parameter": "min_gap", "asked": "p90", "resolved": number}]}
        return StageRecord("pair", "pair", 1, "", "", "", {"min_gap": "p90"}, 0, 0, {}, facts)

    a = version(tmp_path / "v0001", [], stages=[pair(0.25)])
    b = version(tmp_path / "v0002", [], stages=[pair(0.5)])
    assert diff(a, b).knobs == [Change("stages.pair.min_gap (resolved)", 0.25, 0.5)]


def test_true_is_not_one(tmp_path):
    a = version(tmp_path / "v0001", [], parameters={"limit": 1})
    b = version(tmp_path / "v0002", [], parameters={"limit": True})
    assert diff(a, b).knobs == [Change("limit", 1, True)]


def test_null_is_not_nothing(tmp_path):
    """As for a column that every format has by itself, and that this leaves out."""
    kept = {"columns": {"level": "level"}}
    left_out = {"columns": {"level": "level", "task_type": None}}
    a = version(tmp_path / "v0001", [], stages=[stage("write", 0, 0, **kept)])
    b = version(tmp_path / "v0002", [], stages=[stage("write", 0, 0, **left_out)])
    assert diff(a, b).knobs == [Change("stages.write.columns.task_type", UNSET, None)]


def test_columns_in_another_order_are_a_difference(tmp_path: Path) -> None:
    a, b = (
        version(tmp_path / name, [], stages=[stage("write", 0, 0, columns=columns)])
        for name, columns in (
            ("v0001", {"x": "a", "y": "b", "z": "c"}),
            ("v0002", {"y": "b", "x": "a"}),
        )
    )
    assert diff(a, b).knobs == [
        Change("stages.write.columns.z", "c", UNSET),
        Change("stages.write.columns (in order)", ["x", "y"], ["y", "x"]),
    ]


def test_counts_of_lines_stages_and_outputs_differ(tmp_path):
    a = version(
        tmp_path / "v0001",
        [],
        lines=Lines(9, 4, 5),
        stages=[stage("usable", 9, 6)],
        outputs=[Output("data/train.jsonl", 4, 40, "aa"), Output("README.md", 0, 1, "bb")],
    )
    b = version(
        tmp_path / "v0002",
        [],
        lines=Lines(9, 3, 6),
        stages=[stage("usable", 9, 5)],
        outputs=[Output("data/train.jsonl", 3, 30, "cc"), Output("README.md", 0, 2, "dd")],
    )
    assert diff(a, b).counts == [
        Change("lines.used", 4, 3),
        Change("lines.rejected", 5, 6),
        Change("stages.usable.out", 6, 5),
        Change("data/train.jsonl", 4, 3),
    ]


def test_inputs_differ_by_content_not_by_path(tmp_path):
    moved, grown = Input("old/a", 0, 9, 1, "aa"), Input("b", 0, 9, 1, "bb")
    a = version(tmp_path / "v0001", [], inputs=[moved, grown])
    later = Input("b", 0, 99, 11, "cc")
    b = version(tmp_path / "v0002", [], inputs=[Input("new/a", 0, 9, 1, "aa"), later])
    assert diff(a, b).inputs == [Change("b", grown, later)]


def test_rollouts_are_lost_for_the_reason_that_the_other_version_gave(tmp_path):
    a = version(tmp_path / "v0001", demonstrations(*range(1, 13)), [(20, "usable", "failed")])
    b = version(
        tmp_path / "v0002",
        demonstrations(1, 2, 20),
        [(line, "pair", "gap_too_small") for line in range(3, 11)] + [(11, "usable", "low")],
        source="moved.jsonl",
    )
    found = diff(a, b)
    examples = [f"a.jsonl:{line}" for line in range(3, 8)]
    assert found.lost == [
        Moved("pair", "gap_too_small", 8, examples),
        Moved("", "not read", 1, ["a.jsonl:12"]),
        Moved("usable", "low", 1, ["a.jsonl:11"]),
    ]
    assert found.gained == [Moved("usable", "failed", 1, ["moved.jsonl:20"])]


def test_a_rollout_used_twice_is_lost_once(tmp_path):
    a = version(tmp_path / "v0001", [("sft", 0, "", 1), *pairs((1, 2))])
    b = version(tmp_path / "v0002", demonstrations(2), [(1, "pair", "only_one")])
    assert diff(a, b).lost == [Moved("pair", "only_one", 1, ["a.jsonl:1"])]


def test_pairs_are_told_apart_by_both_sides(tmp_path):
    a = version(tmp_path / "v0001", pairs((1, 2), (3, 4), (5, 6)))
    b = version(tmp_path / "v0002", pairs((5, 6), (2, 1), (3, 6), (4, 4)))
    found = diff(a, b)
    assert found.rows == [Changed("data/train", gained=3, lost=2)]
    assert (found.gained, found.lost) == ([], [])


def test_rows_are_told_of_each_data_file_and_shards_are_one(tmp_path: Path) -> None:
    """A rollout that another write uses already is neither gained nor lost, but its row is."""

    def rows(output: str, *lines: int) -> Rows:
        return [(f"data/{output}", row, "", line) for row, line in enumerate(lines)]

    shards = [
        *rows("sft/train-00000-of-00002.jsonl", 1, 1),
        *rows("sft/train-00001-of-00002.jsonl", 2),
        ("data/figures/metrics.jsonl", None, "", 1),
    ]
    a = version(tmp_path / "v0001", [*shards, *rows("all/train.jsonl", 1, 2, 3, 4)])
    b = version(
        tmp_path / "v0002",
        [
            *rows("sft/train.jsonl", 2, 3, 1),
            *rows("sft/validation.jsonl", 4),
            *rows("all/train.jsonl", 4, 3, 2, 1),
        ],
    )
    found = diff(a, b)
    assert found.rows == [Changed("data/sft/train", 1, 1), Changed("data/sft/validation", 1, 0)]
    assert (found.gained, found.lost) == ([], [])


def test_what_rows_are_gained_and_lost_comes_to_is_what_the_files_differ_by(tmp_path: Path) -> None:
    path = str(save(tmp_path / "a.jsonl", graded(30)))
    a, b = (
        run(tmp_path, "sft_and_dpo", input=path, validation_fraction=0.3, min_reward=least)
        for least in (0.9, 0.1)
    )
    found = diff(a.path, b.path)
    counts = {change.name: change.b - change.a for change in found.counts}
    assert found.rows
    for rows in found.rows:
        assert rows.gained - rows.lost == counts[f"{rows.name}.jsonl"]


def test_a_version_that_is_damaged_or_none_is_said(tmp_path):
    a = version(tmp_path / "v0001", [])
    b = version(tmp_path / "v0002", [])
    (b / "used.parquet").unlink()
    with pytest.raises(DataError, match="See what `verify` says"):
        diff(a, b)
    with pytest.raises(InputError, match="not a version"):
        diff(a, tmp_path / "v0003")


def test_flatten_keeps_lists_and_empty_mappings_whole():
    nested = {"a": {"b": [1, {"c": 2}], "d": {}}, "e": None}
    assert dict(flatten(nested)) == {"a.b": [1, {"c": 2}], "a.d": {}, "e": None}


def test_equal_lines_are_counted_each(tmp_path: Path) -> None:
    lines = [rollout("a", "1"), rollout("a", "1"), rollout("b", "2"), rollout("c", "3", 0.2)]
    path = str(save(tmp_path / "a.jsonl", lines))
    every = run(tmp_path, "sft_threshold", input=path, min_reward=0)
    once = {"stages.once": {"use": "dedup", "after": "good"}}
    few = run(tmp_path, "sft_threshold", input=path, min_reward=0.5, **once)
    assert every.path is not None
    assert few.path is not None
    found = diff(every.path, few.path)
    assert [(moved.reason, moved.count) for moved in found.lost] == [
        ("below_min_reward", 1),
        ("duplicate", 1),
    ]
    assert diff(few.path, every.path).gained == found.lost
    assert Change("lines.used", 4, 2) in found.counts


def test_equal_lines_are_told_apart_by_the_order_of_the_inputs_whatever_their_names(
    tmp_path: Path,
) -> None:
    once = {"stages.once": {"use": "dedup", "after": "good"}}
    files = [str(save(tmp_path / name, [rollout("a", "1")])) for name in ("b", "c")]
    one = run(tmp_path, "sft_threshold", input=files, **once)
    other = run(tmp_path, "sft_threshold", input=files[::-1], again=True, **once)
    assert one.path is not None
    assert other.path is not None
    assert one.manifest.id == other.manifest.id
    found = diff(one.path, other.path)
    assert (found.gained, found.lost) == ([], [])


def test_a_stage_that_takes_from_another_one_is_a_difference(tmp_path: Path) -> None:
    path = str(save(tmp_path / "a.jsonl", graded()))
    knobs = {"input": path, "min_reward": 0.3}
    one = run(tmp_path, "sft_and_dpo", **knobs)
    other = run(tmp_path, "sft_and_dpo", **knobs, **{"stages.pair.from": "good"})
    assert one.path is not None
    assert other.path is not None
    assert diff(one.path, other.path).knobs == [Change("stages.pair.from", "usable", "good")]


def test_a_bad_line_of_several_copies_is_counted_once(tmp_path: Path) -> None:
    lines = [rollout("a", "1", level=1), rollout("b", "2", level=2**53 + 1)]
    path, *copies = (str(save(tmp_path / name, lines)) for name in ("a", "b", "c"))
    without = run(tmp_path, "sft_threshold", input=path)
    asking = run(tmp_path, "sft_threshold", input=copies, **{"stages.good.where": "level > 0"})
    assert without.path is not None
    assert asking.path is not None
    lost = diff(without.path, asking.path).lost
    assert lost == [Moved("load", "int_precision", 1, [f"{path}:2"])]


@pytest.mark.parametrize("name", ["a.jsonl", "moved.jsonl"])
def test_a_line_that_is_bad_to_one_recipe_was_read_by_it(tmp_path: Path, name: str) -> None:
    lines = [rollout("a", "1", level=1), rollout("b", "2", level=2**53 + 1)]
    path, other = (str(save(tmp_path / file, lines)) for file in ("a.jsonl", name))
    without = run(tmp_path, "sft_threshold", input=path)
    asks = {"stages.good.where": "level > 0"}
    asking = run(tmp_path, "sft_threshold", input=other, **asks)
    assert without.path is not None
    assert asking.path is not None
    moved = [Moved("load", "int_precision", 1, [f"{path}:2"])]
    assert diff(without.path, asking.path).lost == moved
    assert diff(asking.path, without.path).gained == moved
