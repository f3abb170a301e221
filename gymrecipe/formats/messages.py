"""The format `messages`: OpenAI chat messages, call arguments as JSON text."""

from __future__ import annotations

from typing import Any

import msgspec

from gymrecipe.formats.example import Example
from gymrecipe.registry import format
from gymrecipe.rollouts.messages import Function, Message, ToolCall

_encoder = msgspec.json.Encoder()


@format(purposes=("sft", "dpo"), version=1)
def messages(example: Example) -> dict[str, Any]:
    """OpenAI chat: `messages`, or `prompt`, `chosen` and `rejected`; arguments are JSON text."""
    record: dict[str, Any]
    if example.purpose == "sft":
        record = {"messages": _as_text([*example.prompt, *example.completion])}
    else:
        record = {
            "prompt": _as_text(example.prompt),
            "chosen": _as_text(example.chosen),
            "rejected": _as_text(example.rejected),
        }
    if example.tools is not None:
        record["tools"] = example.tools
    return record | example.values


def _as_text(turns: list[Message]) -> list[Message]:
    """The same messages with the arguments of their calls as the API has them: one string."""
    return [_with_text(turn, turn.tool_calls) if turn.tool_calls else turn for turn in turns]


def _with_text(message: Message, calls: list[ToolCall]) -> Message:
    texts = [
        ToolCall(
            id=call.id,
            function=Function(call.function.name, _encoder.encode(arguments).decode()),
        )
        for call in calls
        for arguments in [call.function.arguments]
    ]
    return msgspec.structs.replace(message, tool_calls=texts)
