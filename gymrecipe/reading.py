"""Reading: the rollout table that a plan asks for."""

from __future__ import annotations

from pathlib import Path

from gymrecipe.beside import paths_written
from gymrecipe.formats.custom import parts
from gymrecipe.plan import Plan
from gymrecipe.progress import Progress
from gymrecipe.reads import places
from gymrecipe.rollouts.columns import parse_path
from gymrecipe.rollouts.engine import Map
from gymrecipe.rollouts.files import Source
from gymrecipe.rollouts.frames import give_back
from gymrecipe.rollouts.inputs import read_inputs, with_inputs
from gymrecipe.rollouts.table import Read, Table, read_table
from gymrecipe.rollouts.wanted import Wanted
from gymrecipe.stages.write import Write


def read(
    plan: Plan,
    files: list[Source],
    inputs: list[Source],
    engine: Map,
    progress: Progress,
    unread: frozenset[str] = frozenset(),
    cache: Path | None = None,
) -> Table:
    """The rollout table of the files, but for columns that nothing reads, with the places of the
    tasks' input rows. What an earlier run left of it in `cache` is not read again.
    """
    progress.begin("reading", sum(file.size for file in files), "bytes")
    table = read_table(files, wanted(plan, unread), engine, progress.advance, cache)
    progress.end()
    if found := [read_inputs(source) for source in inputs]:
        table.rows = with_inputs(table.rows, found, len(files))
        table.inputs = [Read(each.lines, each.length, each.digest) for each in found]
    give_back()
    return table


def wanted(plan: Plan, unread: frozenset[str]) -> Wanted:
    """What the plan asks of the scan."""
    load = plan.load
    by_path = load.group_by not in ("auto", "consecutive")
    grouping = {"place": load.group_by == "consecutive", "group_value": by_path}
    return Wanted(
        columns=plan.columns,
        present=tuple(dict.fromkeys(path for _, path in paths_written(plan.steps, plan.named))),
        reward=parse_path(load.reward),
        task_fields=tuple(parse_path(name) for name in load.task_fields),
        group_by=parse_path(load.group_by) if by_path else None,
        metric_rows=any(step.stage.reads == "metrics" for step in plan.steps),
        limit=load.limit,
        max_bad_rows=load.max_bad_rows,
        unread=unread.union(name for name, used in grouping.items() if not used),
        places=places(plan.steps, plan.named),
        names=tuple(
            name
            for step in plan.steps
            if isinstance(step.params, Write) and step.params.format == "custom"
            for name in parts(step.takes == "pairs")
        ),
    )
