"""Explain: what became of one input line in a version, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from gymrecipe.errors import InputError, RecipeError, hint
from gymrecipe.experiments import manifest
from gymrecipe.experiments.fates import REJECTS, USED
from gymrecipe.rollouts.lines import BAD_LINE
from gymrecipe.rollouts.messages import UNUSABLE
from gymrecipe.stages.pair import FATES

MEANINGS = {
    **BAD_LINE,
    **UNUSABLE,
    **FATES,
    "partner_rejected": "the other side of its pair could not be written",
    "over_quota": "its group had as many rows as balance allows",
    "over_limit_tasks": "its task is beyond limit_tasks",
    "not_sampled": "not drawn in its band",
    "duplicate": "another rollout is the same",
    "where": "the expression `where` does not hold",
    "truncated": "cut off by a token limit",
    "failed": "the run broke: an error or a failure class is recorded",
    "masked": "marked `mask_sample`: not to be trained on",
    "empty": "neither text nor a tool call came back",
    "no_success": "its field `success` is not true",
    "no_tool_usage": "it calls no tool",
}
"""Each reason in words; those with a name in them are in `meaning`."""


def meaning(reason: str) -> str:
    """A reason in words."""
    for prefix, words in (
        ("missing_", "it has no value for"),
        ("below_min_", "below the least allowed"),
        ("above_max_", "above the most allowed"),
    ):
        if reason.startswith(prefix):
            return f"{words} {reason.removeprefix(prefix)}"
    return MEANINGS.get(reason, "")


def explain(version: Path, line: str) -> list[str]:
    """Sentences about the line `file:number`: where it was used, or which stage rejected it.

    Raises InputError where the version did not read such a line.
    """
    record = manifest.read(version)
    name, _, number = line.rpartition(":")
    if not name or not number.isdigit():
        raise RecipeError(f"{line}: not a line. Write file:number, such as rollouts.jsonl:17.")
    paths = [file.path for file in record.inputs]
    near = [path for path in paths if path == name or Path(path).name == Path(name).name]
    exact = [path for path in near if path == name] or near
    if not exact:
        raise InputError(f"{name}: not an input of {version}.{hint(name, paths)}")
    if len(exact) > 1:
        raise InputError(f"{name}: several inputs have this name: {', '.join(exact)}.")
    at = (pl.col("source") == exact[0]) & (pl.col("line") == int(number))
    rejected = pl.scan_parquet(version / REJECTS).filter(at).collect().to_dicts()
    if rejected:
        return [_rejection(record, f"{exact[0]}:{number}", row) for row in rejected]
    used = pl.scan_parquet(version / USED).filter(at).collect().to_dicts()
    if not used:
        lines = next(file.lines for file in record.inputs if file.path == exact[0])
        raise InputError(f"{exact[0]}: {version} read {lines} lines of it, not line {number}.")
    return [_use(version, f"{exact[0]}:{number}", row) for row in used]


def _rejection(record: manifest.Manifest, line: str, row: dict[str, Any]) -> str:
    stage = next(stage for stage in record.stages if stage.name == row["stage"])
    given = {
        name: value
        for name, value in stage.parameters.items()
        if name != "use" and value not in (None, False, [], {})
    }
    words = meaning(row["reason"])
    said = f"{line}: rejected by stage '{row['stage']}': {row['reason']}"
    said += f" ({words})." if words else "."
    if stage.use in ("filter", "pair", "balance", "sample", "dedup"):
        said += " Its parameters: " + ", ".join(f"{k}={v}" for k, v in given.items()) + "."
    return said


def _use(version: Path, line: str, row: dict[str, Any]) -> str:
    where = row["output"] if row["row"] is None else f"{row['output']}:{row['row'] + 1}"
    if not row["side"]:
        return f"{line}: used in {where}."
    other = "rejected" if row["side"] == "chosen" else "chosen"
    partner = (
        pl.scan_parquet(version / USED)
        .filter(
            (pl.col("output") == row["output"])
            & (pl.col("row") == row["row"])
            & (pl.col("side") == other)
        )
        .collect()
        .to_dicts()
    )
    beside = f", held against {partner[0]['source']}:{partner[0]['line']}" if partner else ""
    return f"{line}: used in {where} as the {row['side']} side{beside}."
