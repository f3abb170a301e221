"""Spool: the chosen lines of compressed files, as plain ones."""

import gzip
import random
from pathlib import Path

import polars as pl
import pytest

from gymrecipe.errors import ChangedError, DataError
from gymrecipe.experiments.spool import SPOOLED, plain
from gymrecipe.rollouts.files import open_source


def table(places: list[tuple[int, int, int]], side: str = "") -> pl.DataFrame:
    return pl.DataFrame(
        places,
        schema={
            f"{side}source": pl.UInt32,
            f"{side}offset": pl.UInt64,
            f"{side}bytes": pl.UInt32,
        },
        orient="row",
    )


def line_places(lines: list[bytes], source: int) -> list[tuple[int, int, int]]:
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    return [(source, start, len(line)) for start, line in zip(starts, lines, strict=False)]


@pytest.mark.parametrize("seed", range(4))
def test_every_chosen_line_is_read_back_from_plain_and_compressed_files(
    seed: int, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    contents = [
        [chance.randbytes(chance.choice([0, 1, 50, 300_000])).hex().encode() for _ in range(12)]
        for _ in range(3)
    ]
    sources, places = [], []
    for number, lines in enumerate(contents):
        data = b"".join(line + b"\n" for line in lines)
        path = tmp_path / f"{number}.jsonl"
        path.write_bytes(gzip.compress(data) if number != 1 else data)
        sources.append(open_source(str(path), 0))
        places += line_places(lines, number)
    chance.shuffle(places)
    half = len(places) // 2
    chosen = table(places[:half], "chosen_")
    # A line may stand on both sides, and in several pairs.
    rejected = table([*places[half : 2 * half - 2], *places[:2]], "rejected_")
    rows = chosen.hstack(rejected).with_columns(number=pl.int_range(pl.len()))
    before = {path.name for path in tmp_path.iterdir()}
    with plain(sources, rows, ("chosen_", "rejected_"), tmp_path) as (paths, moved):
        assert moved.select(rows.columns).equals(rows)
        for was, now in zip(rows.to_dicts(), moved.to_dicts(), strict=True):
            for side in ("chosen_", "rejected_"):
                line = contents[was[f"{side}source"]][
                    next(
                        at
                        for at, place in enumerate(
                            line_places(contents[was[f"{side}source"]], was[f"{side}source"])
                        )
                        if place[1] == was[f"{side}offset"]
                    )
                ]
                data = Path(paths[now[f"{side}source"]]).read_bytes()
                start = now[f"{side}{SPOOLED}"]
                assert data[start : start + now[f"{side}bytes"]] == line
    assert {path.name for path in tmp_path.iterdir()} == before


def test_plain_files_are_read_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"x\ny\n")
    source = open_source(str(tmp_path / "a.jsonl"), 0)
    rows = table([(0, 2, 1)])
    with plain([source], rows, ("",), tmp_path) as (paths, moved):
        assert paths == (str(tmp_path / "a.jsonl"),)
        assert moved.equals(rows)
        assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize("fault", ["shorter", "cut", "raised"])
def test_the_spool_is_gone_whatever_happens(fault: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"x" * 100)[: -6 if fault == "cut" else None])
    source = open_source(str(path), 0)
    if fault == "shorter":
        path.write_bytes(gzip.compress(b"x" * 10))
    expected = {"shorter": ChangedError, "cut": DataError, "raised": KeyError}[fault]
    with (
        pytest.raises(expected),
        plain([source], table([(0, 50, 40)]), ("",), tmp_path),
    ):
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl.gz"]


def test_all_rows_are_looked_through_as_often_for_one_file_as_for_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = 0
    own = pl.DataFrame.join

    def counting(frame: pl.DataFrame, *args: object, **named: object) -> pl.DataFrame:
        nonlocal times
        times += 1
        return own(frame, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(pl.DataFrame, "join", counting)
    sources, places = [], []
    for number in range(20):
        path = tmp_path / f"{number}.jsonl.gz"
        path.write_bytes(gzip.compress(b"a\nbb\n"))
        sources.append(open_source(str(path), 0))
        places += line_places([b"a", b"bb"], number)
    with plain(sources, table(places), ("",), tmp_path) as (paths, moved):
        read = [Path(paths[row["source"]]).read_bytes() for row in moved.to_dicts()]
    assert read == [b"abb"] * 40
    assert moved[SPOOLED].to_list() == [0, 1] * 20
    assert times == 1
