"""Rehearsal: the stages run on empty tables, before a byte is read."""

from __future__ import annotations

import re

from gymrecipe.experiments.statistics import FIGURES
from gymrecipe.lazy_polars import pl
from gymrecipe.planning.plan import Plan
from gymrecipe.planning.steps import writes_of
from gymrecipe.registry import PLUGINS
from gymrecipe.rollouts.columns import split_side
from gymrecipe.rollouts.frames import empty_rows, no_metrics
from gymrecipe.running.calling import (
    MissingColumn,
    call,
    in_memory,
    naming_what_is_missing,
    quantiles,
)
from gymrecipe.running.loading import wanted
from gymrecipe.running.plugin_faults import blaming
from gymrecipe.stages.checks import Told

REHEARSED_BYTES = 64 * 2**20
"""Inputs of fewer bytes are read in a tenth of a second; a rehearsal takes a fortieth."""

RARE = ("turns", "output_items", "tool_calls", "output_tokens", "model", "agent")
"""Columns that few recipes read, and that the table does without in the others."""


def rehearse(plan: Plan) -> frozenset[str]:
    """Run the stages on empty tables, so that a missing column is found before a byte is read.

    Gives the columns that a run can do without.
    """
    spare = frozenset() if PLUGINS else frozenset(RARE) - _mentioned(plan)
    while True:
        try:
            with in_memory():
                _rehearse(plan, spare)
            return spare
        except MissingColumn as error:
            if error.column not in spare:
                raise
            spare -= {error.column}


def _mentioned(plan: Plan) -> set[str]:
    """The columns that the steps may read: every word of their parameters, and what the figures of
    their writes describe.
    """
    values = [list(step.params.model_dump().values()) for step in plan.steps]
    words = set(re.findall(r"[a-z]\w*", repr(values)))
    written = writes_of(plan.steps)
    figures = {column for step in written for column in FIGURES.get(step.takes, {}).values()}
    return {split_side(name)[1] for name in words | figures}


def _rehearse(plan: Plan, spare: frozenset[str]) -> None:
    frames: dict[str, pl.LazyFrame] = {}
    facts: Told = {}
    for step in plan.steps:
        rows = (
            empty_rows(wanted(plan, spare)).with_row_index("row").lazy()
            if step.source is None
            else frames[step.source]
        )
        params = step.params.model_copy(update=dict.fromkeys(quantiles(step), 0.0))
        with blaming(step), naming_what_is_missing(plan, step, rows):
            frame, _ = call(step, params, rows, facts, no_metrics().lazy())
            schema = dict(frame.collect_schema())
        schema.pop("reason", None)
        frames[step.name] = pl.LazyFrame(schema=schema)
