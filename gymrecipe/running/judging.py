"""Judging: what is said of figures that do not keep the limits of their checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gymrecipe.lazy_polars import pl
from gymrecipe.planning.steps import Step
from gymrecipe.registry import CHECKS
from gymrecipe.rollouts.columns import ROWS
from gymrecipe.rollouts.figures import told_apart
from gymrecipe.stages.checks import Told
from gymrecipe.stages.validate import Validate, result

COUNTS = {"rows", "labels", "label_ratio"}
"""The checks whose figure changes when a row cannot be written."""

Judgement = tuple[str, str]
"""The level of a check that fails (`warn` or `stop`), and a sentence about it."""


def judged(stage: str, checks: list[dict[str, Any]]) -> Iterator[Judgement]:
    """What is said of each check that fails."""
    for row in checks:
        if row["ok"]:
            continue
        figure, least, most = row["figure"], row["min"], row["max"]
        bound, limit = ("most", most) if least is None or figure >= least else ("least", least)
        shown = told_apart(_short, figure, limit)
        yield (
            row["level"],
            f"{stage}: {row['check']} is {shown(figure)}, should be at {bound} {shown(limit)}."
            f" {CHECKS[row['check']].advice}",
        )


def counted(rows: pl.LazyFrame) -> pl.DataFrame:
    """Which rows were checked, and what the checks in COUNTS read of them."""
    names = rows.collect_schema().names()
    return rows.select(name for name in (*ROWS, "label") if name in names).collect()


def judged_again(
    step: Step,
    came: pl.DataFrame,
    written: pl.DataFrame,
    checked: dict[str, pl.DataFrame],
    facts: dict[str, Told],
) -> Iterator[Judgement]:
    """As `judged`, for the checks above a write that count rows and held, of those rows that did
    not get lost in it. `checked` has the rows of each stage that checks (see `counted`).
    """
    if written.height == came.height:
        return
    by = [name for name in ROWS if name in came.columns]
    lost = came.select(by).join(written.select(by), on=by, how="anti")
    for above in step.above:
        if above.name not in checked or above.takes != step.takes:
            continue
        assert isinstance(above.params, Validate)
        left, limits = checked[above.name].join(lost, on=by, how="anti"), above.params.limits()
        for row in facts[above.name]["checks"]:
            if row["check"] in COUNTS and row["ok"]:
                figure = CHECKS[row["check"]].function(left, {}, None, None)
                again = result(row["check"], figure, limits[row["check"]])
                yield from judged(step.name, [again])


def _short(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"
