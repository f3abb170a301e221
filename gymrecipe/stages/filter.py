"""Filter: which rows stay, by an expression or by the criteria people use most."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from pydantic import Field, field_validator

from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import TOLERANCE, Of, Optional, Params, Quantile, ReadsWhere
from gymrecipe.registry import Facts, stage, unit_of
from gymrecipe.stages import where as language

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Filter(Params):
    """Every criterion sees all rows that enter; a row that fails several gets the first."""

    use: Literal["filter"] = "filter"
    completed: bool = False
    """Reject what is `truncated`, `failed`, `masked` or `empty`."""
    scored: bool = False
    """Reject rollouts without a reward as `missing_reward`."""
    where: Annotated[str | None, ReadsWhere()] = None
    """Keep the rows for which this holds, such as `reward >= 0.95 and not truncated`; the others
    are rejected as `where`, and as `missing_<name>` where a value it needs is missing."""
    min_reward: Annotated[float | Quantile | None, Of("reward")] = None
    """The least reward kept; below it is `below_min_reward`."""
    max_reward: Annotated[float | Quantile | None, Of("reward")] = None
    """The highest reward kept; above it is `above_max_reward`."""
    min_turns: Annotated[Count | Quantile | None, Of("turns")] = None
    """The fewest model calls kept; fewer is `below_min_turns`."""
    max_turns: Annotated[Count | Quantile | None, Of("turns")] = None
    """The most model calls kept; more is `above_max_turns`."""
    min_output_items: Annotated[Count | Quantile | None, Of("output_items")] = None
    """The fewest output items kept; fewer is `below_min_output_items`."""
    max_output_items: Annotated[Count | Quantile | None, Of("output_items")] = None
    """The most output items kept; more is `above_max_output_items`."""
    min_chars: Annotated[Count | Quantile | None, Of("answer_chars")] = None
    """The fewest characters of an answer kept; fewer is `below_min_chars`."""
    max_chars: Annotated[Count | Quantile | None, Of("answer_chars")] = None
    """The most characters of an answer kept; more is `above_max_chars`."""
    require_success: Annotated[bool, Optional("success", "boolean")] = False
    """Keep rows whose field `success` is true, reject the others as `no_success`, and those without
    it as `missing_success`. Skipped with a warning where no row has one that is true or false."""
    require_tool_usage: bool = False
    """Reject rollouts without a tool call as `no_tool_usage`."""
    success_at: float = 1.0
    """The reward from which on a rollout is a success, for the two rates below. Of tasks their
    stage has said it."""
    min_success_rate: Share | None = None
    """The least share of successes among a task's rollouts that enter; tasks with less are
    `below_min_success_rate`."""
    max_success_rate: Share | None = None
    """The highest share of successes of a task; tasks with more are `above_max_success_rate`."""

    @field_validator("where")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is not None:
            language.parse(value)
        return value


_COLUMNS = {
    "reward": "reward",
    "turns": "turns",
    "output_items": "output_items",
    "chars": "answer_chars",
}


class Limit(msgspec.Struct, frozen=True):
    """A value that is held against `min_<name>` and `max_<name>`."""

    name: str
    value: pl.Expr
    least: float | str | None
    most: float | str | None


def limits(unit: str, params: Filter) -> tuple[list[Limit], Limit]:
    """What is held against the limits of a value, and of the rate of successes."""
    values = {name: pl.col(column) for name, column in _COLUMNS.items()}
    if unit == "tasks":
        rate = pl.col("success_rate")
    else:
        share = (pl.col("reward") >= params.success_at - TOLERANCE).mean().over("task_key")
        rate = pl.when(pl.col("task_key").is_not_null()).then(share)
    *plain, of_rate = (
        Limit(name, value, getattr(params, f"min_{name}"), getattr(params, f"max_{name}"))
        for name, value in (*values.items(), ("success_rate", rate))
    )
    return plain, of_rate


@stage(takes=("rollouts", "tasks", "pairs"), version=2)
def filter(rows: pl.LazyFrame, params: Filter) -> tuple[pl.LazyFrame, Facts]:
    """Keep the rows that meet every criterion.

    Reasons: `truncated`, `failed`, `masked`, `empty`, `missing_reward`, `where`, `missing_<name>`,
    `below_min_<name>`, `above_max_<name>`, `no_success`, `no_tool_usage`. On pairs only `where`
    has a meaning (its names are `gap`, `chosen_<name>`, `rejected_<name>`), on tasks `where` (with
    `success_rate`, `mean_reward`, `std_reward`, `rollouts`) and the two success rates.
    """
    reasons: list[pl.Expr] = []
    facts: Facts = {}
    if params.completed:
        flags = ("truncated", "failed", "masked", "empty")
        reasons += [pl.when(pl.col(flag)).then(pl.lit(flag)) for flag in flags]
    if params.scored:
        reasons.append(pl.when(pl.col("reward").is_null()).then(pl.lit("missing_reward")))
    if params.where is not None:
        holds = language.to_polars(params.where)
        reasons += [
            pl.when(holds.is_null()).then(language.missing(params.where)),
            pl.when(~holds).then(pl.lit("where")),
        ]
    plain, of_rate = limits(unit_of(rows.collect_schema()), params)
    for limit in plain:
        reasons += _between(limit)
    if params.require_success:
        success = pl.col("success")
        unknown = success.is_null().all()
        reasons += [
            pl.when(success.is_null() & ~unknown).then(pl.lit("missing_success")),
            pl.when(~success).then(pl.lit("no_success")),
        ]
        said = "require_success was skipped: no row has a `success` that is true or false."
        facts["warnings"] = (
            rows.select(unknown=unknown & (pl.len() > 0))
            .filter("unknown")
            .select(message=pl.when("unknown").then(pl.lit(said)))
        )
    if params.require_tool_usage:
        reasons.append(pl.when(pl.col("tool_calls") == 0).then(pl.lit("no_tool_usage")))
    reasons += _between(of_rate)
    return rows.with_columns(reason=pl.coalesce(*reasons, pl.lit(None, pl.String))), facts


def _between(limit: Limit) -> list[pl.Expr]:
    reasons: list[pl.Expr] = []
    name, value = limit.name, limit.value
    if limit.least is not None or limit.most is not None:
        reasons.append(pl.when(value.is_null()).then(pl.lit(f"missing_{name}")))
    if limit.least is not None:
        low = value < pl.lit(limit.least) - TOLERANCE
        reasons.append(pl.when(low).then(pl.lit(f"below_min_{name}")))
    if limit.most is not None:
        high = value > pl.lit(limit.most) + TOLERANCE
        reasons.append(pl.when(high).then(pl.lit(f"above_max_{name}")))
    return reasons
