"""Finding: one thing that is wrong with a file."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

Level = Literal["error", "warning"]
_VARYING = re.compile(r"'[^']*'|\d+")


class Finding(msgspec.Struct, frozen=True):
    """What is wrong on a line (0: with the file); `kind` is the same for its like.

    An `error` is what the loader fails at, drops or alters, a `warning` what costs something with
    some templates or settings.
    """

    line: int
    level: Level
    what: str
    kind: str


def found(level: Level, line: int, what: str) -> Finding:
    """A finding, whose kind is its text without the values in quotes and the numbers in it."""
    return Finding(line, level, str(what), _VARYING.sub("*", what))


def shown(value: Any) -> str:
    """A value as JSON in quotes, cut."""
    text = msgspec.json.encode(value, enc_hook=str).decode()
    return f"'{cut(text)}'"


def cut(text: str, most: int = 60) -> str:
    """The beginning of a text."""
    return text if len(text) <= most else f"{text[:most]}…"
