"""Aggregate: count, mean, sample std, min and max of every numeric field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import Params
from gymrecipe.registry import Facts, stage
from gymrecipe.rollouts.figures import mean, std
from gymrecipe.rollouts.lookup import column, together

TOGETHER = 2**20
"""Of so many values the metrics are looked at together."""


class Aggregate(Params):
    """Aggregation has no settings: every top-level number and boolean is a metric."""

    use: Literal["aggregate"] = "aggregate"


@stage(takes="rollouts", makes="metrics", version=1, reads="metrics")
def aggregate(values: pl.LazyFrame, params: Aggregate) -> tuple[pl.LazyFrame, Facts]:
    """Count, mean, sample std, min and max of every top-level numeric field, a row each.

    Booleans count as 0 and 1; fields that begin with `_` are bookkeeping and left out. A mean is
    over the rollouts that have the field, and `count` says how many those are.
    """
    rows = []
    for name, series in _by_metric(values):
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


def _by_metric(values: pl.LazyFrame) -> Iterator[tuple[str, pl.Series]]:
    """The values of each metric, by name. Not all together: those of millions of rollouts would be
    here twice.
    """
    sizes = values.group_by("metric").len().sort("metric").collect()
    for names in together(sizes.iter_rows(), TOGETHER):
        found = values.filter(pl.col("metric").is_in(names))
        if len(names) == 1:
            yield names[0], column(found, "value")
            continue
        for each in found.sort("metric").collect().partition_by("metric", maintain_order=True):
            yield each["metric"][0], each["value"]
