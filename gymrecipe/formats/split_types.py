"""Split types: columns of two splits that a loader of both at once cannot have right.

Hugging Face's `datasets` (5.2) infers the columns from the first split. In the second one it fails
on other keys and types, reads them as those of the first, or fills nulls in where keys are missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator

Types = dict[str, set[str]]
"""The types, or sets of keys, at each path of a column; the column is the path of the top."""


def apart(first: Collection[str], second: Collection[str]) -> list[str]:
    """The columns, of two collections of elements of shapes."""
    known, told = _by_column(first), _by_column(second)
    return sorted(name for name, types in told.items() if _differs(known.get(name, {}), types))


def _by_column(shown: Collection[str]) -> dict[str, Types]:
    columns: dict[str, Types] = defaultdict(lambda: defaultdict(set))
    for element in shown:
        path, _, kind = element.partition(":")
        if kind.startswith(("object~", "list~")):  # which sort of them does not matter
            kind = kind.partition("~")[0]
        columns[path.partition(">")[0]][path].add("int" if kind == "wide" else kind)
    return columns


def _differs(known: Types, told: Types) -> bool:
    """Whether something is told that is not known, but where objects of several sets of keys, or
    none, are kept as they are.
    """
    kept = {path for path, kinds in known.items() if len(kinds) > 1 or "" in kinds}
    return any(
        not kinds <= known.get(path, set()) and kept.isdisjoint(_above(path))
        for path, kinds in told.items()
    )


def _above(path: str) -> Iterator[str]:
    """The path, and those of all that it lies in."""
    steps = path.split(">")
    yield from (">".join(steps[:length]) for length in range(1, len(steps) + 1))
