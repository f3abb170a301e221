"""Known: the top-level fields of the lines so far, and the decoders made for them."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Raw

from gymrecipe.rollouts.columns import Path
from gymrecipe.rollouts.lines import HEAVY, NULL, Response

KNOWN_FIELDS = 1_000
"""More top-level fields than this are no schema; further ones are left alone unless asked for."""

_ODD = re.compile(r'["\\\x00-\x1f]')
"""A key that no field of a struct can have as its name."""

_HEAVY: list[Any] = [
    ("responses_create_params", Raw, NULL),
    ("response", Response | str | list[Raw] | None, None),
    ("messages", Raw, NULL),
    ("output", Raw, NULL),
]
WHOLE = -1
"""The slot of a place that has to be looked for in the whole line."""

Values = tuple[Any, ...]
"""The parts of a line: those of HEAVY, then a Raw for each known field, NULL where it is absent."""

Place = tuple[int, Path]
"""Where a path leads: the slot of a part and the path below it."""


class Known:
    """The fields of the lines so far.

    A struct that names all of them tells by an error when a line has another one; that is the
    only line whose keys are looked at.
    """

    def __init__(self, needed: frozenset[Any]) -> None:
        self.names: list[str] = []
        self.odd: list[str] = []
        self.slots: dict[Any, int] = {}
        self._needed = needed
        self._build()

    def _build(self) -> None:
        fields = [*_HEAVY, *((f"f{i}", Raw, NULL) for i in range(len(self.names)))]
        rename = {f"f{i}": name for i, name in enumerate(self.names)}
        strict = msgspec.defstruct("Strict", fields, rename=rename, forbid_unknown_fields=True)
        self.strict = msgspec.json.Decoder(strict)
        self.loose = msgspec.json.Decoder(msgspec.defstruct("Loose", fields, rename=rename))
        self.slots = {name: i for i, name in enumerate((*HEAVY, *self.names))}

    def learn(self, data: bytes) -> bool:
        """Take up the fields of a line; whether there were new ones."""
        before = len(self.names), len(self.odd)
        for name in msgspec.json.decode(data, type=dict[str, Raw]):
            if name in self.slots or name in self.odd:
                continue
            if len(self.names) + len(self.odd) < KNOWN_FIELDS or name in self._needed:
                (self.odd if _ODD.search(name) else self.names).append(name)
        if len(self.names) > before[0]:
            self._build()
        return before != (len(self.names), len(self.odd))

    def places(self, *paths: Path | None) -> list[Place]:
        """Where the paths lead, without those that no line has had so far."""
        found = []
        for path in paths:
            if not path:
                continue
            if path[0] == "response" or path[0] in self.odd:
                found.append((WHOLE, path))
            elif (slot := self.slots.get(path[0])) is not None:
                found.append((slot, path[1:]))
        return found
