"""Judging: what is said of figures that do not keep the limits of their checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gymrecipe.late import pl
from gymrecipe.registry import CHECKS
from gymrecipe.rollouts.columns import ROWS
from gymrecipe.stages.validate import Validate, result

COUNTS = ("rows", "labels", "label_ratio")
"""The checks whose figure changes when a row cannot be written."""


def judged(stage: str, checks: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """The level (`warn` or `stop`) of each check that fails, and a sentence about it."""
    for row in checks:
        if row["ok"]:
            continue
        low = row["min"] is not None and row["figure"] < row["min"]
        figure, limit = _told_apart(row["figure"], row["min" if low else "max"])
        yield (
            row["level"],
            f"{stage}: {row['check']} is {figure}, should be at {'least' if low else 'most'}"
            f" {limit}. {CHECKS[row['check']].advice}",
        )


def counted(rows: pl.LazyFrame) -> pl.DataFrame:
    """Which rows were checked, and what the checks in COUNTS read of them."""
    names = rows.collect_schema().names()
    return rows.select(name for name in (*ROWS, "label") if name in names).collect()


def judged_again(
    stage: str, params: Validate, checks: list[dict[str, Any]], left: pl.DataFrame
) -> Iterator[tuple[str, str]]:
    """As `judged`, for the checks that count rows and held, of the rows that are `left` now."""
    limits = params.limits()
    for row in checks:
        if row["check"] in COUNTS and row["ok"]:
            figure = CHECKS[row["check"]].function(left, {}, None, None)
            yield from judged(stage, [result(row["check"], figure, limits[row["check"]])])


def _told_apart(figure: float, limit: float) -> tuple[str, str]:
    """A figure and the limit that it does not keep: short, unless they would look the same."""
    short = _short(figure), _short(limit)
    return short if short[0] != short[1] else (repr(figure), repr(limit))


def _short(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"
