"""Whether a version is still what its manifest says: every byte is read, no date is trusted."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gymrecipe.errors import DataError, InputError
from gymrecipe.experiments import fates, ledger, manifest
from gymrecipe.experiments.disk import sha256
from gymrecipe.experiments.manifest import REJECTS, Manifest, Output
from gymrecipe.experiments.references import LEDGER, VERSION
from gymrecipe.lazy_polars import pl


class Verified(msgspec.Struct, frozen=True):
    """What `verify` found of a folder: which version its manifest is about (empty where that cannot
    be read), whether a ledger vouches for it, and the differences, one sentence each.
    """

    folder: str
    version: str
    vouched: bool
    differences: list[str]


def verify(folder: Path) -> Verified:
    """Hold a folder against its manifest, and that against the ledger.

    A copy may have any name; a version beside its ledger is the one that its name says.
    Raises InputError where there is no manifest to hold the folder against.
    """
    whole = folder.resolve()
    try:
        record = manifest.read(whole)
        found = [*_ledger(whole), *_tree(whole, record)]
    except DataError as error:
        said = str(error).removeprefix(f"{whole}/")
        return Verified(str(folder), "", _has_ledger(whole), [said, *_ledger(whole)])
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}.") from None
    changed = any(difference.startswith(f"{REJECTS}:") for difference in found)
    found += [*_names_and_lines(whole, record), *(() if changed else _rejects(whole, record))]
    return Verified(str(folder), f"{record.name}/{record.version}", _has_ledger(whole), found)


def _has_ledger(folder: Path) -> bool:
    """Whether a ledger vouches for the folder: it lies beside it, whose name is a version's. A
    version that was handed over has none.
    """
    return bool(VERSION.fullmatch(folder.name)) and os.path.lexists(folder.parent / LEDGER)


def _ledger(folder: Path) -> Iterator[str]:
    if not _has_ledger(folder):
        return
    known = [
        line.get("manifest_sha256")
        for line in ledger.read(folder.parent)
        if line.get("version") == folder.name
    ]
    if not known:
        yield f"{manifest.FILE}: the ledger has no line about {folder.name} to hold it against."
    elif sha256(folder / manifest.FILE) != known[-1]:
        yield f"{manifest.FILE}: changed since the ledger's line about {folder.name} was written."


def _tree(folder: Path, record: Manifest) -> Iterator[str]:
    found = dict(_entries(folder))
    expected = {output.path: output for output in record.outputs}
    files = {manifest.FILE, *expected}
    folders = {str(parent) for path in files for parent in Path(path).parents}
    for path, status in sorted(found.items()):
        if path in files:
            if not stat.S_ISREG(status.st_mode):
                yield f"{path}: not a file but {_kind(status)}."
            elif path in expected:
                yield from _file(folder, expected[path], status.st_size)
        elif path not in folders:
            yield f"{path}: {_kind(status)} that does not belong to the version."
        elif not stat.S_ISDIR(status.st_mode):
            yield f"{path}: not a folder but {_kind(status)}."
    for path in sorted(files - found.keys()):
        yield f"{path}: missing."


def _entries(folder: Path, inside: str = "") -> Iterator[tuple[str, os.stat_result]]:
    for entry in os.scandir(folder):
        status = entry.stat(follow_symlinks=False)
        yield inside + entry.name, status
        if stat.S_ISDIR(status.st_mode):
            yield from _entries(folder / entry.name, f"{inside}{entry.name}/")


def _kind(status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return "a symbolic link"
    if stat.S_ISDIR(status.st_mode):
        return "a folder"
    return "a file" if stat.S_ISREG(status.st_mode) else "a special file"


def _file(folder: Path, output: Output, size: int) -> Iterator[str]:
    if size != output.bytes:
        yield f"{output.path}: has {size} bytes, but the manifest says {output.bytes}."
        return
    try:
        digest = sha256(folder / output.path)
    except OSError as error:
        yield f"{output.path}: cannot be read: {error.strerror}."
        return
    if digest != output.sha256:
        yield f"{output.path}: its content changed."


def _names_and_lines(folder: Path, record: Manifest) -> Iterator[str]:
    if record.version != folder.name and _has_ledger(folder):
        yield f"{manifest.FILE}: is about '{record.version}', but the folder is '{folder.name}'."
    lines = record.lines
    if lines.read != lines.used + lines.rejected:
        yield (
            f"{manifest.FILE}: {lines.read} lines read are not {lines.used} used and"
            f" {lines.rejected} rejected."
        )


def _rejects(folder: Path, record: Manifest) -> Iterator[str]:
    try:
        rows = fates.table(folder / REJECTS).select(pl.len()).collect().item()
    except (OSError, pl.exceptions.PolarsError):
        yield f"{REJECTS}: missing, or not a table, so that its rows cannot be counted."
        return
    if rows != record.lines.rejected:
        yield (
            f"{REJECTS}: has {rows} rows, but the manifest says that {record.lines.rejected} lines"
            " were rejected."
        )
