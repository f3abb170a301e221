"""Shards: rows dealt into files in order, whatever the slices they come in."""

import hashlib
import json
from array import array
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from gymrecipe.experiments.manifest import Output
from gymrecipe.experiments.shards import Shards
from gymrecipe.formats.job import Encoded
from gymrecipe.formats.parquet import widest
from gymrecipe.formats.shapes import Shapes, mixed
from gymrecipe.registry import File
from tests.full import often

ROWS = st.lists(st.lists(st.one_of(st.none(), st.integers(0, 999)), max_size=6), max_size=6)


def encoded(part: Path, rows: list[int | None]) -> Encoded:
    """A slice; None is a row that could not be written. Rows of one last digit have one shape."""
    lines = [b"" if row is None else b'{"n":%d}\n' % row for row in rows]
    part.write_bytes(b"".join(lines))
    usable = [row for row in rows if row is not None]
    shapes = sorted({row % 10 for row in usable if row > 99})
    known = [frozenset({"n:int"}), *(frozenset({"n:int", f"{n}:int"}) for n in shapes)]
    shape = array("I", [shapes.index(n % 10) + 1 if n > 99 else 0 for n in usable])
    return Encoded(str(part), array("Q", map(len, lines)), {}, known, shape, None)


def deal(
    folder: Path,
    slices: list[list[int | None]],
    shard_rows: int | None = None,
    file: File = "jsonl",
    strict: bool = True,
) -> tuple[list[Output], pl.DataFrame]:
    shards = Shards(folder, "data", "train", file, shard_rows, strict)
    for number, rows in enumerate(slices):
        shards.add(encoded(folder / f".part-{number}", rows))
        assert not (folder / f".part-{number}").exists()
    outputs, places = shards.close(widest(shards.kinds()))
    written = [row for rows in slices for row in rows if row is not None]
    return outputs, places.with_columns(row=pl.Series(written, dtype=pl.UInt32))


@given(slices=ROWS, most=st.one_of(st.none(), st.integers(1, 5)))
@settings(max_examples=often(32, 400))
def test_the_files_hold_every_usable_row_in_order_and_no_more_than_allowed(
    slices: list[list[int | None]], most: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    outputs, used = deal(folder, slices, shard_rows=most)
    rows = [row for piece in slices for row in piece if row is not None]
    names = [Path(output.path).name for output in outputs]
    written = [line for name in names for line in (folder / name).read_bytes().splitlines()]
    assert written == [b'{"n":%d}' % row for row in rows]
    assert sorted(path.name for path in folder.iterdir()) == names
    full = most or max(len(rows), 1)
    assert [output.rows for output in outputs] == [
        min(full, len(rows) - start) for start in range(0, len(rows), full)
    ]
    for output in outputs:
        data = (folder / Path(output.path).name).read_bytes()
        assert (output.bytes, output.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    # Each row is where `used` says.
    for use in used.to_dicts():
        lines = (folder / Path(use["output"]).name).read_bytes().splitlines()
        assert lines[use["at"]] == b'{"n":%d}' % use["row"]


@given(slices=ROWS, most=st.one_of(st.none(), st.integers(1, 5)))
@settings(max_examples=often(32, 400))
def test_how_rows_are_sliced_changes_no_byte(
    slices: list[list[int | None]], most: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = []
    for cut in (slices, [[row for rows in slices for row in rows]]):
        folder = tmp_path_factory.mktemp("shards")
        outputs, used = deal(folder, cut, shard_rows=most, strict=False)
        made.append((outputs, used.to_dicts()))
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("rows", "most", "names"),
    [
        (4, None, ["train.jsonl"]),
        (4, 4, ["train.jsonl"]),
        (5, 4, ["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"]),
        (0, 4, []),
    ],
)
def test_a_single_file_has_a_plain_name_and_several_are_numbered(
    rows: int, most: int | None, names: list[str], tmp_path: Path
) -> None:
    outputs, _ = deal(tmp_path, [list(range(rows))], shard_rows=most)
    assert [output.path for output in outputs] == [f"data/{name}" for name in names]


def test_parquet_shards_share_their_types_and_have_their_own_hash(tmp_path: Path) -> None:
    outputs, _ = deal(tmp_path, [[1, 2, 3]], shard_rows=2, file="parquet")
    tables = [pl.read_parquet(tmp_path / Path(output.path).name) for output in outputs]
    assert [table["n"].to_list() for table in tables] == [[1, 2], [3]]
    assert tables[0].schema == tables[1].schema
    for output in outputs:
        data = (tmp_path / Path(output.path).name).read_bytes()
        assert (output.bytes, output.sha256) == (len(data), hashlib.sha256(data).hexdigest())


@given(slices=ROWS, most=st.one_of(st.none(), st.integers(1, 5)))
@settings(max_examples=often(32, 400))
def test_the_rows_that_show_every_shape_lead_each_file_and_the_rest_keep_their_order(
    slices: list[list[int | None]], most: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    # Each row is told apart by its place; its last digit is its shape.
    slices = [[None if n is None else 1000 * (i * 10 + j) + n for j, n in enumerate(rows)]
              for i, rows in enumerate(slices)]  # fmt: skip
    outputs, used = deal(folder, slices, shard_rows=most, strict=False)
    plain = [row for piece in slices for row in piece if row is not None]
    full = most or max(len(plain), 1)
    files = [
        [
            json.loads(line)["n"]
            for line in (folder / Path(output.path).name).read_bytes().splitlines()
        ]
        for output in outputs
    ]
    assert sorted(row for rows in files for row in rows) == plain
    assert {path.name for path in folder.iterdir()} == {Path(o.path).name for o in outputs}
    for output in outputs:
        data = (folder / Path(output.path).name).read_bytes()
        assert (output.bytes, output.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert [len(rows) for rows in files] == [
        min(full, len(plain) - start) for start in range(0, len(plain), full)
    ]
    for number, rows in enumerate(files):
        shown = {row % 10 for row in (rows if number else plain) if row > 99}
        leading = min(len(shown), full)
        assert {row % 10 for row in rows[:leading] if row > 99} <= shown
        assert len({row % 10 for row in rows[:leading] if row > 99}) == leading
        assert rows[leading:] == sorted(rows[leading:])
    for use in used.to_dicts():
        lines = (folder / Path(use["output"]).name).read_bytes().splitlines()
        assert lines[use["at"]] == b'{"n":%d}' % use["row"]


@pytest.mark.parametrize("most", [None, 7, 40])
def test_rows_that_lead_take_no_memory_where_they_are_large(
    most: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[list[int | None]] = [[*range(50), *range(900, 999)], [*range(100, 120), *range(9)]]
    made = []
    for name in ("moved", "anew"):
        (tmp_path / name).mkdir()
        outputs, used = deal(tmp_path / name, rows, shard_rows=most, strict=False)
        made.append((outputs, used.to_dicts()))
        monkeypatch.setattr("gymrecipe.experiments.shards.LEAD_BYTES", 0)
        monkeypatch.setattr("gymrecipe.experiments.appended.Appended.lead", None)
    assert made[0] == made[1]


@given(
    rows=st.lists(st.sampled_from(["3", "-12", "0.5", "null", "1e3"]), min_size=1, max_size=40),
    most=st.one_of(st.none(), st.integers(1, 5)),
    cut=st.integers(0, 40),
    strict=st.booleans(),
)
@settings(max_examples=often(32, 400))
def test_whole_numbers_become_floats_in_their_places(
    rows: list[str], most: int | None, cut: int, strict: bool, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    shards = Shards(folder, "data", "train", "jsonl", most, strict)
    for number, slice in enumerate((rows[:cut], rows[cut:])):
        part, shapes = folder / f".part-{number}", Shapes()
        lines = [b'{"a":"%s","n":%s}\n' % (b"x" * 2**17, row.encode()) for row in slice]
        for row in slice:
            shapes.add({"a": "x", "n": Raw(row.encode())})
        part.write_bytes(b"".join(lines))
        lengths = array("Q", map(len, lines))
        shards.add(Encoded(str(part), lengths, {}, shapes.known, shapes.of_rows, None))
    floats, wide = mixed(shards.shown.elements, ["n"])
    shards.as_floats(floats)
    outputs, places = shards.close({})
    assert not wide
    assert not any(path.name.startswith(".") for path in folder.iterdir())
    files = {output.path: (folder / Path(output.path).name).read_bytes() for output in outputs}
    for output in outputs:
        data = files[output.path]
        assert (output.bytes, output.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    is_mixed = {"3", "-12"} & {*rows} and {"0.5", "1e3"} & {*rows}
    for row, place in zip(rows, places.to_dicts(), strict=True):
        line = files[place["output"]].splitlines()[place["at"]]
        whole = b".0" if is_mixed and row in ("3", "-12") else b""
        assert line.endswith(b'"n":%s%s}' % (row.encode(), whole))
