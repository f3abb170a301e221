"""Sources: the lines of chosen rollouts, read again where the scan found them."""

from __future__ import annotations

import errno
import os

import xxhash

from gymrecipe.errors import ChangedError, InputError
from gymrecipe.formats.job import Side

MOST_OPEN = 64
"""So many files are open at a time: of small ones a slice may have thousands, and a process mostly
may have 1,024.
"""


class Sources:
    """The source files, opened where they are read; those that were opened last stay open."""

    def __init__(self, paths: dict[int, str]) -> None:
        self.paths = paths
        self.opened: dict[int, int] = {}

    def __enter__(self) -> Sources:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self.opened.values():
            os.close(descriptor)

    def read(self, side: Side, row: int) -> bytes:
        """The line of a row, held against the hash that the scan took of it."""
        source, offset = side.source[row], side.offset[row]
        if source not in self.opened:
            if len(self.opened) == MOST_OPEN:
                os.close(self.opened.pop(next(iter(self.opened))))
            try:
                # NONBLOCK: a pipe that was put in its place must not be waited for.
                self.opened[source] = os.open(self.paths[source], os.O_RDONLY | os.O_NONBLOCK)
            except OSError as error:
                message = f"{self.paths[source]}: gone since it was read: {error.strerror}."
                raise ChangedError(message) from None
        try:
            line = os.pread(self.opened[source], side.bytes[row], offset)
        except OSError as error:
            message = f"{self.paths[source]}: cannot be read: {error.strerror}."
            kind = InputError if error.errno == errno.EIO else ChangedError
            raise kind(message) from None
        if xxhash.xxh3_128_intdigest(line) != side.id_hi[row] << 64 | side.id_lo[row]:
            raise ChangedError(
                f"{self.paths[source]}: the line at byte {offset} is not what it was when the"
                " file was read; do not write to an input while a recipe runs"
            )
        return line
