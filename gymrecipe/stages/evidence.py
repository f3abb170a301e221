"""Evidence: the values by which a stage rejected a row, for whoever asks about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import Params, as_number
from gymrecipe.registry import unit_of
from gymrecipe.rollouts.columns import SIDES
from gymrecipe.rollouts.lookup import column
from gymrecipe.stages import balance, dedup, filter, pair, sample
from gymrecipe.stages import where as language
from gymrecipe.stages.label import Label
from gymrecipe.stages.pairing import Pair
from gymrecipe.stages.unpaired import NEAREST

MOST = 5
"""Of the pairs that a rollout is in, so many are told: those with the widest gaps."""

VALUE = "the value"
"""A column of its own, called as no column of a recipe can be."""


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """A value that was judged, and the limit that it was held against; of a pair with the lines of
    its two sides.
    """

    name: str
    value: Any
    least: float | None = None
    most: float | None = None
    chosen: str = ""
    rejected: str = ""


Line = Callable[[int], str]
"""How the line of a rollout is called."""


JUDGED = {
    "filter": ("where", "undecided"),
    "pair": (*NEAREST, "all_equal", "no_high", "no_low", "not_selected"),
    "label": ("between",),
    "sample": ("not_sampled",),
    "balance": ("over_quota",),
    "dedup": ("duplicate",),
}
"""The stages that judge a row by their parameters, and the reasons of which there is more to tell;
of a filter, those for its limits too.
"""


def can_be_told(use: str, reason: str) -> bool:
    """Whether there is more to tell of a rejection than its reason does."""
    of_limit = use == "filter" and reason.startswith(("below_min_", "above_max_"))
    return of_limit or reason in JUDGED.get(use, ())


def evidence(
    entered: pl.LazyFrame, params: Params, reason: str, row: int, line: Line
) -> list[Evidence]:
    """What the rollout was judged by, alone or in its task or pairs, of the rows that entered a
    stage with these parameters as numbers.
    """
    match params:
        case filter.Filter():
            return [*_by_filter(entered, params, reason, row, line)]
        case Pair():
            return [*_by_pair(entered, params, reason, row, line)]
        case Label():
            return [*_by_label(entered, params, row, line)]
        case sample.Sample():
            return [*_by_sample(entered, params, row)]
        case balance.Balance():
            return [*_by_balance(entered, params, row)]
        case dedup.Dedup():
            return [*_by_dedup(entered, params, row, line)]
    return []


def _mine(entered: pl.LazyFrame, row: int) -> pl.Expr:
    """Which rows the rollout is, or is in."""
    unit = unit_of(entered.collect_schema())
    if unit == "tasks":
        return pl.col("rows").list.contains(row)
    if unit == "pairs":
        return pl.any_horizontal(pl.col(f"{side}_row") == row for side in SIDES)
    return pl.col("row") == row


def _values(entered: pl.LazyFrame, row: int, *wanted: pl.Expr) -> list[tuple[Any, ...]]:
    """What expressions over all rows come to on those that the rollout is in."""
    names = [f"{VALUE} {place}" for place in range(len(wanted))]
    values = [value.alias(name) for name, value in zip(names, wanted, strict=True)]
    mine = entered.with_columns(values).filter(_mine(entered, row))
    return mine.select(names).head(MOST).collect().rows()


def _by_filter(
    entered: pl.LazyFrame, params: filter.Filter, reason: str, row: int, line: Line
) -> Iterator[Evidence]:
    if reason in ("where", "undecided"):
        yield from _named(entered, params.where or "", row, line)
    plain, of_rate = filter.limits(unit_of(entered.collect_schema()), params)
    for limit in (*plain, of_rate):
        least = limit.least if reason == f"below_min_{limit.name}" else None
        most = limit.most if reason == f"above_max_{limit.name}" else None
        for (value,) in () if least is None is most else _values(entered, row, limit.value):
            yield Evidence(limit.name, value, as_number(least), as_number(most))


def _named(entered: pl.LazyFrame, text: str, row: int, line: Line) -> Iterator[Evidence]:
    """The values of the columns that an expression names, or of those that it only asks for whether
    they have one; of each pair that the rollout is in.
    """
    kinds = language.parse(text).names
    names = list(kinds)
    pairs = unit_of(entered.collect_schema()) == "pairs"
    rows = [f"{side}_row" for side in SIDES] if pairs else []
    for values in _values(entered, row, *map(pl.col, [*names, *rows])):
        sides = [line(side) for side in values[len(names) :]] or ["", ""]
        for name, value in zip(names, values, strict=False):
            if kinds[name] == "any":
                yield Evidence(f"{name} is None", value is None, None, None, *sides)
            else:
                yield Evidence(name, value, None, None, *sides)


def _by_label(entered: pl.LazyFrame, params: Label, row: int, line: Line) -> Iterator[Evidence]:
    least, most = as_number(params.high), as_number(params.low)
    for (value,) in () if least is None is most else _values(entered, row, pl.col(params.by)):
        yield Evidence(params.by, value, least, most)
    for text in (params.high, params.low):
        if isinstance(text, str):
            yield from _named(entered, text, row, line)


def _by_sample(entered: pl.LazyFrame, params: sample.Sample, row: int) -> Iterator[Evidence]:
    band, known = sample.band_of(params), pl.col(params.by).is_not_null()
    ((mine, value),) = _values(entered, row, band, pl.col(params.by))
    yield Evidence(params.by, value)
    there = column(entered, (known & (band == mine)).sum()).item()
    yield Evidence("rows of its band", there, most=params.sizes[mine])


def _by_balance(entered: pl.LazyFrame, params: balance.Balance, row: int) -> Iterator[Evidence]:
    grouped = entered.with_columns(balance.group_of(entered, params).alias(balance.GROUP))
    for group, most in _values(grouped, row, pl.col(balance.GROUP), balance.quota(params)):
        there = column(grouped, (pl.col(balance.GROUP) == group).sum()).item()
        if params.by != "task":
            yield Evidence(params.by, group)
        what = "rows of its task" if params.by == "task" else "rows of its group"
        yield Evidence(what, there, most=most)
        return  # of a rollout in several pairs, which may be in several groups, the first


def _by_dedup(
    entered: pl.LazyFrame, params: dedup.Dedup, row: int, line: Line
) -> Iterator[Evidence]:
    keys, schema = dedup.keys_of(params), entered.collect_schema()
    (mine,) = _values(entered, row, *map(pl.col, keys))
    same = [
        pl.col(key).eq_missing(pl.lit(value, schema[key]))
        for key, value in zip(keys, mine, strict=True)
    ]
    alike = entered.filter(same).sort(
        dedup.order_of(params), descending=params.keep == "last", maintain_order=True
    )
    yield Evidence("the one that stays", line(column(alike, "row")[0]))


def _by_pair(
    entered: pl.LazyFrame, params: Pair, reason: str, row: int, line: Line
) -> Iterator[Evidence]:
    least = as_number(params.high) if reason == "no_high" else None
    most = as_number(params.low) if reason == "no_low" else None
    for (value,) in _values(entered, row, pl.col(params.by)):
        yield Evidence(params.by, value, least, most)
    rows = column(entered, "row")
    found = pair.held_against(entered, int((rows == row).arg_max() or 0), params)
    widest = found.sort("gap", descending=True, maintain_order=True).head(MOST)
    for one in widest.iter_rows(named=True) if reason in NEAREST else ():
        least = params.min_gap if one["verdict"] == "gap_too_small" else None
        most = params.max_gap if one["verdict"] == "gap_too_large" else None
        yield Evidence("gap", one["gap"], least, most, *(line(rows[one[side]]) for side in SIDES))
