"""What the JSON loader of `datasets` does to rows, told without it, and held against it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gymrecipe.checking import inferred
from gymrecipe.checking.inferred import Loader, Loss

Records = list[dict[str, Any]]
ASK = {"role": "user", "content": "?"}
SAY = {"role": "assistant", "content": "!"}
LONG = "<as long as a batch>"


def calls(arguments: Any) -> dict[str, Any]:
    function = {"name": "f", "arguments": arguments}
    return {**SAY, "tool_calls": [{"id": "c", "type": "function", "function": function}]}


def late(first: dict[str, Any], then: dict[str, Any]) -> Records:
    """A batch of rows, and one more."""
    return [{"pad": LONG, **first}, {"pad": "x", **then}]


def of_batches(records: Records, size: int) -> Records:
    """The rows with batches of so many bytes."""
    return [{**row, "pad": "x" * size} if row.get("pad") == LONG else row for row in records]


SAME: dict[str, Records] = {
    "a row with a call leads": [
        {"m": [ASK, calls({"a": 1})]},
        *late({"m": [ASK, SAY]}, {"m": [ASK, calls({"b": {"c": [1]}})]}),
    ],
    "a column is missing": late({"r": "x"}, {}),
    "a whole number among others": [{"r": 0.5}, {"r": 2.5}, {"r": 3.5}],
    "not all are dates": [{"d": "2024-01-01"}, {"d": "x"}],
    "dates in objects with other keys": [{"d": {"a": "2024-01-01"}}, {"d": {"b": "x"}}],
    "many decimals without other keys": [{"d": 0.1234567890123}],
    "a text and an object": [{"d": "hello"}, {"d": {"a": 1}}],
    "true and a number": [{"d": True}, {"d": 7}],
    "no keys": [{"d": {}}, {"d": {}}],
    "calls with the same argument": [{"m": [calls({"a": 1})]}, {"m": [calls({"a": 2})]}],
    "calls with others": [{"m": [calls({"a": 1})]}, {"m": [calls({"b": 2})]}],
    "a key that is null": [{"m": [{"role": "a", "x": None}, {"role": "b", "x": 1}]}],
}
LOST: dict[str, tuple[Records, int, str]] = {
    "a late call": (
        late({"m": [ASK, SAY]}, {"m": [ASK, calls({})]}),
        2,
        "m[].tool_calls: appears after the first 10 MB for the first time",
    ),
    "a late fraction": (late({"r": 1}, {"r": 0.5}), 2, "r: a whole number in the first 10 MB and"),
    "a late fraction in a list": (late({"r": [1]}, {"r": [0.5]}), 2, "r[]: a whole number in"),
    "a late text": (late({"r": None}, {"r": "x"}), 2, "r: null or empty in the first 10 MB"),
    "a late item": (late({"r": []}, {"r": ["x"]}), 2, "r[]: null or empty in the first 10 MB"),
    "a late column": (late({}, {"r": 1}), 2, "r: appears after the first 10 MB"),
    "another type": (late({"r": 5}, {"r": "x"}), 2, "r: a whole number in the first 10 MB and a"),
    "a number for a truth": (late({"r": True}, {"r": 1}), 2, "r: true or false in the first"),
    "a key too few": (late({"r": {"a": 1, "b": 2}}, {"r": {"a": 1}}), 2, "r.b: on all rows of"),
    "a key too many": (late({"r": {"a": 1}}, {"r": {"a": 1, "b": 2}}), 2, "r.b: appears after"),
    "dates": ([{"d": "2024-01-01"}, {"d": None}], 1, "d: texts that are all dates within 10 MB"),
    "dates below": ([{"d": {"at": ["2024-01-01T10:00:00Z"]}}], 1, "d.at[]: texts that are all"),
    "late dates": (
        [*late({"d": "x"}, {"d": "2024-01-01"})],
        2,
        "d: texts that are all dates within 10 MB",
    ),
    "a large number": ([{"d": {"a": 2**70}}, {"d": {"b": 1}}], 1, "d.a: beyond 64 bits"),
    "a text that reads as a number": ([{"d": "5"}, {"d": 7}], 1, "d: text on some rows"),
    "arguments of two types": (
        [{"m": [calls({"a": 1})]}, {"m": [calls({"a": "2"})]}],
        2,
        "m[].tool_calls[].function.arguments.a: text on some rows",
    ),
}


def lost(records: Records) -> list[Loss]:
    loader = Loader()
    found: list[Loss] = []
    for line, record in enumerate(records, 1):
        found += loader.add(line, json.dumps(record).encode(), record)
    return [*found, *loader.end()]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """The bytes of a batch, here."""
    monkeypatch.setattr(inferred, "BATCH_BYTES", 10_000)
    return 10_000


@pytest.mark.parametrize("case", SAME)
def test_rows_that_are_loaded_as_they_stand_lose_nothing(case: str, small: int) -> None:
    assert lost(of_batches(SAME[case], small)) == []


@pytest.mark.parametrize("case", LOST)
def test_a_row_that_fails_or_is_changed_is_told_with_its_line(case: str, small: int) -> None:
    records, line, said = LOST[case]
    found = lost(of_batches(records, small))
    assert (found[0].line, found[0].text[: len(said)], found[0].is_mild) == (line, said, False)


@pytest.mark.parametrize(("size", "is_late"), [(10 * 2**20, True), (9 * 2**20, False)])
def test_a_batch_is_of_10_megabytes(size: int, is_late: bool) -> None:
    assert bool(lost(of_batches(LOST["a late column"][0], size))) == is_late


def test_many_decimals_are_rounded_only_where_keys_differ() -> None:
    (found,) = lost([{"d": {"a": 0.1234567890123}}, {"d": {"b": 1}}])
    assert found.is_mild
    assert found.text.startswith("d.a: the loader keeps 10 decimals")


@pytest.mark.parametrize(
    ("text", "is_date"),
    [
        ("2024-01-01", True), ("2024-01-01 10:00", True), ("2024-01-01T10:00:00+02:00", True),
        ("2024-01-01T10", True), ("1500-01-01", True), ("2024-01-01T10:00:00.5", False),
        ("2024", False), ("2024-13-01", False), ("2024-02-30", False), ("20240101", False),
        ("2024-01-01x", False), ("", False),
    ],
)  # fmt: skip
def test_dates_are_those_of_arrow(text: str, is_date: bool) -> None:
    assert bool(lost([{"d": text}])) == is_date


def test_a_row_is_not_kept_beyond_the_first_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inferred, "BATCH_BYTES", 100)
    loader = Loader()
    for line in range(1_000):
        assert not list(loader.add(line, b"x" * 30, {"a": "x"}))
        assert len(loader.rows) <= 4


@pytest.mark.parametrize("case", [*SAME, *LOST])
def test_the_loader_itself_agrees(case: str, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="needs the extra `trainers`")
    records = of_batches(SAME.get(case) or LOST[case][0], 10 * 2**20)
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    datasets.disable_progress_bars()
    try:
        loaded = datasets.load_dataset(
            "json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
        )
    except datasets.exceptions.DatasetGenerationError:
        assert case in LOST
        return
    columns = dict.fromkeys(loaded.column_names)
    same = all(
        json.dumps(row, default=str) == json.dumps({**columns, **record})
        for row, record in zip(loaded, records, strict=True)
    )
    assert same == (case in SAME)
