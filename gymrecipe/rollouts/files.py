"""Input files: what they are, and their lines as bytes."""

from __future__ import annotations

import gzip
import os
import stat
import sys
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import IO, Any, Literal

import msgspec

from gymrecipe.errors import ChangedError, DataError, InputError, nearest
from gymrecipe.rollouts.lines import MAX_LINE_BYTES
from gymrecipe.rollouts.regular_files import regular

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SAMPLE = "gymrecipe:sample"
"""The `input` that stands for the rollouts which ship with the package."""

READ_BYTES = 2**18
"""Small enough to stay in a core's cache while it is hashed and split."""

SWELLING, SWELLING_BYTES = 200, 64 * 2**20
"""A compressed file may swell to so many times its size, and to so many bytes in any case."""

NO_END = 2**63
"""An offset behind every byte of any file."""

Compression = Literal["", "gzip", "zstd"]
_MAGIC: dict[bytes, Compression] = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    # A frame of zstd that readers skip, which comes first in what pzstd writes.
    **{bytes((number, 0x2A, 0x4D, 0x18)): "zstd" for number in range(0x50, 0x60)},
}


class Source(msgspec.Struct, frozen=True):
    """One input file as it stood when it was opened.

    `name` is how the user wrote it, `path` where it is, `run` which entry of `input` it came by.
    """

    name: str
    path: str
    run: int
    size: int
    compression: Compression
    stamp: tuple[int, int, int, int]


class RawLine(msgspec.Struct, gc=False):
    """One line: where it starts, its length without the line feed, and its bytes.

    `data` is None where the line is longer than MAX_LINE_BYTES; `whole` is False for a last line
    without a line feed.
    """

    offset: int
    length: int
    data: bytes | None
    whole: bool


def sample_path() -> Path:
    """Where the shipped sample lies."""
    return Path(str(files("gymrecipe.rollouts") / "sample.jsonl"))


def open_source(name: str, run: int) -> Source:
    """The file as it stands now. Raises InputError for what is no readable regular file."""
    path = str(sample_path()) if name == SAMPLE else os.path.abspath(name)
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise InputError(
                f"{name}: a folder, not a file. Name its files, such as"
                f" '{name.rstrip('/')}/*.jsonl'."
            )
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{name}: not a regular file. Rollouts are read from files.")
        with open(path, "rb", opener=regular) as file:
            head = file.read(4)
    except FileNotFoundError:
        # Of `+input_jsonl_fpath=~/a.jsonl` a shell leaves the ~ as it is.
        meant = _near(os.path.expanduser(name), os.path.isfile)
        guess = f" Did you mean '{meant}'?" if meant else ""
        raise InputError(f"{name}: no such file.{guess}") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}.") from None
    except UnicodeEncodeError as error:
        raise InputError(
            f"{name}: cannot be read: the system's encoding is set to {error.encoding}, which has"
            " no such names. Set PYTHONUTF8=1."
        ) from None
    compression: Compression = ""
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            compression = kind
    if not compression and status.st_size == 0 and name.endswith((".gz", ".zst")):
        raise InputError(f"{name}: empty: not even the header of a compressed file.")
    return Source(name, path, run, status.st_size, compression, _stamp(status))


def _near(path: str, is_kind: Callable[[str], bool]) -> str:
    """The file, or the folder, that may be meant by a path that is not there, or nothing."""
    folder, name = os.path.split(path)
    if folder and not os.path.isdir(folder):
        folder = _near(folder, os.path.isdir)
        if not folder or is_kind(there := os.path.join(folder, name)):
            return folder and there
    try:
        beside = os.listdir(folder or ".")
    except OSError:
        return ""
    meant = nearest(name, beside)
    there = os.path.join(folder, meant)
    return there if meant and is_kind(there) else ""


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def check_unchanged(source: Source) -> None:
    """Raise ChangedError if the file is not what it was when it was opened.

    A plain file that only grew is fine: it was read to its size at that time.
    """
    try:
        status = os.stat(source.path)
    except OSError as error:
        raise ChangedError(f"{source.name}: gone while it was read: {error.strerror}.") from None
    same_file = _stamp(status)[:2] == source.stamp[:2]
    grown = same_file and status.st_size > source.size and not source.compression
    if not grown and (_stamp(status) != source.stamp or status.st_size != source.size):
        raise ChangedError(
            f"{source.name}: changed while it was read. Run again when nothing writes to it."
        )


def _unseen(_: bytes) -> None:
    """To nobody."""


def blocks(
    source: Source, start: int = 0, end: int = 0, saw: Callable[[bytes], None] = _unseen
) -> Iterator[bytes]:
    """The file's uncompressed bytes in blocks: of a plain file from `start` to its size when it was
    opened. One block ends at `end`, where a slice does; who reads the slice reads on to the end of
    its last line. `saw` is given the bytes of the file as they are read: of a plain one those
    before `end`, of a compressed one all that unpacking took.

    Raises ChangedError when the file is gone or not what it was, DataError when its compression is
    cut off or broken.
    """
    with _opened(source) as file:
        yield from (
            _inflated(source, _Seen(file, saw))
            if source.compression
            else _plain(source, file, start, end, saw)
        )


def _opened(source: Source) -> IO[bytes]:
    try:
        return open(source.path, "rb", buffering=0, opener=regular)
    except OSError as error:
        raise ChangedError(f"{source.name}: gone while it was read: {error.strerror}.") from None


class _Seen:
    """A file whose bytes are shown to somebody while they are read."""

    def __init__(self, file: IO[bytes], saw: Callable[[bytes], None]) -> None:
        self.file, self.saw = file, saw

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.saw(data)
        return data


def _inflated(source: Source, file: _Seen) -> Iterator[bytes]:
    reader: Any = gzip.open if source.compression == "gzip" else zstd.open
    try:
        with reader(file) as stream:
            given = 0
            while block := stream.read(READ_BYTES):
                given += len(block)
                if given > max(SWELLING_BYTES, SWELLING * source.size):
                    raise DataError(
                        f"{source.name}: swells to more than {SWELLING} times its size, as only a"
                        " file made for that does. Unpack it first, if it is what you want to read."
                    )
                yield block
    except (EOFError, OSError, zlib.error, zstd.ZstdError) as error:
        check_unchanged(source)
        raise DataError(
            f"{source.name}: the {source.compression} data is cut off or broken: {error}."
            " Copy the file again."
        ) from None


def _plain(
    source: Source, file: IO[bytes], start: int, end: int, saw: Callable[[bytes], None]
) -> Iterator[bytes]:
    position = start
    while position < source.size:
        stop = end if position < end else source.size
        try:
            block = os.pread(file.fileno(), min(READ_BYTES, stop - position), position)
        except OSError as error:
            raise InputError(f"{source.name}: cannot be read: {error.strerror}.") from None
        if not block:
            raise ChangedError(
                f"{source.name}: became shorter while it was read ({position} bytes left of"
                f" {source.size}). Run again when nothing writes to it."
            )
        if position < end:
            saw(block)
        yield block
        position += len(block)


def lines(
    stream: Iterator[bytes], offset: int = 0, end: int = NO_END, partial: bool = False
) -> Iterator[RawLine]:
    """The lines that start before `end` in a stream of blocks which begins at `offset`: by default
    all lines of a file.

    `partial`: the stream begins inside a line that belongs to the slice before. Lines are split
    on line feeds only; an over-long line is counted but not kept.
    """
    pending: list[bytes] = []
    held = 0
    skip = partial
    for block in stream:
        begin = 0
        # Faster than split(b"\n"), which looks at byte after byte.
        while (feed := block.find(b"\n", begin)) >= 0:
            length = held + feed - begin
            if not skip:
                data: bytes | None = block[begin:feed]
                if length > MAX_LINE_BYTES:
                    data = None
                elif held:
                    data = b"".join((*pending, block[begin:feed]))
                yield RawLine(offset, length, data, True)
            skip = False
            begin = feed + 1
            offset += length + 1
            if held:
                pending, held = [], 0
            if offset >= end:
                return
        rest = block[begin:]
        held += len(rest)
        if held > MAX_LINE_BYTES:
            pending = []
        elif rest:
            pending.append(rest)
    if held and not skip:
        data = None if held > MAX_LINE_BYTES else b"".join(pending)
        yield RawLine(offset, held, data, False)


def without_mark(line: RawLine) -> RawLine:
    """The line, where it is the first one without a byte order mark before it."""
    if line.offset or line.data is None or not line.data.startswith(BOM_UTF8):
        return line
    mark = len(BOM_UTF8)
    return RawLine(mark, line.length - mark, line.data[mark:], line.whole)


def starts_inside_a_line(source: Source, start: int) -> bool:
    """Whether the byte before `start` belongs to a line that goes on there."""
    if start == 0:
        return False
    with _opened(source) as file:
        return os.pread(file.fileno(), 1, start - 1) != b"\n"
