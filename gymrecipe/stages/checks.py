"""Checks: the figures that `validate` holds against limits.

Each gives one figure of the rows that enter, or None where there is nothing to judge. It is given
the facts of the stages above, the value that it counts or judges by where the recipe names one
(`at`), and the category's column (`by`), too. Limits stand in `validate`.
"""

from __future__ import annotations

from typing import Any

from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import TOLERANCE
from gymrecipe.registry import check, unit_of
from gymrecipe.rollouts.columns import GENERAL, of_pair
from gymrecipe.rollouts.figures import mean, std
from gymrecipe.stages.categories import categories

Told = dict[str, list[dict[str, Any]]]
"""The facts of stages as they are told: each table as its rows."""

BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Bins of the PPO guide; the last includes 1.0, which its own loop loses."""


READ = {
    "row", "chosen_row", "reward", "output_tokens", "label", "gap", "chosen_answer_chars",
    "rejected_answer_chars", "success_rate", "rollouts", "std_reward",
}  # fmt: skip
"""The columns that these checks read, beside the category's."""


def _share(hits: pl.Series) -> float | None:
    present = hits.drop_nulls()
    return int(present.sum()) / len(present) if len(present) else None


@check(takes=("rollouts", "tasks", "pairs"), advice="Lower a threshold, or collect more rollouts.")
def rows(rows: pl.DataFrame, *_: Any) -> float | None:
    """How many rows there are."""
    return rows.height


@check(takes=("rollouts",), advice="The verifier may be broken: it gives every rollout one score.")
def distinct_rewards(rows: pl.DataFrame, facts: Told, *_: Any) -> float | None:
    """How many different rewards the rollouts have, judged on all that were read."""
    read = facts.get("rewards", [{"n": 0, "distinct": 0}])[0]
    return read["distinct"] if read["n"] > 1 else None


@check(takes=("rollouts",), advice="Raise min_reward.")
def mean_reward(rows: pl.DataFrame, facts: Told, at: float | None, *_: Any) -> float | None:
    """The mean reward. With `at`, the threshold the rows were kept by: judged only from 0.9 on."""
    return None if at is not None and at < 0.9 - TOLERANCE else mean(rows["reward"])


@check(takes=("rollouts",), advice="A stage after the threshold let rows in; see the stages.")
def under_threshold(rows: pl.DataFrame, facts: Told, at: float | None, *_: Any) -> float | None:
    """How many rewards are under the threshold `at`; None without one."""
    return None if at is None else int((rows["reward"] < at - TOLERANCE).sum())


@check(takes=("rollouts",), advice="Answers were cut off: raise the token limit and collect again.")
def at_longest(rows: pl.DataFrame, *_: Any) -> float | None:
    """The share of rollouts with as many output tokens as the longest, where several have."""
    tokens = rows["output_tokens"].drop_nulls()
    longest = int((tokens == tokens.max()).sum()) if len(tokens) else 0
    return None if longest < 2 else longest / len(tokens)


@check(takes=("rollouts",), advice="Collect at a higher temperature, or use a graded reward.")
def std_reward(rows: pl.DataFrame, *_: Any) -> float | None:
    """The sample standard deviation of the rewards; above 0.15 is good."""
    return std(rows["reward"])


@check(takes=("rollouts",), advice="A binary reward tells PPO little; consider a graded one.")
def extreme_rewards(rows: pl.DataFrame, facts: Told, at: float | None, *_: Any) -> float | None:
    """The share of rewards within `at` (0.05) of 0 or of 1."""
    near = (0.05 if at is None else at) + TOLERANCE
    reward = rows["reward"]
    return _share((reward.abs() <= near) | ((reward - 1.0).abs() <= near))


@check(takes=("rollouts",), advice="A single peak at 0.5 is noise: look at the verifier.")
def middle_rewards(rows: pl.DataFrame, *_: Any) -> float | None:
    """The share of rewards in the bin around 0.5, from 0.4 up to 0.6."""
    return _share(_bin(rows["reward"]) == 2)


@check(takes=("rollouts",), advice="Use a graded reward, or tasks of more kinds of difficulty.")
def populated_bins(rows: pl.DataFrame, *_: Any) -> float | None:
    """How many of the five bins of [0, 1] hold a reward; 1.0 belongs to the last."""
    bins = _bin(rows["reward"]).drop_nulls()
    return bins.filter(bins.is_between(0, 4)).n_unique() if len(bins) else None


@check(takes=("rollouts",), advice="These figures are of rewards in [0, 1]: rescale the reward.")
def outside_rewards(rows: pl.DataFrame, *_: Any) -> float | None:
    """The share of rewards outside [0, 1], which no bin holds."""
    return _share(~_bin(rows["reward"]).is_between(0, 4))


@check(takes=("pairs",), advice="A higher min_gap or temperature widens the gaps.")
def mean_gap(rows: pl.DataFrame, *_: Any) -> float | None:
    """The mean gap."""
    return mean(rows["gap"])


@check(takes=("pairs",), advice="Raise min_gap: small gaps are mostly noise.")
def small_gaps(rows: pl.DataFrame, facts: Told, at: float | None, *_: Any) -> float | None:
    """The share of gaps below `at` (0.1)."""
    return _share(rows["gap"] < (0.1 if at is None else at) - TOLERANCE)


@check(takes=("pairs",), advice="Too easy: add harder tasks, or a graded reward.")
def wide_gaps(rows: pl.DataFrame, facts: Told, at: float | None, *_: Any) -> float | None:
    """The share of gaps of at least `at`; by default 0.95, of values that are graded in [0, 1]."""
    # A binary reward has no other gap than 1, and of a metric up to 10 hardly one is below it.
    compared = facts.get("compared", [{"distinct": 0}])[0]
    graded = compared["distinct"] > 2 and (
        compared["least"] >= -TOLERANCE and compared["most"] <= 1.0 + TOLERANCE
    )
    if at is None and not graded:
        return None
    return _share(rows["gap"] >= (0.95 if at is None else at) - TOLERANCE)


@check(
    takes=("pairs",),
    advice="It may learn length alone: filter the pairs by chosen_answer_chars.",
)
def longer_chosen(rows: pl.DataFrame, *_: Any) -> float | None:
    """The share of pairs whose chosen answer is the longer one, of those that differ in length."""
    chosen, rejected = rows["chosen_answer_chars"], rows["rejected_answer_chars"]
    return _share((chosen > rejected).filter(chosen != rejected))


@check(takes=("rollouts",), advice="KTO needs both: move high or low.")
def labels(rows: pl.DataFrame, *_: Any) -> float | None:
    """How many different labels there are, of which there are two."""
    label = _labels(rows)
    return label.n_unique() if len(label) else None


@check(
    takes=("rollouts",),
    advice="Balance by label, or weight them in the trainer: desirable_weight, undesirable_weight.",
)
def label_ratio(rows: pl.DataFrame, *_: Any) -> float | None:
    """Desirable rollouts over undesirable ones; None without an undesirable one."""
    label = _labels(rows)
    desirable = int(label.sum())
    return desirable / (len(label) - desirable) if desirable < len(label) else None


@check(takes=("tasks",), advice="Filter by success_rate, or collect tasks of another difficulty.")
def mean_success(rows: pl.DataFrame, *_: Any) -> float | None:
    """The mean success rate of the tasks."""
    return mean(rows["success_rate"])


@check(
    takes=("tasks",), advice="Collect more rollouts a task (num_repeats): rates of few are noise."
)
def rollouts_per_task(rows: pl.DataFrame, *_: Any) -> float | None:
    """The mean number of rollouts that a task has."""
    return mean(rows["rollouts"])


@check(takes=("tasks",), advice="Filter by std_reward > 0: equal rewards give no gradient.")
def flat_tasks(rows: pl.DataFrame, *_: Any) -> float | None:
    """The share of tasks whose rollouts all have the same reward, of those with two or more."""
    return _share(rows["std_reward"] <= TOLERANCE)


@check(takes=("pairs",), advice="More rollouts a task give more pairs, a higher min_gap fewer.")
def pair_rate(rows: pl.DataFrame, facts: Told, *_: Any) -> float | None:
    """Tasks with a pair over tasks with at least two usable rollouts."""
    rate: float | None = facts.get("rates", [{"pair_rate": None}])[0]["pair_rate"]
    return rate


@check(
    takes=("rollouts", "tasks", "pairs"),
    advice="Balance by this column, or collect more of the others.",
)
def largest_category(
    rows: pl.DataFrame, facts: Told, at: float | None, by: str | None
) -> float | None:
    """The share of the largest category of the column `by`; None where every row is `general`."""
    if by is None or not rows.height:
        return None
    name = of_pair(by) if unit_of(rows.columns) == "pairs" else by
    groups = rows.select(categories(name, rows.schema[name])).to_series()
    if (groups == GENERAL).all():
        return None
    largest: int = max(groups.unique_counts())
    return largest / rows.height


def _labels(rows: pl.DataFrame) -> pl.Series:
    return rows["label"] if "label" in rows.columns else pl.Series([], dtype=pl.Boolean)


def _bin(rewards: pl.Series) -> pl.Series:
    """The index of each reward's bin: 0 to 4, -1 below 0, 5 above 1."""
    index = (rewards > BINS[-1] + TOLERANCE).cast(pl.Int32) - 1
    for edge in BINS[:-1]:
        index += (rewards >= edge - TOLERANCE).cast(pl.Int32)
    return index
