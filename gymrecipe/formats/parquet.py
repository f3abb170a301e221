"""Parquet: which type each column of our own JSON lines has in a parquet file.

Types are explicit, never inferred by a reader, and the same in every shard: a list of messages is
a list of structs, with call arguments as JSON text, and with `role` and `content` only where no
message has more; an object whose keys are the same on every row is a struct, down to DEEPEST;
everything else that is nested is JSON text. No struct is empty, and a date stays a text.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, reduce
from pathlib import Path
from threading import Event
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Raw

from gymrecipe.lazy_polars import pl

Name = Literal[
    "null",
    "boolean",
    "integer",
    "wide_integer",
    "number",
    "text",
    "empty",
    "texts",
    "chat",
    "messages",
    "json",
]
Kind: TypeAlias = "Name | dict[str, Kind]"
"""What a column holds; a dict for an object with these fields."""


@cache
def types() -> dict[Name, pl.DataType]:
    """What each kind is in Polars."""
    text = pl.String()
    function = pl.Struct({"name": text, "arguments": text})
    call = pl.Struct({"id": text, "type": text, "function": function})
    message = pl.Struct(
        {
            "role": text,
            "content": text,
            "reasoning_content": text,
            "tool_calls": pl.List(call),
            "tool_call_id": text,
            "name": text,
        }
    )
    return {
        "null": text,
        "boolean": pl.Boolean(),
        "integer": pl.Int64(),
        "wide_integer": pl.Int64(),
        "number": pl.Float64(),
        "text": text,
        "empty": pl.List(text),
        "texts": pl.List(text),
        "chat": pl.List(pl.Struct({"role": text, "content": text})),
        "messages": pl.List(message),
        "json": text,
    }


class _Function(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    arguments: Raw


class _Call(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    type: str
    function: _Function


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    role: str
    content: str
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    name: str | None = None


GROUP_ROWS = 2**16
GROUP_BYTES = 2**23
"""The most rows of a row group, and of bytes that their JSON lines have."""

PART_BYTES = 2**21
"""Of JSON lines that become columns at a time."""

DEEPEST = 100
"""Structs in structs. Polars goes down a type with four calls a level, and may take a thousand."""

_row = msgspec.json.Decoder(dict[str, Raw])
_value = msgspec.json.Decoder()
_messages = msgspec.json.Decoder(list[_Message])
_texts = msgspec.json.Decoder(list[str])
_NULL = Raw(b"null")


def to_parquet(
    jsonl: Path,
    target: Path,
    kinds: dict[str, Kind] | None = None,
    group_rows: int = GROUP_ROWS,
) -> None:
    """One shard of our JSON lines as a parquet file: the same rows in the same order, so many in
    each row group.

    `kinds` are the kinds of the columns over all shards (`kinds_of` each, then `widest`), so
    that every shard has the same types; without it this shard's own count. Holds a few parts of
    PART_BYTES, and of row groups.
    """
    kinds = kinds or kinds_of(jsonl)
    schema = {name: _type(kind) for name, kind in kinds.items()}
    stopped = Event()

    def parts(*_: object) -> Iterator[pl.DataFrame]:
        with jsonl.open("rb") as file:
            while lines := file.readlines(PART_BYTES):
                if stopped.is_set():
                    raise InterruptedError
                rows = [_row.decode(line) for line in lines]
                yield pl.DataFrame(
                    {
                        name: pl.Series(
                            [_as(kind, row.get(name, _NULL)) for row in rows], dtype=schema[name]
                        )
                        for name, kind in kinds.items()
                    }
                )

    # Polars lets no signal through before all is written, so another thread waits for it.
    with ThreadPoolExecutor(1) as beside:
        rows = pl.io.plugins.register_io_source(parts, schema=schema)
        written = beside.submit(rows.sink_parquet, target, row_group_size=group_rows)
        try:
            written.result()
        except BaseException:
            stopped.set()
            raise


def group_size(lengths: array[int]) -> int:
    """How many rows of these lengths in bytes a row group has, so that none is larger than
    GROUP_BYTES but one of a single row: who writes or reads holds whole ones.
    """
    rows = GROUP_ROWS
    while rows > 1 and any(
        sum(lengths[start : start + rows]) > GROUP_BYTES for start in range(0, len(lengths), rows)
    ):
        rows //= 2
    return rows


def kinds_of(jsonl: Path) -> dict[str, Kind]:
    """The kind of each column of one shard."""
    kinds: dict[str, Kind] = {}
    with jsonl.open("rb") as file:
        for line in file:
            for name, value in _row.decode(line).items():
                kinds[name] = _wider(kinds.get(name, "null"), _kind(value))
    return kinds


def widest(shards: list[dict[str, Kind]]) -> dict[str, Kind]:
    """The kind of each column that all shards agree on."""
    names = dict.fromkeys(name for shard in shards for name in shard)
    return {name: reduce(_wider, (shard.get(name, "null") for shard in shards)) for name in names}


def _type(kind: Kind) -> pl.DataType:
    if isinstance(kind, dict):
        return pl.Struct({name: _type(field) for name, field in kind.items()})
    return types()[kind]


def _kind(raw: Raw, depth: int = 0) -> Kind:
    first = bytes(memoryview(raw)[:1])
    if first == b"[":
        return _kind_of_list(raw)
    if first == b"{":
        fields = _row.decode(raw) if depth < DEEPEST else {}
        return {name: _kind(value, depth + 1) for name, value in fields.items()} or "json"
    if first == b'"':
        return "text"
    value = _value.decode(raw)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, float):
        return "number"
    if -(2**53) <= value <= 2**53:
        return "integer"
    return "wide_integer" if -(2**63) <= value < 2**63 else "json"


def _kind_of_list(raw: Raw) -> Kind:
    try:
        return "texts" if _texts.decode(raw) else "empty"
    except msgspec.ValidationError:
        pass
    try:
        messages = _messages.decode(raw)
    except msgspec.ValidationError:
        return "json"
    return "chat" if all(m == _Message(m.role, m.content) for m in messages) else "messages"


def _wider(a: Kind, b: Kind) -> Kind:
    """The kind that holds both without changing a value; JSON text holds everything."""
    if a == b or b == "null":
        return a
    if a == "null":
        return b
    if isinstance(a, dict) or isinstance(b, dict):
        if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
            return {name: _wider(a[name], b[name]) for name in a}
        return "json"
    pairs: dict[frozenset[Name], Name] = {
        frozenset(("integer", "number")): "number",
        frozenset(("integer", "wide_integer")): "wide_integer",
        frozenset(("empty", "texts")): "texts",
        frozenset(("empty", "chat")): "chat",
        frozenset(("empty", "messages")): "messages",
        frozenset(("chat", "messages")): "messages",
    }
    return pairs.get(frozenset((a, b)), "json")


def _as(kind: Kind, raw: Raw) -> Any:
    if bytes(memoryview(raw)[:4]) == b"null":
        return None
    if isinstance(kind, dict):
        fields = _row.decode(raw)
        return {name: _as(field, fields[name]) for name, field in kind.items()}
    if kind == "json":
        return bytes(raw).decode()
    if kind in ("texts", "empty"):
        return _texts.decode(raw)
    if kind == "chat":
        return [{"role": m.role, "content": m.content} for m in _messages.decode(raw)]
    if kind == "messages":
        return [_message(message) for message in _messages.decode(raw)]
    value = _value.decode(raw)
    return float(value) if kind == "number" else value


def _message(message: _Message) -> dict[str, Any]:
    calls = message.tool_calls
    return {
        "role": message.role,
        "content": message.content,
        "reasoning_content": message.reasoning_content,
        "tool_calls": None if calls is None else [_call(call) for call in calls],
        "tool_call_id": message.tool_call_id,
        "name": message.name,
    }


def _call(call: _Call) -> dict[str, Any]:
    raw = call.function.arguments
    is_text = bytes(memoryview(raw)[:1]) == b'"'  # the format `messages` writes text already
    text = _value.decode(raw) if is_text else bytes(raw).decode()
    return {
        "id": call.id,
        "type": call.type,
        "function": {"name": call.function.name, "arguments": text},
    }
