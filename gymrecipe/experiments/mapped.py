"""Mapped: large frames in files that are mapped into memory, of which the system keeps there what
fits.

Polars copies what it reads, from Arrow files too. But a column that it is shown through Arrow's C
data interface (https://arrow.apache.org/docs/format/CDataInterface.html) stays where it is. So the
buffers of a column are written to a file, and Polars is shown the file's map in their place. All
else goes on as with any frame, and comes out the same.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ctypes import POINTER, addressof, c_char, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import polars as pl

from gymrecipe.experiments.disk import writing
from gymrecipe.rollouts.frames import LARGE_ROWS, Spill

FORMATS: dict[type[pl.DataType], tuple[bytes, int]] = {
    pl.Boolean: (b"b", 1), pl.Int8: (b"c", 8), pl.UInt8: (b"C", 8), pl.Int16: (b"s", 16),
    pl.UInt16: (b"S", 16), pl.Int32: (b"i", 32), pl.UInt32: (b"I", 32), pl.Int64: (b"l", 64),
    pl.UInt64: (b"L", 64), pl.Float32: (b"f", 32), pl.Float64: (b"g", 64),
    pl.String: (b"vu", 128),
}  # fmt: skip
"""What Arrow calls a type, and the bits that it takes a row. Lists stay in memory."""

NULLABLE = 2
ALIGNMENT = 64


class _Schema(ctypes.Structure):
    _fields_ = (
        ("format", c_char_p), ("name", c_char_p), ("metadata", c_char_p), ("flags", c_int64),
        ("n_children", c_int64), ("children", c_void_p), ("dictionary", c_void_p),
        ("release", c_void_p), ("private_data", c_void_p),
    )  # fmt: skip


class _Array(ctypes.Structure):
    _fields_ = (
        ("length", c_int64), ("null_count", c_int64), ("offset", c_int64), ("n_buffers", c_int64),
        ("n_children", c_int64), ("buffers", POINTER(c_void_p)), ("children", c_void_p),
        ("dictionary", c_void_p), ("release", c_void_p), ("private_data", c_void_p),
    )  # fmt: skip


class _Stream(ctypes.Structure):
    _fields_ = (
        ("get_schema", c_void_p), ("get_next", ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p)),
        ("get_last_error", c_void_p), ("release", c_void_p), ("private_data", c_void_p),
    )  # fmt: skip


_release = ctypes.CFUNCTYPE(None, c_void_p)
_pointer = ctypes.PYFUNCTYPE(c_void_p, ctypes.py_object, c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, c_void_p, c_char_p, c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)
_C = ctypes.CDLL(None, use_errno=True)
_C.mmap.restype = c_void_p
_C.mmap.argtypes = (c_void_p, c_size_t, c_int, c_int, c_int, c_int64)
_C.munmap.argtypes = (c_void_p, c_size_t)

# What lets go of a shown column is called by whichever thread of Polars drops it last, so it cannot
# be Python. There is nothing to do, for the map ends with its block, and this only says whether
# there is a Python.
_nothing = ctypes.cast(ctypes.pythonapi.Py_IsInitialized, c_void_p).value


class _Shown:
    """A column as Polars asks to be shown one."""

    def __init__(self, schema: _Schema, array: _Array) -> None:
        self.schema, self.array = schema, array

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return (
            _capsule(addressof(self.schema), b"arrow_schema", None),
            _capsule(addressof(self.array), b"arrow_array", None),
        )


@contextmanager
def mapping(folder: Path) -> Iterator[Spill]:
    """For a `with`: gives large frames with their columns in files of this folder. The maps end
    with the block, and none of these frames may be looked at any longer.

    The files have no names, so that nothing is left of a run that is killed.
    """
    buffers: dict[int | None, object] = {}
    with ExitStack() as maps:

        def spill(frame: pl.DataFrame) -> pl.DataFrame:
            if frame.height < LARGE_ROWS:
                return frame
            return pl.DataFrame([mapped(column) for column in frame.iter_columns()])

        def mapped(column: pl.Series) -> pl.Series:
            if isinstance(column.dtype, pl.Categorical | pl.Enum):
                return mapped(column.to_physical()).cat.to(column.dtype)
            if (kind := FORMATS.get(type(column.dtype))) is None:
                return column
            column = column.rechunk()
            array = _exported(column)
            try:
                if array.buffers[1] in buffers:
                    return column
                with writing(folder), TemporaryFile(dir=folder) as file:
                    places = [
                        _append(array.buffers[n], size, file)
                        for n, size in enumerate(_sizes(array, kind[1]))
                    ]
                    start = _map(file, maps)
                at = (c_void_p * len(places))(
                    *(None if place is None else start + place for place in places)
                )
                buffers[at[1]] = at
                return _shown(column.name, kind[0], array, at)
            finally:
                _release(array.release)(addressof(array))

        yield spill


def _exported(column: pl.Series) -> _Array:
    """A column of one chunk where it is in memory, until it is released."""
    capsule, array = column.__arrow_c_stream__(), _Array()
    stream = _Stream.from_address(_pointer(capsule, b"arrow_array_stream"))
    if stream.get_next(addressof(stream), addressof(array)):
        raise RuntimeError(f"a bug of gymrecipe: {column.dtype} cannot be exported")
    return array


def _sizes(array: _Array, bits: int) -> list[int]:
    """How many bytes each of its buffers has: which rows are not null, the rows' values, of texts
    also the long ones, and last how many bytes these have.
    """
    rows = array.offset + array.length
    long = max(array.n_buffers - 3, 0)
    lengths = (c_int64 * long).from_address(array.buffers[array.n_buffers - 1]) if long else ()
    sizes = [-(-rows // 8), -(-rows * bits // 8), *lengths, 8 * long]
    return sizes[: array.n_buffers]


def _append(buffer: int | None, size: int, file: IO[bytes]) -> int | None:
    """Write a buffer, if there is one; where it is in the file."""
    if buffer is None:
        return None
    file.write(bytes(-file.tell() % ALIGNMENT))
    place = file.tell()
    file.write((c_char * size).from_address(buffer))
    return place


def _map(file: IO[bytes], maps: ExitStack) -> int:
    """Where the file is in memory, until the maps end."""
    file.flush()
    size = file.tell()
    start = _C.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    if start == c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    maps.callback(_C.munmap, start, size)
    return int(start)


def _shown(name: str, format: bytes, like: _Array, buffers: ctypes.Array[c_void_p]) -> pl.Series:
    """The column whose buffers are there, with all else as in another one."""
    schema = _Schema(format=format, name=b"", flags=NULLABLE, release=_nothing)
    array = _Array(
        like.length, like.null_count, like.offset, like.n_buffers, 0, buffers, release=_nothing
    )
    return pl.Series(_Shown(schema, array)).alias(name)
