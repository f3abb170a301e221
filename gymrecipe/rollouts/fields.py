"""Fields: which paths the lines of a file have, and what stands there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import reduce
from itertools import islice
from typing import Any

import msgspec

from gymrecipe.rollouts.columns import Path, name_of
from gymrecipe.rollouts.files import Source, blocks, lines, without_mark

DEPTH = 4
"""How deep objects are looked into; the trajectories themselves are not listed."""

HIDDEN = {("response", "output"), ("responses_create_params", "input")}


class Field(msgspec.Struct):
    """One path: on how many lines it is, with which types, and the first values seen."""

    name: str
    lines: int = 0
    types: set[str] = set()
    examples: list[str] = []


def fields(sources: list[Source], most: int) -> tuple[list[Field], int]:
    """The fields of the first `most` lines of the sources, and how many lines were read."""
    found, read = _found(sources, most)
    return [found[path] for path in sorted(found)], read


def paths(sources: list[Source], most: int) -> list[tuple[str, ...]]:
    """The paths of the first `most` lines of the sources."""
    return sorted(_found(sources, most)[0])


def types_at(sources: list[Source], most: int, sought: Iterable[Path]) -> dict[Path, set[str]]:
    """What stands at these paths in the first `most` lines of the sources."""
    found: dict[Path, set[str]] = {path: set() for path in sought}
    for value in _values(sources, most):
        for path, types in found.items():
            with suppress(LookupError, TypeError):
                types.add(_type(reduce(_part, path, value)))
    return found


def _part(value: Any, key: str | int) -> Any:
    if isinstance(value, list) != isinstance(key, int):
        raise LookupError(key)
    return value[key]


def _found(sources: list[Source], most: int) -> tuple[dict[tuple[str, ...], Field], int]:
    found: dict[tuple[str, ...], Field] = {}
    read = 0
    for value in _values(sources, most):
        read += 1
        if isinstance(value, dict):
            _walk(value, (), found)
    return found, read


def _values(sources: list[Source], most: int) -> Iterator[Any]:
    """The first lines of the sources, decoded; None for one that cannot be."""
    read = 0
    for source in sources:
        for line in islice(lines(blocks(source)), most - read):
            read += 1
            try:
                yield msgspec.json.decode(without_mark(line).data or b"")
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                yield None


def _walk(value: dict[str, Any], at: tuple[str, ...], found: dict[tuple[str, ...], Field]) -> None:
    for key, part in value.items():
        path = (*at, key)
        known = found.get(path)
        if known is None:
            known = found[path] = Field(name_of(path))
        known.lines += 1
        known.types.add(_type(part))
        if isinstance(part, dict):
            if len(path) < DEPTH and path not in HIDDEN:
                _walk(part, path, found)
        elif not isinstance(part, list) and part is not None and len(known.examples) < 3:
            text = str(part)
            if text not in known.examples:
                known.examples.append(text)


def _type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    return "list" if isinstance(value, list) else "object"
