"""Contents: what the records of a write hold that a guide or a red flag has to tell of."""

from __future__ import annotations

import msgspec

from gymrecipe.formats.example import Example
from gymrecipe.rollouts.lines import is_null


class Contents(msgspec.Struct):
    """Whether some records have the model's thoughts, how many an answer marked as a refusal, how
    many prompts for RL no field for a verifier, and which of those fields are there.
    """

    has_reasoning: bool = False
    refused: int = 0
    unverifiable: int = 0
    verifier: set[str] = set()

    def note(self, example: Example) -> None:
        """Take up one record."""
        self.has_reasoning = self.has_reasoning or _thinks(example)
        self.refused += example.refused
        if example.purpose == "rl":
            present = {name for name, raw in example.verifier.items() if not is_null(raw)}
            self.verifier |= present
            self.unverifiable += not present

    def add(self, other: Contents) -> None:
        """Take up the records of another slice."""
        self.has_reasoning |= other.has_reasoning
        self.refused += other.refused
        self.unverifiable += other.unverifiable
        self.verifier |= other.verifier


def _thinks(example: Example) -> bool:
    """Whether the model's thoughts are in it, beside its texts or in them."""
    return any(
        turn.reasoning_content is not None or turn.content.startswith("<think>")
        for turns in (example.completion, example.chosen, example.rejected)
        for turn in turns
    )
