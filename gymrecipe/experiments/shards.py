"""Shards: the files of one split, put together in order from the parts that workers wrote."""

from __future__ import annotations

import os
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from gymrecipe.experiments.appended import Appended, Span
from gymrecipe.experiments.disk import sha256
from gymrecipe.experiments.lead_rows import Shown
from gymrecipe.experiments.manifest import Output
from gymrecipe.formats.job import Encoded
from gymrecipe.formats.parquet import Kind, group_size, kinds_of, to_parquet
from gymrecipe.formats.shapes import as_floats
from gymrecipe.lazy_polars import pl
from gymrecipe.registry import File

LEAD_BYTES = 2**24
"""Rows that lead a file are in memory while they are moved in it; with more of them it is written
anew.
"""


class Shards:
    """The files of one split, of at most `most` rows each.

    In a jsonl file the rows that together show every key and type lead, unless `strict`: those of
    the whole split in the first file, which is where a loader of all of them looks, and those of
    its own in each other. They are known when all rows have come; until then the rows stand in
    their files as they came, and afterwards most of them stay where they are. `is_late`:
    some of them do not lead, because the order is strict or the first file has no room for all.
    """

    def __init__(
        self, target: Path, inside: str, split: str, file: File, most: int | None, strict: bool
    ) -> None:
        self.target, self.inside, self.split = target, inside, split
        self.file, self.most = file, most or sys.maxsize
        self.leads = file == "jsonl" and not strict
        self.strict = file == "jsonl" and strict
        self.is_late = False
        self.hashing = file == "jsonl"
        self.files: list[Appended] = []
        self.lengths = array("Q")
        self.shown = Shown()
        self.longest = 0

    def add(self, result: Encoded) -> None:
        """Append the records of a slice, whose own file is gone then."""
        lengths = array("Q", filter(None, result.lengths))
        before = len(self.lengths)
        self.lengths.extend(lengths)
        self.longest = max(self.longest, max(lengths, default=0))
        if self.shown.add(result) and self.leads and self.hashing:
            # What shows something new later on will lead: to hash any further is in vain.
            self.hashing = before == 0 and len(self.shown.led([(0, len(lengths))])) == 1
        with open(result.target, "rb", buffering=0) as part:
            while lengths:
                number, filled = divmod(before, self.most)
                if number == len(self.files):
                    path = self.target / f".came-{self.split}-{number:05d}"
                    self.files.append(Appended(path))
                here = lengths[: self.most - filled]
                self.files[number].take(part, sum(here), self.hashing)
                before, lengths = before + len(here), lengths[len(here) :]
        os.unlink(result.target)

    def as_floats(self, columns: set[str]) -> None:
        """Write the whole numbers of these columns as floats."""
        floats_of = {f"{column}:int": f"{column}:float" for column in columns}
        changed = self.shown.having(floats_of.keys())
        if not changed:
            return
        for (start, _), file in zip(self._came(), self.files, strict=True):

            def floats(place: int, record: bytes, start: int = start) -> bytes:
                if self.shown.of_rows[start + place] in changed:
                    record = as_floats(record, columns)
                    self.lengths[start + place] = len(record)
                return record

            file.change(floats)
        self.longest = max(self.lengths)
        self.shown.replace(floats_of)

    def kinds(self) -> list[dict[str, Kind]]:
        """The kinds of the columns of each file, where that is what a file is made with."""
        return [kinds_of(file.path) for file in self.files] if self.file == "parquet" else []

    def close(self, kinds: dict[str, Kind]) -> tuple[list[Output], pl.DataFrame]:
        """Put the rows in order and the files in place, in parquet with columns of these `kinds`.
        Gives the files, and of each row, as they came, its file and its place there (`output`,
        `at`).
        """
        shards = self._shards()
        self._order(shards)
        paths = [self.target / self._name(n, len(shards)) for n in range(len(shards))]
        if self.file == "parquet":
            digests = self._as_parquet(paths, kinds)
        else:
            digests = [file.digest() for file in self.files]
            for file, path in zip(self.files, paths, strict=True):
                file.path.rename(path)
        outputs = []
        for path, digest, spans in zip(paths, digests, shards, strict=True):
            rows = sum(stop - start for start, stop in spans)
            outputs.append(Output(f"{self.inside}/{path.name}", rows, path.stat().st_size, digest))
        return outputs, self._places(shards, outputs)

    def _came(self) -> list[Span]:
        """The rows of each file, as they came."""
        rows = len(self.lengths)
        return [(n * self.most, min((n + 1) * self.most, rows)) for n in range(len(self.files))]

    def _shards(self) -> list[list[Span]]:
        """The rows of each file, in the order in which they have to stand there."""
        came = [(0, len(self.lengths))]
        self.is_late = self.strict and bool(self.lengths) and self.shown.led(came) != came
        if not self.leads or not self.lengths:
            return [[rows] for rows in self._came()]
        self.is_late = self.most < len(self.lengths) and self.most < len(self.shown.leaders(came))
        shards = list(_cut(self.shown.led(came), self.most))
        return [*shards[:1], *map(self.shown.led, shards[1:])]

    def _order(self, shards: list[list[Span]]) -> None:
        """Move the bytes of the rows that have to stand elsewhere."""
        came = self._came()
        if shards == [[rows] for rows in came]:
            return
        ends = pl.Series(self.lengths, dtype=pl.UInt64).cum_sum()

        def spot(row: int) -> int:
            """Where a row begins in all rows as they came."""
            return int(ends[row - 1]) if row else 0

        fronts = [_front(spans) for spans in shards]
        moved = [
            n
            for n, (rows, spans, front) in enumerate(zip(came, shards, fronts, strict=True))
            if not _within(rows, spans)
            or sum(spot(high) - spot(low) for low, high in front) > LEAD_BYTES
        ]
        left = [(self.files[n].path, spot(came[n][0]), spot(came[n][1])) for n in moved]
        stops, gone = [stop for _, _, stop in left], 0
        firsts = [min(row for row, _ in shards[n]) for n in moved]
        # The first row that is needed for the files behind each.
        needed = [*accumulate(reversed(firsts), min, initial=len(self.lengths))][-2::-1]
        for number, later in zip(moved, needed, strict=True):
            file = Appended(self.target / f".anew-{self.split}-{number:05d}")
            for low, high in (map(spot, span) for span in shards[number]):
                while low < high:
                    old, start, stop = left[bisect_right(stops, low)]
                    with old.open("rb", buffering=0) as source:
                        source.seek(low - start)
                        file.take(source, min(high, stop) - low)
                    low = stop
            self.files[number] = file
            while gone < len(left) and stops[gone] <= spot(later):
                os.unlink(left[gone][0])
                gone += 1
        for number in {*range(len(shards))}.difference(moved):
            if front := fronts[number]:
                file, start = self.files[number], spot(came[number][0])
                file.lead([(spot(low) - start, spot(high) - start) for low, high in front])

    def _as_parquet(self, paths: list[Path], kinds: dict[str, Kind]) -> list[str]:
        digests = []
        for file, path, (start, stop) in zip(self.files, paths, self._came(), strict=True):
            to_parquet(file.path, path, kinds, group_size(self.lengths[start:stop]))
            file.path.unlink()
            digests.append(sha256(path))
        return digests

    def _places(self, shards: list[list[Span]], outputs: list[Output]) -> pl.DataFrame:
        """Where each row that came stands: in which file, and at which place there."""
        placed = [
            (start, output.path, at)
            for spans, output in zip(shards, outputs, strict=True)
            for (start, _), at in zip(spans, _ends(spans), strict=False)
        ]
        schema = {"came": pl.UInt32(), "output": pl.Categorical(), "at": pl.UInt32()}
        stand = pl.DataFrame(sorted(placed), schema=schema, orient="row")
        if not placed:
            return stand.drop("came")
        rows = pl.int_range(len(self.lengths), dtype=pl.UInt32, eager=True)
        there = stand[stand["came"].search_sorted(rows, side="right") - 1]
        return there.select("output", at=rows - there["came"] + there["at"])

    def _name(self, number: int, count: int) -> str:
        if count == 1:
            return f"{self.split}.{self.file}"
        return f"{self.split}-{number:05d}-of-{count:05d}.{self.file}"


def _within(rows: Span, spans: list[Span]) -> bool:
    return all(rows[0] <= start and stop <= rows[1] for start, stop in spans)


def _front(spans: list[Span]) -> list[Span]:
    """The spans at the front which do not stand where the rows would stand in ascending order."""
    last = len(spans) - 1
    while last and spans[last - 1][1] <= spans[last][0]:
        last -= 1
    return spans[:last]


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
