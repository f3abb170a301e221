"""A line of the format `axolotl`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, Field

from gymrecipe.formats.models import rendered
from gymrecipe.formats.models.cautions import alike, cautions, no_tools
from gymrecipe.formats.models.chat import Answered, Pair, Whole
from gymrecipe.formats.models.line import Line
from gymrecipe.formats.models.parts import EitherMessage, Message, Tools, ToolsText
from gymrecipe.registry import Purpose


class Demonstration(Whole[EitherMessage]):
    """`type: chat_template`, which decodes arguments and tools from text."""

    tools: Tools | ToolsText = None


class Preference(Pair[Message]):
    """A pair for TRL's trainer, without a `type`."""

    tools: Tools | ToolsText = None


class Labelled(Answered[Message]):
    """A labelled completion for TRL's trainer, without a `type`."""

    label: bool
    tools: Tools | ToolsText = None


class Ranked(Line):
    """`type: bradley_terry.chat_template`: one question and two answers."""

    system: str
    input: str
    chosen: Annotated[str, Field(min_length=1)]
    rejected: Annotated[str, Field(min_length=1)]


LINES: dict[Purpose, type[BaseModel] | tuple[type[BaseModel], ...]] = {
    "sft": Demonstration,
    "dpo": (Preference, rendered.Preference),
    "kto": (Labelled, rendered.Labelled),
    "reward_model": Ranked,
}


def traps(record: dict[str, Any], purpose: Purpose) -> Iterator[str]:
    """What Axolotl 0.19 changes or drops."""
    if purpose in ("dpo", "kto") and isinstance(record["prompt"], str):
        yield from rendered.traps(record, purpose)
        return
    yield from cautions(record, "messages", "prompt", "completion", "chosen", "rejected")
    if purpose in ("dpo", "reward_model"):
        yield from alike(record)
    if purpose in ("dpo", "kto"):
        yield from no_tools(record)
    if purpose == "sft":
        if record["messages"][0]["role"] != "system" and record.get("system"):
            yield "system: a column of this name becomes the system message"
        for i, message in enumerate(record["messages"]):
            for n, call in enumerate(message.get("tool_calls") or []):
                if _has_null(call["function"]["arguments"]):
                    yield (
                        f"messages.{i}.tool_calls.{n}: a null argument is taken out. Write the"
                        " arguments as JSON text"
                    )
        if _has_null(record.get("tools")):
            yield "tools: nulls in a schema are taken out. Write the tools as JSON text"
    if purpose == "reward_model" and record.get("tools"):
        yield "tools: do not reach the model here. Write format=rendered"


def _has_null(value: Any) -> bool:
    """Whether a key of an object has a null, however deep: `remove_none_values` takes it out."""
    if isinstance(value, dict):
        return any(part is None or _has_null(part) for part in value.values())
    return isinstance(value, list) and any(map(_has_null, value))
