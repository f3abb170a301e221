"""From manifest: the plan of a version, from its manifest alone, and the rollouts behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gymrecipe.errors import ChangedError, DataError, InputError, RecipeError, ToolsError
from gymrecipe.experiments import inputs
from gymrecipe.experiments.manifest import Manifest, StageRecord
from gymrecipe.planning import plan
from gymrecipe.planning.plan import Plan
from gymrecipe.planning.settings import Settings
from gymrecipe.recipe.composing import HERE
from gymrecipe.rollouts.engine import Map
from gymrecipe.rollouts.files import Source
from gymrecipe.rollouts.frames import Spill
from gymrecipe.rollouts.table import Table
from gymrecipe.running.loading import read
from gymrecipe.running.progress import Progress


def rebuilt(record: Manifest) -> Plan:
    """The plan of a version. Raises ToolsError where it asks for what is not here."""
    if [stage.use for stage in record.stages[:1]] != ["load"]:
        raise DataError(
            f"{record.name}/{record.version}: its manifest begins with no stage that loads. See"
            " what `verify` says of it."
        )
    steps = [
        (stage.name, stage.use, stage.source or None, _here(stage, record))
        for stage in record.stages
    ]
    try:
        return plan.rebuild(record.parameters, steps, Settings(name=record.name))
    except (ValidationError, KeyError) as error:
        said = _first(error) if isinstance(error, ValidationError) else str(error)
        raise ToolsError(
            f"{record.name}/{record.version}: its manifest asks for what is not here: {said}. Is a"
            " plugin missing (--plugin), or was it made by another gymrecipe?"
        ) from None


def _first(error: ValidationError) -> str:
    """The first thing that is wrong with parameters: which, and why."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _here(stage: StageRecord, record: Manifest) -> dict[str, Any]:
    """The parameters of a stage; of one that renders, with paths that lead to its template now."""
    if stage.parameters.get("format") != "rendered":
        return stage.parameters
    named = {name: stage.parameters[name] for name in HERE if stage.parameters.get(name)}
    return stage.parameters | {name: inputs.now_at(path, record) for name, path in named.items()}


def read_again(
    version: Path,
    record: Manifest,
    plan: Plan,
    files: list[Source],
    engine: Map,
    progress: Progress,
    spill: Spill,
    cache: Path | None = None,
) -> Table:
    """The rollouts of a version, from its inputs as they were found again.

    Raises ChangedError for an input that is not what it was.
    """
    rollouts = len(record.rollouts)
    try:
        table = read(
            plan, files[:rollouts], files[rollouts:], engine, progress, cache=cache, spill=spill
        )
    except (DataError, InputError, RecipeError):
        _check_inputs(version, record, files)  # what was said may be of other bytes
        raise
    for file, found in zip(record.inputs, [*table.read, *table.inputs], strict=True):
        if found.digest != file.digest:
            raise ChangedError(f"{file.path}: not what it was when {version} was made.")
    return table


def _check_inputs(version: Path, record: Manifest, files: list[Source]) -> None:
    """Raise ChangedError for an input that is another one, as far as any of it was read."""
    for file, source in zip(record.inputs, files, strict=True):
        if file.bytes:
            inputs.check_same(source, file, version)
