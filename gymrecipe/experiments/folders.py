"""Folders: where the versions of a recipe are, and where one is built until it is whole."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path

from gymrecipe.errors import InputError, MachineError, RecipeError
from gymrecipe.experiments.disk import held, sync, writing
from gymrecipe.names import NAME, NAME_RULE

SCRATCH = "gymrecipe-"
"""How the folders of `scratch` begin, which a killed run may leave behind."""


def check_folder(folder: Path) -> None:
    """Raise InputError where a file stands in the way of a recipe's folder, or where somebody else
    decides what it is: by a link of theirs, or because anybody may change a folder of theirs.
    """
    way = _nearest(folder)
    if os.path.lexists(way) and not way.is_dir():
        raise InputError(f"{way}: a file, not a folder. Set another output_dir.")
    trusted = {0, os.geteuid()}
    for path in _led_through(folder, set()):
        if os.path.islink(path) and os.lstat(path).st_uid not in trusted:
            raise InputError(f"{path}: a link that another user made. Set another output_dir.")
    for path in (folder.parent, folder):
        if os.path.isdir(path) and _is_anybodys(os.stat(path)):
            raise InputError(
                f"{path}: another user's folder in which anybody may replace files. Make one of"
                " your own in it and set output_dir to that."
            )


def check_can_be_made(folder: Path) -> None:
    """Raise MachineError where a recipe's folder is not there and nobody lets us make it."""
    way = _nearest(folder)
    if way != folder and not os.access(way, os.W_OK | os.X_OK):
        read_only = os.statvfs(way).f_flag & os.ST_RDONLY
        with writing(folder):
            raise OSError(errno.EROFS if read_only else errno.EACCES, "")


def _nearest(folder: Path) -> Path:
    """What there is of a folder and those above it, a link that leads nowhere too."""
    return next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)


def _is_anybodys(status: os.stat_result) -> bool:
    """Whether every user may rename and remove what is in a folder that is not ours."""
    free = status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX
    return bool(free) and status.st_uid != os.geteuid()


def _led_through(path: Path, seen: set[Path]) -> Iterator[Path]:
    """Everything on the way to a path, and on the way to where links there lead."""
    for part in (*reversed(path.absolute().parents), path.absolute()):
        if part in seen:
            continue
        seen.add(part)
        yield part
        if os.path.islink(part):
            yield from _led_through(part.parent / os.readlink(part), seen)


@contextmanager
def recipe_folder(output_dir: Path, name: str) -> Iterator[Path]:
    """The folder that keeps the versions of a recipe, made if there is none. What was made is gone
    at the end of the block where nothing came into it.
    """
    if not NAME.fullmatch(name):
        raise RecipeError(f"{name!r}: not a name for a recipe's versions. Allowed: {NAME_RULE}.")
    folder = output_dir / name
    missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    try:  # from before it is there, so that a Ctrl-C cannot come in between
        _make(folder, missing)
        yield folder
    finally:
        with suppress(OSError):
            for path in takewhile(lambda path: not os.listdir(path), missing):
                path.rmdir()


def _make(folder: Path, missing: list[Path]) -> None:
    try:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for path in missing:
                sync(path.parent)
    except MachineError:
        check_folder(folder)
        raise


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A hidden folder beside the versions to build the next one in; gone at the end of the block
    unless it was published.
    """
    staged = folder / f".staging-{secrets.token_hex(8)}"
    try:  # from before it is there, so that a Ctrl-C cannot come in between
        with writing(staged):
            staged.mkdir(mode=0o700)
            lock = held(staged)
        try:
            yield staged
        finally:
            os.close(lock)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for what is not to be published; gone at the end of the block."""
    with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder:
        lock = held(Path(folder))
        try:
            yield Path(folder)
        finally:
            os.close(lock)
