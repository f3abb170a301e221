"""Standard output and error of the command: always there, and what fails of them is a sentence."""

from __future__ import annotations

import os
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import TYPE_CHECKING, TextIO

from gymrecipe.errors import MachineError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def take_over() -> None:
    """Put ours in the place of the interpreter's streams."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file to be opened would be taken for a stream
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Errors(2, "w", closefd=False), sys.stderr)


def hang_up() -> None:
    """Let what is still in the buffer of stdout go nowhere, so that the exit is quiet."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


class _Output(FileIO):
    def write(self, data: ReadableBuffer) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            hang_up()
            message = f"standard output: cannot be written: {error.strerror}."
            raise MachineError(message) from None


class _Errors(FileIO):
    def write(self, data: ReadableBuffer) -> int:
        try:
            return super().write(data)
        except OSError:  # a full disk, a terminal that is gone: no reason to stop, nobody to tell
            return memoryview(data).nbytes


def _text(raw: FileIO, instead_of: TextIO | None) -> TextIO:
    # A name may have any bytes, a terminal any encoding.
    encoding = instead_of.encoding if instead_of is not None else "utf-8"
    lines = raw.isatty() or raw.fileno() == 2
    return TextIOWrapper(
        BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=lines
    )
