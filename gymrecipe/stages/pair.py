"""Pair: preference pairs between rollouts of the same prompt, and why a task gave none."""

from __future__ import annotations

from typing import Annotated, Literal

import polars as pl
from pydantic import AfterValidator, Field, field_validator, model_validator

from gymrecipe.registry import (
    STRATEGIES,
    TOLERANCE,
    Facts,
    Of,
    Params,
    Quantile,
    Reads,
    ReadsWhere,
    stage,
)
from gymrecipe.rollouts.hashes import combine
from gymrecipe.stages import strategies as strategies
from gymrecipe.stages import where as language

FATES = {
    "task_unclear": "the line does not say which of several tasks with its prompt it answers",
    "only_one": "the only usable rollout of its task, so there is nothing to compare it with",
    "prompts_differ": "no other rollout of its task was shown the same prompt",
    "all_equal": "all rollouts of the task have the same value",
    "no_high": "no rollout of the task is in the high tier",
    "no_low": "no rollout of the task is in the low tier",
    "tied": "the two that were to be paired have the same value",
    "gap_too_small": "no chosen one that was to be paired is better by min_gap",
    "gap_too_large": "those that were to be paired differ by more than max_gap",
    "identical_answers": "those that were to be paired say the same",
    "not_selected": "its task gave pairs, without this rollout",
}
"""Why a rollout is in no pair: the fate of its task, or `not_selected`."""


def _readable(text: str) -> str:
    language.parse(text)
    return text


Tier = float | Quantile | Annotated[str, AfterValidator(_readable)]


class Pair(Params):
    """How rollouts of one prompt become pairs of a chosen and a rejected one."""

    use: Literal["pair"] = "pair"
    strategy: str = "mirrored"
    """Which rollouts are held against each other (`gymrecipe stages pair` lists the strategies)."""
    by: Annotated[str, Reads("number")] = "reward"
    """The metric that ranks the rollouts and whose difference is the gap."""
    min_gap: Annotated[float, Field(ge=0)] = 0.0
    """The smallest difference that counts as a preference. Equal values never pair."""
    max_gap: Annotated[float, Field(ge=0)] | None = None
    """The largest difference allowed."""
    max_pairs_per_task: Annotated[int, Field(ge=1)] | None = None
    """The most pairs of one task: the widest gaps first."""
    ties: Literal["draw", "shortest"] = "draw"
    """Which of equal values ranks first: by draw, or the shortest answer."""
    high: Annotated[Tier, Of(parameter="by"), ReadsWhere()] = 0.7
    """`strategy: tiers`: a chosen rollout has at least this value, or meets this expression."""
    low: Annotated[Tier, Of(parameter="by"), ReadsWhere()] = 0.4
    """`strategy: tiers`: a rejected rollout has at most this value, or meets this expression."""
    across_prompts: bool = False
    """`strategy: tiers`: pair over all tasks. Each side carries its own conversation, which only
    the formats `raw` and `custom` can write."""
    max_pairs: Annotated[int, Field(ge=1)] | None = None
    """`across_prompts`: the most pairs over all tasks."""

    @field_validator("strategy")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in STRATEGIES:
            raise ValueError(f"should be one of {', '.join(sorted(STRATEGIES))}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Pair:
        defaults = type(self).model_fields
        tiers_only = [
            name
            for name in ("high", "low", "across_prompts", "max_pairs")
            if getattr(self, name) != defaults[name].default
        ]
        if self.strategy != "tiers" and tiers_only:
            raise ValueError(f"{', '.join(tiers_only)} need strategy: tiers")
        if self.across_prompts != (self.max_pairs is not None):
            raise ValueError("across_prompts and max_pairs need each other")
        if self.across_prompts and self.max_pairs_per_task is not None:
            raise ValueError("across_prompts takes max_pairs, not max_pairs_per_task")
        if isinstance(self.high, float) and isinstance(self.low, float) and self.low > self.high:
            raise ValueError("low is above high, so that the tiers overlap")
        if self.max_gap is not None and self.max_gap < self.min_gap:
            raise ValueError("max_gap is below min_gap")
        return self


@stage(takes="rollouts", makes="pairs", version=1)
def pair(rollouts: pl.LazyFrame, params: Pair) -> tuple[pl.LazyFrame, Facts]:
    """Pair better with worse rollouts of the same prompt.

    | task | reward |        | chosen | rejected | gap |
    |------|--------|        |--------|----------|-----|
    | a    | 1.0    |   →    | a: 1.0 | a: 0.2   | 0.8 |
    | a    | 0.2    |

    One total order ranks the rollouts of a prompt: `by` descending, then (with `ties: shortest`)
    the shorter answer, then draw. A pair has `gap`, `draw`, `task_key`, `prompt_key`, and every
    column of its rollouts as `chosen_…` and `rejected_…`. A rollout in no pair leaves as half a
    pair (`chosen_row` only) with the fate of its task as the reason: see FATES, and `missing_<by>`.
    """
    # What several parts below take is computed here, once; it has only a few columns.
    ranked = _ranked(rollouts, params).collect().lazy()
    candidates = STRATEGIES[params.strategy].function(ranked)
    side = ranked.select("group", "place", "row", "task_key", "answer_key", "order", "value")
    pairs = (
        candidates.join(side, left_on=["group", "chosen_place"], right_on=["group", "place"])
        .join(
            side,
            left_on=["group", "rejected_place"],
            right_on=["group", "place"],
            suffix="_rejected",
        )
        .with_columns(gap=pl.col("value") - pl.col("value_rejected"))
        .with_columns(verdict=_verdict(params))
    )
    pairs = pairs.collect().lazy()
    made = _capped(pairs.filter(pl.col("verdict").is_null()), params).collect().lazy()
    columns = rollouts.collect_schema().names()
    chosen = rollouts.select(pl.all().name.prefix("chosen_"))
    rejected = rollouts.select(pl.all().name.prefix("rejected_"))
    table = (
        made.select("gap", chosen_row="row", rejected_row="row_rejected")
        .join(chosen, on="chosen_row")
        .join(rejected, on="rejected_row")
        .with_columns(
            draw=pl.col("chosen_draw"),
            task_key=pl.col("chosen_task_key"),
            prompt_key=pl.col("chosen_prompt_key"),
            reason=pl.lit(None, pl.String),
        )
        .sort("chosen_row", "rejected_row")
    )
    unpaired = _unpaired(rollouts, ranked, pairs, made, params).collect().lazy()
    halves = unpaired.select("reason", chosen_row="row")
    order = ["gap", "draw", "task_key", "prompt_key"]
    order += [f"{side}_{name}" for side in ("chosen", "rejected") for name in columns]
    facts = {"tasks": _tasks(rollouts, unpaired, made), "rates": _rates(ranked, made, params)}
    return pl.concat([table, halves], how="diagonal").select(*order, "reason"), facts


def _ranked(rollouts: pl.LazyFrame, params: Pair) -> pl.LazyFrame:
    """The rollouts that can be compared, with their group, place in it, and its size.

    Only the columns that have a part in it, so that no metric called `n` or `high` gets mixed up.
    """
    by = pl.col(params.by)
    usable = rollouts.filter(by.is_not_null(), pl.col("task_key").is_not_null())
    if params.across_prompts:
        group = pl.lit(0, pl.UInt64)
    else:
        group = combine(0, pl.col("task_key"), pl.col("prompt_key").fill_null(0))
    tiered = params.strategy == "tiers"
    high, low = (_tier(params.high, by, True), _tier(params.low, by, False))
    return (
        usable.select(
            "row",
            "task_key",
            "answer_key",
            "answer_chars",
            "draw",
            value=by,
            group=group,
            high=high if tiered else pl.lit(True),
            low=low if tiered else pl.lit(True),
        )
        .sort(
            "value",
            pl.col("answer_chars") if params.ties == "shortest" else pl.lit(0),
            "draw",
            descending=[True, False, False],
            maintain_order=True,
        )
        .with_columns(
            place=pl.int_range(pl.len()).over("group"),
            n=pl.len().over("group").cast(pl.Int64),
            order=pl.int_range(pl.len()),
        )
    )


def _tier(limit: float | str, by: pl.Expr, high: bool) -> pl.Expr:
    if isinstance(limit, str):
        return language.to_polars(limit, pl.col).fill_null(False)
    return by >= limit - TOLERANCE if high else by <= limit + TOLERANCE


def _verdict(params: Pair) -> pl.Expr:
    """Why a candidate is no pair; null for a pair."""
    gap = pl.col("gap")
    too_large = gap > params.max_gap + TOLERANCE if params.max_gap is not None else pl.lit(False)
    return (
        pl.when(gap.abs() <= TOLERANCE)
        .then(pl.lit("tied"))
        .when(gap < params.min_gap - TOLERANCE)
        .then(pl.lit("gap_too_small"))
        .when(too_large)
        .then(pl.lit("gap_too_large"))
        .when(pl.col("answer_key") == pl.col("answer_key_rejected"))
        .then(pl.lit("identical_answers"))
    )


def _capped(pairs: pl.LazyFrame, params: Pair) -> pl.LazyFrame:
    most = params.max_pairs if params.across_prompts else params.max_pairs_per_task
    if most is None:
        return pairs
    within = "group" if params.across_prompts else "task_key"
    widest = pairs.sort("gap", "order", "order_rejected", descending=[True, False, True])
    return widest.filter(pl.int_range(pl.len()).over(within) < most)


def _unpaired(
    rollouts: pl.LazyFrame,
    ranked: pl.LazyFrame,
    pairs: pl.LazyFrame,
    made: pl.LazyFrame,
    params: Pair,
) -> pl.LazyFrame:
    """`row`, `task_key` and `reason` of the rollouts in no pair."""
    paired = pl.concat([made.select("row"), made.select(row="row_rejected")]).unique()
    # A rank for each verdict, so that a task's fate is the best that any candidate got to.
    nearest = ["tied", "gap_too_small", "gap_too_large", "identical_answers"]
    rank = pl.col("verdict").replace_strict(nearest, range(len(nearest)), return_dtype=pl.Int64)
    verdicts = pairs.group_by("group").agg(
        made=pl.col("verdict").is_null().any(), nearest=rank.max()
    )
    spread = pl.col("value").max() - pl.col("value").min()
    groups = (
        ranked.group_by("group")
        .agg(
            pl.len().alias("size"),
            equal=spread <= TOLERANCE,
            high=pl.col("high").any(),
            low=pl.col("low").any(),
        )
        .join(verdicts, on="group", how="left")
    )
    in_task = ranked.select("row", "group", task_size=pl.len().over("task_key"))
    alone = pl.when(pl.col("task_size") > 1).then(pl.lit("prompts_differ"))
    fate = (
        pl.when(pl.col("task_key").is_null())
        .then(pl.lit("task_unclear"))
        .when(pl.col("group").is_null())
        .then(pl.lit(f"missing_{params.by}"))
        .when("made")
        .then(pl.lit("not_selected"))
        .when(pl.col("size") == 1)
        .then(alone.otherwise(pl.lit("only_one")))
        .when("equal")
        .then(pl.lit("all_equal"))
        .when(~pl.col("high"))
        .then(pl.lit("no_high"))
        .when(~pl.col("low"))
        .then(pl.lit("no_low"))
        .otherwise(
            pl.col("nearest")
            .replace_strict(range(len(nearest)), nearest, return_dtype=pl.String)
            .fill_null("tied")
        )
    )
    return (
        rollouts.select("row", "task_key")
        .join(paired, on="row", how="anti")
        .join(in_task, on="row", how="left")
        .join(groups, on="group", how="left")
        .select("row", "task_key", reason=fate)
        .sort("row")
    )


def _tasks(rollouts: pl.LazyFrame, unpaired: pl.LazyFrame, made: pl.LazyFrame) -> pl.LazyFrame:
    """Why no pair: each fate with its tasks and rollouts."""
    paired = pl.concat([made.select("row"), made.select(row="row_rejected")]).unique()
    tasks = rollouts.join(paired, on="row", how="semi").select("task_key", fate=pl.lit("paired"))
    rest = unpaired.filter(pl.col("reason") != "not_selected").select("task_key", fate="reason")
    return (
        pl.concat([tasks, rest])
        .group_by("fate")
        .agg(tasks=pl.col("task_key").drop_nulls().n_unique(), rollouts=pl.len())
        .sort("fate")
    )


def _rates(ranked: pl.LazyFrame, made: pl.LazyFrame, params: Pair) -> pl.LazyFrame:
    """Pair creation rate: tasks with a pair over tasks with two usable rollouts; pairs per task.

    Across prompts there is no rate, for there a single rollout is enough.
    """
    rated = (pl.col("tasks_with_two") > 0) & pl.lit(not params.across_prompts)
    sizes = ranked.group_by("task_key").agg(n=pl.len())
    paired = ranked.join(made.select("row"), on="row", how="semi").select(
        tasks_with_pair=pl.col("task_key").n_unique()
    )
    return (
        sizes.select(tasks_with_two=(pl.col("n") > 1).sum())
        .join(paired, how="cross")
        .join(made.select(pairs=pl.len()), how="cross")
        .with_columns(
            pair_rate=pl.when(rated).then(pl.col("tasks_with_pair") / pl.col("tasks_with_two")),
            pairs_per_task=pl.when(pl.col("tasks_with_pair") > 0).then(
                pl.col("pairs") / pl.col("tasks_with_pair")
            ),
        )
    )
