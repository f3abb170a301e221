"""Ranking: the rollouts that pairs are made of, group by group, from the best on."""

from __future__ import annotations

from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import TOLERANCE
from gymrecipe.rollouts.hashes import combine
from gymrecipe.rollouts.lookup import column
from gymrecipe.stages import where as language
from gymrecipe.stages.pairing import Pair


def ranked(rollouts: pl.LazyFrame, among: pl.Expr, params: Pair) -> pl.DataFrame:
    """The rollouts `among` these that can be compared (`at`): group by group, and in it from the
    best on.

    `group` is the place in this table where the group begins, `n` its size; for the strategy
    `tiers` each of `high` and `low` says whether a rollout is in it.
    """
    value = pl.col(params.by)
    keys = [(value, True)]
    if params.ties == "shortest":
        keys.append((pl.col("answer_chars"), False))
    keys.append((pl.col("draw"), False))
    at = column(rollouts, pl.arg_where(usable(params.by) & among))
    for key, descending in reversed(keys):
        at = at[_order(column(rollouts, key)[at], descending)]
    if params.across_prompts:
        runs = pl.zeros(len(at), pl.UInt32, eager=True)
        sizes = pl.Series([len(at)] if len(at) else [], dtype=pl.UInt32)
    else:
        groups = _groups(rollouts, at)
        order = _order(groups)
        at, groups = at[order], groups[order]
        runs, sizes = groups.rle_id(), groups.rle().struct.field("len")
    table = pl.DataFrame({"at": at, "group": (sizes.cum_sum() - sizes)[runs]})
    table = table.with_columns(n=sizes.cast(pl.Int32)[runs])
    tiers = {"high": params.high, "low": params.low} if params.strategy == "tiers" else {}
    return table.with_columns(
        column(rollouts, tier(limit, value, name == "high"))[at].alias(name)
        for name, limit in tiers.items()
    )


def _order(values: pl.Series, descending: bool = False) -> pl.Series:
    by = values.rename("by").to_frame()
    return by.select(pl.arg_sort_by("by", descending=descending, maintain_order=True)).to_series()


def _groups(rollouts: pl.LazyFrame, at: pl.Series) -> pl.Series:
    """A key of the task and the prompt, of these rollouts alone: others are in other parts."""
    names = ("task_key", "prompt_key")
    shown = pl.DataFrame([column(rollouts, name)[at].alias(name) for name in names])
    return shown.select(
        combine(0, pl.col("task_key"), pl.col("prompt_key").fill_null(0))
    ).to_series()


def usable(by: str) -> pl.Expr:
    """Whether a rollout can be compared."""
    return pl.col(by).is_not_null() & pl.col("task_key").is_not_null()


def tier(limit: float | str, value: pl.Expr, high: bool) -> pl.Expr:
    """Whether a rollout meets a limit, from there on or up to there, or an expression."""
    if isinstance(limit, str):
        return language.to_polars(limit).fill_null(False)
    return value >= limit - TOLERANCE if high else value <= limit + TOLERANCE
