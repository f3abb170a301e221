"""Inputs: the files that a version was made from, found again and held against its manifest."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from gymrecipe.errors import ChangedError, InputError
from gymrecipe.experiments.manifest import Input, Manifest
from gymrecipe.rollouts.files import SAMPLE, Source, digest_prefix, open_source

GONE = "gone, or not readable any more."


def found(file: Input, record: Manifest) -> Source:
    """The input as it was: a plain file that has grown since is as long as it was then.

    Raises ChangedError where there is no such file any more.
    """
    for name in [SAMPLE] if file.path == SAMPLE else _places(file.path, record):
        try:
            source = open_source(name, file.run)
        except InputError:
            continue
        size = min(source.size, file.bytes) if not source.compression else source.size
        return msgspec.structs.replace(source, name=file.path, size=size)
    raise ChangedError(f"{file.path}: {GONE}")


def placed(path: str, record: Manifest) -> str:
    """Where a file or folder that a version names is now. Raises ChangedError where it is not."""
    for place in _places(path, record):
        if os.path.exists(place):
            return place
    raise ChangedError(f"{path}: {GONE}")


def _places(path: str, record: Manifest) -> list[str]:
    """Where a path of the run may lead: from the run's folder, or from this one."""
    folders = (str(record.environment.get("folder", "")), os.getcwd())
    return list(dict.fromkeys(os.path.join(folder, path) for folder in folders))


def check_same(source: Source, file: Input, version: Path) -> None:
    """Raise ChangedError unless the file's bytes are those that the version was made from."""
    if digest_prefix(source.path, source.size) != file.digest:
        raise ChangedError(f"{file.path}: not what it was when {version} was made.")
