"""Shapes: which keys and types a record shows to a loader that infers its columns from the data.

Hugging Face's `datasets` (`packaged_modules/json`, 5.2) looks at the first 10 MB of the first file.
Where objects there have different keys it keeps everything below as it stands, for good; where all
have the same keys it makes a struct, which fills nulls into, or fails on, later rows with others.
So the rows that together show every set of keys lead. A column of whole numbers, there or in the
first split, has no room for fractions in later rows or the other split, and is made one of floats.

What an object or a list of a line holds is told by one of SORTS numbers, so that a column whose
keys are data has few leaders, too.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterable
from functools import lru_cache
from heapq import heapify, heapreplace
from typing import Any

import msgspec
import xxhash
from msgspec import Raw

from gymrecipe.rollouts.chat import Message

Shape = frozenset[str]
"""Elements `column:keys` or `column:type`, and below one set of keys `column>path:keys`."""

SORTS = 64
"""How many sorts of objects, and of lists, of lines are told apart in a column."""


class Shapes:
    """The different shapes seen so far, and which of them each record has.

    Unless `inferred`, no loader infers anything from what stands in the records as in their lines.
    """

    def __init__(self, inferred: bool = True) -> None:
        self.inferred = inferred
        self.known: list[Shape] = []
        self.of_rows = array("I")
        self.places: dict[Shape, int] = {}
        self.tools: tuple[Any, frozenset[str]] = (None, frozenset())

    def add(self, record: dict[str, Any] | bytes) -> None:
        """Note the shape of the next record."""
        found: set[str] = set()
        if not isinstance(record, bytes):
            for column, value in record.items():
                self._column(column, value, found)
        shape = frozenset(found)
        place = self.places.setdefault(shape, len(self.known))
        if place == len(self.known):
            self.known.append(shape)
        self.of_rows.append(place)

    def _column(self, column: str, value: Any, found: set[str]) -> None:
        if (name := _PLAIN.get(type(value))) is not None:
            found.add(_said(column, name))
            return
        if value is None or ((is_list := isinstance(value, list)) and not value):
            return
        if self.inferred and isinstance(value, Raw) and (sort := _sort(value)) is not None:
            found.add(_said(column, sort))
            return
        if not is_list or not isinstance(value[0], dict | msgspec.Struct):
            _walk(column, column, value, found)
            return
        if value is self.tools[0]:  # neighbours share them
            found |= self.tools[1]
            return
        first = value[0]
        keys = _message_keys(value) if isinstance(first, Message) else set(map(_keys, value))
        found.update([_said(column, each) for each in keys])
        plain = isinstance(first, Message) and first.tool_calls is None  # all else in it is text
        if len(keys) > 1 or plain:
            return
        below: set[str] = set()
        for item in value:
            _below(column, column, item, below)
        found |= below
        if column == "tools":
            self.tools = value, frozenset(below | {f"{column}:{each}" for each in keys})


def leaders(shapes: list[Shape], shape: array[int]) -> list[int]:
    """The fewest rows, found greedily, that together show all that the rows show."""
    first: dict[int, int] = {}
    for row, place in enumerate(shape):
        first.setdefault(place, row)
    everything = frozenset().union(*(shapes[place] for place in first))
    tops = Counter(element.partition(":")[0] for element in everything if ">" not in element)
    mixed = {column for column, kinds in tops.items() if kinds > 1}
    # Below a place with several sets of keys nothing is inferred.
    missing = {
        each for each in everything if each.partition(">")[0] not in mixed or ">" not in each
    }
    chosen = []
    # What a shape shows of the missing gets less, so it is looked at again only where it may lead.
    most = [(-len(shapes[place] & missing), row, place) for place, row in first.items()]
    heapify(most)
    while missing:
        known, row, place = most[0]
        shown = shapes[place] & missing
        if len(shown) < -known:
            heapreplace(most, (-len(shown), row, place))
        else:
            chosen.append(row)
            missing -= shown
    return chosen


def mixed(shown: Collection[str], columns: Iterable[str]) -> tuple[set[str], set[str]]:
    """Of these columns those which have whole numbers beside fractions: where the whole ones are
    equal to floats, and where some of them are too wide for that.
    """
    broken = {column for column in columns if f"{column}:float" in shown}
    wide = {column for column in broken if f"{column}:wide" in shown}
    return {column for column in broken - wide if f"{column}:int" in shown}, wide


def as_floats(record: bytes, columns: set[str]) -> bytes:
    """A record in which the whole numbers of these columns are written as fractions are."""
    values = _row.decode(record)
    for column in columns & values.keys():
        if _number(values[column]) == "int":
            values[column] = Raw(bytes(values[column]) + b".0")
    return _encoder.encode(values) + b"\n"


_any = msgspec.json.Decoder()
_row = msgspec.json.Decoder(dict[str, Raw])
_encoder = msgspec.json.Encoder()
_OPTIONAL = [field.name for field in msgspec.structs.fields(Message) if not field.required]
_SPELLED: dict[tuple[bool, ...], str] = {}
_PLAIN = {str: "str", float: "float", int: "int", bool: "bool"}
_said = lru_cache(1024)("{}:{}".format)
_TYPES = {ord('"'): "str", ord("{"): "object", ord("["): "list", ord("t"): "bool", ord("f"): "bool"}


def _message_keys(messages: list[Message]) -> set[str]:
    """The sets of keys of messages: `_keys` of each, for the hot path."""
    kinds = {
        (
            m.reasoning_content is not None,
            m.tool_calls is not None,
            m.tool_call_id is not None,
            m.name is not None,
            m.prompt_token_ids is not None,
            m.generation_token_ids is not None,
            m.generation_log_probs is not None,
        )
        for m in messages
    }
    for kind in kinds - _SPELLED.keys():
        there = [name for name, is_there in zip(_OPTIONAL, kind, strict=True) if is_there]
        _SPELLED[kind] = ",".join(["role", "content", *there])
    return {_SPELLED[kind] for kind in kinds}


def _keys(item: Any) -> str:
    if isinstance(item, msgspec.Struct):
        names = item.__struct_fields__
        return ",".join([name for name in names if getattr(item, name) is not None])
    return ",".join(sorted(item)) if isinstance(item, dict) else type(item).__name__


def _below(column: str, path: str, item: Any, found: set[str]) -> None:
    if isinstance(item, msgspec.Struct):
        for name in item.__struct_fields__:
            _walk(column, f"{path}>{name}", getattr(item, name), found)
    elif isinstance(item, dict):
        for name, value in item.items():
            _walk(column, f"{path}>{name}", value, found)


def _walk(column: str, path: str, value: Any, found: set[str]) -> None:
    if value is None:
        return
    if isinstance(value, list):
        for item in value:
            _walk(column, f"{path}>[]", item, found)
    elif isinstance(value, dict | msgspec.Struct):
        found.add(f"{path}:{_keys(value)}")
        _below(column, path, value, found)
    elif isinstance(value, Raw):
        first = memoryview(value)[0]
        if first != ord("n"):
            found.add(f"{path}:{_TYPES.get(first) or _number(value)}")
    else:
        found.add(f"{path}:{type(value).__name__}")


def _sort(raw: Raw) -> str | None:
    """The type of an object or a list with a number that says what is in it, or without where it is
    empty; None for any other value.
    """
    kind = {"{": "object", "[": "list"}.get(chr(memoryview(raw)[0]))
    if kind is None or not (value := _any.decode(raw)):
        return kind
    return f"{kind}~{xxhash.xxh3_64_intdigest(_told(value).encode()) % SORTS}"


def _told(value: Any) -> str:
    """All keys and types of a value."""
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{_told(value[key])}' for key in sorted(value))}}}"
    if isinstance(value, list):
        return f"[{','.join(sorted(set(map(_told, value))))}]"
    return type(value).__name__


def _number(raw: Raw) -> str:
    """The type of a number to a loader; `wide` is one that has no equal float for sure. Else it is
    no number.
    """
    text = bytes(raw)
    digits = text.removeprefix(b"-")
    if not digits.isdigit():
        return "float" if digits[:1].isdigit() else "none"
    return "int" if len(digits) < 17 and int(digits) <= 2**53 else "wide"
