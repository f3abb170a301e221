"""JSON members: what an object holds, where a decoder would hide one of two equal keys."""

from __future__ import annotations

import operator
from typing import Any

import msgspec
from msgspec import Raw


class Repeated(msgspec.ValidationError):
    """An object has a key twice, so that what stands there is a matter of who reads it."""


class Key(str):
    """A key that only equals itself as far as a dict is concerned: no other one takes its place."""

    __slots__ = ()
    __hash__ = object.__hash__


_members = msgspec.json.Decoder(dict[Key, Raw], dec_hook=operator.call)


def members(raw: bytes | Raw) -> dict[Key, Raw]:
    """All members of an object, in order, also those of equal keys. Raises msgspec's errors."""
    return _members.decode(raw)


def member(raw: bytes | Raw, key: str) -> Raw | None:
    """What stands at a key of an object, None where nothing does. Raises Repeated."""
    found = [value for name, value in members(raw).items() if name == key]
    if len(found) > 1:
        raise Repeated(f"'{key}' twice")
    return found[0] if found else None


class Told:
    """An object's members, found once for all keys that are asked for: to find one takes as long as
    to find all of them.
    """

    def __init__(self) -> None:
        self._raw: bytes = b""
        self._found: dict[str, list[Raw]] = {}

    def member(self, raw: bytes, key: str) -> Raw | None:
        """What stands at a key of an object, None where nothing does. Raises Repeated."""
        if raw is not self._raw:
            self._raw, self._found = raw, {}
            for name, value in members(raw).items():
                self._found.setdefault(str(name), []).append(value)
        found = self._found.get(key, ())
        if len(found) > 1:
            raise Repeated(f"'{key}' twice")
        return found[0] if found else None


def repeats(text: bytes, value: Any) -> bool:
    """Whether an object anywhere in a JSON text has a key twice; `value` is the text decoded.

    It has exactly if the value, written again, has fewer members and so fewer commas and colons.
    """
    again = msgspec.json.encode(value)
    if again == text:
        return False
    bare = msgspec.json.format(text, indent=-1)
    return bare != again and _marks(bare) != _marks(again)


def _marks(bare: bytes) -> int:
    """The commas and colons outside of strings: behind each of them goes one space."""
    return len(msgspec.json.format(bare, indent=0)) - len(bare)


def without_nulls(value: Any) -> Any:
    """A decoded value without the keys of objects that have a null, at any depth."""
    if isinstance(value, dict):
        return {key: without_nulls(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [without_nulls(part) for part in value]
    return value
