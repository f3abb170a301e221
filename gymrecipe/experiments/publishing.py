"""Publishing: a staged folder becomes the next version, synced and renamed into place."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gymrecipe.errors import DurabilityError, MachineError, RecipeError
from gymrecipe.experiments import manifest
from gymrecipe.experiments.disk import rename_new, sync, writing
from gymrecipe.experiments.references import TAKEN


def publish(
    staged: Path, folder: Path, manifest_for: Callable[[str], bytes], above: int = 0
) -> Path:
    """Make the staged folder the next version, whole or not at all, and return where it is.

    Its number is the first one above all that are taken and above `above`. `manifest_for` gives the
    manifest for a version's name; it is asked again when another process took the name first.
    """
    with writing(staged):
        mode = _usual_mode(staged)
    _sync_all(staged)
    number = above
    while True:
        with writing(folder):
            number = max(number, _highest(folder)) + 1
        version = folder / f"v{number:04d}"
        data = manifest_for(version.name)
        with writing(staged / manifest.FILE):
            (staged / manifest.FILE).write_bytes(data)
            sync(staged / manifest.FILE)
            staged.chmod(mode)
            sync(staged)
        with writing(version):
            try:
                rename_new(staged, version)
            except FileExistsError:
                continue
        break
    with confirmed(version):
        sync(folder)
    return version


@contextmanager
def confirmed(version: Path) -> Iterator[None]:
    """Lets an error of the disk say that the version is there."""
    try:
        yield
    except OSError as error:
        raise DurabilityError(
            f"{version} is published, but the disk did not confirm it: {error.strerror}"
            f" ({error.filename or version.parent}). Check the disk, then `verify` the version."
        ) from None


@contextmanager
def beside(version: Path) -> Iterator[None]:
    """Lets an error about what is made beside a version say that the version is there."""
    try:
        yield
    except (MachineError, RecipeError) as error:
        raise type(error)(f"{version} is published, but {error}") from None


def _usual_mode(folder: Path) -> int:
    # What mkdir gives here: 0777 & ~umask, which cannot be asked for without changing it.
    probe = folder / ".mode"
    probe.mkdir()
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.rmdir()
    return mode


def _sync_all(path: Path) -> None:
    with writing(path):
        if path.is_dir():
            for child in path.iterdir():
                _sync_all(child)
        sync(path)


def _highest(folder: Path) -> int:
    """The highest number that is taken: by a name, or by what a tag or `latest` stands for, which
    would otherwise stand for another version once that one was deleted.
    """
    with os.scandir(folder) as entries:
        names = [name for entry in entries for name in (entry.name, _stands_for(entry))]
    matches = map(TAKEN.fullmatch, names)
    return max((int(match[1]) for match in matches if match), default=0)


def _stands_for(entry: os.DirEntry[str]) -> str:
    with suppress(FileNotFoundError):  # the link of another process that is `latest` by now
        return os.readlink(entry) if entry.is_symlink() else ""
    return ""
