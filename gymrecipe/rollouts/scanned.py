"""Scanned: what a scan is asked of a slice of a file, and what it says of it, as plain data."""

from __future__ import annotations

from typing import Any

import msgspec

from gymrecipe.rollouts.bad_runs import Runs
from gymrecipe.rollouts.columns import TASK_FIELD, TEXTS, Column, Path
from gymrecipe.rollouts.files import Source

TYPES = {
    "line": "Q", "offset": "Q", "bytes": "I", "id_hi": "Q", "id_lo": "Q", "prompt_key": "Q",
    "index_key": "Q", "repeat_key": "Q", "group_value": "Q", "place": "Q", "reward": "d",
    "turns": "I", "output_items": "I", "tool_calls": "I", "answer_chars": "I", "answer_key": "Q",
    "output_tokens": "q", "truncated": "b", "failed": "b", "masked": "b", "empty": "b",
    "unanswered_calls": "b", "has_tools": "b",
}  # fmt: skip
"""The columns of every row and their array types; 0 in a key, -1 and NaN elsewhere is missing."""

_CODES = {"number": "d", "boolean": "b", "text": "i", "texts": "i", "category": "i", "any": "b"}
"""The array types of a recipe's columns, by their kind; texts are codes, -1 is none."""

Digests = list[bytes]
"""Of the blocks of a slice. Named here, for `bytes` is something else among the fields below."""


def task_field(index: int) -> str:
    """The column that holds the key of the n-th task field."""
    return f"{TASK_FIELD}{index}"


def array_types(columns: tuple[Column, ...], task_fields: int) -> dict[str, str]:
    """The columns that a scan fills, and their array types."""
    types = TYPES | {task_field(index): "Q" for index in range(task_fields)}
    types |= {"model": "i", "agent": "i"}
    return types | {column.name: _CODES[column.kind] for column in columns}


def text_columns(columns: tuple[Column, ...]) -> list[str]:
    """Those of them that hold codes of texts."""
    return ["model", "agent", *(column.name for column in columns if column.kind in TEXTS)]


class Job(msgspec.Struct, frozen=True):
    """A slice of a file, `start` to `end`, and what to look for in its lines.

    At most `limit` lines are read. The rest is left where the run has to stop anyway: behind more
    than `most_bad` bad rows, or behind too many blank lines, for which `others_before` says how
    many other lines come before the slice at most.
    """

    source: Source
    start: int
    end: int
    reward: Path
    columns: tuple[Column, ...]
    present: tuple[Path, ...]
    task_fields: tuple[Path, ...]
    group_by: Path | None
    metric_rows: bool
    limit: int | None = None
    most_bad: int | None = None
    others_before: int | None = None

    def __str__(self) -> str:
        return f"{self.source.name}: bytes {self.start} to {self.end}"


class Metric(msgspec.Struct):
    """A top-level numeric field over a slice. `sums` add up to the exact sum."""

    n: int
    sums: list[float]
    least: float
    most: float


class Scanned(msgspec.Struct):
    """What a slice holds. `columns` has an array a column, `texts` the values its codes mean;
    `by_asking` says that some line is bad only because of what the job asks of it.
    """

    lines: int
    digests: Digests
    columns: dict[str, Any]
    texts: dict[str, list[str]]
    bad: Runs
    fields: list[str]
    found: list[str]
    metrics: dict[str, Metric]
    metric_rows: dict[str, tuple[Any, Any]]
    bytes: int
    by_asking: bool = False
