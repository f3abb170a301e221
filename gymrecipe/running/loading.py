"""Loading: the rollout table that a plan asks for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from gymrecipe.formats.custom import parts
from gymrecipe.parameters import Reads, marked
from gymrecipe.planning.extra_columns import paths_written
from gymrecipe.planning.plan import Plan
from gymrecipe.planning.reads import expressions, places
from gymrecipe.planning.steps import Step
from gymrecipe.rollouts.columns import MADE, PAIR_COLUMNS, name_of, parse_path
from gymrecipe.rollouts.engine import Map
from gymrecipe.rollouts.files import Source
from gymrecipe.rollouts.frames import Spill, give_back, unspilled
from gymrecipe.rollouts.inputs import read_inputs, with_inputs
from gymrecipe.rollouts.table import Read, Table, read_table
from gymrecipe.rollouts.wanted import Wanted
from gymrecipe.running.progress import Progress
from gymrecipe.stages.write import Write


def read(
    plan: Plan,
    files: list[Source],
    inputs: list[Source],
    engine: Map,
    progress: Progress,
    unread: frozenset[str] = frozenset(),
    cache: Path | None = None,
    spill: Spill = unspilled,
) -> Table:
    """The rollout table of the files, but for columns that nothing reads, with the places of the
    tasks' input rows. What an earlier run left of it in `cache` is not read again.
    """
    progress.begin("reading", sum(file.size for file in files), "bytes")
    table = read_table(files, wanted(plan, unread), engine, progress.advance, cache, spill)
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
    written = [path for _, path in paths_written(plan.steps, plan.named)]
    told = {*map(name_of, written), *(column.name for column in plan.columns)}
    hoped = {
        place: tuple(path for path in paths if name_of(path) not in told)
        for place, paths in plan.hoped.items()
    }
    return Wanted(
        columns=plan.columns,
        present=tuple(dict.fromkeys([*written, *chain(*hoped.values())])),
        reward=parse_path(load.reward),
        task_fields=tuple(parse_path(name) for name in load.task_fields),
        group_by=parse_path(load.group_by) if by_path else None,
        metric_rows=any(step.stage.reads == "metrics" for step in plan.steps),
        limit=load.limit,
        max_bad_rows=load.max_bad_rows,
        unread=unread.union(name for name, used in grouping.items() if not used),
        places={
            name: _origin(plan, name, place)
            for name, place in places(plan.steps, plan.named).items()
        },
        given={
            plan.origins.get(place, place): text for place, text in expressions(plan.steps).items()
        },
        reward_at=plan.origins.get(f"stages.{plan.steps[0].name}.reward", "reward"),
        hoped=hoped,
        names=tuple(dict.fromkeys(name for step in plan.steps for name in _others(step))),
    )


def _origin(plan: Plan, name: str, place: str) -> str:
    """Where an error says that a column is asked for; one with a default is no error, but noted in
    the manifest, whose reader does not have the command line.
    """
    named = plan.named.get(name)
    return place if named and named.default is not None else plan.origins.get(place, place)


def _others(step: Step) -> Iterator[str]:
    """What may be named beside the fields of a line, because of a step."""
    yield from MADE.get(step.stage.name, ())
    for _, _, mark in marked(step.params, Reads):
        yield from mark.other_than
    if step.takes == "pairs":
        yield from PAIR_COLUMNS
    if isinstance(step.params, Write) and step.params.format == "custom":
        yield from parts(step.purpose)
