"""Tasks: one row a task with how often it was solved, for RL prompts."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import TOLERANCE, Params
from gymrecipe.registry import Facts, stage
from gymrecipe.rollouts.columns import OF_A_ROLLOUT
from gymrecipe.rollouts.figures import total

SLICE = 100_000
"""So many tasks are turned into Python's numbers at a time."""

FIGURES = ("success_rate", "mean_reward", "std_reward")
Figures = tuple[float | None, float | None, float | None]


class Tasks(Params):
    """What counts as solved."""

    use: Literal["tasks"] = "tasks"
    success_at: float = 1.0
    """The reward from which on a rollout is a success."""


@stage(takes="rollouts", makes="tasks", version=1)
def tasks(rollouts: pl.LazyFrame, params: Tasks) -> tuple[pl.LazyFrame, Facts]:
    """Make one row of each task's rollouts.

    | task | reward |        | task | rollouts | success_rate | mean_reward | std_reward |
    |------|--------|        |------|----------|--------------|-------------|------------|
    | a    | 1.0    |   →    | a    | 3        | 0.5          | 0.6         | 0.57       |
    | a    | 0.2    |
    | a    |        |

    Rates and figures are over the rollouts that have a reward, and missing where none has; the
    sample std needs two. `rows` are all the rollouts of the task. The other columns are those of
    the rollout that stands for it, the first by draw, less those that say how it went.

    A success rate is about one prompt. Where the rollouts of a task were shown several, those of
    the most frequent one are the task, and the others leave as `prompts_differ`; rollouts whose
    task is not clear leave as `task_unclear`.
    """
    table = rollouts.collect()
    carried = [name for name in table.columns if name not in OF_A_ROLLOUT]
    # The first by draw come first: lines in another order give the same row of a task.
    shown = (
        table.lazy()
        .select("row", "task_key", "prompt_key", "draw", "reward", at=pl.int_range(pl.len()))
        .sort("task_key", "draw", "row")
        .drop("draw")
        .collect()
    )
    unclear = shown.filter(pl.col("task_key").is_null())
    differ = _of_other_prompts(shown)
    gone = pl.concat([unclear["at"], differ])
    kept = shown.filter(~pl.col("at").is_in(gone.implode())) if len(gone) else shown
    made = (
        kept.lazy()
        .group_by("task_key", maintain_order=True)
        .agg(
            pl.col("at").first(),
            rollouts=pl.len().cast(pl.Int64),
            rows=pl.col("row").sort(),
            rewards=pl.col("reward").drop_nulls().sort(),
        )
        .collect()
    )
    figures = _figures(made["rewards"], params.success_at)
    made = table.select(carried)[made["at"]].hstack([made["rollouts"], *figures, made["rows"]])
    left = [
        table.select(carried)[at].with_columns(reason=pl.lit(reason), rows=pl.concat_list("row"))
        for reason, at in (("task_unclear", unclear["at"]), ("prompts_differ", differ))
    ]
    rate = pl.col("success_rate")
    facts = {
        "success": made.lazy().select(
            tasks=pl.len(),
            never=(rate == 0).sum(),
            sometimes=((rate > 0) & (rate < 1)).sum(),
            always=(rate == 1).sum(),
            unscored=rate.is_null().sum(),
        )
    }
    return pl.concat([made, *left], how="diagonal").sort("row").lazy(), facts


def _of_other_prompts(shown: pl.DataFrame) -> pl.Series:
    """Where the rollouts are whose task is mostly asked with another prompt, null being one."""
    task, prompt = shown["task_key"], shown["prompt_key"]
    change = (task[1:] == task[:-1]) & prompt[1:].ne_missing(prompt[:-1])
    several = task[1:].filter(change).unique()
    among = shown.filter(pl.col("task_key").is_in(several.implode()))
    # Of prompts that are as frequent the first by draw.
    frequent = (
        among.group_by("task_key", "prompt_key", maintain_order=True)
        .len()
        .sort("len", descending=True, maintain_order=True)
        .unique("task_key", keep="first", maintain_order=True)
    )
    on = ["task_key", "prompt_key"]
    return among.join(frequent, on=on, how="anti", nulls_equal=True)["at"]


def _figures(rewards: pl.Series, success_at: float) -> list[pl.Series]:
    """The figures of each task's rewards. Sums are exact, so that no order changes a digit."""
    rows: list[Figures] = []
    for start in range(0, len(rewards), SLICE):
        some = rewards.slice(start, SLICE).to_list()
        rows += [_figures_of(tuple(values), success_at) for values in some]
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    return [
        pl.Series(name, values, dtype=pl.Float64)
        for name, values in zip(FIGURES, columns, strict=True)
    ]


@lru_cache(maxsize=10_000)  # Binary rewards come out alike time and again.
def _figures_of(rewards: tuple[float, ...], success_at: float) -> Figures:
    if not (n := len(rewards)):
        return None, None, None
    rate = sum(reward >= success_at - TOLERANCE for reward in rewards) / n
    mean = total(rewards) / n
    if n == 1:
        return rate, mean, None
    return rate, mean, math.sqrt(total([(r - mean) * (r - mean) for r in rewards]) / (n - 1))
