"""Figures of a column, computed the same way wherever they are needed.

Sums are exact before they are rounded (`math.fsum`), so no order of threads changes a digit;
quantiles are nearest-rank values of the column itself. And how one is shown beside its limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import TOLERANCE

QUANTILES = (0, 10, 25, 50, 75, 90, 100)


def total(values: Iterable[float]) -> float:
    """The exact sum, rounded once; infinite where it is beyond every float.

    The values are gone over twice if need be, so an iterator will not do.
    """
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):
        return sum(values)


def mean(values: pl.Series) -> float | None:
    """The mean of the values that are there; None without any."""
    return _mean(values.drop_nulls())


def std(values: pl.Series) -> float | None:
    """The sample standard deviation (n - 1); None for fewer than two values."""
    return _std(values.drop_nulls())


def quantile(values: pl.Series, percent: float) -> float | None:
    """The nearest-rank quantile: the smallest value that at least `percent` % do not exceed."""
    return _quantile(values.drop_nulls().sort(), percent)


def repeated(values: pl.Series) -> pl.Series:
    """The values that are there more than once. By sorting: that takes less memory than a group for
    each value.
    """
    ordered = values.sort()
    return ordered[1:].filter(ordered[1:] == ordered[:-1]).unique()


def distinct(ordered: pl.Series) -> int:
    """How many of the values, which rise, are different: by more than what sums are rounded by."""
    return int((ordered.diff() > TOLERANCE).sum()) + bool(len(ordered))


def describe(values: pl.Series) -> dict[str, float | int | None]:
    """n, missing, distinct values, mean, sample std, and the quantiles p0 (least) to p100."""
    present = values.drop_nulls().sort()
    figures: dict[str, float | int | None] = {
        "n": len(present),
        "missing": len(values) - len(present),
        "distinct": distinct(present),
        "mean": _mean(present),
        "std": _std(present),
    }
    return figures | {f"p{percent}": _quantile(present, percent) for percent in QUANTILES}


def told_apart(short: Callable[[Any], str], figure: Any, *limits: Any) -> Callable[[Any], str]:
    """How to show a figure and the limits that it does not keep: short, or in full where it would
    look like one of them.
    """
    return repr if short(figure) in map(short, limits) else short


def _mean(present: pl.Series) -> float | None:
    return total(present) / len(present) if len(present) else None


def _std(present: pl.Series) -> float | None:
    if len(present) < 2:
        return None
    off = present.cast(pl.Float64) - total(present) / len(present)
    return math.sqrt(total(off * off) / (len(present) - 1))


def _quantile(ordered: pl.Series, percent: float) -> float | None:
    if not len(ordered):
        return None
    # In whole millionths of a percent, for 0.07 * 100 / 100 is not 0.07.
    rank = -(-round(percent * 1_000_000) * len(ordered) // 100_000_000)
    return float(ordered[max(rank, 1) - 1])
