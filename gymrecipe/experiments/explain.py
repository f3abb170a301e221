"""Explain: what became of one input line in a version, and why."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec

from gymrecipe.errors import DataError, InputError, RecipeError, hint
from gymrecipe.experiments import manifest
from gymrecipe.experiments.fates import rows_of
from gymrecipe.experiments.manifest import REJECTS, USED, Input, Manifest, StageRecord
from gymrecipe.experiments.recorded import in_force, resolved
from gymrecipe.lazy_polars import pl
from gymrecipe.reasons import meaning
from gymrecipe.stages.evidence import JUDGED, Evidence

_NUMBER = re.compile(r"[0-9]{1,18}")
"""Of a line: no file has more."""


class Rejected(msgspec.Struct, frozen=True, tag_field="fate", tag="rejected"):
    """A line that a stage rejected: for which reason, in words too, with what parameters, and what
    those asked for as quantiles came to (`resolved`); the values that it was judged by, or why they
    are `untold`.
    """

    line: str
    stage: str
    reason: str
    meaning: str
    cause: str
    parameters: dict[str, Any]
    resolved: dict[str, float]
    evidence: list[Evidence] = []
    untold: str = ""


class Used(msgspec.Struct, frozen=True, tag_field="fate", tag="used"):
    """A line that an example contains: on which line of which file, where that has one for it, and
    in a pair on which side, against which other line.
    """

    line: str
    output: str
    output_line: int | None
    side: str
    against: str


class _Rejected(msgspec.Struct):
    stage: str
    reason: str
    cause: str = ""


class _Used(msgspec.Struct):
    source: str
    line: int
    side: str
    output: str
    row: int | None


def explain(version: Path, line: str) -> list[Rejected | Used]:
    """What became of the line `file:number`: each place where it was used, or its rejection.

    Raises InputError where the version did not read such a line.
    """
    record = manifest.read(version)
    name, _, number = line.rpartition(":")
    if not name or not _NUMBER.fullmatch(number):
        raise RecipeError(f"{line}: not a line. Write file:number, such as rollouts.jsonl:17.")
    file = _input(version, record, name)
    if file.holds != "rollouts":
        raise InputError(
            f"{file.path}: {version} read its input rows beside the rollouts (materialized_inputs)."
            " Name a line of the rollouts."
        )
    at = (pl.col("source") == file.path) & (pl.col("line") == int(number))
    if int(number) <= file.lines:
        if rejected := rows_of(version / REJECTS, _Rejected, at):
            stages = {stage.name: stage for stage in record.stages}
            if unknown := [row.stage for row in rejected if row.stage not in stages]:
                raise DataError(
                    f"{version / REJECTS}: names a stage '{unknown[0]}', which the manifest does"
                    " not have. See what `verify` says."
                )
            return [_rejection(stages[row.stage], f"{file.path}:{number}", row) for row in rejected]
        if used := rows_of(version / USED, _Used, at):
            return [_use(version, f"{file.path}:{number}", row) for row in used]
    raise InputError(f"{file.path}: {version} read {file.lines} lines of it, not line {number}.")


def _input(version: Path, record: Manifest, name: str) -> Input:
    """The input that a name means: as it was written, another way to the same file, or its name
    with some of the folders before it; files of rollouts before those of input rows.
    """
    here, there = os.getcwd(), record.environment.folder
    files = record.inputs
    elsewhere = "/" in name and os.path.exists(name)  # and so another file
    for found in (
        [file for file in files if file.path == name],
        [file for file in files if _real(there, file.path) == _real(here, name)],
        [file for file in files if not elsewhere and f"/{file.path}".endswith(f"/{name}")],
    ):
        found = [file for file in found if file.holds == "rollouts"] or found
        if len(found) > 1:
            several = ", ".join(file.path for file in found)
            raise InputError(f"{name}: several inputs have this name: {several}.")
        if found:
            return found[0]
    paths = [file.path for file in files]
    has = ", ".join(paths[:8]) + (f" and {len(paths) - 8} others" if len(paths) > 8 else "")
    raise InputError(f"{name}: not an input of {version}. It read {has}.{hint(name, paths)}")


def _real(folder: str, path: str) -> str:
    whole = os.path.join(folder, path)
    try:
        return os.path.realpath(whole)
    except UnicodeEncodeError:  # made where the system's encoding had the name
        return whole


def _rejection(stage: StageRecord, line: str, row: _Rejected) -> Rejected:
    given = {
        name: value
        for name, value in stage.parameters.items()
        if name != "use"
        and value not in (None, [], {})
        and value is not False
        and in_force(stage, name)
    }
    return Rejected(
        line,
        row.stage,
        row.reason,
        meaning(row.reason),
        row.cause,
        given if stage.use in JUDGED else {},
        resolved(stage),
    )


def _use(version: Path, line: str, row: _Used) -> Used:
    output_line = None if row.row is None else row.row + 1
    if not row.side:
        return Used(line, row.output, output_line, "", "")
    other = "rejected" if row.side == "chosen" else "chosen"
    same = (pl.col("output") == row.output) & (pl.col("row") == row.row)
    partner = rows_of(version / USED, _Used, same & (pl.col("side") == other))
    against = f"{partner[0].source}:{partner[0].line}" if partner else ""
    return Used(line, row.output, output_line, row.side, against)
