"""A line of the format `messages`: OpenAI chat, call arguments as JSON text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from gymrecipe.formats.models.cautions import alike, cautions, no_tools
from gymrecipe.formats.models.chat import Pair, Whole
from gymrecipe.formats.models.parts import TextMessage, Tools
from gymrecipe.registry import Purpose


class Demonstration(Whole[TextMessage]):
    """`messages`, and `tools` where the dataset has tools."""

    tools: Tools = None


class Preference(Pair[TextMessage]):
    """`prompt`, `chosen` and `rejected`."""

    tools: Tools = None


class Scored(Demonstration):
    """A demonstration with its reward."""

    reward: float


LINES: dict[Purpose, type[BaseModel]] = {"sft": Demonstration, "dpo": Preference, "buffer": Scored}


def traps(record: dict[str, Any], purpose: Purpose) -> Iterator[str]:
    """What readers of chat data trip over."""
    yield from cautions(record, "messages", "prompt", "chosen", "rejected")
    yield from no_tools(record)
    if purpose == "dpo":
        yield from alike(record)
