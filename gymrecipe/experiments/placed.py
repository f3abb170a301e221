"""Placed: records written in the order in which their lines lie, put in the order asked for.

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
from gymrecipe.late import pl

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
    paths = [target / f".slots-{split}-{n:05d}" for n in range(-(-len(slots) // width))]
    came = [array("Q") for _ in paths]  # the slots of each bucket's records, as these came
    lengths = array("Q", bytes(8 * len(slots)))
    shape = array("I", bytes(4 * len(slots)))
    shapes: dict[frozenset[str], int] = {}
    reasons: list[dict[int, Fault]] = [{} for _ in paths]
    contents = Contents()
    before = 0
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for result in results:
            contents.add(result.contents)
            with open(result.target, "rb") as part:
                here = slots[before : before + len(result.lengths)]
                before += len(here)
                of_rows = iter(result.shape)
                for row, (slot, length) in enumerate(zip(here, result.lengths, strict=True)):
                    bucket = slot // width
                    if not length:
                        reasons[bucket][slot % width] = result.reasons[row]
                        continue
                    found = result.shapes[next(of_rows)]
                    shape[slot] = shapes.setdefault(found, len(shapes))
                    lengths[slot] = length
                    came[bucket].append(slot)
                    files[bucket].write(part.read(length))
            os.unlink(result.target)
    known = list(shapes)
    for number, path in enumerate(paths):
        here = lengths[number * width : (number + 1) * width]
        example = _sort(path, came[number], lengths)
        usable = [shape[slot] for slot in sorted(came[number])]
        ids = {each: place for place, each in enumerate(dict.fromkeys(usable))}
        yield Encoded(
            target=str(path),
            lengths=here,
            reasons=dict(sorted(reasons[number].items())),
            shapes=[known[each] for each in ids],
            shape=array("I", (ids[each] for each in usable)),
            example=example,
            contents=Contents() if number else contents,
        )


def _sort(path: Path, came: array[int], lengths: array[int]) -> str | None:
    """Put the records of a bucket in the order of their slots; the first one."""
    data = memoryview(path.read_bytes())
    starts = accumulate((lengths[slot] for slot in came), initial=0)
    records = {
        slot: data[start : start + lengths[slot]] for slot, start in zip(came, starts, strict=False)
    }
    ordered = [records[slot] for slot in sorted(records)]
    with path.open("wb") as file:
        file.writelines(ordered)
    return str(ordered[0][:-1], "utf-8") if ordered else None
