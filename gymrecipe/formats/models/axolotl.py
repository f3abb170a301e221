"""A line of the format `axolotl`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator

from gymrecipe.formats.models import rendered
from gymrecipe.formats.models.cautions import alike, cautions, environment, no_tools
from gymrecipe.formats.models.chat import Answered, Pair, Whole
from gymrecipe.formats.models.line import Line, of_json
from gymrecipe.formats.models.parts import EitherMessage, Label, Message, Tools, ToolsText
from gymrecipe.registry import Purpose


class Demonstration(Whole[EitherMessage]):
    """`type: chat_template`, which decodes arguments, tools, their parameters, and messages as a
    whole from text.
    """

    tools: Tools | ToolsText = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, record: Any) -> Any:
        return _decoded(record) if isinstance(record, dict) else record


class Preference(Pair[Message]):
    """A pair for TRL's trainer, without a `type`."""

    tools: Tools | ToolsText = None


class Labelled(Answered[Message]):
    """A labelled completion for TRL's trainer, without a `type`."""

    label: Label
    tools: Tools | ToolsText = None


class Ranked(Line):
    """`type: bradley_terry.chat_template`: one question and two answers."""

    system: str
    input: str
    chosen: Annotated[str, Field(min_length=1)]
    rejected: Annotated[str, Field(min_length=1)]


def _decoded(record: dict[str, Any]) -> dict[str, Any]:
    """The record with its texts decoded that are lists or the parameters of a tool."""
    texts = {name: _value(record[name], list) for name in ("messages", "tools") if name in record}
    if isinstance(tools := texts.get("tools"), list):
        texts["tools"] = [_with_parameters(tool) for tool in tools]
    return record | texts


def _with_parameters(tool: Any) -> Any:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("parameters"), str):
        return tool
    return tool | {"function": function | {"parameters": _value(function["parameters"], dict)}}


def _value(value: Any, wanted: type) -> Any:
    """What a text holds where that is of the wanted type; anything else as it is."""
    try:
        return of_json(value, wanted) if isinstance(value, str) else value
    except ValueError:
        return value


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
    written = record
    if purpose == "sft":
        record = _decoded(record)
    yield from cautions(record, "messages", "prompt", "completion", "chosen", "rejected")
    if purpose in ("dpo", "reward_model"):
        yield from alike(record)
    if purpose in ("dpo", "kto"):
        yield from no_tools(record)
        yield from environment(record, purpose)
    if purpose == "sft":
        if record["messages"][0]["role"] != "system" and record.get("system"):
            yield "system: a column of this name becomes the system message"
        yield from _nulls(written)
    if purpose == "reward_model" and record.get("tools"):
        yield "tools: do not reach the model here. Write format=rendered"


def _nulls(record: dict[str, Any]) -> Iterator[str]:
    """The nulls that are taken out; not those in texts, which are decoded after that."""
    turns = record["messages"] if isinstance(record["messages"], list) else []
    for i, message in enumerate(turns):
        for n, call in enumerate(message.get("tool_calls") or []):
            if _has_null(call["function"]["arguments"]):
                yield (
                    f"messages.{i}.tool_calls.{n}: a null argument is taken out. Write the"
                    " arguments as JSON text"
                )
    if _has_null(record.get("tools")):
        yield "tools: nulls in a schema are taken out. Write the tools as JSON text"


def _has_null(value: Any) -> bool:
    """Whether a key of an object has a null, however deep: `remove_none_values` takes it out."""
    if isinstance(value, dict):
        return any(part is None or _has_null(part) for part in value.values())
    return isinstance(value, list) and any(map(_has_null, value))
