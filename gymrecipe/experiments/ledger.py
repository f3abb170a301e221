"""The ledger `versions.jsonl`: a line per version. Where they disagree, the manifest is right."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import jsonlines
import msgspec

from gymrecipe.errors import DurabilityError, InputError
from gymrecipe.experiments.manifest import Manifest, StageRecord
from gymrecipe.experiments.store import LEDGER, sync


def append(folder: Path, record: dict[str, Any]) -> None:
    """Add one line, behind whatever other processes add and whatever a dead one left unfinished.

    Raises DurabilityError: the version of the record is published before its line is written.
    """
    path = folder / LEDGER
    try:
        with open(path, "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            end = file.seek(0, os.SEEK_END)
            if end == 0:
                sync(folder)
            elif os.pread(file.fileno(), 1, end - 1) != b"\n":
                file.write(b"\n")
            jsonlines.Writer(file, dumps=msgspec.json.encode).write(record)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise DurabilityError(
            f"{folder / str(record.get('version'))} is published, but its line in {path} could"
            f" not be written: {error.strerror}. Its manifest.json has all that the line would say."
        ) from None


def read(folder: Path) -> list[dict[str, Any]]:
    """The records in the order they were appended; torn lines are passed over."""
    path = folder / LEDGER
    try:
        with open(path, "rb") as file:
            lines = jsonlines.Reader(file, loads=msgspec.json.decode)
            return list(lines.iter(type=dict, skip_empty=True, skip_invalid=True))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.") from None


def entry(manifest: Manifest, manifest_sha256: str, tag: str | None = None) -> dict[str, Any]:
    """The record of a version: what was set, what came of it, and what its manifest hashes to.

    `thresholds` are the numbers that the stages were given, quantiles resolved; `statistics` the
    figures, gaps among them, of the stages that deal in pairs.
    """
    stages = manifest.stages
    pairing = [stage.name for stage in stages if "pairs" in (stage.takes, stage.makes)]
    return {
        "version": manifest.version,
        "id": manifest.id,
        "created": manifest.environment.get("created"),
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


def resolved(stage: StageRecord) -> dict[str, float]:
    """The thresholds that were asked for as quantiles, as the numbers that these came to."""
    return {row["parameter"]: row["resolved"] for row in stage.facts.get("resolved", [])}


def _numbers(stage: StageRecord) -> dict[str, float]:
    return {
        name: value
        for name, value in (stage.parameters | resolved(stage)).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
