"""Strategies: which of a task's ranked rollouts are held against each other.

Each takes the ranked rollouts (`group`, `place` from 0 for the best, `n` in the group, and from
`first` to before `end` the places that could be rejected for it), which stand group by group in the
order of their places, and gives `group`, `chosen_place` and `rejected_place`. Gaps, ties and caps
are the business of `pair`.
"""

from __future__ import annotations

from gymrecipe.lazy_polars import pl
from gymrecipe.registry import strategy


@strategy
def mirrored(ranked: pl.LazyFrame) -> pl.LazyFrame:
    """The i-th best with the i-th worst, each rollout at most once."""
    best = ranked.filter(pl.col("place") < pl.col("n") // 2)
    return best.select(
        "group", chosen_place="place", rejected_place=pl.col("n") - 1 - pl.col("place")
    )


@strategy
def best_vs_worst(ranked: pl.LazyFrame) -> pl.LazyFrame:
    """The best with the worst: one pair a task (SimPO, Magpie, Iterative RPO at K = 1)."""
    best = ranked.filter((pl.col("place") == 0) & (pl.col("n") > 1))
    return best.select("group", chosen_place="place", rejected_place=pl.col("n") - 1)


@strategy
def best_vs_second(ranked: pl.LazyFrame) -> pl.LazyFrame:
    """The best with the second best: one pair a task, with the smallest gap."""
    best = ranked.filter((pl.col("place") == 0) & (pl.col("n") > 1))
    return best.select("group", chosen_place="place", rejected_place=pl.col("place") + 1)


@strategy
def all(ranked: pl.LazyFrame) -> pl.LazyFrame:
    """Every better with every worse one: many, strongly correlated pairs; cap them."""
    worse = pl.int_ranges("first", "end", dtype=pl.Int32)
    every = ranked.select("group", chosen_place="place", rejected_place=worse)
    return every.explode("rejected_place", empty_as_null=False)


@strategy
def tiers(ranked: pl.LazyFrame) -> pl.LazyFrame:
    """The i-th best of the rollouts that are `high` with the i-th worst of those that are `low`."""
    high = ranked.filter("high").select(
        "group",
        chosen_place="place",
        nth=pl.int_range(pl.len()).over("group"),
    )
    low = ranked.filter("low").select(
        "group",
        rejected_place="place",
        nth=(pl.len() - 1 - pl.int_range(pl.len())).over("group"),
    )
    both = high.join(low, on=["group", "nth"])
    return both.select("group", "chosen_place", "rejected_place")
