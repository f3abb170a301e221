"""Contents: what the records of a write hold that a guide or a red flag has to tell of."""

from __future__ import annotations

from typing import Any

import msgspec

from gymrecipe.formats.dates import is_date
from gymrecipe.formats.example import Example
from gymrecipe.formats.verifier import with_value
from gymrecipe.rollouts.lines import NULL, is_null

_TOGETHER = frozenset({"messages", "input", "conversations"})
"""What formats call the column that holds a demonstration's prompt and answer."""


class Contents(msgspec.Struct):
    """Whether some records have the model's thoughts, how many an answer marked as a refusal, how
    many one that is several messages in a row, how many answers of the request among the others,
    how many prompts for RL nothing to verify an answer by, which fields for a verifier have a
    value, and which are there and null. `dated` are the columns in which there are dates,
    `undated` those in which there is anything else, nulls aside.
    """

    has_reasoning: bool = False
    refused: int = 0
    joined: int = 0
    requested: int = 0
    unverifiable: int = 0
    verifier: set[str] = set()
    verifier_nulls: set[str] = set()
    dated: set[str] = set()
    undated: set[str] = set()

    def note(self, example: Example, record: Any) -> None:
        """Take up one record and what it was made of."""
        self.has_reasoning = self.has_reasoning or _thinks(example)
        self.refused += example.refused
        self.joined += example.joined
        self.requested += _asks_with_answers(example, record)
        if example.purpose == "rl":
            told = with_value(example.verifier)
            self.verifier |= told
            there = {name for name, raw in example.verifier.items() if raw is not NULL}
            self.verifier_nulls |= there - told
            self.unverifiable += example.unverifiable
        columns = record if isinstance(record, dict) else {}
        for name in columns.keys() - self.undated:
            value = columns[name]
            if not is_null(value):
                (self.dated if is_date(value) else self.undated).add(name)

    @property
    def dates(self) -> set[str]:
        """The columns in which there are dates alone."""
        return self.dated - self.undated

    def add(self, other: Contents) -> None:
        """Take up the records of another slice."""
        self.has_reasoning |= other.has_reasoning
        self.refused += other.refused
        self.joined += other.joined
        self.requested += other.requested
        self.unverifiable += other.unverifiable
        self.verifier |= other.verifier
        self.verifier_nulls |= other.verifier_nulls
        self.dated |= other.dated
        self.undated |= other.undated


def _asks_with_answers(example: Example, record: Any) -> bool:
    """Whether a demonstration has answers in its prompt, and prompt and answer are one list."""
    return (
        example.purpose == "sft"
        and isinstance(record, dict)
        and not _TOGETHER.isdisjoint(record)
        and any(turn.role == "assistant" for turn in example.prompt)
    )


def _thinks(example: Example) -> bool:
    """Whether the model's thoughts are in it, beside its texts or in them."""
    return any(
        turn.reasoning_content is not None or turn.content.startswith("<think>")
        for turns in (example.completion, example.chosen, example.rejected)
        for turn in turns
    )
