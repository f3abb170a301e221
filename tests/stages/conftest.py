"""Rollouts for the tests of stages: a dict of columns in, a list out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from gymrecipe.parameters import Params
from gymrecipe.registry import STAGES
from tests.full import often

SCHEMA: dict[str, Any] = {
    "row": pl.UInt32, "source": pl.UInt32, "line": pl.UInt64, "offset": pl.UInt64,
    "bytes": pl.UInt32, "id_hi": pl.UInt64, "id_lo": pl.UInt64, "prompt_key": pl.UInt64,
    "reward": pl.Float64, "turns": pl.UInt32, "output_items": pl.UInt32, "tool_calls": pl.UInt32,
    "answer_chars": pl.UInt32, "answer_key": pl.UInt64, "output_tokens": pl.Int64,
    "truncated": pl.Boolean, "failed": pl.Boolean, "masked": pl.Boolean, "empty": pl.Boolean,
    "unanswered_calls": pl.Boolean, "has_tools": pl.Boolean, "model": pl.Categorical(),
    "agent": pl.Categorical(), "task_key": pl.UInt64, "draw": pl.Float64,
}  # fmt: skip
"""The columns of the rollout table as `load` leaves it."""

Columns = dict[str, list[Any]]


def rollouts(columns: Columns) -> pl.LazyFrame:
    """A rollout table: the columns given, and for the others what an ordinary rollout has.

    Unless said otherwise all rollouts answer one task and prompt, differently, and draw in order.
    """
    size = len(next(iter(columns.values())))
    numbers = list(range(size))
    defaults: Columns = {
        "row": numbers,
        "line": [number + 1 for number in numbers],
        "offset": [number * 1000 for number in numbers],
        "bytes": [999] * size,
        "id_lo": [2**40 + number for number in numbers],
        "answer_key": [2**50 + number for number in numbers],
        "draw": [(number + 0.5) / max(size, 1) for number in numbers],
        "task_key": [2**60] * size,
        "prompt_key": columns.get("task_key", [2**60] * size),
        "reward": [1.0] * size,
        "turns": [1] * size,
        "output_items": [1] * size,
        "answer_chars": [100] * size,
        "output_tokens": [30] * size,
        "model": ["model"] * size,
        "agent": ["agent"] * size,
    }
    frame = {}
    for name, dtype in SCHEMA.items():
        plain = [False if dtype == pl.Boolean else 0] * size
        frame[name] = pl.Series(columns.get(name, defaults.get(name, plain)), dtype=dtype)
    for name in columns.keys() - SCHEMA.keys():
        frame[name] = pl.Series(columns[name])
    return pl.LazyFrame(frame)


def pairs(columns: Columns) -> pl.LazyFrame:
    """A pair table: the columns given (`gap`, `chosen_…`, `rejected_…`), the rest as above."""
    size = len(next(iter(columns.values())))
    sides = []
    for side, first in (("chosen", 0), ("rejected", size)):
        own = {
            name.removeprefix(f"{side}_"): values
            for name, values in columns.items()
            if name.startswith(f"{side}_")
        }
        own.setdefault("row", list(range(first, first + size)))
        sides.append(rollouts(own).select(pl.all().name.prefix(f"{side}_")).collect())
    table = pl.concat(sides, how="horizontal").with_columns(
        pl.Series("gap", columns.get("gap", [0.5] * size), dtype=pl.Float64),
        draw="chosen_draw",
        task_key="chosen_task_key",
        prompt_key="chosen_prompt_key",
    )
    return table.lazy()


def tasks(columns: Columns) -> pl.LazyFrame:
    """A task table: what the stage `tasks` makes of such rollouts."""
    made = call(rollouts(columns), STAGES["tasks"].params())[0]
    return made.filter(pl.col("reason").is_null()).drop("reason").lazy()


def call(rows: pl.LazyFrame, params: Params, *more: Any) -> tuple[pl.DataFrame, dict[str, Any]]:
    """What a stage makes of a table: all rows with their `reason`, and its facts as rows."""
    made = STAGES[params.use].function(rows, params, *more)  # type: ignore[attr-defined]
    frame, facts = made if isinstance(made, tuple) else (made, {})
    table = frame.collect()
    if "reason" not in table.columns:
        table = table.with_columns(reason=pl.lit(None, pl.String))
    return table, {name: fact.collect().to_dicts() for name, fact in facts.items()}


def reasons(params: Params, columns: Columns) -> list[str | None]:
    """The reason of each rollout, in the order of the rows."""
    return call(rollouts(columns), params)[0]["reason"].to_list()


def kept(params: Params, rows: pl.LazyFrame) -> list[int]:
    """The rows that stay, in ascending order."""
    table = call(rows, params)[0].filter(pl.col("reason").is_null())
    return sorted(table["row" if "row" in table.columns else "chosen_row"])


def shuffles(rows: pl.LazyFrame) -> Iterator[pl.LazyFrame]:
    """The same rows in other orders."""
    table = rows.collect()
    yield table.reverse().lazy()
    for seed in range(often(1, 3)):
        yield table.sample(fraction=1, shuffle=True, seed=seed).lazy()
