"""Known fields: the top-level fields of the lines so far, so that a line with the same keys is
taken apart at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from gymrecipe.rollouts.columns import Path
from gymrecipe.rollouts.json_members import Repeated, members
from gymrecipe.rollouts.lines import HEAVY, NULL, Response
from gymrecipe.rollouts.response_span import Cut

KNOWN_FIELDS = 1_000
"""More top-level fields than this are no schema; further ones are left alone unless asked for."""

LAYOUTS = 256
"""So many orders of fields are remembered."""

WHOLE = -1
"""The slot of a place that has to be looked for in the whole line."""

Values = tuple[Any, ...]
"""The parts of a line: those of HEAVY, then a Raw for each known field, NULL where it is absent."""

Place = tuple[int, Path]
"""Where a path leads: the slot of a part and the path below it."""


class Layout(NamedTuple):
    """Of lines with the same keys: what puts their members in the order of the slots, which of
    them is the response, the fewest bytes that a line has beside the values, and what stands
    `around` them as Python's `json` spells it, with the bytes of that.
    """

    order: Callable[[list[Any]], Values]
    response: int
    least: int
    around: list[bytes]
    usual: int

    def has_no_other(self, line: bytes, parts: list[Any]) -> bool:
        """Whether these are surely all members of a line, because it has no room for another one,
        or is what `json` writes of these.
        """
        if (beside := len(line) - sum(map(len, parts))) <= self.least:
            return True
        if beside != self.usual:
            return False
        pieces = self.around.copy()
        pieces[1::2] = parts
        return b"".join(pieces) == line


_NO_RESPONSE = Raw(b"null")

_MARK = b"%d" % int.from_bytes(os.urandom(16))
"""What stands in the place of a response: a number that nobody can have written there, so that it
is seen to be there.
"""

_response = msgspec.json.Decoder(Response | str | list[Raw] | None)
_members = msgspec.json.Decoder(dict[str, Raw])


def _around(names: tuple[str, ...]) -> list[bytes]:
    """What stands around the values of these keys, with room for a value behind each."""
    pieces = []
    for name in names:
        pieces += [b", " + json.dumps(name).encode() + b": ", b""]
    return [b"{" + pieces[0][2:], *pieces[1:], b"}"] if pieces else [b"{}"]


class Known:
    """The fields of the lines so far.

    A line with a key twice is refused, for one value would hide the other. To look at the keys one
    by one is slow, and needed only where a line could have more of them than were found. And the
    response, which is most of a line, is cut out first, so that nothing goes over it twice.
    """

    def __init__(self, needed: frozenset[Any]) -> None:
        self.names: list[str] = []
        self.slots: dict[str, int] = {name: i for i, name in enumerate(HEAVY)}
        self._needed = needed
        self._layouts: dict[tuple[str, ...], Layout] = {}
        self._cut = Cut()

    def values(self, data: bytes) -> Values:
        """The parts of a line. Raises msgspec's errors, among them Repeated."""
        if (place := self._cut.place(data)) is not None:
            start, end = place
            try:
                parts, layout = self._parts(b"".join((data[:start], _MARK, data[end:])))
                if bytes(parts[layout.response]) == _MARK:
                    parts[layout.response] = _response.decode(memoryview(data)[start:end])
                    return layout.order(parts)
            except msgspec.DecodeError:
                pass
            self._cut.missed()
        parts, layout = self._parts(data)
        self._cut.learn(data, parts[layout.response])
        parts[layout.response] = _response.decode(parts[layout.response])
        return layout.order(parts)

    def _parts(self, data: bytes) -> tuple[list[Any], Layout]:
        """The members of a line with what stands for one that is absent, and where they belong."""
        found = _members.decode(data)
        names = (*found,)
        layout = self._layouts.get(names) or self._laid_out(names)
        parts: list[Any] = [*found.values()]
        if not layout.has_no_other(data, parts) and len(members(data)) > len(parts):
            raise Repeated(f"a key twice: {', '.join(names)}")
        return [*parts, NULL, _NO_RESPONSE], layout

    def _laid_out(self, names: tuple[str, ...]) -> Layout:
        """How the members of a line with these keys are put in the order of the slots."""
        self._learn(names)
        if len(self._layouts) == LAYOUTS:
            self._layouts.clear()
        places = {"response": -1} | {name: i for i, name in enumerate(names)}
        order = itemgetter(*(places.get(name, -2) for name in self.slots))
        # As short as an object with these keys can be spelled.
        bare = len(msgspec.json.encode(dict.fromkeys(names, 0))) - len(names)
        around = _around(names)
        usual = sum(map(len, around))
        self._layouts[names] = Layout(order, places["response"], bare, around, usual)
        return self._layouts[names]

    def _learn(self, names: tuple[str, ...]) -> None:
        new = [name for name in names if name not in self.slots]
        for name in new:
            if len(self.names) < KNOWN_FIELDS or name in self._needed:
                self.slots[name] = len(self.slots)
                self.names.append(name)
                self._layouts.clear()

    def places(self, *paths: Path | None) -> list[Place]:
        """Where the paths lead, without those that no line has had so far."""
        found = []
        for path in paths:
            if not path:
                continue
            if path[0] == "response":
                found.append((WHOLE, path))
            elif (slot := self.slots.get(str(path[0]))) is not None:
                found.append((slot, path[1:]))
        return found
