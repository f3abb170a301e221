"""A line of the format `rendered`: text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, Field

from gymrecipe.formats.models.cautions import Caution, alike
from gymrecipe.formats.models.line import Line
from gymrecipe.registry import Purpose

Text = Annotated[str, Field(min_length=1)]


class Completed(Line):
    """`prompt` and `completion`."""

    prompt: Text
    completion: Text


class Preference(Line):
    """`prompt`, `chosen` and `rejected`."""

    prompt: Text
    chosen: Text
    rejected: Text


class Labelled(Completed):
    """`prompt`, `completion` and a boolean `label`."""

    label: bool


class Margin(Preference):
    """A pair with its margin."""

    margin: float


class Prompt(Line):
    """`prompt`, and what its verifier needs as JSON text."""

    prompt: Text
    verifier: str


LINES: dict[Purpose, type[BaseModel]] = {
    "sft": Completed,
    "dpo": Preference,
    "kto": Labelled,
    "reward_model": Margin,
    "rl": Prompt,
}


def traps(record: dict[str, Any], purpose: Purpose) -> Iterator[str]:
    """What readers of rendered text trip over."""
    if purpose in ("dpo", "reward_model"):
        yield from alike(record)
    for name in ("completion", "chosen", "rejected"):
        text = record.get(name)
        if text is None:
            continue
        if record.get("prompt") and text.startswith(record["prompt"]):
            yield f"{name}: begins with the whole prompt, which would be there twice"
        if not text.strip():
            yield f"{name}: has no text"
        if text.endswith("\n"):
            yield Caution(
                f"{name}: ends on a line end, after which TRL puts an end mark of its own"
            )
