"""Lookup: columns of the rollouts, looked up by which rollouts are meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gymrecipe.lazy_polars import pl


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


def together(sizes: Iterable[tuple[str, int]], most: int) -> Iterator[list[str]]:
    """Names of groups, by their sizes, in lists: those of a list have at most so many rows, or it
    is a single one that has more. To look through all rows for each group would take as many looks
    as there are rows and groups.
    """
    names: list[str] = []
    held = 0
    for name, size in sizes:
        if names and held + size > most:
            yield names
            names, held = [], 0
        names.append(name)
        held += size
    if names:
        yield names
