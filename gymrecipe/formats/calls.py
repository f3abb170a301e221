"""Calls: what the calls of a conversation are to a loader: arguments as text, or as objects."""

from __future__ import annotations

import msgspec

from gymrecipe.formats.numbers import check
from gymrecipe.formats.text import json_text
from gymrecipe.rollouts.chat import Function, Message, ToolCall


def as_text(messages: list[Message]) -> list[Message]:
    """The messages with the arguments of their calls as the API has them: one JSON text."""
    return [
        msgspec.structs.replace(message, tool_calls=[_call(call) for call in message.tool_calls])
        if message.tool_calls
        else message
        for message in messages
    ]


def as_objects(messages: list[Message]) -> list[Message]:
    """The messages as they are, with objects that a loader reads; raises Unusable."""
    for message in messages:
        for call in message.tool_calls or ():
            check(call.function.arguments)
    return messages


def _call(call: ToolCall) -> ToolCall:
    arguments = json_text(call.function.arguments)
    return ToolCall(id=call.id, function=Function(call.function.name, arguments))
