"""Cached: the slices of a file, as they were kept by an earlier run or else as a scan gives them.

A run goes on with slices that were kept as if it had scanned, so nothing depends on where they come
from. An entry is believed while its file has the same device, inode, size and times. Where only the
times differ, or the file is longer, the bytes that were scanned then are hashed again and have to
be the same.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from itertools import chain, islice, takewhile
from pathlib import Path

import msgspec

from gymrecipe.errors import InputError
from gymrecipe.rollouts.cache_columns import Asked, added, asked, for_any, for_job
from gymrecipe.rollouts.cache_entries import NOTHING, Entry, Half, opened, path_of
from gymrecipe.rollouts.cache_folder import limit
from gymrecipe.rollouts.digests import digests
from gymrecipe.rollouts.engine import Map
from gymrecipe.rollouts.files import Source, check_unchanged
from gymrecipe.rollouts.known_fields import KNOWN_FIELDS
from gymrecipe.rollouts.scan import scan
from gymrecipe.rollouts.scanned import Job, Scanned

WORTH_BYTES = 64 * 2**20
"""Inputs of fewer bytes are scanned sooner than a run begins. A compressed one counts eightfold."""

LEAST_BYTES = 2**20
"""A file of fewer bytes is scanned as fast as its entry is read."""

MOST_NAMES = 128
"""What several recipes ask for is kept together up to here; beyond it what the last one asked."""

SETTLED_NS = 2 * 10**9
"""A file that changed so shortly before its scan may change again and keep its times."""


class Stretch(msgspec.Struct, frozen=True):
    """A part of a file to be hashed, from the start of a block."""

    path: str
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.path}: bytes {self.start} to {self.end}"


def worth(folder: Path | None, sources: list[Source]) -> Path | None:
    """The folder, where the inputs are large enough for keeping them to save time."""
    size = sum(source.size * (8 if source.compression else 1) for source in sources)
    return folder if size >= WORTH_BYTES else None


class Found(msgspec.Struct, frozen=True):
    """What an earlier run left of a file: the entry, and how many of its slices, from the first on,
    are `ready`, so that they need not be scanned. `believed`: the file is as it was, by what the
    system says of it. `settled`: it did not change just now.
    """

    entry: Entry = NOTHING
    believed: bool = False
    ready: int = 0
    settled: bool = False


def find(folder: Path | None, source: Source, jobs: list[Job], engine: Map) -> Found:
    """What there is of a file, before any of it is read."""
    wanted = _wanted(folder, source, jobs)
    if folder is None or wanted is None:
        return Found()
    settled = time.time_ns() - max(source.stamp[2:]) >= SETTLED_NS
    with opened(path_of(folder, source)) as older:
        entry = older.entry
    believed, ready = _is_believed(entry, source, jobs), 0
    if wanted.names <= entry.names:
        ready = len(jobs) if believed else _proven(entry, source, jobs, engine)
    return Found(entry, believed, ready, settled)


def slices(
    folder: Path | None, source: Source, jobs: list[Job], found: Found, scans: Iterator[Scanned]
) -> Generator[tuple[Scanned, bool]]:
    """The slices of a file, and whether they were kept, so that their bytes were not read now.
    Those that are not ready are the next `scans`. What was not kept is from now on, if there is a
    folder.

    Raises what the scan does, and ChangedError for a file that changed meanwhile.
    """
    wanted = _wanted(folder, source, jobs)
    if folder is None or wanted is None:
        for scanned in islice(scans, len(jobs)):
            yield scanned, False
        return
    path = path_of(folder, source)
    with opened(path) as older, Half(path) as half:
        entry, believed, names = found.entry, found.believed, wanted.names
        covers = names <= entry.names
        is_there = older.entry == entry  # another run may have put its own in the place
        adds = believed and is_there and not covers and len(names | entry.names) <= MOST_NAMES
        if found.ready < len(jobs) or not believed:
            half.begin()
        if adds or found.ready == len(jobs):
            names |= entry.names
        taken = 0
        for scanned in older.slices(found.ready) if is_there else ():
            half.add(scanned, jobs[taken].end)
            taken += 1
            yield for_job(scanned, wanted), believed
        if taken < found.ready:
            names = wanted.names
            if is_there:
                older.forget()
        rest = chain(map(scan, jobs[taken : found.ready]), scans)  # of a torn entry right here
        for job in jobs[taken:]:
            scanned = next(rest)
            now = for_any(scanned, wanted)
            earlier = older.slice(taken) if adds else now
            if earlier is None or scanned.by_asking or len(scanned.fields) >= KNOWN_FIELDS:
                half.close()
            else:
                half.add(added(now, earlier), job.end)
            taken += 1
            yield scanned, False
        check_unchanged(source)
        half.finish(source, found.settled, names)
    limit(folder)


def _wanted(folder: Path | None, source: Source, jobs: list[Job]) -> Asked | None:
    """What the jobs ask, where there is a use in keeping what they find."""
    if folder is None or not jobs or source.size < LEAST_BYTES:
        return None
    wanted = asked(jobs[0])
    return None if wanted.ambiguous else wanted


def _is_believed(entry: Entry, source: Source, jobs: list[Job]) -> bool:
    """Whether the file is as it was, by what the system says of it."""
    same = entry.settled and (entry.stamp, entry.size) == (source.stamp, source.size)
    return same and [part.end for part in entry.parts] == [job.end for job in jobs]


def _proven(entry: Entry, source: Source, jobs: list[Job], engine: Map) -> int:
    """How many slices, from the first on, still hold what was scanned. None do if any byte changed;
    if the file only grew, those whose last line ended before the growth.

    Every byte that was scanned is hashed again, for an edit looks like growth from outside.
    """
    if not 0 < entry.size <= source.size or (source.compression and entry.size != source.size):
        return 0
    starts = [0, *(part.end for part in entry.parts)]
    stretches = [
        Stretch(source.path, start, part.end)
        for start, part in zip(starts, entry.parts, strict=False)
    ]
    try:
        hashes = engine(hashed, stretches, entry.size)
        for part, digests in zip(entry.parts, hashes, strict=True):
            if digests != list(part.digests):
                return 0
    except InputError:  # the scan will say what is wrong
        return 0
    # A line that ended where the file did may go on now.
    whole = [
        job.end == part.end and (part.last < entry.size or entry.size == source.size)
        for job, part in zip(jobs, entry.parts, strict=False)
    ]
    return len(list(takewhile(bool, whole)))


def hashed(stretch: Stretch) -> list[bytes]:
    """The digests of its blocks. Raises InputError if it cannot be read."""
    return digests(stretch.path, stretch.start, stretch.end)
