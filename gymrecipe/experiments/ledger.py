"""The ledger `versions.jsonl`: a line per version. Where they disagree, the manifest is right."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import jsonlines
import msgspec

from gymrecipe.errors import DurabilityError, GymrecipeError, InputError
from gymrecipe.experiments import manifest
from gymrecipe.experiments.disk import no_link, replacing, sha256, sync, writing
from gymrecipe.experiments.manifest import Manifest, StageRecord
from gymrecipe.experiments.recorded import resolved
from gymrecipe.experiments.references import LEDGER, VERSION, by_number, versions


def check(folder: Path) -> None:
    """Raise InputError where what has the ledger's name is no file that lines can be added to."""
    path = folder / LEDGER
    if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
        raise InputError(f"{path}: not a file, but the ledger is one. Move it away.")


def highest(folder: Path) -> int:
    """The highest number that a line is about, whose version may have been deleted."""
    return max((int(record["version"][1:]) for record in read(folder)), default=0)


def complete(version: Path) -> None:
    """Add the line of a version that has none, and of those beside it whose runs died before they
    could.

    Raises DurabilityError where a line cannot be written.
    """
    folder = version.parent
    with _told(folder, version.name):
        if not _missing(folder):
            return
        with adding(folder) as add:
            for missing in _missing(folder):  # another process may have added some meanwhile
                if record := _entry_of(missing):
                    add(record)


@contextmanager
def adding(folder: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """What adds a line to the ledger, which no other process changes during the block. It comes
    behind whatever a dead process left unfinished.
    """
    with _locked(folder) as file:
        yield partial(_add, file)


@contextmanager
def _told(folder: Path, version: str) -> Iterator[None]:
    """Turns what goes wrong with the ledger into a DurabilityError: the version is there."""
    try:
        yield
    except (OSError, InputError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise DurabilityError(
            f"{folder / version} is published, but its line in {folder / LEDGER} could"
            f" not be written: {why}. Its manifest.json has all that the line would say."
        ) from None


@contextmanager
def _locked(folder: Path) -> Iterator[BinaryIO]:
    """The ledger, which nobody else changes meanwhile: open to read it and to add to its end."""
    path = folder / LEDGER
    while True:
        with open(path, "a+b", opener=no_link) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_still(path, file):  # put anew by `rebuild` while this waited
                continue
            if os.fstat(file.fileno()).st_nlink > 1:  # whatever else has these bytes keeps them
                file.seek(0)
                _replace(folder, file.read())
                continue
            if not os.fstat(file.fileno()).st_size:
                sync(folder)
            yield file
            return


def _is_still(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _add(file: BinaryIO, record: dict[str, Any]) -> None:
    end = file.seek(0, os.SEEK_END)
    if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
        file.write(b"\n")
    jsonlines.Writer(file, dumps=msgspec.json.encode).write(record)
    file.flush()
    os.fsync(file.fileno())


def _missing(folder: Path) -> list[Path]:
    known = {record["version"] for record in read(folder)}
    return [version for version in versions(folder) if version.name not in known]


def _entry_of(version: Path) -> dict[str, Any] | None:
    """The line of a version; None where its manifest is not one, or not its own."""
    try:
        record = manifest.read(version)
    except GymrecipeError:
        return None
    if record.version != version.name:
        return None
    return entry(record, sha256(version / manifest.FILE))


def read(folder: Path) -> list[dict[str, Any]]:
    """The records in the order they were appended; torn lines are passed over."""
    path = folder / LEDGER
    try:
        with open(path, "rb", opener=no_link) as file:
            lines = _lines(file.read())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.") from None
    return [record for _, record in lines if record is not None]


def _lines(data: bytes) -> list[tuple[int, dict[str, Any] | None]]:
    """The lines that are not blank by their numbers; None for one that is no record."""
    lines = enumerate(data.split(b"\n"), start=1)
    return [(number, _record(line)) for number, line in lines if line.strip()]


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = msgspec.json.decode(line, type=dict[str, Any])
    except manifest.UNREADABLE:
        return None
    name = record.get("version")
    return record if isinstance(name, str) and VERSION.fullmatch(name) else None


class Rebuilt(msgspec.Struct, frozen=True):
    """What a rebuilt `ledger` has, by the versions' names: lines `kept`, and lines `added` from
    manifests. `torn` are the numbers of lines that were no records, which are gone.

    Kept although they say otherwise than the folder: `changed`, whose manifest is not the one that
    the line was written about, and `gone`, of which there is no manifest.
    """

    ledger: str
    kept: list[str]
    added: list[str]
    torn: list[int]
    changed: list[str]
    gone: list[str]


def rebuild(folder: Path) -> Rebuilt:
    """Write the ledger anew: every whole line once, torn ones left out, missing ones made from the
    manifests, by version. It is replaced whole or not at all.

    A line that there is stays, so that a manifest which was changed is not made right by this.
    """
    with writing(folder / LEDGER), _locked(folder) as file:
        file.seek(0)
        torn, lines = _sorted_out(file.read())
        there = {version.name: version for version in versions(folder)}
        kept = [name for name in lines if name in there]
        added = {
            name: record
            for name, version in there.items()
            if name not in lines and (record := _entry_of(version))
        }
        changed = [
            name
            for name in kept
            if lines[name].get("manifest_sha256") != sha256(there[name] / manifest.FILE)
        ]
        gone = [name for name in lines if name not in there]
        lines |= added
        records = [lines[name] for name in sorted(lines, key=by_number)]
        _replace(folder, b"".join(msgspec.json.encode(record) + b"\n" for record in records))
    return Rebuilt(str(folder / LEDGER), kept, list(added), torn, changed, gone)


def _sorted_out(data: bytes) -> tuple[list[int], dict[str, dict[str, Any]]]:
    """The numbers of the torn lines, and the last record about each version."""
    lines = _lines(data)
    torn = [number for number, record in lines if record is None]
    return torn, {record["version"]: record for _, record in lines if record is not None}


def _replace(folder: Path, data: bytes) -> None:
    with replacing(folder / LEDGER, "versions") as file:
        file.write(data)


def entry(manifest: Manifest, manifest_sha256: str) -> dict[str, Any]:
    """The record of a version: what was set, what came of it, and what its manifest hashes to.

    `thresholds` are the numbers that the stages were given, quantiles resolved; `statistics` the
    figures, gaps among them, of the stages that deal in pairs.
    """
    stages, tag = manifest.stages, manifest.parameters.get("tag")
    pairing = [stage.name for stage in stages if "pairs" in (stage.takes, stage.makes)]
    return {
        "version": manifest.version,
        "id": manifest.id,
        "created": manifest.environment.created,
        **({"tag": tag} if tag else {}),
        "parameters": manifest.parameters,
        "thresholds": {stage.name: numbers for stage in stages if (numbers := _numbers(stage))},
        "statistics": {
            name: manifest.statistics[name] for name in pairing if name in manifest.statistics
        },
        "lines": msgspec.to_builtins(manifest.lines),
        "rows": {output.path: output.rows for output in manifest.outputs},
        "warnings": manifest.warnings,
        "manifest_sha256": manifest_sha256,
    }


def _numbers(stage: StageRecord) -> dict[str, float]:
    return {
        name: value
        for name, value in (stage.parameters | resolved(stage)).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
