"""Export: a copy of a version's data files at a path that the user names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from gymrecipe.errors import DataError, GymrecipeError, RecipeError
from gymrecipe.experiments import disk, manifest, references
from gymrecipe.experiments.manifest import Manifest
from gymrecipe.rollouts.files import Source

COPY_BYTES = 2**20


def check_export(path: Path, folder: Path, inputs: list[Source]) -> None:
    """Raise RecipeError unless a copy at `path` would overwrite nothing but one of ours, and that
    no input of this run.
    """
    for target in (path, validation_path(path)):
        if said := _in_the_way(target, folder, inputs):
            raise RecipeError(f"output_jsonl_fpath: {said}")


def _in_the_way(target: Path, folder: Path, inputs: list[Source]) -> str:
    """Why a copy may not come there, and what to do; empty where it may."""
    for source in inputs:
        if _is_input(target, source):
            what = f"would be written to, but the input {source.name} is that file"
            return f"{target} {what}. Name another file."
    if target.is_dir():
        return f"{target} is a folder. Name a file."
    if not target.parent.is_dir():
        return f"{target.parent} is not a folder. Make it first."
    if not os.access(target.parent, os.W_OK | os.X_OK):
        return f"{target.parent} may not be written to. Name a file elsewhere."
    if folder.resolve() in target.resolve().parents:
        return f"{target} is among the versions, which are never changed. Name a file elsewhere."
    if os.path.lexists(target) and not _is_ours(target, folder):
        what = f"exists and is no output of {folder}"
        return f"{target} {what}. Move it away, or name another file."
    return ""


def validation_path(path: Path) -> Path:
    """Where the held-out rows go: `<stem>_validation.jsonl` beside the file."""
    return path.with_name(f"{path.stem}_validation{path.suffix}")


def copies(record: Manifest, path: Path) -> dict[Path, str | None]:
    """Which file of a version has its copy where; None where its split has no rows."""
    parts = [(Path(output.path).parts, output.path) for output in record.outputs]
    outputs = {at[-1]: file for at, file in parts if at[0] == "data" and ".." not in at}
    return {
        path: outputs.get("train.jsonl"),
        validation_path(path): outputs.get("validation.jsonl"),
    }


def export(version: Path, record: Manifest, path: Path) -> None:
    """Copy the train file and the validation file, as far as there are such, by rename. Raises
    DataError where somebody took one from a version that was there before.

    Where there is none an earlier one of ours is taken away: it held other rows.
    """
    for target, file in copies(record, path).items():
        if file is not None and not disk.is_own(version / file):
            raise DataError(
                f"{target}: nothing to copy, for {version / file} is gone or a link. See what"
                " `verify` says of the version; again=true makes another."
            )
        with disk.writing(target):
            if file is not None:
                _copy(version / file, target)
            elif os.path.lexists(target) and _is_ours(target, version.parent):
                target.unlink()


def _copy(source: Path, target: Path) -> None:
    with (
        open(source, "rb", opener=disk.no_link) as data,
        disk.replacing(target, "gymrecipe") as copy,
    ):
        disk.hold(copy.fileno())
        shutil.copyfileobj(data, copy, COPY_BYTES)


def _is_input(target: Path, source: Source) -> bool:
    """Whether they are one file: by the path, or by what the path leads to."""
    if os.path.realpath(target) == os.path.realpath(source.path):
        return True
    try:
        status = target.stat()
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == source.stamp[:2]


def _is_ours(target: Path, folder: Path) -> bool:
    """Whether a file has the content of a data file of some version in the folder."""
    if not target.is_file():  # a pipe would have to be waited for
        return False
    try:
        digest = disk.sha256(target)
    except OSError:  # a link to nowhere, or not readable
        return False
    for version in references.versions(folder):
        try:
            outputs = manifest.read(version).outputs
        except GymrecipeError:
            continue
        if any(output.sha256 == digest and output.rows for output in outputs):
            return True
    return False
