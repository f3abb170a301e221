"""Prompts: a hash of what a model was shown, however the request spells it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
import xxhash
from msgspec import Raw

from gymrecipe.rollouts.lines import Item, Shape, is_empty, is_null
from gymrecipe.rollouts.said import chat_calls

SAMPLING = ("extra_body", "seed", "temperature", "top_p", "max_output_tokens")
"""Parts of the request's metadata that change how a task is sampled, not what is asked."""

_any = msgspec.json.Decoder()
_sorted = msgspec.json.Encoder(order="sorted")


def value_key(raw: Any) -> int:
    """A hash of a JSON value, 0 where it is missing or null."""
    if raw is None:
        return 0
    value = _any.decode(raw)
    if value is None:
        return 0
    return xxhash.xxh3_64_intdigest(_sorted.encode(value)) or 1


def prompt_key(shape: Shape) -> int:
    """A hash of what the model was shown; 0 where nothing of it is recorded.

    The spelling of the request does not count: a string is one user message, a missing `type` is
    a message, text parts are joined, ids and null keys are left out, and so are the sampling
    settings in its metadata.
    """
    items = [_shown(item) for item in shape.prompt]
    metadata = _plain(shape.metadata)
    about = {}
    if isinstance(metadata, dict):
        about = {name: value for name, value in metadata.items() if name not in SAMPLING}
    if not (items or shape.instructions or about):
        return 0
    tools = b"" if is_empty(shape.tools) else _canonical(bytes(shape.tools))
    content = [shape.instructions or "", items, about]
    key = xxhash.xxh3_64_intdigest(_sorted.encode(content) + b"\0" + tools)
    return key or 1


@lru_cache(maxsize=64)
def _canonical(raw: bytes) -> bytes:
    """JSON with sorted keys and without nulls. A run has few sets of tools, each on many lines."""
    return _sorted.encode(_without_nulls(_any.decode(raw)))


def _shown(item: Item) -> list[Any]:
    content = _any.decode(item.content)
    if isinstance(content, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) for part in content
    ):
        content = "".join(part["text"] for part in content)
    called = [call.function for call in chat_calls(item)]
    return [
        item.type or "message",
        item.role,
        item.name,
        _without_nulls(content) or "",
        item.reasoning_content,
        _plain(item.arguments),
        _plain(item.output),
        _plain(item.summary),
        [(function.name, _plain(function.arguments)) for function in called],
    ]


def _plain(raw: Raw) -> Any:
    return None if is_null(raw) else _without_nulls(_any.decode(raw))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(part) for part in value]
    return value
