"""Cache folder: the folder of entries: what is there, and what goes."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from gymrecipe.rollouts.cache_entries import NOTHING, Entry, code, read

FOLDER = ".gymrecipe"
"""Where entries are below the output folder."""

MOST_BYTES = 8 * 2**30
"""All entries together; beyond it those go that were not used for longest."""

STALE_S = 86_400
"""Half an entry that nobody wrote to for so long is left of a run that was killed."""

_WHOLE = re.compile(r"[0-9a-f]+-[0-9a-f]+\.table")
_HALF = re.compile(r"\.[0-9a-f]{16}\.table")

Found = tuple[Path, os.stat_result]


def entries(folder: Path) -> list[tuple[Entry, int]]:
    """The entries of a folder and their bytes, the one used last first."""
    return [(read(path), status.st_size) for path, status in _by_use(folder)]


def state(entry: Entry) -> str:
    """What a run would make of the entry, as far as can be told without reading its input."""
    if entry is NOTHING:
        return "torn, or another user's"
    if entry.code != code():
        return "made by another gymrecipe"
    try:
        status = os.stat(entry.path)
    except OSError:
        return "its file is gone"
    stamp = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
    if stamp[:2] != entry.stamp[:2]:
        return "its file was replaced"
    if (stamp, status.st_size) == (entry.stamp, entry.size):
        return "up to date" if entry.settled else "its file was new: looked at again"
    return "its file has changed: looked at again"


class Cleared(msgspec.Struct, frozen=True):
    """How many files were removed of a folder, and their bytes."""

    folder: str
    files: int
    bytes: int


def clear(folder: Path) -> Cleared:
    """Remove all entries, and the halves of killed runs. Other files in the folder stay. Raises
    OSError for what cannot be removed.
    """
    gone = [*_files(folder, _WHOLE), *_files(folder, _HALF)]
    for path, _ in gone:
        path.unlink(missing_ok=True)
    return Cleared(str(folder), len(gone), sum(status.st_size for _, status in gone))


def limit(folder: Path) -> None:
    """Remove what was not used for longest beyond MOST_BYTES, and what killed runs left."""
    with suppress(OSError):
        for path, status in _files(folder, _HALF):
            if status.st_mtime < time.time() - STALE_S:
                path.unlink(missing_ok=True)
        total = 0
        for path, status in _by_use(folder):
            total += status.st_size
            if total > MOST_BYTES:
                path.unlink(missing_ok=True)


def _by_use(folder: Path) -> list[Found]:
    found = _files(folder, _WHOLE)
    return sorted(found, key=lambda one: (one[1].st_mtime_ns, one[0].name), reverse=True)


def _files(folder: Path, pattern: re.Pattern[str]) -> list[Found]:
    if not folder.is_dir():
        return []
    found = []
    with os.scandir(folder) as inside:
        for file in inside:
            if pattern.fullmatch(file.name) and file.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    found.append((Path(file.path), file.stat(follow_symlinks=False)))
    return found
