"""Calling: a stage called on its rows, and what is said where a column is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gymrecipe.errors import DataError, RecipeError, hint
from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import QUANTILE, Of, marked
from gymrecipe.planning.plan import Plan
from gymrecipe.planning.steps import Step
from gymrecipe.registry import Facts
from gymrecipe.rollouts.columns import SIDES, split_side
from gymrecipe.rollouts.figures import quantile
from gymrecipe.running.plugin_faults import frame_and_facts, parts_of_plugins
from gymrecipe.stages.checks import Told

GIVEN = ("group", "chosen_place", "rejected_place")
"""The columns that a strategy gives."""


class MissingColumn(RecipeError):
    """A step needs a column that its rows lack: `column`, of a pair without the side in front."""

    column = ""


@contextmanager
def naming_what_is_missing(plan: Plan, step: Step, rows: pl.LazyFrame) -> Iterator[None]:
    """Raises MissingColumn, which lists the columns that there are, in place of Polars' error."""
    try:
        yield
    except pl.exceptions.ColumnNotFoundError as error:
        names = rows.collect_schema().names()
        takes = step.takes or "rollouts"
        quoted = re.search(r'"([^"]+)"', str(error))
        missing = quoted[1] if quoted else str(error).splitlines()[0]
        if missing in GIVEN and (strategy := dict(parts_of_plugins(step)).get("strategy")):
            raise RecipeError(
                f"stages.{step.name}: {strategy} gives no column '{missing}'. It has to give"
                f" {', '.join(GIVEN)}."
            ) from None
        place = f"stages.{step.name}"
        problem = MissingColumn(
            f"{plan.origins.get(place, place)}: needs the column '{missing}', which"
            f" {takes} do not have. They have {_listed(names)}.{hint(missing, names)}"
        )
        _, problem.column = split_side(missing)
        raise problem from None


def _listed(names: list[str]) -> str:
    """The columns that there are; what both sides of a pair have is named once."""
    own = [name for name in names if not split_side(name)[0]]
    of_sides = [rest for side, rest in map(split_side, names) if side == SIDES[0]]
    sides = f", and chosen_… and rejected_… of {', '.join(of_sides)}" if of_sides else ""
    return f"{', '.join(own)}{sides}"


def in_memory() -> pl.Config:
    """For a `with`: Polars' in-memory engine answers what is asked in it.

    The streaming one takes 2 ms longer for each of a dozen small queries, and no less memory for
    large ones: what is asked for is mostly a column or two.
    """
    return pl.Config(engine_affinity="in-memory")


def call(
    step: Step, params: Any, rows: pl.LazyFrame, facts: Told, metrics: pl.LazyFrame
) -> tuple[pl.LazyFrame, Facts]:
    """What a stage makes of its rows, and its facts by name."""
    frame = metrics if step.stage.reads == "metrics" else rows
    more = (facts,) if step.stage.reads == "facts" else ()
    return frame_and_facts(step, step.stage.function(frame, params, *more))


def quantiles(step: Step) -> dict[str, tuple[str, str]]:
    """The parameters given as quantiles: their text, and the column that resolves them."""
    return {
        name: (value, mark.column or getattr(step.params, mark.parameter))
        for name, value, mark in marked(step.params, Of)
        if isinstance(value, str) and QUANTILE.fullmatch(value)
    }


def resolve(step: Step, rows: pl.LazyFrame) -> tuple[Any, list[dict[str, Any]]]:
    """The parameters with their quantiles as numbers, and what became what."""
    said = []
    for name, (text, column) in quantiles(step).items():
        value = quantile(rows.select(column).collect().to_series(), float(text[1:]))
        if value is None:
            raise DataError(f"stages.{step.name}.{name}: {text} of '{column}': no row has a value.")
        said.append({"parameter": name, "asked": text, "resolved": value})
    numbers = {str(row["parameter"]): row["resolved"] for row in said}
    return step.params.model_copy(update=numbers), said
