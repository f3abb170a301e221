"""The table of all inputs: the same whatever the slices, the workers and the grouping of sums."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from gymrecipe.engines.local import local
from gymrecipe.errors import DataError
from gymrecipe.rollouts import digests, files, table
from gymrecipe.rollouts.columns import TASK_FIELD, Column
from gymrecipe.rollouts.table import Table
from tests.full import often
from tests.rollouts.conftest import Write, read, rollout

COLUMNS = (
    Column("accuracy", (("accuracy",),), "number"),
    Column("passed", (("passed",),), "boolean"),
    Column("metadata.category", (("metadata", "category"),), "text"),
    Column("word", (("responses_create_params", "input"),), "text", pattern=r"^(\w+)"),
    Column("kind", (("kind",), ("metadata", "kind")), "text", default="general"),
)


def lines_of_all_kinds(seed: int = 0, count: int = 60) -> list[Any]:
    chance = random.Random(seed)
    lines: list[Any] = []
    for number in range(count):
        more: dict[str, Any] = {
            "accuracy": chance.choice([0.1, 0.7, None, "0.5", 1]),
            "passed": chance.choice([True, False, 1]),
            "metadata": chance.choice([None, "text", {"category": chance.choice("ab")}, {}]),
            f"late_{number // 20}": chance.random(),
            "task_id": chance.choice([1, "1", None]),
            "_ng_task_index": chance.choice([0, 1]),
        }
        for name in chance.sample(sorted(more), chance.randrange(4)):
            del more[name]
        lines.append(
            rollout(f"w{number % 3} x", "y" * chance.randrange(90), chance.random(), **more)
        )
    for bad in (b"", b"bad", b"  ", b'{"detail": 1}', b"\xff", b"[]"):
        lines.insert(chance.randrange(count), bad)
    return [*lines, rollout(kind="k", metadata={"kind": "m"}), rollout(metadata={"kind": "m"})]


def same(one: Table, other: Table) -> None:
    assert_frame_equal(one.rows, other.rows, categorical_as_str=True)
    assert_frame_equal(one.bad, other.bad)
    assert_frame_equal(one.metric_rows, other.metric_rows, check_row_order=False)
    assert (one.read, one.fields, one.metrics) == (other.read, other.fields, other.metrics)


@pytest.mark.parametrize("limit", [None, 1, 17, 66, 100])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_the_table_does_not_depend_on_slices_and_reads(
    jsonl: Write, monkeypatch: pytest.MonkeyPatch, limit: int | None, end: bytes
) -> None:
    paths = [jsonl(*lines_of_all_kinds(i), name=f"{i}.jsonl", end=end) for i in range(2)]
    monkeypatch.setattr(digests, "BLOCK_BYTES", 50)
    wanted: dict[str, Any] = {
        "columns": COLUMNS if limit is None else COLUMNS[3:4], "metric_rows": True, "limit": limit,
    }  # fmt: skip
    whole = read(*paths, **wanted)
    cuts = [(50, 2**18), (400, 17), (1000, 333), (10_000, 50)]
    for size, step in cuts if limit is None else cuts[:: often(3, 1)]:
        monkeypatch.setattr(table, "SLICE_BYTES", size)
        monkeypatch.setattr(files, "READ_BYTES", step)
        same(read(*paths, **wanted), whole)


def test_two_workers_read_the_same_as_one(
    jsonl: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = jsonl(*lines_of_all_kinds() * 50)
    monkeypatch.setattr(table, "SLICE_BYTES", 2**16)
    monkeypatch.setattr("gymrecipe.engines.local.WORTH_BYTES", 0)
    one = read(path, columns=COLUMNS, metric_rows=True)
    with local(2) as engine:
        same(read(path, columns=COLUMNS, metric_rows=True, engine=engine), one)
        with pytest.raises(DataError, match="bad rows"):
            read(path, engine=engine, max_bad_rows=None)


@pytest.mark.parametrize("squeeze", [bytes, gzip.compress])
def test_the_slices_of_all_files_are_one_map_for_the_workers(
    jsonl: Write, monkeypatch: pytest.MonkeyPatch, squeeze: Callable[[bytes], bytes]
) -> None:
    paths = [jsonl(*lines_of_all_kinds(i), name=f"{i}.jsonl") for i in range(9)]
    for path in map(Path, paths):
        path.write_bytes(squeeze(path.read_bytes()))
    maps: list[int] = []

    def engine(function: Callable[[Any], Any], jobs: Iterable[Any], size: int) -> Iterator[Any]:
        maps.append(size)
        yield from map(function, jobs)

    one = read(*paths, columns=COLUMNS, engine=engine)
    assert maps == [sum(Path(path).stat().st_size for path in paths)]
    monkeypatch.setattr("gymrecipe.engines.local.WORTH_BYTES", 0)
    with local(2) as workers:
        same(read(*paths, columns=COLUMNS, engine=workers), one)


def test_small_files_become_one_frame(jsonl: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [jsonl(*lines_of_all_kinds(i), name=f"{i}.jsonl") for i in range(20)]
    made: list[int] = []
    joined = table.joined

    def watched(held: list[Any], *others: Any) -> Any:
        made.append(len(held))
        return joined(held, *others)

    monkeypatch.setattr(table, "joined", watched)
    whole = read(*paths)
    assert made == [20]
    monkeypatch.setattr(table, "FRAME_SLICES", 3)
    same(read(*paths), whole)
    assert made[1:] == [3] * 6 + [2]


def test_lines_bytes_and_offsets_find_the_line_again(jsonl: Write) -> None:
    path = Path(jsonl(*lines_of_all_kinds()))
    found = read(path)
    data = path.read_bytes()
    for part in (found.rows, found.bad):
        for row in part.select("line", "offset", "bytes").iter_rows(named=True):
            line = data[row["offset"] : row["offset"] + row["bytes"]]
            assert line == data.split(b"\n")[row["line"] - 1]


def test_sources_and_runs_count_from_zero(jsonl: Write) -> None:
    paths = [jsonl(rollout(), name=f"{i}.jsonl") for i in range(3)]
    rows = read(*paths).rows
    assert (rows["source"].to_list(), rows["run"].to_list()) == ([0, 1, 2], [0, 1, 2])
    assert rows["line"].to_list() == [1, 1, 1]


def test_an_empty_table_has_the_columns_of_a_full_one(jsonl: Write) -> None:
    full = read(jsonl(*lines_of_all_kinds()), columns=COLUMNS).rows
    empty = read(jsonl(name="empty.jsonl"), columns=COLUMNS).rows
    fields = [name for name in full.columns if name.startswith(TASK_FIELD)]
    assert fields == [f"{TASK_FIELD}0"]  # the only one that has values
    assert full.drop(fields).schema == empty.schema
    assert empty.height == 0


# Columns


def values(jsonl: Write, column: Column, *lines: Any) -> list[Any]:
    return read(jsonl(*lines), columns=[column]).rows[column.name].to_list()


def test_a_value_of_another_kind_is_missing_in_its_column(jsonl: Write) -> None:
    lines = [rollout(x=x) for x in (0.5, 1, "0.5", True, None, [], {})] + [rollout()]
    missing = [None] * 8
    assert values(jsonl, Column("x", (("x",),), "number"), *lines) == [0.5, 1.0, *missing[2:]]
    assert values(jsonl, Column("x", (("x",),), "text"), *lines) == [
        None, None, "0.5", None, None, None, None, None,
    ]  # fmt: skip
    assert values(jsonl, Column("x", (("x",),), "boolean"), *lines) == [
        None, None, None, True, None, None, None, None,
    ]  # fmt: skip


def test_the_first_path_that_is_there_counts(jsonl: Write) -> None:
    column = Column("x", (("a",), ("b", "c")), "text")
    lines = [rollout(a="1", b={"c": "2"}), rollout(b={"c": "2"}), rollout(b="c"), rollout()]
    assert values(jsonl, column, *lines) == ["1", "2", None, None]


def test_a_pattern_takes_its_first_group_and_a_default_stands_for_the_rest(jsonl: Write) -> None:
    column = Column("x", (("x",),), "text", pattern=r"Category: ([A-Z]+)", default="none")
    lines = [rollout(x="Category: MATH."), rollout(x="Category: math"), rollout(x=1), rollout()]
    assert values(jsonl, column, *lines) == ["MATH", "none", "none", "none"]


def test_of_several_groups_of_a_pattern_the_first_that_has_part_in_the_match_counts(
    jsonl: Write,
) -> None:
    column = Column("x", (("x",),), "text", pattern=r"Kind: (\w+)|^(\w+)$")
    lines = [rollout(x=text) for text in ("Kind: MATH, please", "MATH", "neither one", "")]
    assert values(jsonl, column, *lines, rollout()) == ["MATH", "MATH", None, None, None]


def test_a_pattern_without_a_default_leaves_the_others_missing(jsonl: Write) -> None:
    column = Column("x", (("responses_create_params", "input", 0, "content"),), "text", r"(\d+)")
    lines = [rollout([{"role": "user", "content": text}]) for text in ("a 17 b", "none")]
    assert values(jsonl, column, *lines, rollout("a string 5")) == ["17", None, None]


def test_metadata_of_any_kind_is_no_error(jsonl: Write) -> None:
    column = Column("metadata.category", (("metadata", "category"),), "text")
    kinds = (None, "text", [1], 5, {}, {"category": None}, {"category": "x"})
    assert values(jsonl, column, *[rollout(metadata=kind) for kind in kinds]) == [None] * 6 + ["x"]


def test_a_line_key_that_a_built_in_hides_is_reached_by_its_long_name(jsonl: Write) -> None:
    columns = [Column(f'field["{name}"]', ((name,),), "text") for name in ("place", "turns", "run")]
    rows = read(jsonl(rollout(place="p", turns="t", run="r")), columns=columns).rows
    assert [rows[column.name].to_list() for column in columns] == [["p"], ["t"], ["r"]]
    assert (rows["turns"].to_list(), rows["place"].to_list()) == ([1], [1])


@pytest.mark.parametrize("more", [{"optional": True}, {"default": "x"}])
def test_an_optional_column_may_be_on_no_line(jsonl: Write, more: dict[str, Any]) -> None:
    column = Column("a", (("a",),), "text", **more)
    assert values(jsonl, column, rollout()) == [more.get("default")]


def test_a_null_is_there_though_it_has_no_value(jsonl: Write) -> None:
    assert values(jsonl, Column("a", (("a",),), "text"), rollout(a=None)) == [None]


def test_nothing_is_missed_in_a_file_without_rollouts(jsonl: Write) -> None:
    assert read(jsonl(b"bad"), columns=COLUMNS).rows.is_empty()


# Bad rows


def test_a_count_of_bad_rows_is_allowed_to_its_last(jsonl: Write) -> None:
    path = jsonl(b"bad", b"", b"bad", rollout(), b"bad")
    assert read(path, max_bad_rows=3).bad.height == 4
    with pytest.raises(DataError, match=r"a\.jsonl:5: bad_json: .* bad row 3; max_bad_rows=2 "):
        read(path, max_bad_rows=2)
    with pytest.raises(DataError, match=r"a\.jsonl:1: bad_json: .* bad row 1; max_bad_rows=0 "):
        read(path, max_bad_rows=0)


def test_a_count_stops_in_the_order_of_the_files(
    jsonl: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "SLICE_BYTES", 100)
    first = jsonl(*[rollout()] * 9, b"bad", name="first.jsonl")
    second = jsonl(*[b"[]"] * 5, name="second.jsonl")
    with pytest.raises(DataError, match=r"second\.jsonl:2: not_object: .* That is bad row 3"):
        read(first, second, max_bad_rows=2)


@pytest.mark.parametrize(
    ("share", "bad", "lines", "good"),
    [
        ("0%", 0, 100, True), ("0%", 1, 100, False), ("1%", 1, 100, True), ("1%", 2, 100, False),
        ("29%", 29, 100, True), ("29%", 30, 100, False), ("57%", 57, 100, True),
        ("0.5%", 1, 200, True), ("100%", 5, 5, True), ("50%", 1, 1, False),
        (None, 10, 20, True), (None, 11, 20, False), (None, 11, 11_000, True),
        (None, 12, 11_000, False),
    ],
)  # fmt: skip
def test_a_share_of_bad_rows_is_judged_at_the_end(
    jsonl: Write, share: str | None, bad: int, lines: int, good: bool
) -> None:
    path = jsonl(*[b"bad"] * bad, *[rollout()] * (lines - bad))
    if good:
        assert read(path, max_bad_rows=share).bad.height == bad
    else:
        with pytest.raises(DataError, match=rf"jsonl:1: bad_json: .* {bad} of {lines} lines are"):
            read(path, max_bad_rows=share)


def test_blank_lines_are_read_and_rejected_but_are_no_bad_rows(jsonl: Write) -> None:
    found = read(jsonl(*[b""] * 50, rollout()), max_bad_rows=0)
    assert (found.bad.height, found.rows.height, found.read[0].lines) == (50, 1, 51)


# Real rollouts


def test_every_real_file_is_read_the_same_in_slices(
    real: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted(real.glob("*.jsonl"))
    whole = read(*paths, metric_rows=True)
    monkeypatch.setattr(digests, "BLOCK_BYTES", 2**14)
    monkeypatch.setattr(files, "READ_BYTES", 5000)
    monkeypatch.setattr(table, "SLICE_BYTES", 2**15)
    sliced = read(*paths, metric_rows=True)
    assert_frame_equal(whole.rows, sliced.rows, categorical_as_str=True)
    assert (whole.metrics, whole.fields) == (sliced.metrics, sliced.fields)


def test_rollouts_masked_in_their_instance_config_are_found(real: Path) -> None:
    rows = read(real / "conversational_tool_use_simulation__example_rollouts.jsonl").rows
    assert rows["masked"].to_list() == [False, True, True, False, False]


def test_all_metrics_agree_with_those_that_nemo_gym_wrote(real: Path) -> None:
    checked = 0
    for side in sorted((real / "sidecars").glob("*_aggregate_metrics.json")):
        rollouts = real / side.name.replace("_aggregate_metrics.json", ".jsonl")
        if not rollouts.exists():
            continue
        found = read(rollouts).metrics
        (agent,) = json.loads(side.read_text())
        for name, value in agent["agent_metrics"].items():
            figure, _, field = name.partition("/")
            if figure in ("mean", "min", "max") and field in found:
                assert found[field][figure] == pytest.approx(value, abs=1e-9), (side.name, name)
                checked += 1
    assert checked > 10
