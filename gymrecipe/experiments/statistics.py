"""Statistics: the figures of what one write wrote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any

from gymrecipe.experiments.data import WriteResult
from gymrecipe.parameters import Reads, marked
from gymrecipe.registry import unit_of
from gymrecipe.rollouts.columns import of_pair
from gymrecipe.rollouts.figures import describe
from gymrecipe.stages.categories import categories
from gymrecipe.steps import Step

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


def grouped_by(above: Iterable[Step]) -> Iterator[str]:
    """The columns that these steps made groups of."""
    for step in above:
        for _, name, mark in marked(step.params, Reads):
            if mark.kind == "category" and name not in (None, "task"):
                yield name


def statistics(written: WriteResult, groups: Iterable[str]) -> dict[str, Any]:
    """Of the rows written: how many by split, their tasks, the spread of rewards, gaps and lengths,
    and how many are of each category, also of the columns `groups`.
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
    figures |= {name: describe(rows[column]) for name, column in FIGURES[unit].items()}
    for name in dict.fromkeys([*CATEGORIES, *groups]):
        column = of_pair(name) if unit == "pairs" else name
        if column in rows.columns and name not in figures:
            values = rows.select(categories(column, rows.schema[column])).to_series()
            counts = values.value_counts().sort(column)
            if counts.height <= MOST_GROUPS:
                figures[name] = dict(counts.iter_rows())
    return figures
