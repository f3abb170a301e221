"""Sound lines: those of a batch on their way to rows: as text, as rollouts, a column at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from gymrecipe.rollouts.known_fields import Values
from gymrecipe.rollouts.prompts import Prompt
from gymrecipe.rollouts.response_counts import ResponseCounts


class Text(msgspec.Struct, gc=False):
    """A line that is neither blank nor too long. `place` counts these."""

    number: int
    offset: int
    data: bytes
    place: int
    whole: bool


class SoundLines(msgspec.Struct):
    """Lines that are rollouts, whatever may be asked of them. Of each there are its parts, the
    prompt, how many items came back, and what they say.
    """

    texts: list[Text] = []
    values: list[Values] = []
    prompts: list[Prompt] = []
    items: list[int] = []
    answers: list[ResponseCounts] = []

    def alone(self) -> Iterator[SoundLines]:
        """Each line by itself."""
        each = zip(self.texts, self.values, self.prompts, self.items, self.answers, strict=True)
        for text, parts, prompt, items, answer in each:
            yield SoundLines([text], [parts], [prompt], [items], [answer])


class Taken(msgspec.Struct):
    """What was read of sound lines. `texts` become codes; a metric has the number of each line,
    None where there is none; `found` are the names that some line has.
    """

    columns: dict[str, Sequence[Any]]
    texts: dict[str, list[str | None]]
    metrics: dict[str, list[float | None]]
    found: set[str]
