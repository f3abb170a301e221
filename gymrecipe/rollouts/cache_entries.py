"""Cache entries: the files in which the slices of inputs are kept.

An entry's file is its slices one after the other, what is known of the input, and a
trailer. All of it is under hashes, and it gets its name when it is whole.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
import sys
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

import msgspec
import xxhash

from gymrecipe.rollouts.files import Source
from gymrecipe.rollouts.scanned import Scanned

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVEL = 1
"""Of zstd: some 45 bytes a rollout of the 186 that its columns are; level 3 saves nothing more."""

_MAGIC = b"gymrecipe table\n"
_TRAILER = struct.Struct(">Q16s16s")


def _packed(values: array[Any]) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(ord(values.typecode), values.tobytes())


def _unpacked(code: int, data: memoryview) -> array[Any]:
    values: array[Any] = array(chr(code))
    values.frombytes(data)
    return values


_encoder = msgspec.msgpack.Encoder(enc_hook=_packed)
_slice = msgspec.msgpack.Decoder(Scanned, ext_hook=_unpacked)


class Part(msgspec.Struct, frozen=True, array_like=True):
    """Where a slice is in the entry's file, and its hash; where in the input it ends and where its
    last line does; and the digests of its blocks.
    """

    offset: int
    length: int
    check: bytes
    end: int
    last: int
    digests: tuple[bytes, ...]


class Entry(msgspec.Struct, frozen=True):
    """What is known of an input: which file it was, whether its times tell a change (`settled`),
    what its lines were asked (`names`), and its parts.
    """

    code: str
    path: str
    size: int
    stamp: tuple[int, int, int, int]
    settled: bool
    names: frozenset[str]
    lines: int
    rows: int
    parts: tuple[Part, ...]


NOTHING = Entry("", "", 0, (0, 0, 0, 0), False, frozenset(), 0, 0, ())
"""Says nothing about any input."""


class Kept:
    """An entry that is open to be read; its `entry` is NOTHING where none can be believed."""

    def __init__(self, path: Path, file: IO[bytes] | None, entry: Entry) -> None:
        self.path, self.file, self.entry = path, file, entry

    def slices(self, count: int) -> Iterator[Scanned]:
        """The first slices, up to one that is torn."""
        if count:
            with suppress(OSError):  # it was just used, and is among the last to go
                os.utime(self.path, follow_symlinks=False)
        for place in range(count):
            if (scanned := self.slice(place)) is None:
                return
            yield scanned

    def slice(self, place: int) -> Scanned | None:
        """The n-th slice; None where the entry is torn."""
        part = self.entry.parts[place]
        assert self.file is not None
        try:
            data = os.pread(self.file.fileno(), part.length, part.offset)
            if xxhash.xxh3_128_digest(data) == part.check:
                return _slice.decode(zstd.decompress(data))
        except (OSError, msgspec.DecodeError):
            pass
        return None

    def forget(self) -> None:
        """Remove it."""
        with suppress(OSError):
            self.path.unlink()


class Half:
    """An entry that is being written, from `begin` on. Where writing fails the entry is given up,
    and the run goes on without it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.half = path.with_name(f".{secrets.token_hex(8)}.table")
        self.parts: list[Part] = []
        self.lines = self.rows = self.offset = 0
        self.file: IO[bytes] | None = None

    def __enter__(self) -> Half:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self) -> None:
        """Make the file."""
        with suppress(OSError):
            _make(self.path.parent)
            self.file = open(self.half, "xb", opener=_private)  # noqa: SIM115

    def add(self, scanned: Scanned, end: int) -> None:
        """Put the next slice behind the others."""
        if self.file is None:
            return
        try:
            data = zstd.compress(_encoder.encode(scanned), LEVEL)
            self.file.write(data)
        except (OSError, UnicodeEncodeError):
            self.close()
            return
        check = xxhash.xxh3_128_digest(data)
        part = Part(self.offset, len(data), check, end, scanned.bytes, tuple(scanned.digests))
        self.parts.append(part)
        self.offset += len(data)
        self.lines += scanned.lines
        self.rows += scanned.lines - scanned.bad.rows - scanned.bad.blanks

    def finish(self, source: Source, settled: bool, names: frozenset[str]) -> None:
        """Give the entry its name, in place of an older one."""
        if self.file is None:
            return
        entry = Entry(
            code=code(),
            path=source.path,
            size=source.size,
            stamp=source.stamp,
            settled=settled,
            names=names,
            lines=self.lines,
            rows=self.rows,
            parts=tuple(self.parts),
        )
        try:
            data = _encoder.encode(entry)
            self.file.write(data)
            self.file.write(_TRAILER.pack(len(data), xxhash.xxh3_128_digest(data), _MAGIC))
            self.file.flush()
            os.fsync(self.file.fileno())
            self.half.rename(self.path)
        except (OSError, UnicodeEncodeError):
            self.close()
            return
        self.file.close()
        self.file = None

    def close(self) -> None:
        """Give up what has no name yet."""
        if self.file is not None:
            with suppress(OSError):
                self.half.unlink()
            with suppress(OSError):  # what was not written yet cannot be written now either
                self.file.close()
            self.file = None


def path_of(folder: Path, source: Source) -> Path:
    """Where the entry of a file is: by its device and inode, whatever its name."""
    device, inode, *_ = source.stamp
    return folder / f"{device:x}-{inode:x}.table"


@contextmanager
def opened(path: Path) -> Iterator[Kept]:
    """The entry of a file, as far as it can be believed."""
    with ExitStack() as stack:
        file, entry = None, NOTHING
        with suppress(OSError):
            file = stack.enter_context(open(path, "rb", opener=_no_link))
            entry = _entry(file)
        yield Kept(path, file, entry if entry.code == code() else NOTHING)


def read(path: Path) -> Entry:
    """What an entry says of its input; NOTHING where it is torn or another user's."""
    with suppress(OSError), open(path, "rb", opener=_no_link) as file:
        return _entry(file)
    return NOTHING


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _entry(file: IO[bytes]) -> Entry:
    try:
        status = os.fstat(file.fileno())
        if status.st_uid != os.geteuid():
            return NOTHING
        file.seek(-_TRAILER.size, os.SEEK_END)
        length, check, magic = _TRAILER.unpack(file.read())
        if magic != _MAGIC or length > status.st_size:
            return NOTHING
        file.seek(-_TRAILER.size - length, os.SEEK_END)
        data = file.read(length)
        if xxhash.xxh3_128_digest(data) != check:
            return NOTHING
        return msgspec.msgpack.decode(data, type=Entry)
    except (OSError, msgspec.DecodeError):
        return NOTHING


@lru_cache(maxsize=1)
def code() -> str:
    """A hash of all that a scan runs: an entry that other code made may hold something else."""
    about = f"{sys.version} {sys.byteorder} msgspec {msgspec.__version__} xxhash {xxhash.VERSION}"
    digest = hashlib.sha256(about.encode())
    for file in sorted(files("gymrecipe.rollouts").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py"):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _make(folder: Path) -> None:
    """Make the folder where it is missing, and let git pass over it."""
    with suppress(FileExistsError):
        folder.mkdir(parents=True)
        (folder / ".gitignore").write_text("*\n")
