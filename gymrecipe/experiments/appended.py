"""Appended: a file that records are added to as they come. It is hashed on the way, and at the end
put in order by moving as few bytes as possible.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import IO

COPY_BYTES = 2**18
"""Small enough to stay in a core's cache while it is hashed and written."""

Span = tuple[int, int]
"""Rows, or bytes of a file: from, and to before."""


class Appended:
    """A file that only grows, until `lead` moves some of its records to the front. Its bytes are
    hashed while they are added; once some were not, `digest` reads all behind them again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hash = hashlib.sha256()
        self.hashed = self.bytes = 0

    def take(self, source: IO[bytes], size: int, hashing: bool = True) -> None:
        """Append so many bytes from where the source stands."""
        hashing = hashing and self.hashed == self.bytes
        self.bytes += size
        with self.path.open("ab", buffering=0) as target:
            while size and (data := source.read(min(COPY_BYTES, size))):
                size -= len(data)
                if hashing:
                    self.hash.update(data)
                    self.hashed += len(data)
                rest = memoryview(data)
                while rest:
                    rest = rest[target.write(rest) :]
        if size:
            raise EOFError(f"{self.path}: {size} bytes are missing")

    def lead(self, records: list[Span]) -> None:
        """Move these bytes to the front, in this order. What stood before them moves up, and what
        stands behind the last of them stays where it is.
        """
        self.hash, self.hashed = hashlib.sha256(), 0
        ordered = sorted(records)
        between = [(low, high) for (_, low), (high, _) in pairwise([(0, 0), *ordered])]
        with self.path.open("rb") as source, self.path.open("r+b") as target:
            # What was read and has no place yet: never more than the records and COPY_BYTES.
            waiting = bytearray()
            for low, high in records:
                source.seek(low)
                waiting += source.read(high - low)
            for low, high in between:
                source.seek(low)
                while low < high and (data := source.read(min(COPY_BYTES, high - low))):
                    low += len(data)
                    waiting += data
                    target.write(waiting[: len(data)])
                    del waiting[: len(data)]
            target.write(waiting)

    def change(self, change: Callable[[int, bytes], bytes]) -> None:
        """Put something else in the place of each record, which is given with its place in the
        file and only ever grows.
        """
        self.hash, self.hashed = hashlib.sha256(), 0
        with self.path.open("rb") as source, self.path.open("r+b") as target:
            waiting, room = bytearray(), 0  # what has no place yet is by how much the others grew
            for place, record in enumerate(source):
                waiting += change(place, record)
                room += len(record)
                if room >= COPY_BYTES:
                    target.write(waiting[:room])
                    del waiting[:room]
                    room = 0
            target.write(waiting)
            self.bytes = target.tell()

    def digest(self) -> str:
        """The SHA-256 of all bytes; those that were not hashed on the way are read once more."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.hashed)
            while data := file.read(COPY_BYTES):
                self.hash.update(data)
                self.hashed += len(data)
        return self.hash.hexdigest()
