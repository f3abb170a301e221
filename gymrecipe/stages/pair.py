"""Pair: preference pairs between rollouts of the same prompt."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from gymrecipe.late import pl
from gymrecipe.parameters import (
    LIKE_QUANTILE,
    TOLERANCE,
    Of,
    Params,
    Quantile,
    Reads,
    ReadsWhere,
    check_quantile,
    is_above,
)
from gymrecipe.registry import STRATEGIES, Facts, is_ours, stage
from gymrecipe.rollouts.columns import PAIR_COLUMNS, SIDES
from gymrecipe.rollouts.figures import distinct, repeated
from gymrecipe.rollouts.hashes import parts
from gymrecipe.rollouts.places import column, gathered, looked_up
from gymrecipe.stages import pairless, ranking
from gymrecipe.stages import strategies as strategies
from gymrecipe.stages import where as language
from gymrecipe.stages.pairless import NEAREST


def _readable(text: str) -> str:
    if LIKE_QUANTILE.fullmatch(text):
        return check_quantile(text)
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
    the formats `raw` and `custom` can write, and which no `validation_fraction` can hold out."""
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
        if is_above(self.low, self.high):
            raise ValueError(f"low={self.low} is above high={self.high}, so that the tiers overlap")
        if self.max_gap is not None and self.max_gap < self.min_gap:
            raise ValueError(f"max_gap={self.max_gap} is below min_gap={self.min_gap}")
        return self


@stage(takes="rollouts", makes="pairs", version=4)
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
    # Of millions of rollouts: nothing here is wider than it has to be, and a column of the rollouts
    # is there only while it is looked at. `at`, `chosen` and `rejected` are places in `rollouts`.
    tiers = {"high": params.high, "low": params.low} if params.strategy == "tiers" else {}
    across, with_two = params.across_prompts, 0
    pairs, fates = [], pairless.unpaired(rollouts, params.by)
    for among in _parts(rollouts, params):
        ranked = ranking.ranked(rollouts, among, params.by, params.ties, across, tiers)
        judged = _judged(rollouts, ranked, params)
        found = _capped(judged.filter(pl.col("verdict").is_null()), rollouts, params)
        fates = pairless.fates(fates, rollouts, ranked, judged, found, params.by)
        with_two += len(repeated(column(rollouts, "task_key")[ranked["at"]]))
        pairs.append(found.select("gap", "chosen", "rejected"))
        del ranked, judged, found
    made = pl.concat(pairs)
    facts = {
        "tasks": pairless.tasks(rollouts, fates, params.by),
        "rates": _rates(rollouts, with_two, made, params),
        "compared": _compared(rollouts.filter(ranking.usable(params.by)), params.by),
    }
    if tiers and is_above(params.low, params.high):  # a quantile made them so, in this data
        said = f"low ({params.low:g}) is above high ({params.high:g}), so that the tiers overlap"
        facts["warnings"] = pl.LazyFrame({"message": [said]})
    rows = column(rollouts, "row")
    whole = made.select(
        "gap", "chosen", "rejected",
        chosen_row=rows[made["chosen"]], rejected_row=rows[made["rejected"]],
    ).sort("chosen_row", "rejected_row")  # fmt: skip
    left = fates != "paired"
    halves = pl.DataFrame({"chosen_row": rows.filter(left), "reason": fates.filter(left)})
    table = pl.concat([whole, halves.sort("chosen_row")], how="diagonal").lazy()
    columns = {"gap": pl.col("gap")}
    columns |= {name: gathered(rollouts, name, "chosen") for name in PAIR_COLUMNS if name != "gap"}
    for side in SIDES:
        for name in rollouts.collect_schema().names():
            columns[f"{side}_{name}"] = gathered(rollouts, name, side)
    columns |= {name: pl.col(name) for name in ("chosen_row", "rejected_row", "reason")}
    return table.select(**columns), facts


def _parts(rollouts: pl.LazyFrame, params: Pair) -> list[pl.Expr]:
    """The rollouts in parts of whole tasks. A strategy of a plugin may look at all of them."""
    ours = is_ours(STRATEGIES[params.strategy].function.__module__)
    if params.across_prompts or not ours:
        return [pl.lit(True)]
    return parts("task_key", column(rollouts, pl.len()).item())


def _judged(rollouts: pl.LazyFrame, ranked: pl.DataFrame, params: Pair) -> pl.DataFrame:
    """The candidates of the strategy: `group`, `chosen`, `rejected`, `gap`, and the `verdict`."""
    place = (pl.int_range(pl.len()) - pl.col("group")).cast(pl.Int32)
    tiers = {name: pl.lit(True) for name in ("high", "low") if name not in ranked.columns}
    offered = ranked.lazy().drop("at").with_columns(place=place, **tiers)
    first = pl.col("group")
    size = looked_up(ranked["n"], first)
    there = pl.all_horizontal(pl.col(f"{side}_place").is_between(0, size - 1) for side in SIDES)
    judged: pl.DataFrame = (
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
        [column(rollouts, name)[judged[side]] for side in SIDES]
        for name in (pl.col(params.by).cast(pl.Float64), "answer_key")
    )
    return judged.with_columns(
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


def _rates(rollouts: pl.LazyFrame, with_two: int, made: pl.DataFrame, params: Pair) -> pl.LazyFrame:
    """Pair creation rate: tasks with a pair over tasks with two usable rollouts; pairs per task.

    Across prompts there is no rate, for there a single rollout is enough.
    """
    with_pair = column(rollouts, "task_key")[made["chosen"]].n_unique()
    rated = with_two > 0 and not params.across_prompts
    rates = {
        "tasks_with_two": with_two,
        "tasks_with_pair": with_pair,
        "pairs": made.height,
        "pair_rate": with_pair / with_two if rated else None,
        "pairs_per_task": made.height / with_pair if with_pair else None,
    }
    schema = {
        "tasks_with_two": pl.UInt32, "tasks_with_pair": pl.UInt32, "pairs": pl.UInt32,
        "pair_rate": pl.Float64, "pairs_per_task": pl.Float64,
    }  # fmt: skip
    return pl.LazyFrame([rates], schema=schema)


def _compared(rollouts: pl.LazyFrame, by: str) -> pl.LazyFrame:
    """What the metric looks like that ranks: what a wide gap is depends on it."""
    values = column(rollouts, by).sort()
    figures = {"distinct": distinct(values), "least": values.min(), "most": values.max()}
    schema = {"distinct": pl.UInt32, "least": pl.Float64, "most": pl.Float64}
    return pl.LazyFrame([figures], schema=schema)
