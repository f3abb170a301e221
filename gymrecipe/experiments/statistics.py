"""Statistics: the figures of what one write wrote."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from typing import Any, NamedTuple

from gymrecipe.experiments.written import WriteResult
from gymrecipe.parameters import Reads, marked
from gymrecipe.planning.steps import Step
from gymrecipe.registry import unit_of
from gymrecipe.rollouts.columns import SIDES, of_pair
from gymrecipe.rollouts.figures import describe
from gymrecipe.stages.categories import categories

CATEGORIES = ("category", "task_type", "label")
"""Columns whose groups are counted where there are any, whatever the stages asked for."""
MOST_GROUPS = 1_000
"""The values of a column are no groups where there are more of them."""

FIGURES = {
    "rollouts": {"reward": "reward", "turns": "turns", "chars": "answer_chars"},
    "tasks": {name: name for name in ("success_rate", "mean_reward", "rollouts")},
    "pairs": {
        "gap": "gap",
        "reward_chosen": "chosen_reward",
        "reward_rejected": "rejected_reward",
        "chars_chosen": "chosen_answer_chars",
        "chars_rejected": "rejected_answer_chars",
    },
}
"""Which columns of the rows written are described, by what the rows are of."""


class Grounds(NamedTuple):
    """The columns by which steps above a write chose: metrics, and what they made groups of."""

    metrics: list[str]
    groups: list[str]


def grounds(above: Iterable[Step]) -> Grounds:
    """The columns by which these steps chose."""
    found = Grounds([], [])
    for step in above:
        for _, name, mark in marked(step.params, Reads):
            if name is not None and mark.kind == "number":
                found.metrics.append(name)
            elif step.stage.name == "dedup":
                continue  # of each value one row is left, which is no group of the result
            elif name not in (None, "task") and mark.kind == "category":
                found.groups.append(name)
    return found


def statistics(written: WriteResult, by: Grounds) -> dict[str, Any]:
    """Of the rows written: how many by split, their tasks, the spread of rewards, gaps and lengths
    and of the metrics that stages went by, and how many are of each category.
    """
    rows = written.written
    unit = unit_of(rows.columns)
    first = "chosen_" if unit == "pairs" else ""
    train = [o.rows for o in written.outputs if PurePath(o.path).name.startswith("train")]
    figures: dict[str, Any] = {
        "rows": written.rows,
        "train": sum(train),
        "validation": written.rows - sum(train),
        "tasks": rows["task_key"].drop_nulls().n_unique(),
    }
    if written.longest:
        figures["longest_record"] = written.longest
        figures["has_tools"] = bool(rows[f"{first}has_tools"].any())
        figures["has_reasoning"] = written.contents.has_reasoning
    described = dict(FIGURES[unit])
    for metric in by.metrics:
        sides = {f"{metric}_{side}": f"{side}_{metric}" for side in SIDES}
        described |= sides if unit == "pairs" else {metric: metric}
    figures |= {name: describe(rows[at]) for name, at in described.items() if at in rows.columns}
    for name in dict.fromkeys([*CATEGORIES, *by.groups]):
        column = of_pair(name) if unit == "pairs" else name
        if column in rows.columns and name not in figures:
            values = rows.select(categories(column, rows.schema[column])).to_series()
            counts = values.value_counts().sort(column)
            if counts.height <= MOST_GROUPS:
                figures[name] = dict(counts.iter_rows())
    return figures
