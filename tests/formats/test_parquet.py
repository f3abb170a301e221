"""Which types our JSON lines have in parquet, and that no value changes on the way."""

from __future__ import annotations

import json
import os
import signal
import time
from array import array
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet
import pytest
from msgspec import Raw

from gymrecipe.formats.parquet import (
    DEEPEST,
    GROUP_BYTES,
    GROUP_ROWS,
    Kind,
    group_size,
    kinds_of,
    to_parquet,
    types,
    widest,
)

CALL = {"id": "a", "function": {"name": "f", "arguments": {"x": 1e22}}, "type": "function"}
TURNS = [
    {"role": "user", "content": "?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
]


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def table(tmp_path: Path, *rows: Any, **options: Any) -> pl.DataFrame:
    to_parquet(lines(tmp_path / "a.jsonl", *rows), tmp_path / "a.parquet", **options)
    return pl.read_parquet(tmp_path / "a.parquet")


def column(tmp_path: Path, *values: Any) -> pl.Series:
    return table(tmp_path, *({"x": value} for value in values))["x"]


def test_messages_have_one_type_in_all_rows(tmp_path: Path) -> None:
    assert column(tmp_path, TURNS, TURNS[:1], []).dtype == types()["messages"]


def test_messages_that_are_role_and_content_only_have_no_nulls(tmp_path: Path) -> None:
    found = column(tmp_path, TURNS[:1], [])
    assert found.dtype == types()["chat"]
    assert found.to_list() == [TURNS[:1], []]


def test_an_object_with_the_same_keys_on_every_row_is_a_struct(tmp_path: Path) -> None:
    rows = [{"index": 1, "names": [], "more": None}, {"index": 2, "names": ["f"], "more": "é"}]
    found = column(tmp_path, *rows, None)
    assert found.dtype == pl.Struct(
        {"index": pl.Int64, "names": pl.List(pl.String), "more": pl.String}
    )
    assert found.to_list() == [*rows, None]


def test_a_struct_in_a_struct_keeps_its_values(tmp_path: Path) -> None:
    rows = [{"a": {"b": 2**53 + 1}}, {"a": {"b": 1}}]
    assert column(tmp_path, *rows).to_list() == rows


@pytest.mark.parametrize("depth", [100, 101, 400])
def test_an_object_of_any_depth_keeps_its_value(tmp_path: Path, depth: int) -> None:
    found = column(tmp_path, nested := json.loads('{"a":' * depth + "1" + "}" * depth))[0]
    for _ in range(min(depth, DEEPEST)):
        found, nested = found["a"], nested["a"]
    assert (json.loads(found) if depth > DEEPEST else found) == nested


def test_objects_with_other_keys_are_json_text_and_gain_no_null(tmp_path: Path) -> None:
    found = column(tmp_path, {"a": 1}, {"b": 2.5})
    assert [json.loads(text) for text in found] == [{"a": 1}, {"b": 2.5}]


def test_arguments_are_json_text_in_both_forms(tmp_path: Path) -> None:
    text = json.loads(json.dumps(TURNS))
    text[1]["tool_calls"][0]["function"]["arguments"] = '{"x": 1e+22}'
    for turns in (TURNS, text):
        ((_, turn),) = table(tmp_path, {"messages": turns})["messages"].to_list()
        assert turn["tool_calls"][0]["function"]["arguments"] == '{"x": 1e+22}'
        assert turn["reasoning_content"] is None


def test_rows_keep_their_order(tmp_path: Path) -> None:
    assert column(tmp_path, 3, 1, 2).to_list() == [3, 1, 2]


@pytest.mark.parametrize(
    ("values", "type", "expected"),
    [
        ([1, None], pl.Int64, [1, None]),
        ([1, 0.5], pl.Float64, [1.0, 0.5]),
        ([0.3946063684687171, 1e22], pl.Float64, [0.3946063684687171, 1e22]),
        ([2**53 + 1, 1], pl.Int64, [2**53 + 1, 1]),
        ([2**53 + 1, 0.5], pl.String, [str(2**53 + 1), "0.5"]),
        ([10**30], pl.String, [str(10**30)]),
        ([True, None], pl.Boolean, [True, None]),
        ([True, 1], pl.String, ["true", "1"]),
        (["2024-01-01", "é"], pl.String, ["2024-01-01", "é"]),
        (["a", 1], pl.String, ['"a"', "1"]),
        ([None, None], pl.String, [None, None]),
        ([{"a": {}}, {}, None], pl.String, ['{"a": {}}', "{}", None]),
        ([[], [1]], pl.String, ["[]", "[1]"]),
        ([[], TURNS], types()["messages"], None),
        ([["a"], [], None], pl.List(pl.String), [["a"], [], None]),
        ([[], None], pl.List(pl.String), [[], None]),
        ([["a"], [1]], pl.String, ['["a"]', "[1]"]),
    ],
)
def test_a_column_has_the_type_that_changes_no_value(
    tmp_path: Path, values: list[Any], type: Any, expected: list[Any] | None
) -> None:
    found = column(tmp_path, *values)
    assert found.dtype == type
    assert expected is None or found.to_list() == expected


def test_tools_are_json_text(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    found = column(tmp_path, tools, None)
    assert [json.loads(found[0]), found[1]] == [tools, None]


def test_shards_have_the_types_of_all_of_them(tmp_path: Path) -> None:
    first = kinds_of(lines(tmp_path / "1.jsonl", {"x": 1, "y": None}))
    second = kinds_of(lines(tmp_path / "2.jsonl", {"x": 0.5, "y": True}))
    kinds: dict[str, Kind] = widest([first, second])
    assert kinds == {"x": "number", "y": "boolean"}
    assert table(tmp_path, {"x": 1, "y": None}, kinds=kinds).schema == {
        "x": pl.Float64,
        "y": pl.Boolean,
    }


def test_a_shard_has_the_columns_of_all_of_them_in_their_order(tmp_path: Path) -> None:
    shards = [({"x": 1}, {"x": 2}), ({"y": "a", "x": 3},), ({"z": [], "y": None},)]
    kinds = widest([kinds_of(lines(tmp_path / "a.jsonl", *rows)) for rows in shards])
    tables = [table(tmp_path, *rows, kinds=kinds) for rows in shards]
    assert [found.schema for found in tables] == [tables[0].schema] * 3
    assert tables[0].columns == ["x", "y", "z"]
    assert tables[0]["y"].to_list() == [None, None]


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    source = lines(tmp_path / "a.jsonl", *({"messages": TURNS, "x": i / 7} for i in range(1000)))
    to_parquet(source, tmp_path / "1")
    to_parquet(source, tmp_path / "2")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_a_row_group_holds_no_more_than_so_many_bytes() -> None:
    million = array("Q", [2**20])
    assert group_size(million * 8) == GROUP_ROWS
    assert group_size(million * 100) == 8
    assert group_size(array("Q", [100] * 1000) + million * 100) == 8
    assert group_size(array("Q", [2 * GROUP_BYTES])) == 1
    assert group_size(array("Q")) == GROUP_ROWS


@pytest.mark.parametrize("rows", [1, 7, 64, 1000])
def test_no_value_depends_on_row_groups_and_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    source = lines(tmp_path / "a.jsonl", *({"messages": TURNS, "x": i / 7} for i in range(100)))
    to_parquet(source, tmp_path / "1")
    monkeypatch.setattr("gymrecipe.formats.parquet.PART_BYTES", 1000)
    to_parquet(source, tmp_path / "2", group_rows=rows)
    assert pl.read_parquet(tmp_path / "2").equals(pl.read_parquet(tmp_path / "1"))
    groups = pyarrow.parquet.ParquetFile(tmp_path / "2").metadata.num_row_groups
    assert groups == -(-100 // rows)


def test_whoever_interrupts_does_not_wait_for_the_whole_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = lines(tmp_path / "a.jsonl", *({"x": i} for i in range(1000)))
    made = 0

    def slowly(kind: Kind, raw: Raw) -> Any:
        nonlocal made
        made += 1
        if made == 10:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        return 0

    monkeypatch.setattr("gymrecipe.formats.parquet.PART_BYTES", 1)
    monkeypatch.setattr("gymrecipe.formats.parquet._as", slowly)
    with pytest.raises(KeyboardInterrupt):
        to_parquet(source, tmp_path / "a.parquet")
    assert made < 500
