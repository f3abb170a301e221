"""Statistics: the figures of what one write wrote."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from gymrecipe.experiments.data import WriteResult
from gymrecipe.registry import unit_of
from gymrecipe.rollouts.columns import GENERAL
from gymrecipe.rollouts.figures import describe

CATEGORIES = ("category", "task_type")

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


def statistics(written: WriteResult) -> dict[str, Any]:
    """Rows by split, tasks, and the spread of rewards, gaps and lengths over the rows written."""
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
    for name in CATEGORIES:
        column = f"{first}{name}"
        if column in rows.columns:
            counts = rows[column].fill_null(GENERAL).value_counts().sort(column)
            figures[name] = dict(counts.iter_rows())
    return figures
