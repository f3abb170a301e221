"""Shards: rows dealt into files in order, whatever the slices they come in."""

import hashlib
from array import array
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gymrecipe.experiments.manifest import Output
from gymrecipe.experiments.shards import Shards
from gymrecipe.formats.encode import Encoded
from gymrecipe.stages.write import Write

ROWS = st.lists(st.lists(st.one_of(st.none(), st.integers(0, 999)), max_size=6), max_size=6)


def encoded(rows: list[int | None]) -> Encoded:
    """A slice; None is a row that could not be written."""
    lines = [b"" if row is None else b'{"n":%d}\n' % row for row in rows]
    return Encoded(b"".join(lines), array("Q", map(len, lines)), {})


def deal(
    folder: Path, slices: list[list[int | None]], **params: object
) -> tuple[list[Output], list[pl.DataFrame]]:
    shards = Shards(folder, "data", "train", Write.model_validate(params))
    used = [
        shards.add(encoded(rows)).with_columns(
            row=pl.Series([row for row in rows if row is not None], dtype=pl.UInt32),
            side=pl.lit(""),
        )
        for rows in slices
    ]
    return shards.close(used), used


@given(slices=ROWS, most=st.one_of(st.none(), st.integers(1, 5)))
@settings(max_examples=80, deadline=None)
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
    for use in pl.concat(used).to_dicts() if used else []:
        lines = (folder / Path(use["output"]).name).read_bytes().splitlines()
        assert lines[use["at"]] == b'{"n":%d}' % use["row"]


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
