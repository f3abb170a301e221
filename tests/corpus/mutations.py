"""Mutations: what may happen to a good line, and the same line written otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

NUMBERS = [
    b"0", b"-0", b"1", b"-1", b"0.1", b"1e2", b"1E+2", b"1e-999", b"1e999", b"-1e999", b"NaN",
    b"-Infinity", b"9007199254740992", b"9007199254740993", b"-9007199254740993",
    b"18446744073709551616", b"1" * 40, b"9" * 400, b"9" * 5_000, b"01", b"1.", b".1", b"+1",
    b"0x1", b"1_0", b"1.7976931348623157e308", b"4.9e-324",
]  # fmt: skip
ESCAPES = [
    b"\\u0000", b"\\ud800", b"\\udc00", b"\\ud83d\\ude00", b"\\ude00\\ud83d", b"\\u00e9", b"\\q",
    b"\\", b"\\u12", b"\\/", b"\x00", b"\x1f", b"\x7f", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80", b"\xe2\x80\xa8", "é".encode(), "😀".encode(), b'"', b'\\"', b"\\\\",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 0.5, 2**53 + 1, 10**30, "", "a", "true", "\u2028", [], [[]],
    [None],
    (), (("a", 1),), (("role", "user"), ("content", "b")),
    [(("role", "assistant"), ("content", "c"))],
]  # fmt: skip
"""JSON values; an object is a tuple of pairs, so that it can have a key twice."""

Mutation = Callable[[Random, bytes, bytes], bytes]


def pairs_of(line: bytes) -> Any:
    return json.loads(line, object_pairs_hook=tuple)


def text_of(value: Any, ascii: bool = True, comma: str = ", ", colon: str = ": ") -> str:
    """A value as JSON text."""
    if isinstance(value, tuple):
        parts = (
            _key(key, ascii) + colon + text_of(part, ascii, comma, colon) for key, part in value
        )
        return "{" + comma.join(parts) + "}"
    if isinstance(value, list):
        return "[" + comma.join(text_of(part, ascii, comma, colon) for part in value) + "]"
    return json.dumps(value, ensure_ascii=ascii)


def _key(key: str, ascii: bool) -> str:
    return json.dumps(key, ensure_ascii=ascii)


def rewritten(chance: Random, line: bytes, other: bytes) -> bytes:
    """The same value with other escapes and white space."""
    comma, colon = chance.choice([(",", ":"), (", ", ": "), (" ,\t", " : ")])
    text = text_of(pairs_of(line), chance.random() < 0.5, comma, colon)
    return chance.choice(["", " ", "\t"]).encode() + text.encode("utf-8", "surrogatepass")


def objects_of(value: Any, at: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """Where there are objects with members below a value."""
    found: list[tuple[int, ...]] = []
    if isinstance(value, tuple):
        found = [at] * bool(value)
        for i, (_, part) in enumerate(value):
            found += objects_of(part, (*at, i))
    elif isinstance(value, list):
        for i, part in enumerate(value):
            found += objects_of(part, (*at, i))
    return found


def changed(value: Any, at: tuple[int, ...], change: Callable[[Any], Any]) -> Any:
    """The value with the object at a place changed."""
    if not at:
        return change(value)
    i, *rest = at
    if isinstance(value, tuple):
        key, part = value[i]
        return (*value[:i], (key, changed(part, tuple(rest), change)), *value[i + 1 :])
    return [*value[:i], changed(value[i], tuple(rest), change), *value[i + 1 :]]


def structural(chance: Random, line: bytes, other: bytes) -> bytes:
    """A member of an object, mostly of an outer one, is doubled, changed, renamed or dropped."""
    value = pairs_of(line)
    places = objects_of(value) if isinstance(value, tuple) else []
    if not places:
        return line
    depth = chance.choice([0, 0, 1, 1, 2, 9])
    at = chance.choice([place for place in places if len(place) <= depth] or places)

    def change(members: Any) -> Any:
        i = chance.randrange(len(members))
        key, part = members[i]
        new = chance.choice([part, *VALUES])
        done = chance.choice(["doubled", "doubled", "changed", "renamed", "dropped"])
        if done == "doubled":
            where = chance.randrange(len(members) + 1)
            return (*members[:where], (key, new), *members[where:])
        if done == "dropped":
            return (*members[:i], *members[i + 1 :])
        if done == "renamed":
            key = chance.choice([key.upper(), f"{key} ", chance.choice(members)[0], "response"])
        return (*members[:i], (key, new if done == "changed" else part), *members[i + 1 :])

    compact = chance.random() < 0.5
    text = text_of(changed(value, at, change), True, *((",", ":") if compact else (", ", ": ")))
    if chance.random() < 0.2:  # a key that is another one only to the eye
        key = chance.choice(re.findall(r'"(\w+)"\s*:', text) or ["a"])
        escaped = f"\\u{ord(key[0]):04x}{key[1:]}"
        start = text.rfind(f'"{key}"')
        text = text[:start] + text[start:].replace(f'"{key}"', f'"{escaped}"', 1)
    return text.encode()


def bits(chance: Random, line: bytes, other: bytes) -> bytes:
    data = bytearray(line)
    for _ in range(chance.choice([1, 1, 2, 8])):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def cut(chance: Random, line: bytes, other: bytes) -> bytes:
    start = chance.randrange(len(line))
    end = chance.choice([len(line), start + 1, start + chance.randrange(40)])
    return line[:start] + line[end:]


def spliced(chance: Random, line: bytes, other: bytes) -> bytes:
    start, end = sorted(chance.randrange(len(other) + 1) for _ in range(2))
    where = chance.choice([0, len(line), chance.randrange(len(line))])
    return line[:where] + chance.choice([other, other[start:end]]) + line[where:]


def numbers(chance: Random, line: bytes, other: bytes) -> bytes:
    found = [match.span() for match in re.finditer(rb"-?\d[\d.eE+-]*|true|null", line)]
    # Numbers that count are mostly at the end.
    start, end = chance.choice(found[-8:] if chance.random() < 0.5 else found) if found else (0, 0)
    return line[:start] + chance.choice(NUMBERS) + line[end:]


def escapes(chance: Random, line: bytes, other: bytes) -> bytes:
    where = chance.randrange(len(line))
    return line[:where] + chance.choice(ESCAPES) + line[where + chance.randrange(2) :]


def encoded(chance: Random, line: bytes, other: bytes) -> bytes:
    text = line.decode(errors="replace")
    encoding = chance.choice(["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1", "utf-7"])
    return text.encode(encoding, "replace")


MUTATIONS: list[Mutation] = [
    rewritten, structural, structural, structural, structural, bits, cut, spliced, numbers, numbers,
    escapes, encoded,
]  # fmt: skip


def mutated(chance: Random, line: bytes, other: bytes) -> bytes:
    """A line after one or two mutations."""
    for _ in range(chance.choice([1, 1, 1, 2])):
        try:
            line = chance.choice(MUTATIONS)(chance, line, other) or b" "
        except ValueError:  # it is no JSON any more
            line = bits(chance, line, other)
        except RecursionError:
            return line
    return line
