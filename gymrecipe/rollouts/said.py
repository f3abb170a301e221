"""Said: what a scan wants to know of a response: model calls, tool calls, the answer."""

from __future__ import annotations

from typing import Annotated

import msgspec
import xxhash
from msgspec import Raw

from gymrecipe.rollouts.lines import Item, Response, is_empty, is_null

_OUTPUTS = frozenset(
    f"{kind}_call_output" for kind in ("function", "custom_tool", "computer", "local_shell")
)


class Output:
    """A response, counted: model calls, tool calls, and what the model said."""

    def __init__(self, items: list[Item]) -> None:
        self.turns = 0
        self.calls = 0
        self.answer = ""
        self.said: list[str] = []
        called: list[str | None] = []
        answered: set[str | None] = set()
        text_seen = False
        in_call = False
        for item in items:
            kind = item.type or "message"
            if kind in _OUTPUTS or item.role == "tool":
                answered.add(item.call_id or item.tool_call_id)
                in_call = False
                continue
            if kind == "message" and item.role != "assistant":
                in_call = False
                continue
            if not in_call:
                self.turns += 1
                in_call = True
                self.answer = ""
            if kind == "message":
                text = text_of(item.content)
                self.answer += text
                self.said.append(text)
                text_seen = text_seen or bool(text.strip())
                for call in chat_calls(item):
                    self.calls += 1
                    called.append(call.id)
                    self.said += [call.function.name, bytes(call.function.arguments).decode()]
            elif kind == "function_call":
                self.calls += 1
                called.append(item.call_id or item.id)
                self.said += [item.name or "", bytes(item.arguments).decode()]
            if not is_empty(item.generation_token_ids):  # the call ends here
                in_call = False
        self.unanswered = any(call not in answered for call in called)
        self.empty = not text_seen and not self.calls

    def key(self) -> int:
        """A hash of all that the model said and called; reasoning and ids aside."""
        return xxhash.xxh3_64_intdigest("\0".join(self.said).encode())


class _Part(msgspec.Struct):
    text: str | None = None
    refusal: str | None = None


class _Function(msgspec.Struct):
    name: str = ""
    arguments: Raw = Raw(b"null")


class _Call(msgspec.Struct):
    function: _Function = msgspec.field(default_factory=_Function)
    id: str | None = None


class _Usage(msgspec.Struct):
    output_tokens: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


_text = msgspec.json.Decoder(str | list[_Part] | None)
_calls = msgspec.json.Decoder(list[_Call] | None)
_usage = msgspec.json.Decoder(_Usage | None)
_incomplete = msgspec.json.Decoder(_Incomplete | None)


def text_of(content: Raw) -> str:
    """The text of a message's content: its parts joined with nothing between."""
    value = _text.decode(content)
    if isinstance(value, list):
        return "".join(part.text or part.refusal or "" for part in value)
    return value or ""


def chat_calls(item: Item) -> list[_Call]:
    """The tool calls of a chat message."""
    return [] if is_null(item.tool_calls) else _calls.decode(item.tool_calls) or []


def output_tokens(response: Response | None) -> int:
    """Output tokens as the server counted them, -1 where it did not."""
    if response is None:
        return -1
    try:
        usage = _usage.decode(response.usage)
    except msgspec.ValidationError:
        return -1
    return -1 if usage is None or usage.output_tokens is None else usage.output_tokens


def is_truncated(response: Response | None) -> bool:
    """Whether the response says that it was cut off; `status` alone is mostly null."""
    if response is None:
        return False
    try:
        details = _incomplete.decode(response.incomplete_details)
    except msgspec.ValidationError:
        details = None
    return response.status == "incomplete" or (details is not None and details.reason is not None)
