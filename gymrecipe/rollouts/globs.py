"""Globs: the files that a pattern of `input` matches. Other than with Python's `glob`, a folder
that cannot be looked into is an error: there may be rollouts in it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from glob import has_magic

from gymrecipe.errors import InputError

LEADS_NOWHERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


def matches(pattern: str) -> list[str]:
    """The paths that match and are no folders, sorted. `**` stands for folders however deep, and a
    name that begins with a point is matched by what begins with one.
    """
    if pattern.endswith("/"):
        return []
    start = "/" if pattern.startswith("/") else ""
    parts = [part for part in pattern.split("/") if part]
    return sorted({path for path in _below(start, parts, ()) if not os.path.isdir(path)})


def _below(folder: str, parts: list[str], way: tuple[tuple[int, int], ...]) -> Iterator[str]:
    """What matches the parts from a folder on. `way` is which folders `**` came through, so that it
    does not follow a link back to one of them.
    """
    part, *rest = parts
    if not has_magic(part):
        if status := _status(path := os.path.join(folder, part), follow=bool(rest)):
            yield from _within(path, status, rest)
        return
    if part == "**" and rest:
        yield from _below(folder, rest, ())
    for name, may_be_folder in _entries(folder):
        path = os.path.join(folder, name)
        if not fnmatchcase(name, part) or (name.startswith(".") and not part.startswith(".")):
            continue
        if not rest:
            yield path
        if may_be_folder and (rest or part == "**") and (status := _status(path)):
            here = (status.st_dev, status.st_ino)
            if part != "**":
                yield from _within(path, status, rest)
            elif stat.S_ISDIR(status.st_mode) and here not in way:
                yield from _below(path, parts, (*way, here))


def _within(path: str, status: os.stat_result, rest: list[str]) -> Iterator[str]:
    if not rest:
        yield path
    elif stat.S_ISDIR(status.st_mode):
        yield from _below(path, rest, ())


def _entries(folder: str) -> list[tuple[str, bool]]:
    """The names in a folder, and whether one may be of a folder or of a link to one."""
    try:
        with os.scandir(folder or ".") as entries:
            return [(entry.name, not entry.is_file(follow_symlinks=False)) for entry in entries]
    except OSError as error:
        if error.errno in LEADS_NOWHERE:
            return []
        raise _unseen(folder or ".", error) from None


def _status(path: str, follow: bool = True) -> os.stat_result | None:
    """What is at a path; None where nothing is, or a link that leads nowhere."""
    try:
        return os.stat(path, follow_symlinks=follow)
    except OSError as error:
        if error.errno in LEADS_NOWHERE:
            return None
        raise _unseen(path, error) from None


def _unseen(path: str, error: OSError) -> InputError:
    return InputError(
        f"{path}: cannot be looked into: {error.strerror}. There may be rollouts in it: let it be"
        " read, or name the files instead of a pattern."
    )
