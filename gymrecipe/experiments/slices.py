"""Slices: the rows of a split as jobs for workers, cut by the source bytes that they read."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

from msgspec.structs import astuple, replace

from gymrecipe.experiments.jobs import Taken
from gymrecipe.experiments.spool import SPOOLED
from gymrecipe.formats.job import Side, WriteJob
from gymrecipe.lazy_polars import pl
from gymrecipe.rollouts.columns import INPUT, split_side

SLICE_BYTES = 8 * 2**20
"""Source bytes that one slice of a write reads at most."""

SLICES = 8
"""A small write is of so many slices, of a megabyte or more, so that no worker waits for another
for long.
"""

SLICE_ROWS = 20_000

LAP_ROWS = 2**14
"""Rows taken out of the table at a time: asking Polars for each slice costs more than a slice's
columns are worth, and those of all rows may not fit."""

KEYS = ("task_key", "prompt_key")
"""Columns of 64 bits, which are written as 16 hexadecimal digits: not every reader has such
integers.
"""


def slices(
    job: WriteJob,
    taken: Taken,
    rows: pl.DataFrame,
    sides: tuple[str, ...],
    target: Path,
    size: int,
    order: array[int] | None = None,
) -> Iterator[WriteJob]:
    """The rows, of `size` source bytes, as jobs, a slice each: in `order`, which has their numbers,
    or as they stand. The records of each slice go to a file of its own in `target`. A job has only
    the files that it reads, for there may be as many files as slices.
    """
    number = 0
    most = min(max(size // SLICES, 2**20), SLICE_BYTES)
    for start in range(0, rows.height, LAP_ROWS):
        slots = None if order is None else order[start : start + LAP_ROWS]
        lap = rows.slice(start, LAP_ROWS) if slots is None else rows[pl.Series(slots)]
        lines = tuple(_side(lap, side) for side in sides)
        inputs = _side(lap, INPUT) if f"{INPUT}source" in rows.columns else None
        values = {name: _values(lap, column) for name, column in taken.values.items()}
        own = {name: lap[column].to_list() for name, column in taken.own.items()}
        for low, high in _cuts([side.bytes for side in lines], most):
            parts = tuple(_part(side, low, high) for side in lines)
            asked = inputs and _part(inputs, low, high)
            read = {*chain.from_iterable(part.source for part in (*parts, asked) if part)}
            yield replace(
                job,
                target=str(target / f".part-{job.split}-{number:06d}"),
                sources={source: job.sources[source] for source in read},
                sides=parts,
                inputs=asked,
                values={name: column[low:high] for name, column in values.items()},
                own={name: column[low:high] for name, column in own.items()},
                first=start + low,
                slots=slots and slots[low:high],
            )
            number += 1


def _side(rows: pl.DataFrame, side: str) -> Side:
    place = SPOOLED if f"{side}{SPOOLED}" in rows.columns else "offset"
    names = {"source": "I", place: "Q", "bytes": "Q", "id_hi": "Q", "id_lo": "Q"}
    columns = rows.select(pl.col(f"{side}{name}").fill_null(0) for name in names)
    taken = zip(names.values(), columns.get_columns(), strict=True)
    return Side(*(array(code, column.to_list()) for code, column in taken))


def _part(side: Side, low: int, high: int) -> Side:
    return Side(*(column[low:high] for column in astuple(side)))


def _values(rows: pl.DataFrame, column: str) -> list[Any]:
    values = rows[column].to_list()
    if split_side(column)[1] in KEYS:
        return [None if key is None else f"{key:016x}" for key in values]
    return values


def _cuts(sizes: list[array[int]], most: int) -> Iterator[tuple[int, int]]:
    """The rows in runs of `most` bytes of source or fewer, or one row: from, and to before."""
    ends = list(accumulate(map(sum, zip(*sizes, strict=True))))
    start = before = 0
    while start < len(ends):
        full = bisect_right(ends, before + most, start)
        stop = min(max(full, start + 1), start + SLICE_ROWS)
        yield start, stop
        start, before = stop, ends[stop - 1]
