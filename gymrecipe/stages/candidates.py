"""Candidates: what the strategy holds against each other, the pairs among it, and why others are
none.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import TOLERANCE
from gymrecipe.registry import STRATEGIES
from gymrecipe.rollouts.columns import SIDES
from gymrecipe.rollouts.lookup import column, gathered, looked_up
from gymrecipe.stages.pairing import Pair
from gymrecipe.stages.unpaired import NEAREST

TOGETHER = 2**18
"""Of `all`, so many rollouts and so many candidates are looked at together: each takes 200 bytes
meanwhile.
"""


def judged(
    rollouts: pl.LazyFrame, ranked: pl.DataFrame, params: Pair
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The pairs (`gap`, `chosen`, `rejected`), and of each `group` that has candidates whether one
    is a pair (`made`), also if the cap took it, and the `nearest` that another came to one.
    """
    if params.strategy != "all" or ranked.is_empty():
        candidates = _candidates(rollouts, ranked, _offered(ranked), params)
        return _capped(_pairs(candidates), rollouts, params), _verdicts(candidates)
    # It alone makes more candidates than there are rollouts, but looks at each of them by itself.
    sizes = (ranked["group"] // TOGETHER).rle().struct.field("len")
    pairs: list[pl.DataFrame] = []
    verdicts: list[pl.DataFrame] = []
    for size, end in zip(sizes, sizes.cum_sum(), strict=True):
        start = end - size
        some = ranked[start:end].with_columns(pl.col("group") - start)
        for candidates in _of_all(rollouts, some, params):
            pairs.append(_capped(_pairs(candidates), rollouts, params))
            verdicts.append(_verdicts(candidates).with_columns(pl.col("group") + start))
    groups = pl.concat(verdicts).group_by("group").agg(pl.any("made"), pl.max("nearest"))
    return _capped(pl.concat(pairs), rollouts, params), groups


def _of_all(rollouts: pl.LazyFrame, ranked: pl.DataFrame, params: Pair) -> Iterator[pl.DataFrame]:
    """The candidates of the strategy `all`, without those that need not be looked at."""
    rows = _with_partners(rollouts, ranked["at"], _placed(ranked).collect(), params)
    while not rows.is_empty():
        made = rows.select((pl.col("end") - pl.col("first")).cast(pl.Int64).cum_sum()).to_series()
        size = max(int(made.search_sorted(TOGETHER, side="right")), 1)
        candidates = _candidates(rollouts, ranked, rows[:size].lazy(), params)
        yield candidates
        rows = _with_wider(rollouts, ranked["at"], rows[size:], candidates, params)


def of_one(rollouts: pl.LazyFrame, ranked: pl.DataFrame, at: int, params: Pair) -> pl.DataFrame:
    """What the strategy held against the rollout at this place (`group`, `chosen`, `rejected`,
    `gap`, `verdict`), or where that was nothing, against each other of its task and prompt.
    """
    offered, here = _offered(ranked), ranked["at"].index_of(at)
    if params.strategy == "all" and here is not None:
        group = ranked["group"][here]
        place = here - group
        better = pl.col("place") < place
        offered = offered.filter((pl.col("group") == group) & (pl.col("place") <= place))
        offered = offered.with_columns(
            first=pl.when(better).then(place).otherwise("first"),
            end=pl.when(better).then(place + 1).otherwise("end"),
        )
    made = _candidates(rollouts, ranked, offered, params)
    own = made.filter((pl.col("chosen") == at) | (pl.col("rejected") == at))
    return (
        own if own.height or here is None else made.filter(pl.col("group") == ranked["group"][here])
    )


def _offered(ranked: pl.DataFrame) -> pl.LazyFrame:
    """The ranked rollouts as a strategy takes them, each with all that are ranked below it."""
    tiers = {name: pl.lit(True) for name in ("high", "low") if name not in ranked.columns}
    return _placed(ranked).with_columns(first=pl.col("place") + 1, end="n", **tiers)


def _placed(ranked: pl.DataFrame) -> pl.LazyFrame:
    """The ranked rollouts as a strategy takes them."""
    place = (pl.int_range(pl.len()) - pl.col("group")).cast(pl.Int32)
    return ranked.lazy().drop("at").with_columns(place=place)


def _pairs(candidates: pl.DataFrame) -> pl.DataFrame:
    return candidates.filter(pl.col("verdict").is_null()).select("gap", "chosen", "rejected")


def _verdicts(candidates: pl.DataFrame) -> pl.DataFrame:
    return candidates.group_by("group").agg(
        made=pl.col("verdict").is_null().any(), nearest=pl.col("verdict").to_physical().max()
    )


def _with_partners(
    rollouts: pl.LazyFrame, at: pl.Series, rows: pl.DataFrame, params: Pair
) -> pl.DataFrame:
    """The rows with the places, from `first` to before `end`, that each could make a pair with: the
    gaps to what is behind it grow, so those that are allowed follow each other. Where there are
    none, what is on either side, for it tells why. With a cap the furthest are enough.
    """
    values = _values(rollouts, at, params)
    verdict = _verdict(params, pl.lit(False))
    wide = verdict.is_null() | (verdict == "gap_too_large")
    rows = rows.with_columns(_first(values, rows, pl.col("place") + 1, wide))
    too_wide = verdict.eq_missing(pl.lit("gap_too_large"))
    rows = rows.with_columns(end=_first(values, rows, pl.col("first"), too_wide))
    nearest = pl.max_horizontal(pl.col("first") - 1, pl.col("place") + 1)
    furthest = pl.min_horizontal(pl.col("end") + 1, pl.col("n"))
    if (most := params.max_pairs_per_task) is not None:
        # So many that, whatever says the same, enough are left.
        answer = column(rollouts, "answer_key")[at]
        same = pl.len().over("group", answer).cast(pl.Int32)
        enough = pl.col("end") - same - min(most, len(at))
        rows = rows.with_columns(first=pl.max_horizontal("first", enough))
    none = pl.col("first") == pl.col("end")
    return rows.with_columns(
        first=pl.when(none).then(nearest).otherwise("first"),
        end=pl.when(none).then(furthest).otherwise("end"),
    )


def _with_wider(
    rollouts: pl.LazyFrame,
    at: pl.Series,
    rows: pl.DataFrame,
    candidates: pl.DataFrame,
    params: Pair,
) -> pl.DataFrame:
    """The rows that are left, without what the pairs of their first group that are found leave no
    room for below its cap: of equal gaps, those of the better chosen one are kept.
    """
    most = params.max_pairs_per_task
    if most is None or rows.is_empty():
        return rows
    within = pl.col("group") == rows["group"][0]
    gaps = candidates.filter(within & pl.col("verdict").is_null())["gap"]
    if len(gaps) < most:
        return rows
    begun = rows.filter(within)
    wider = pl.col("gap") > gaps.top_k(most).min()
    least = _first(_values(rollouts, at, params), begun, pl.col("place") + 1, wider)
    first = pl.max_horizontal(pl.col("first"), least)
    begun = begun.with_columns(first=pl.min_horizontal(first, "end"))
    return pl.concat([begun, rows.filter(~within)])


def _values(rollouts: pl.LazyFrame, at: pl.Series, params: Pair) -> pl.Series:
    return column(rollouts, pl.col(params.by).cast(pl.Float64))[at]


def _first(values: pl.Series, rows: pl.DataFrame, low: pl.Expr, meets: pl.Expr) -> pl.Series:
    """Of each row the `first` place, from `low` on, whose gap to it meets this, as all behind it
    do; `n` where none does.

    By halves, with the gap as it is judged: to look for a value would miss by a rounding.
    """
    here = looked_up(values, pl.col("group") + pl.col("place"))
    search = rows.select("group", value=here, first=low, high="n")
    middle = (pl.col("first") + pl.col("high")) // 2
    there = (pl.col("group") + pl.col("middle")).clip(upper_bound=len(values) - 1)
    while (search["first"] < search["high"]).any():
        search = (
            search.with_columns(middle=middle)
            .with_columns(gap=pl.col("value") - looked_up(values, there))
            .with_columns(met=meets | (pl.col("middle") == pl.col("high")))
            .select(
                "group",
                "value",
                first=pl.when("met").then("first").otherwise(pl.col("middle") + 1),
                high=pl.when("met").then("middle").otherwise("high"),
            )
        )
    return search["first"]


def _candidates(
    rollouts: pl.LazyFrame, ranked: pl.DataFrame, offered: pl.LazyFrame, params: Pair
) -> pl.DataFrame:
    """What the strategy holds against each other: `group`, `chosen`, `rejected`, `gap`, and the
    `verdict`.
    """
    first = pl.col("group")
    size = looked_up(ranked["n"], first)
    there = pl.all_horizontal(pl.col(f"{side}_place").is_between(0, size - 1) for side in SIDES)
    candidates: pl.DataFrame = (
        STRATEGIES[params.strategy]
        .function(offered)
        .filter(there)
        .select(
            "group",
            *((first + pl.col(f"{side}_place")).cast(pl.UInt32).alias(side) for side in SIDES),
        )
        .with_columns(looked_up(ranked["at"], pl.col(side)) for side in SIDES)
        .collect()
    )
    value, answer = (
        [column(rollouts, name)[candidates[side]] for side in SIDES]
        for name in (pl.col(params.by).cast(pl.Float64), "answer_key")
    )
    return candidates.with_columns(
        gap=value[0] - value[1], verdict=answer[0] == answer[1]
    ).with_columns(verdict=_verdict(params, pl.col("verdict")))


def _verdict(params: Pair, identical: pl.Expr) -> pl.Expr:
    """Why a candidate is no pair; null for a pair."""
    gap = pl.col("gap")
    too_large = gap.is_infinite()  # no number in a row says by how much they differ
    if params.max_gap is not None:
        too_large |= gap > params.max_gap + TOLERANCE
    verdict = partial(pl.lit, dtype=pl.Enum(NEAREST))
    return (
        pl.when(gap.abs() <= TOLERANCE)
        .then(verdict("tied"))
        .when(gap < params.min_gap - TOLERANCE)
        .then(verdict("gap_too_small"))
        .when(too_large)
        .then(verdict("gap_too_large"))
        .when(identical)
        .then(verdict("identical_answers"))
    )


def _capped(made: pl.DataFrame, rollouts: pl.LazyFrame, params: Pair) -> pl.DataFrame:
    """The pairs with the widest gaps, those of equal ones that the ranking has first and last."""
    most = params.max_pairs if params.across_prompts else params.max_pairs_per_task
    if most is None:
        return made
    ranks = {params.by: True}
    if params.ties == "shortest":
        ranks.setdefault("answer_chars", False)
    ranks.setdefault("draw", False)
    within = pl.lit(0) if params.across_prompts else gathered(rollouts, "task_key", "chosen")
    keys = {"gap": True}
    keys |= {f"chosen {name}": down for name, down in ranks.items()}
    keys |= {f"rejected {name}": not down for name, down in ranks.items()}
    columns = [
        gathered(rollouts, name, side).alias(f"{side} {name}") for side in SIDES for name in ranks
    ]
    return (
        made.lazy()
        .with_columns(*columns, within=within)
        .sort(*keys, descending=list(keys.values()))
        .filter(pl.int_range(pl.len()).over("within") < most)
        .select(made.columns)
        .collect()
    )
