"""Aggregate: count, mean, sample std, min and max of every numeric field."""

from __future__ import annotations

from typing import Literal

from gymrecipe.late import pl
from gymrecipe.parameters import Params
from gymrecipe.registry import Facts, stage
from gymrecipe.rollouts.figures import mean, std
from gymrecipe.rollouts.places import column


class Aggregate(Params):
    """Aggregation has no settings: every top-level number and boolean is a metric."""

    use: Literal["aggregate"] = "aggregate"


@stage(takes="rollouts", makes="metrics", version=1, reads="metrics")
def aggregate(values: pl.LazyFrame, params: Aggregate) -> tuple[pl.LazyFrame, Facts]:
    """Count, mean, sample std, min and max of every top-level numeric field, a row each.

    Booleans count as 0 and 1; fields that begin with `_` are bookkeeping and left out. A mean is
    over the rollouts that have the field, and `count` says how many those are.
    """
    # One metric at a time: of millions of rollouts the values of all would be here twice.
    names = pl.col("metric").unique().cast(pl.String).sort()
    rows = []
    for name in column(values, names):
        series = column(values.filter(pl.col("metric") == name), "value")
        rows.append(
            {
                "metric": name,
                "count": len(series),
                "mean": mean(series),
                "std": std(series),
                "min": series.min(),
                "max": series.max(),
            }
        )
    schema = {
        "metric": pl.String, "count": pl.Int64, "mean": pl.Float64, "std": pl.Float64,
        "min": pl.Float64, "max": pl.Float64,
    }  # fmt: skip
    table = pl.LazyFrame(rows, schema=schema)
    return table, {"metrics": table}
