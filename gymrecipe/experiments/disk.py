"""Disk: its errors in words, syncs, locks and hashes, and a rename that never replaces."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gymrecipe.errors import GymrecipeError, MachineError
from gymrecipe.rollouts.regular_files import regular

ADVICE = {
    errno.ENOSPC: "The disk is full: free some space and run again.",
    errno.EDQUOT: "The disk quota is used up: free some space and run again.",
    errno.EMFILE: "Too many files are open: raise the limit (ulimit -n) and run again.",
    errno.EACCES: "Check who may write there, or set another output_dir.",
    errno.EPERM: "Check who may write there, or set another output_dir.",
    errno.EROFS: "The disk is read-only: set another output_dir.",
}

OS_ERROR = re.compile(r"\(os error (\d+)\)")
"""How polars tells what the system said: in the text of an error of its own."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an error of the disk into a MachineError that names this file and says what to do."""
    try:
        yield
    except GymrecipeError:
        raise
    except Exception as error:
        code = _code(error)
        if code is None:
            raise
        advice = ADVICE.get(code, "Check the disk, then run again.")
        message = f"{path}: cannot be written: {os.strerror(code)}. {advice}"
        raise MachineError(message) from None


def _code(error: Exception) -> int | None:
    """The system's number of an error; None where it was not the system that failed."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    said = OS_ERROR.search(str(error))
    return int(said[1]) if said else None


def sync(path: Path) -> None:
    """Wait until a file's bytes, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems have nothing to sync in a folder, and say so.
        if error.errno != errno.EINVAL or not stat.S_ISDIR(os.fstat(handle).st_mode):
            raise
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path, kind: str) -> Iterator[BinaryIO]:
    """A hidden file beside a path, whose bytes take its place at the end of the block: whole and on
    the disk, or not at all. By its `kind` what a killed process left is told (see `leftovers`).
    """
    temporary = path.with_name(f".{kind}-{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            sync(temporary)
            temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """What the bytes of a file hash to."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def held(path: Path) -> int:
    """A handle on a file or folder that is locked until it is closed or its process has ended, so
    that what a killed process left behind can be told from work.
    """
    handle = os.open(path, os.O_RDONLY)
    hold(handle)
    return handle


def hold(handle: int) -> None:
    """Lock what is open, where that can be done."""
    with suppress(OSError):  # a network file system may have no locks for folders
        fcntl.flock(handle, fcntl.LOCK_EX)


def no_link(path: str, flags: int) -> int:
    """An opener for files in a recipe's folder: they are no links and no pipes."""
    return regular(path, flags | os.O_NOFOLLOW)


def is_own(path: Path) -> bool:
    """Whether there is a file, and no link to one."""
    return path.is_file() and not path.is_symlink()


def rename_new(old: Path, new: Path) -> None:
    """Rename; raise FileExistsError, whatever it is that exists there."""
    code = _renameat2(old, new)
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        _rename_claimed(old, new)
    elif code:
        raise OSError(code, os.strerror(code), str(new))


def _renameat2(old: Path, new: Path) -> int:
    """Linux's rename that never replaces; gives its error number, 0 when it is done."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return errno.ENOSYS
    here, noreplace = -100, 1  # AT_FDCWD, RENAME_NOREPLACE
    done: int = call(here, os.fsencode(old), here, os.fsencode(new), noreplace)
    return ctypes.get_errno() if done else 0


def _rename_claimed(old: Path, new: Path) -> None:
    # Where the file system lacks that rename (NFS), whoever makes the claim file has the name.
    claim = new.with_name(f".claim-{new.name}")
    os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    try:
        if os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new))
        os.rename(old, new)
    finally:
        with suppress(OSError):
            claim.unlink()
