"""Unpaired: why a rollout is in no pair, which is the fate of its task."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import TOLERANCE
from gymrecipe.reasons import FATES
from gymrecipe.rollouts.columns import SIDES
from gymrecipe.rollouts.figures import repeated
from gymrecipe.rollouts.lookup import column

NEAREST = ["tied", "gap_too_small", "gap_too_large", "identical_answers"]
"""Why a candidate is no pair, from the furthest to the nearest to one."""


def _names(by: str) -> pl.Enum:
    return pl.Enum(["paired", *FATES, f"missing_{by}"])


def unpaired(rollouts: pl.LazyFrame, by: str) -> pl.Series:
    """Why each rollout is in no pair, before any are compared: its task is unclear, or it has no
    value to be compared by.
    """
    fate = partial(pl.lit, dtype=_names(by))
    unclear = pl.when(pl.col("task_key").is_null()).then(fate("task_unclear"))
    return column(rollouts, unclear.otherwise(fate(f"missing_{by}")))


def fates(
    known: pl.Series,
    rollouts: pl.LazyFrame,
    ranked: pl.DataFrame,
    verdicts: pl.DataFrame,
    made: pl.DataFrame,
    by: str,
) -> pl.Series:
    """Of each rollout: `paired`, or why it is in no pair. What is `known` of those that are not
    among the `ranked` stays.
    """
    names = _names(by)
    groups = _group_fates(rollouts, ranked, verdicts, by, partial(pl.lit, dtype=names))
    of_rows = groups.to_physical()[ranked["group"].rle_id()]
    codes = known.to_physical().scatter(ranked["at"], of_rows)
    paired = pl.Series(["paired"], dtype=names).to_physical()[0]
    for side in SIDES:
        codes = codes.scatter(made[side], paired)
    return codes.cat.to(names)


def _group_fates(
    rollouts: pl.LazyFrame,
    ranked: pl.DataFrame,
    verdicts: pl.DataFrame,
    by: str,
    fate: Callable[[str], pl.Expr],
) -> pl.Series:
    """Why those rollouts of each group that are in no pair are in none."""
    groups = ranked["group"].rle().struct.unnest().rename({"len": "n", "value": "group"})
    first = ranked["at"][groups["group"]]
    last = ranked["at"][groups["group"] + groups["n"] - 1]
    value, task = column(rollouts, by), column(rollouts, "task_key")[first]
    groups = groups.with_columns(
        equal=value[first] - value[last] <= TOLERANCE,
        one_of_several=task.is_in(repeated(task).implode()),
    )
    if tiers := [name for name in ("high", "low") if name in ranked.columns]:
        found = ranked.group_by("group", maintain_order=True).agg(pl.col(tiers).any())
        groups = groups.hstack(found.select(tiers))
    # A task's fate is the best that any candidate got to.
    groups = groups.join(verdicts, on="group", how="left", maintain_order="left")
    alone = pl.when("one_of_several").then(fate("prompts_differ")).otherwise(fate("only_one"))
    high, low = (
        pl.col(name) if name in groups.columns else pl.lit(True) for name in ("high", "low")
    )
    said = pl.when("made").then(fate("not_selected")).when(pl.col("n") == 1).then(alone)
    said = said.when("equal").then(fate("all_equal"))
    said = said.when(~high).then(fate("no_high")).when(~low).then(fate("no_low"))
    for place, name in enumerate(NEAREST):
        said = said.when(pl.col("nearest") == place).then(fate(name))
    return groups.select(said.otherwise(fate("tied"))).to_series()


def tasks(rollouts: pl.LazyFrame, fates: pl.Series, by: str) -> pl.LazyFrame:
    """Why no pair: each fate with its tasks and rollouts. A task is counted once, by the fate that
    is nearest to a pair: where it has several prompts, one may have given a pair and others not.
    """
    keys = column(rollouts, "task_key")
    paired, *others, missing = _names(by).categories
    counted = keys.clear()
    rows = []
    for fate in (paired, *reversed(others), missing):
        of_fate = keys.filter(fates == fate)
        judged = of_fate.drop_nulls().unique()
        judged = judged.filter(~judged.is_in(counted.implode()))
        counted = pl.concat([counted, judged])
        if len(of_fate) and fate != "not_selected":
            rows.append({"fate": fate, "tasks": len(judged), "rollouts": len(of_fate)})
    schema = {"fate": pl.String, "tasks": pl.UInt32, "rollouts": pl.UInt32}
    return pl.LazyFrame(rows, schema=schema).sort("fate")
