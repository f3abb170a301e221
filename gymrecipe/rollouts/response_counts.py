"""Response counts: what a scan wants to know of a response: model calls, tool calls, the answer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Annotated, Any

import msgspec
import xxhash
from msgspec import Raw

from gymrecipe.rollouts.lines import NULL, Item, Response, is_empty, is_null, read

_OUTPUTS = frozenset(
    f"{kind}_call_output" for kind in ("function", "custom_tool", "computer", "local_shell")
)


class ResponseCounts(msgspec.Struct, gc=False):
    """A response, counted: model calls, tool calls, characters of the last answer.

    `key` is a hash of all that the model said and called; reasoning and ids aside.
    """

    turns: int
    calls: int
    chars: int
    key: int
    empty: bool
    unanswered: bool


def count_response(items: list[Item]) -> ResponseCounts:
    """What a scan wants to know of the items of a response."""
    turns = calls = chars = 0
    parts: list[str] = []
    called: list[str | None] = []
    answered: set[str | None] = set()
    text_seen = False
    in_call = ended = False
    for place, item in enumerate(items):
        kind, role, token_ids = item.type or "message", item.role, item.generation_token_ids
        if kind in _OUTPUTS or role == "tool":
            answered.add(item.call_id or item.tool_call_id)
            in_call = ended = False
            continue
        if kind == "message" and role != "assistant":
            in_call = ended = False
            continue
        if not in_call:
            if not (ended and kind == "function_call" and not ends_on_ids(items, place)):
                turns += 1
                chars = 0
            in_call = True
        if kind == "message":
            text = raw_text(item.content) or item.refusal or ""
            chars += len(text)
            parts.append(text)
            text_seen = text_seen or bool(text and not text.isspace())
            for call in chat_calls(item):
                calls += 1
                called.append(call.id)
                parts += (call.function.name, str(call.function.arguments, "utf-8"))
        elif kind == "function_call":
            calls += 1
            called.append(item.call_id or item.id)
            parts += (item.name or "", str(item.arguments, "utf-8"))
        if token_ids is not NULL and not is_empty(token_ids):  # the call ends here
            in_call, ended = False, True
    return ResponseCounts(
        turns=turns,
        calls=calls,
        chars=chars,
        key=xxhash.xxh3_64_intdigest("\0".join(parts).encode()),
        empty=not text_seen and not calls,
        unanswered=not answered.issuperset(called),
    )


class _Part(msgspec.Struct, gc=False):
    text: str | None = None
    refusal: str | None = None


class _Function(msgspec.Struct):
    name: str = ""
    arguments: Raw = Raw(b"null")


class _Call(msgspec.Struct):
    function: _Function = msgspec.field(default_factory=_Function)
    id: str | None = None


class _Usage(msgspec.Struct, gc=False):
    output_tokens: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None


class _Incomplete(msgspec.Struct, gc=False):
    reason: str | None = None


_text = msgspec.json.Decoder(str | list[_Part] | None)
_calls = msgspec.json.Decoder(list[_Call] | None)
_usage = msgspec.json.Decoder(_Usage | None)
_INCOMPLETE = (msgspec.json.Decoder(_Incomplete | None), _Incomplete | None)


def ends_on_ids(items: Sequence[Item[Any]], place: int) -> bool:
    """Whether token ids are still to come for what the model says from a place on."""
    for item in islice(items, place, None):
        if (item.type or "").endswith("_output") or item.role not in (None, "assistant"):
            return False
        if not is_empty(item.generation_token_ids):
            return True
    return False


def raw_text(content: Raw) -> str:
    """The text of a message's content: its parts joined with nothing between."""
    value = _text.decode(content)
    if isinstance(value, list):
        return "".join([part.text or part.refusal or "" for part in value])
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
    if is_null(response.incomplete_details):
        return response.status == "incomplete"
    try:
        details = read(response.incomplete_details, _INCOMPLETE)
    except msgspec.ValidationError:
        details = None
    return response.status == "incomplete" or (details is not None and details.reason is not None)


def has_failed(response: Response | None) -> bool:
    """Whether the response says that the run broke."""
    return response is not None and (
        response.status in ("failed", "cancelled") or not is_null(response.error)
    )
