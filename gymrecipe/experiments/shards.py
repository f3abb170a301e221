"""Shards: the files of one split, put together in order from the parts that workers wrote."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path

import polars as pl

from gymrecipe.experiments.manifest import Output
from gymrecipe.experiments.store import writing
from gymrecipe.formats.job import Encoded
from gymrecipe.formats.parquet import kinds_of, to_parquet, widest
from gymrecipe.formats.shapes import leaders
from gymrecipe.registry import File

COPY_BYTES = 2**20

STAND: dict[str, pl.DataType | type[pl.DataType]] = {
    "came": pl.UInt32,
    "output": pl.Categorical(),
    "at": pl.UInt32,
}

Span = tuple[int, int]
"""Rows of the split, or bytes of its parts one after another: from, and to before."""


class Shards:
    """The files of one split, of at most `most` rows each.

    In a jsonl file the rows that together show every key and type lead, unless `strict`: those of
    the whole split in the first file, which is where a loader of all of them looks, and those of
    its own in each other.
    """

    def __init__(
        self, target: Path, inside: str, split: str, file: File, most: int | None, strict: bool
    ) -> None:
        self.target, self.inside, self.split = target, inside, split
        self.file, self.most = file, most
        self.leads = file == "jsonl" and not strict
        self.parts: list[tuple[Path, int]] = []
        self.lengths = array("Q")
        self.shape = array("I")
        self.shapes: dict[frozenset[str], int] = {}
        self.ends = pl.Series([], dtype=pl.UInt64)

    def add(self, result: Encoded) -> pl.DataFrame:
        """Append a slice; for each usable row its split, and its place there as it came."""
        before = len(self.lengths)
        self.lengths.extend(length for length in result.lengths if length)
        known = [self.shapes.setdefault(shape, len(self.shapes)) for shape in result.shapes]
        self.shape.extend(known[place] for place in result.shape)
        self.parts.append((Path(result.target), sum(result.lengths)))
        places = pl.int_range(before, len(self.lengths), dtype=pl.UInt32, eager=True)
        split = pl.lit(self.split, pl.Categorical())
        return pl.DataFrame({"at": places}).with_columns(split=split)

    def close(self, used: list[pl.DataFrame]) -> list[Output]:
        """Write the files, and put their names and the rows' places there into `used`."""
        self.ends = pl.Series(self.lengths, dtype=pl.UInt64).cum_sum()
        shards = self._shards()
        outputs = []
        with writing(self.target):
            paths = [self.target / self._name(n, len(shards)) for n in range(len(shards))]
            digests = [self._join(*each) for each in zip(shards, paths, strict=True)]
            for part, _ in self.parts:
                part.unlink(missing_ok=True)
            if self.file == "parquet":
                digests = self._as_parquet(paths)
            for path, digest, spans in zip(paths, digests, shards, strict=True):
                rows = sum(stop - start for start, stop in spans)
                name = f"{self.inside}/{path.name}"
                outputs.append(Output(name, rows, path.stat().st_size, digest))
        self._tell(shards, outputs, used)
        return outputs

    def _shards(self) -> list[list[Span]]:
        """The rows of each file, in the order in which they stand there."""
        if not self.lengths:
            return []
        rows = [(0, len(self.lengths))]
        if self.leads:
            rows = self._led(rows)
        shards = list(_cut(rows, self.most or len(self.lengths)))
        if self.leads:
            shards = [*shards[:1], *map(self._led, shards[1:])]
        return shards

    def _led(self, rows: list[Span]) -> list[Span]:
        """The rows with those that show every key and type first."""
        order = [row for span in rows for row in range(*span)] if len(rows) > 1 else range(*rows[0])
        found = leaders(list(self.shapes), array("I", (self.shape[row] for row in order)))
        if found == list(range(len(found))):
            return rows
        first = [order[place] for place in found]
        return [*((row, row + 1) for row in first), *_without(rows, sorted(first))]

    def _join(self, rows: list[Span], path: Path) -> str:
        """Copy the rows' bytes from the parts into one file; its SHA-256."""
        digest, ends = hashlib.sha256(), self.ends
        with path.open("wb") as target:
            for start, stop in rows:
                first = int(ends[start - 1]) if start else 0
                for part, low, high in _within(self.parts, first, int(ends[stop - 1])):
                    with part.open("rb") as source:
                        source.seek(low)
                        while low < high and (data := source.read(min(COPY_BYTES, high - low))):
                            digest.update(data)
                            target.write(data)
                            low += len(data)
        return digest.hexdigest()

    def _as_parquet(self, paths: list[Path]) -> list[str]:
        kinds = widest([kinds_of(path) for path in paths])
        digests = []
        for path in paths:
            lines = path.rename(path.with_name(f".{path.name}"))
            to_parquet(lines, path, kinds)
            lines.unlink()
            with path.open("rb") as written:
                digests.append(hashlib.file_digest(written, "sha256").hexdigest())
        return digests

    def _tell(
        self, shards: list[list[Span]], outputs: list[Output], used: list[pl.DataFrame]
    ) -> None:
        """Where each row that came stands: in which file, and at which place there."""
        placed = [
            (start, output.path, at)
            for spans, output in zip(shards, outputs, strict=True)
            for (start, _), at in zip(spans, _ends(spans), strict=False)
        ]
        stand = pl.DataFrame(sorted(placed), schema=STAND, orient="row")
        for place, frame in enumerate(used):
            if "split" in frame.columns and (frame["split"] == self.split).all():
                there = stand[stand["came"].search_sorted(frame["at"], side="right") - 1]
                used[place] = frame.select(
                    "row", "side", output=there["output"],
                    at=frame["at"] - there["came"] + there["at"],
                )  # fmt: skip

    def _name(self, number: int, count: int) -> str:
        if count == 1:
            return f"{self.split}.{self.file}"
        return f"{self.split}-{number:05d}-of-{count:05d}.{self.file}"


def _ends(spans: list[Span]) -> Iterator[int]:
    """How many rows there are before each span, and at the end."""
    return accumulate((stop - start for start, stop in spans), initial=0)


def _cut(rows: list[Span], most: int) -> Iterator[list[Span]]:
    """The rows in lists of at most so many."""
    here: list[Span] = []
    free = most
    for start, stop in rows:
        while start < stop:
            end = min(stop, start + free)
            here.append((start, end))
            free -= end - start
            start = end
            if not free:
                yield here
                here, free = [], most
    if here:
        yield here


def _without(rows: list[Span], taken: list[int]) -> Iterator[Span]:
    """The rows but for those taken, which are in ascending order."""
    for start, stop in rows:
        edges = [start - 1, *(row for row in taken if start <= row < stop), stop]
        yield from ((low + 1, high) for low, high in pairwise(edges) if low + 1 < high)


def _within(
    parts: list[tuple[Path, int]], start: int, stop: int
) -> Iterator[tuple[Path, int, int]]:
    """The bytes of each part that lie from `start` to `stop` of all parts one after another."""
    before = 0
    for part, size in parts:
        low, high = max(start - before, 0), min(stop - before, size)
        if low < high:
            yield part, low, high
        before += size
