"""Inputs: the files that a version was made from, found again and held against its manifest."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import msgspec

from gymrecipe.errors import ChangedError, InputError
from gymrecipe.experiments.manifest import Input, Manifest
from gymrecipe.experiments.references import VERSION
from gymrecipe.rollouts.digests import digest_prefix
from gymrecipe.rollouts.files import SAMPLE, Source, open_source

GONE = "gone, or not readable any more."


def check_no_versions(entries: str | list[str], files: list[Source], output_dir: Path) -> None:
    """Raise InputError where a pattern of input came to a file of a version; one may be named."""
    root = Path(os.path.realpath(output_dir))
    named = [entries] if isinstance(entries, str) else entries
    for file in files:
        path = Path(os.path.realpath(file.path))
        inside = path.relative_to(root).parts if path.is_relative_to(root) else ()
        if file.name not in named and len(inside) > 2 and VERSION.fullmatch(inside[1]):
            raise InputError(
                f"{file.name}: made by gymrecipe, a file of the version {inside[1]}, and found by a"
                " pattern of input. Let the pattern leave it out, or name the file itself."
            )


def short_names(files: Sequence[Input]) -> list[str]:
    """What each input is called: its name, and as many of the folders it is in as tell it apart."""
    tails = [_tails(file.path) for file in files]
    seen = Counter(chain.from_iterable(tails))
    return [next((tail for tail in some if seen[tail] == 1), some[-1]) for some in tails]


def _tails(path: str) -> list[str]:
    """The last part of a path, its last two parts, and so on: the whole."""
    parts = path.split("/")
    return ["/".join(parts[-count:]) for count in range(1, len(parts) + 1)]


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


def now_at(path: str, record: Manifest) -> str:
    """Where a file or folder that a version names is now. Raises ChangedError where it is not."""
    for place in _places(path, record):
        if os.path.exists(place):
            return place
    raise ChangedError(f"{path}: {GONE}")


def _places(path: str, record: Manifest) -> list[str]:
    """Where a path of the run may lead: from the run's folder, or from this one."""
    folders = (record.environment.folder, os.getcwd())
    return list(dict.fromkeys(os.path.join(folder, path) for folder in folders))


def check_same(source: Source, file: Input, version: Path) -> None:
    """Raise ChangedError unless the file's bytes are those that the version was made from."""
    if digest_prefix(source.path, source.size) != file.digest:
        raise ChangedError(f"{file.path}: not what it was when {version} was made.")
