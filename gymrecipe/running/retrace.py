"""Retrace: what became of a line, with the values by which it was rejected.

The rollouts are read again, from what is kept of their scan where that is there, and the stages up
to the one that rejected the line run again: what it was judged by is then what that stage sees.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from gymrecipe.engines.local import default_workers, local
from gymrecipe.errors import DataError, GymrecipeError
from gymrecipe.experiments import explain as lines
from gymrecipe.experiments import fates, folders, inputs, manifest
from gymrecipe.experiments.explain import Rejected, Used
from gymrecipe.experiments.manifest import Manifest
from gymrecipe.experiments.mapped import mapping
from gymrecipe.lazy_polars import pl
from gymrecipe.rollouts.cache_folder import FOLDER
from gymrecipe.rollouts.files import Source
from gymrecipe.rollouts.table import Table
from gymrecipe.running.calling import in_memory
from gymrecipe.running.from_manifest import read_again, rebuilt
from gymrecipe.running.progress import SILENT, Progress
from gymrecipe.running.stepping import all_rollouts, run_step
from gymrecipe.stages.checks import Told
from gymrecipe.stages.evidence import Evidence, can_be_told, evidence


def explain(
    version: Path, line: str, progress: Progress = SILENT, values: bool = True
) -> list[Rejected | Used]:
    """What became of the line `file:number`; with the `values` by which it was rejected, or why
    they cannot be told.

    Raises InputError where the version did not read such a line.
    """
    found = lines.explain(version, line)
    record = manifest.read(version)
    use = {stage.name: stage.use for stage in record.stages}
    for place, each in enumerate(found if values else ()):
        if isinstance(each, Rejected) and can_be_told(use[each.stage], each.reason):
            found[place] = _with_evidence(version, record, each, progress)
    return found


def _with_evidence(
    version: Path, record: Manifest, rejected: Rejected, progress: Progress
) -> Rejected:
    try:
        told = _evidence(version, record, rejected, progress)
    except GymrecipeError as error:
        return msgspec.structs.replace(rejected, untold=str(error))
    return msgspec.structs.replace(rejected, evidence=told)


def _evidence(
    version: Path, record: Manifest, rejected: Rejected, progress: Progress
) -> list[Evidence]:
    plan = rebuilt(record)
    step = next(step for step in plan.steps if step.name == rejected.stage)
    files = [inputs.found(file, record) for file in record.inputs]
    with in_memory(), local(default_workers()) as engine, folders.scratch() as staged:
        spill, cache = mapping(staged), _kept(version, record)
        table = read_again(version, record, plan, files, engine, progress, spill, cache)
        row = _row(table, files, rejected.line)
        rows, facts = all_rollouts(table), Told()
        for each in (*reversed(step.above), step):
            entered = rows.wide(table.rows)
            made = run_step(plan, each, rows, facts, table, spill)
            rows, facts = made.result, facts | made.facts
        gone = fates.leaving(made.left, 0).filter(pl.col("row") == row)["reason"]
        if rejected.reason not in gone.cast(pl.String):
            raise DataError(f"stages.{step.name}: does not reject it now as it did then.")
        where = table.rows.select("source", "line")

        def line(row: int) -> str:
            source, number = where.row(row)
            return f"{files[source].name}:{number}"

        return evidence(entered, made.params, rejected.reason, row, line)


def _row(table: Table, files: list[Source], line: str) -> int:
    """Which rollout of the table a line is. Raises DataError for one that is none."""
    name, _, number = line.rpartition(":")
    source = [file.name for file in files].index(name)
    at = (pl.col("source") == source) & (pl.col("line") == int(number))
    for row in table.rows.filter(at)["row"]:
        return int(row)
    raise DataError(f"{line}: no rollout now, as it was then.")


def _kept(version: Path, record: Manifest) -> Path | None:
    """The folder in which the run kept scans of its inputs, if it is there."""
    given = record.parameters.get("cache_dir")
    folder = Path(record.environment.folder, given) if given else None
    folder = folder or version.resolve().parent.parent / FOLDER
    return folder if record.parameters.get("cache", True) and folder.is_dir() else None
