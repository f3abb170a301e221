"""Template output: whether the text of a chat template has what it was given.

Some templates print no tools, no calls, only the first of several, or no text beside a call, and
raise no error. Each message is looked for behind the one before it; a text without the white space
around it and without thoughts, which many templates leave out of earlier turns, or as JSON has it,
or at least its longest word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from gymrecipe.rollouts.chat import Message, ToolCall, Unusable, on_a_line

_WORD = re.compile(r"\w+", re.ASCII)


def check(text: str, messages: list[Message], tools: list[dict[str, Any]] | None = None) -> None:
    """Raise Unusable with `not_rendered` where a message, a call or a tool is not in the text."""

    def end(part: str, start: int) -> int:
        """Where a part ends that is printed from there on."""
        if (found := _end(text, part.strip(), start)) < 0:
            cause = on_a_line(f"the template does not print {part.strip()!r} where it belongs")
            raise Unusable("not_rendered", cause=cause)
        return found

    for tool in tools or ():
        end(tool["function"]["name"], 0)
    place = 0
    for message in messages:
        if message.role in ("system", "developer"):  # some print it later than it stands
            end(message.content, 0)
            continue
        said = message.content
        if message.role == "assistant":
            said = said.rpartition("</think>")[2]
        ends = end(said, place)
        if not message.tool_calls:
            place = ends
        for call in message.tool_calls or ():  # Gemma 4 prints the text after their outputs
            place = max(end(part, place) for part in _parts(call))


def _parts(call: ToolCall) -> Iterator[str]:
    """The texts of a call: its name, and the keys and texts of its arguments."""
    yield call.function.name
    yield from _texts(call.function.arguments)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, held in value.items():
            yield key
            yield from _texts(held)
    elif isinstance(value, list):
        for held in value:
            yield from _texts(held)


def _end(text: str, part: str, start: int) -> int:
    """Where a part ends that is printed from there on; -1 where it is not."""
    for spelled in _spellings(part):
        if (found := text.find(spelled, start)) >= 0:
            return found + len(spelled)
    return -1


def _spellings(part: str) -> Iterator[str]:
    yield part
    yield json.dumps(part, ensure_ascii=False)[1:-1]
    yield json.dumps(part)[1:-1]
    if words := _WORD.findall(part):
        yield max(words, key=len)
