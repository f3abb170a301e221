"""Lookup: columns of the rollouts, each there only while it is looked at."""

from __future__ import annotations

from gymrecipe.late import pl


def column(rollouts: pl.LazyFrame, name: str | pl.Expr) -> pl.Series:
    """One column of the rollouts, or what an expression makes of them."""
    return rollouts.select(name).collect().to_series()


def gathered(rollouts: pl.LazyFrame, name: str, at: str) -> pl.Expr:
    """A column of the rollouts at these places, which is looked up only if something reads it."""

    def looked_up(places: pl.Series) -> pl.Series:
        return column(rollouts, name)[places]

    dtype = rollouts.collect_schema()[name]
    return pl.col(at).map_batches(looked_up, return_dtype=dtype)
