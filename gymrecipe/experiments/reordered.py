"""Reordered: records written in the order in which their lines lie, put in the order asked for.

A file that does not fit into memory is read from the disk again to be written from. Read in a
shuffled order, that would be a random read for each row. Instead the rows are read as they lie, and
their records are dealt to buckets of neighbouring slots, each of which fits into memory.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from itertools import accumulate
from pathlib import Path

from gymrecipe.formats.contents import Contents
from gymrecipe.formats.job import Encoded, Fault
from gymrecipe.lazy_polars import pl

BUCKET_BYTES = 2**24
"""About what a bucket holds, and what is in memory of all records at a time."""

MOST_BUCKETS = 256
"""Each is an open file. Beyond BUCKET_BYTES times so many, buckets are larger."""

LAP_ROWS = 2**17

_CGROUP = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory() -> int:
    """The bytes of memory that this process may use, what the system keeps of files included."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _CGROUP:
        with suppress(OSError, ValueError):
            found.append(int(Path(path).read_text()))
    return min(found)


def as_they_lie(rows: pl.DataFrame, side: str) -> array[int]:
    """The numbers of the rows in the order in which their lines of this side lie in the files."""
    order = rows.select(pl.arg_sort_by(f"{side}source", f"{side}offset")).to_series()
    places = array("Q")
    for start in range(0, len(order), LAP_ROWS):
        places.extend(order.slice(start, LAP_ROWS).to_list())
    return places


class _Bucket:
    """The records of neighbouring slots, in a file as they come. Each has its place among them."""

    def __init__(self, path: Path, slots: int) -> None:
        self.path = path
        self.came = array("Q")  # the places of the records, as these stand in the file
        self.lengths = array("Q", bytes(8 * slots))
        self.shape = array("I", bytes(4 * slots))
        self.reasons: dict[int, Fault] = {}

    def add(self, place: int, length: int, shape: int) -> None:
        """Note a record that is written to the file; `shape` is the number of its shape."""
        self.came.append(place)
        self.lengths[place] = length
        self.shape[place] = shape

    def in_order(self, shapes: list[frozenset[str]], contents: Contents) -> Encoded:
        """The bucket as a slice, after the records in its file are put in order."""
        data = memoryview(self.path.read_bytes())
        ends = accumulate(self.lengths[place] for place in self.came)
        records = {
            place: data[end - self.lengths[place] : end]
            for place, end in zip(self.came, ends, strict=True)
        }
        places = sorted(records)
        with self.path.open("wb") as file:
            file.writelines(records[place] for place in places)
        found = dict.fromkeys(self.shape[place] for place in places)
        ids = {shape: number for number, shape in enumerate(found)}
        return Encoded(
            target=str(self.path),
            lengths=self.lengths,
            reasons=dict(sorted(self.reasons.items())),
            shapes=[shapes[shape] for shape in ids],
            shape=array("I", (ids[self.shape[place]] for place in places)),
            example=str(records[places[0]][:-1], "utf-8") if places else None,
            contents=contents,
        )


def placed(
    results: Iterable[Encoded], slots: array[int], size: int, target: Path, split: str
) -> Iterator[Encoded]:
    """The records of these slices, as slices in the order that was asked for.

    The n-th row of all that the slices bring has to stand at `slots[n]`. `size` is about how many
    bytes all records have.
    """
    if not slots:
        yield from results
        return
    count = min(size // BUCKET_BYTES + 1, MOST_BUCKETS, len(slots))
    width = -(-len(slots) // count)
    buckets = [
        _Bucket(target / f".slots-{split}-{number:05d}", min(width, len(slots) - start))
        for number, start in enumerate(range(0, len(slots), width))
    ]
    shapes: dict[frozenset[str], int] = {}
    contents = Contents()
    waiting = iter(slots)
    with ExitStack() as stack:
        files = [stack.enter_context(bucket.path.open("wb")) for bucket in buckets]
        for result in results:
            contents.add(result.contents)
            of_rows = iter(result.shape)
            with open(result.target, "rb") as part:
                for row, length in enumerate(result.lengths):
                    number, place = divmod(next(waiting), width)
                    if not length:
                        buckets[number].reasons[place] = result.reasons[row]
                        continue
                    shape = result.shapes[next(of_rows)]
                    buckets[number].add(place, length, shapes.setdefault(shape, len(shapes)))
                    files[number].write(part.read(length))
            os.unlink(result.target)
    known = list(shapes)
    for bucket in buckets:
        yield bucket.in_order(known, contents)
        contents = Contents()  # the first has those of all
