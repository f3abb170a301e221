"""What a tool's rows amount to, so that tools which do the same job can be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

DIGITS = 6


class Figures(NamedTuple):
    """How many rows, the sum of their numbers, and a hash of the set of their answers."""

    rows: int
    total: float
    answers: str


def figures(folder: Path) -> Figures:
    """Of all the rows in a folder's `data/`, in whatever order they are."""
    rows = sorted(_seen(json.loads(line)) for line in _lines(folder))
    numbers = [number for row in rows for number in row if isinstance(number, float)]
    texts = [text for row in rows for text in row if isinstance(text, str)]
    answers = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    return Figures(len(rows), round(sum(numbers), DIGITS - 1), answers[:16])


def _lines(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.rglob("data/*.jsonl")):
        with path.open("rb") as file:
            yield from file


def _seen(row: dict[str, Any]) -> tuple[Any, ...]:
    """The texts and numbers by which a row is known."""
    if "metric" in row:
        names = ("count", "mean", "std", "min", "max")
        return row["metric"], *(round(float(row[name]), DIGITS) for name in names)
    if "messages" in row:
        return _answer(row["messages"]), float(row["reward"])
    sides = _answer(row["chosen"]), _answer(row["rejected"])
    return *sides, float(row["reward_chosen"]), float(row["reward_rejected"])


def _answer(messages: list[dict[str, Any]]) -> str:
    """The last text, of chat messages or of a response's items.

    Without what is beyond ASCII: jq 1.6 damages such letters where a block of its reading ends.
    """
    content = messages[-1]["content"]
    text = content if isinstance(content, str) else content[0]["text"]
    return text.encode("ascii", "ignore").decode()
