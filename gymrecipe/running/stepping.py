"""Stepping: what one step of a plan makes of the rows that it takes."""

from __future__ import annotations

from typing import Any

import msgspec

from gymrecipe.experiments import fates
from gymrecipe.lazy_polars import pl
from gymrecipe.planning.plan import Plan
from gymrecipe.planning.steps import Step
from gymrecipe.registry import is_ours
from gymrecipe.rollouts.frames import LARGE_ROWS, Spill
from gymrecipe.rollouts.lookup import looked_up
from gymrecipe.rollouts.table import Table
from gymrecipe.running.calling import call, naming_what_is_missing, resolve
from gymrecipe.running.plugin_faults import blaming, check_columns, check_rows
from gymrecipe.running.stage_result import StageResult, narrow
from gymrecipe.stages.checks import Told
from gymrecipe.stages.filter import Filter


class Stepped(msgspec.Struct, frozen=True):
    """What a step made of its rows: those that stay (`result`) and those that leave, each with its
    `reason`. `params` are its parameters with quantiles as numbers, `facts` its own.
    """

    params: Any
    result: StageResult
    left: pl.DataFrame
    facts: Told
    warnings: list[str]


def all_rollouts(table: Table) -> StageResult:
    """What a load takes: the rows of the table."""
    return StageResult(table.rows, tuple(table.rows.columns))


def run_step(
    plan: Plan, step: Step, rows: StageResult, facts: Told, table: Table, spill: Spill
) -> Stepped:
    """Run the stage of a step on its rows and the facts of the stages above. What a load makes are
    the rows of the table from then on.
    """
    wide = rows.wide(table.rows)
    with naming_what_is_missing(plan, step, wide):
        params, resolved = resolve(step, wide)
    of = _figures_of(step, rows)
    metrics = table.metric_rows.lazy()
    if step.stage.reads == "metrics" and of is not None:
        there = pl.repeat(False, table.rows.height, eager=True).scatter(of, True)
        metrics = metrics.filter(looked_up(there, pl.col("row")))
    with blaming(step), naming_what_is_missing(plan, step, wide):
        frame, tables = call(step, params, wide, facts, metrics)
        names = frame.collect_schema().names()
    held = _held(step, frame, rows, table)
    # A filter looks at each row alone; in memory, the reasons it may give take 140 bytes a row.
    streams = isinstance(params, Filter) and rows.held.height >= LARGE_ROWS
    # Together, so that what the frame and its facts share is computed once.
    with blaming(step):
        made, *told = pl.collect_all(
            [held, *tables.values()], engine="streaming" if streams else "auto"
        )
    made = spill(made)
    check_rows(step, rows.held, made)
    check_columns(step, wide, made)
    kept, left = _parted(step, made, table)
    own: Told = {name: found.to_dicts() for name, found in zip(tables, told, strict=True)}
    if resolved:
        own["resolved"] = resolved
    warnings = [f"{step.name}: {row['message']}" for row in own.pop("warnings", [])]
    named = tuple(name for name in names if name != "reason")
    return Stepped(params, StageResult(spill(kept), named, of), left, own, warnings)


def _figures_of(step: Step, rows: StageResult) -> pl.Series | None:
    """The rollouts whose figures a step reads, makes, or was given."""
    if step.takes == "metrics":
        return rows.figures_of
    return fates.rollouts_of(rows.held) if "metrics" in (step.stage.reads, step.makes) else None


def _held(step: Step, frame: pl.LazyFrame, rows: StageResult, table: Table) -> pl.LazyFrame:
    """What a step makes, as far as that has to be held."""
    # What a stage of a plugin makes of the rollouts' columns is not known.
    whole = step.source is None or not is_ours(step.stage)
    names = frame.collect_schema().names() if whole else narrow(frame, rows, table.rows)
    reason = pl.col("reason").cast(pl.Categorical())
    return frame.select(reason if name == "reason" else name for name in names)


def _parted(step: Step, made: pl.DataFrame, table: Table) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that stay, and those that leave."""
    if "reason" not in made.columns:
        made = made.with_columns(reason=pl.lit(None, pl.Categorical()))
    if step.source is None:
        # From here on the rollouts are here once, and the rows only say which they are.
        table.rows = made.drop("reason")
        made = made.select("row", "reason")
    left = made.filter(pl.col("reason").is_not_null())
    # A filter copies every column, and most stages keep every row.
    kept = made.filter(pl.col("reason").is_null()) if left.height else made
    return kept.drop("reason"), left
