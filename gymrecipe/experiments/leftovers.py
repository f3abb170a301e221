"""Leftovers: what a killed run left behind, told from work by its lock and its age."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from gymrecipe.errors import GymrecipeError, InputError
from gymrecipe.experiments import disk, folders, manifest, references
from gymrecipe.names import NAME

KINDS = (
    (re.compile(r"\.staging-[0-9a-f]{16}"), stat.S_ISDIR, "a version that was never published"),
    (re.compile(r"\.claim-v[0-9]{4,}"), stat.S_ISREG, "a claim on a version's name"),
    (re.compile(r"\.latest-[0-9a-f]{16}"), stat.S_ISLNK, "a link that was to become 'latest'"),
    (re.compile(r"\.versions-[0-9a-f]{16}\.tmp"), stat.S_ISREG, "half a rebuilt ledger"),
)
COPY = (re.compile(r"\.gymrecipe-[0-9a-f]{16}\.tmp"), stat.S_ISREG, "half a copy of a data file")
SCRATCH = (
    re.compile(rf"{folders.SCRATCH}[a-z0-9_]{{8}}"),
    stat.S_ISDIR,
    "the folder of a dry run or of `reproduce`",
)
Kind = tuple[re.Pattern[str], Callable[[int], bool], str]


class Leftover(msgspec.Struct, frozen=True):
    """Something that a run made for itself and did not take away: what it is, the age of its newest
    part, and why it stays (empty where it may go).
    """

    path: Path
    what: str
    age_s: float
    stays: str


def recipe_folders(output_dir: Path, names: list[str]) -> list[Path]:
    """The folders of these recipes, or of all. Raises InputError for a name that has none."""
    if not names:
        names = sorted(os.listdir(output_dir)) if output_dir.is_dir() else []
        folders = [output_dir / name for name in names]
        return [folder for folder in folders if folder.is_dir() and not folder.is_symlink()]
    for name in names:
        if not NAME.fullmatch(name) or not (output_dir / name).is_dir():
            raise InputError(f"{output_dir / name}: no folder of a recipe's versions.")
    return [output_dir / name for name in names]


def collect(
    folders: list[Path], copies: list[Path], older_than_s: float, now: float, dry_run: bool
) -> Iterator[Leftover]:
    """Take away what killed runs left in recipes' folders, in the temporary folder, and beside the
    files that versions were copied to (`copies`, and those that manifests name).

    What is locked is somebody's work, and what is younger may become it: both stay, and versions
    are not even looked at. Raises MachineError for what cannot be taken away.
    """
    for folder in folders:
        yield from _in(folder, KINDS, older_than_s, now, dry_run)
    yield from _in(Path(tempfile.gettempdir()), (SCRATCH,), older_than_s, now, dry_run)
    targets = {target.absolute().parent for target in [*copies, *_copied_to(folders)]}
    for folder in sorted(targets):
        yield from _in(folder, (COPY,), older_than_s, now, dry_run)


def _copied_to(folders: list[Path]) -> Iterator[Path]:
    for version in [version for folder in folders for version in references.versions(folder)]:
        try:
            record = manifest.read(version)
        except GymrecipeError:
            continue
        if isinstance(target := record.parameters.get("output_jsonl_fpath"), str):
            yield Path(record.environment.folder, target)


def _in(
    folder: Path, kinds: tuple[Kind, ...], older_than_s: float, now: float, dry_run: bool
) -> Iterator[Leftover]:
    for path, what in _known(folder, kinds):
        try:
            with _free(path) as free:
                age = now - _newest(path)
                stays = free or ("" if age >= older_than_s else "not old enough")
                if not (stays or dry_run):
                    with disk.writing(path):
                        _remove(path)
        except FileNotFoundError:  # its run is alive and has just taken it away
            continue
        yield Leftover(path, what, age, stays)


def _known(folder: Path, kinds: tuple[Kind, ...]) -> Iterator[tuple[Path, str]]:
    """What is named as a leftover, is the kind of file that it would be, and is this user's; with
    what it is.
    """
    for name in sorted(os.listdir(folder)) if folder.is_dir() else []:
        for pattern, is_kind, what in kinds:
            if pattern.fullmatch(name):
                try:
                    status = os.lstat(folder / name)
                except FileNotFoundError:  # as in `_in`
                    continue
                if is_kind(status.st_mode) and status.st_uid == os.geteuid():
                    yield folder / name, what


@contextmanager
def _free(path: Path) -> Iterator[str]:
    """Locks it for the block, if that can be done; gives why not, or an empty text."""
    if path.is_symlink():
        yield ""
        return
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield "a run is working on it"
        except OSError as error:
            yield f"whether a run is working on it cannot be told: {error.strerror}"
        else:
            yield ""
    finally:
        os.close(handle)


def _newest(path: Path) -> float:
    """When something in it last changed."""
    inside = [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]
    return max(os.lstat(part).st_mtime for part in inside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
