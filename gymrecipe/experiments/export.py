"""Export: a copy of a version's data files at a path that the user names."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from pathlib import Path

from gymrecipe.errors import RecipeError
from gymrecipe.experiments import manifest, store
from gymrecipe.experiments.manifest import Manifest


def check_export(path: Path, folder: Path) -> None:
    """Raise RecipeError unless a copy at `path` would overwrite nothing but one of ours."""
    for target in (path, validation_path(path)):
        if target.is_dir():
            raise RecipeError(f"output_jsonl_fpath: {target} is a folder. Name a file.")
        if not target.parent.is_dir():
            raise RecipeError(
                f"output_jsonl_fpath: {target.parent} is not a folder. Make it first."
            )
        if not os.path.lexists(target):
            continue
        with target.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        ours = {
            output.sha256
            for version in store.versions(folder)
            for output in manifest.read(version).outputs
        }
        if digest not in ours:
            raise RecipeError(
                f"output_jsonl_fpath: {target} exists and is no output of {folder}. Move it away,"
                " or name another file."
            )


def validation_path(path: Path) -> Path:
    """Where the held-out rows go: `<stem>_validation.jsonl` beside the file."""
    return path.with_name(f"{path.stem}_validation{path.suffix}")


def export(version: Path, record: Manifest, path: Path) -> None:
    """Copy the one train file, and the validation file if there is one, by rename."""
    for output in record.outputs:
        name = Path(output.path).name
        if name in ("train.jsonl", "validation.jsonl"):
            target = path if name == "train.jsonl" else validation_path(path)
            temporary = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
            with store.writing(target):
                shutil.copyfile(version / output.path, temporary)
                store.sync(temporary)
                temporary.replace(target)
