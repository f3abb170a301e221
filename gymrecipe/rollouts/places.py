"""Places: columns of the rollouts, looked up by which rollouts are meant."""

from __future__ import annotations

from gymrecipe.late import pl


def looked_up(values: pl.Series, at: pl.Expr) -> pl.Expr:
    """The values at these places. By index, for `gather` is a query of its own in Polars 2."""
    return at.map_batches(lambda at: values[at], values.dtype, is_elementwise=True)


def column(rollouts: pl.LazyFrame, name: str | pl.Expr) -> pl.Series:
    """One column of the rollouts, or what an expression makes of them."""
    return rollouts.select(name).collect().to_series()


def gathered(rollouts: pl.LazyFrame, name: str, at: str) -> pl.Expr:
    """A column of the rollouts at these places. It is collected only if something reads it, and
    let go of then: of millions of rollouts not all columns are in memory at a time.
    """

    def values(places: pl.Series) -> pl.Series:
        return column(rollouts, name)[places]

    dtype = rollouts.collect_schema()[name]
    return pl.col(at).map_batches(values, return_dtype=dtype)
