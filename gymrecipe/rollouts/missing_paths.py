"""Missing paths: what is said of the paths in a recipe that no line has, or none as it is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from itertools import chain

from gymrecipe.errors import RecipeError, hint
from gymrecipe.rollouts.columns import (
    BUILT_IN,
    SIDES,
    WRITTEN,
    Column,
    Path,
    name_of,
    split_side,
)
from gymrecipe.rollouts.fields import paths, types_at
from gymrecipe.rollouts.files import Source
from gymrecipe.rollouts.wanted import Wanted

NEAR_LINES = 1_000
"""In so many lines the fields near a path that is on none are looked for."""

_ONE = {kind: f"a {kind}" for kind in ("number", "text", "boolean", "list")} | {
    "object": "an object",
    "null": "null",
    "category": "a text, a number or a boolean",
}


def check_found(
    wanted: Wanted, found: Set[str], scored: bool, seen: list[str], sources: list[Source]
) -> None:
    """Raise RecipeError for the paths that no line has.

    `found` are the columns and paths that some line has, `seen` the top-level fields of all lines;
    `scored`: some line has a score.
    """
    ours = (*BUILT_IN, *wanted.names)
    absent = [
        (wanted.places.get(column.name, "columns"), column.paths, () if _is_named(column) else ours)
        for column in wanted.columns
        if column.name not in found and not column.optional and column.default is None
    ]
    hoped = set(chain(*wanted.hoped.values()))
    absent += [
        (wanted.places.get(name_of(path), "columns"), (path,), ours)
        for path in wanted.present
        if name_of(path) not in found and path not in hoped
    ]
    unscored = wanted.reward != ("reward",) and not scored
    other = _types(sources, wanted, [wanted.reward])[wanted.reward] if unscored else set()
    if unscored and not other:
        absent.append((wanted.reward_at, (wanted.reward,), ()))
    below = paths(sources, _lines(wanted)) if absent else []
    problems = [
        f"{place}: {_on_no_line(sought)}{_got(wanted.given.get(place))}."
        f"{'' if others else _is_ours(sought[0])} {_near(sought[0], seen, below, others)}"
        f"{_unquoted(sought[0], wanted.given.get(place))}"
        for place, sought, others in dict.fromkeys(absent)
    ]
    if other:
        there = _one_of(other)
        problems.append(
            f"{wanted.reward_at}: {_of_no_kind(name_of(wanted.reward), 'number', there)}."
            f" Name a field of numbers: `gymrecipe columns` lists them.{_asked(other)}"
        )
    if problems:
        raise RecipeError(*problems)


def of_other_kinds(
    wanted: Wanted, found: Set[str], valued: Set[str], scored: bool, sources: list[Source]
) -> Iterator[str]:
    """Warnings about columns that lines do have, but never so that they can be read: the values are
    of another kind, or texts that the regex does not fit.

    `valued` are the columns that some row has a value of, other than the default; `found` and
    `scored` as above.
    """
    without = [
        column
        for column in wanted.columns
        if column.name in found - valued
        and len(column.paths) == 1
        and not (column.optional and column.default)  # the `task_type` of lines that have none
    ]
    sought = [*(column.paths[0] for column in without), *([] if scored else [wanted.reward])]
    types = _types(sources, wanted, sought) if sought else {}
    if not scored and (others := types[wanted.reward] - {"null"}):
        said = _of_no_kind("reward", "number", _one_of(others))
        yield f"reward: {said}, so that every reward is missing.{_asked(others)}"
    for column in without:
        place = wanted.places.get(column.name, "columns")
        there = _one_of(types[column.paths[0]] - {"null"})
        nothing, alone = "nothing", "it is missing on every line"
        if column.default is not None:
            nothing, alone = f"nothing or '{column.default}'", f"every row is '{column.default}'"
        if column.pattern:
            said = f"the regex finds {nothing} in '{name_of(column.paths[0])}'"
        elif there and column.kind not in there:
            said = _of_no_kind(name_of(column.paths[0]), column.kind, there)
        else:
            continue
        # It is noted in the manifest, whose reader has neither the command line nor the file.
        bare = place.rpartition(": ")[2]
        yield f"{bare}: {said}, so that {alone}{_got(wanted.given.get(place))}."


def stand_ins(
    wanted: Wanted, found: Set[str], grouped: bool, seen: list[str], sources: list[Source]
) -> Iterator[str]:
    """Warnings about what no line has and a run can do without: the path of a column that has a
    default, a path in a list of the caller's, and `group_by`.

    `grouped`: some line has `group_by`, or there is none. A column that is looked for in several
    places may be in none of them.
    """
    alone = [
        column
        for column in wanted.columns
        if column.default is not None
        and not column.optional
        and column.name not in found
        and len(column.paths) == 1
    ]
    vain = [
        (place, path)
        for place, listed in wanted.hoped.items()
        for path in listed
        if name_of(path) not in found
    ]
    by = wanted.group_by if not grouped else None
    below = paths(sources, _lines(wanted)) if alone or vain or by else []
    for column in alone:
        yield (
            f"{wanted.places.get(column.name, 'columns')}: {_on_no_line(column.paths)}, so"
            f" that every row is '{column.default}'."
            f" {_near(column.paths[0], seen, below)}"
        )
    for place, path in vain:
        yield f"{place}: {_on_no_line((path,))}. {_near(path, seen, below)}"
    if by:
        # The fields that there are say little where a recipe names one that only some data has.
        _, meant = _around(by, seen, below)
        said = "so the prompt says which rollouts belong together."
        yield f"group_by: {_on_no_line((by,))}, {said}{meant}"


def _lines(wanted: Wanted) -> int:
    """How many lines are looked at: none that the table has not read."""
    return NEAR_LINES if wanted.limit is None else min(NEAR_LINES, wanted.limit)


def _types(sources: list[Source], wanted: Wanted, sought: Iterable[Path]) -> dict[Path, set[str]]:
    """What stands at each of these paths in the first lines; null only where nothing else does."""
    found = types_at(sources, _lines(wanted), sought)
    return {path: types - {"null"} or types for path, types in found.items()}


def _one_of(types: set[str]) -> str:
    return " or ".join(_ONE[kind] for kind in sorted(types))


def _asked(types: set[str]) -> str:
    """What can be done with a boolean, which is no score."""
    return " An expression may ask for it: where, or high and low of label." * ("boolean" in types)


def _is_named(column: Column) -> bool:
    """Whether it is a name for paths, which lead to fields of the line alone."""
    return len(column.paths) > 1 or column.name != name_of(column.paths[0])


def _is_ours(path: Path) -> str:
    """What is said of a path that is called like a column which no line has."""
    if len(path) > 1 or path[0] not in BUILT_IN:
        return ""
    return f" The column '{path[0]}' is built in, and a field of the lines is asked for here."


def _of_no_kind(name: str, kind: str, there: str) -> str:
    return f"'{name}' is {there}, and on no line that was read {_ONE[kind]}"


def _of_pairs(path: Path) -> str:
    """The column of pairs that is meant by how a write names it, or the reverse, or nothing."""
    meant = WRITTEN.get(name_of(path), "")
    side, rest = split_side(str(path[0]))
    if path[0] in SIDES and len(path) > 1:
        meant = f"{path[0]}_{name_of(path[1:])}"
    elif side:
        meant = f"{side}.{name_of((rest, *path[1:]))}"
    return f" Did you mean '{meant}'?" if meant else ""


def _unquoted(path: Path, expression: str | None) -> str:
    """What is said of a name that stands where a text may be meant, whose quotes a shell took."""
    name = str(path[0])
    compared = rf"[!=]=\s*{re.escape(name)}(?![\w.\[])"
    if expression is None or len(path) > 1 or not re.search(compared, expression):
        return ""
    return f' A text has quotes, which the shell has to leave there: "{name}".'


def _got(expression: str | None) -> str:
    return f", got '{expression}'" if expression else ""


def _on_no_line(paths: Sequence[Path]) -> str:
    names = ", ".join(f"'{name_of(path)}'" for path in paths)
    if len(paths) > 1:
        return f"none of {names} is on a line that was read"
    return f"{names} is on no line that was read"


def _near(
    path: Path, seen: list[str], known: Iterable[tuple[str, ...]], others: tuple[str, ...] = ()
) -> str:
    """What is seen around the path, and what may be meant by it."""
    return "".join(_around(path, seen, known, others))


def _around(
    path: Path, seen: list[str], known: Iterable[tuple[str, ...]], others: tuple[str, ...] = ()
) -> tuple[str, str]:
    """The fields where the path was looked for, as deep as it leads, and the nearest of them, or of
    the `others` that may be named.
    """
    for depth in range(len(path) - 1, 0, -1):
        if names := sorted({other[depth] for other in known if other[:depth] == path[:depth]
                            and len(other) == depth + 1}):  # fmt: skip
            at = name_of(path[:depth])
            nearest = hint(str(path[depth]), names) and hint(
                name_of(path[: depth + 1]), [name_of((*path[:depth], name)) for name in names]
            )
            return f"Fields seen in {at}: {', '.join(names)}.", nearest
    nearest = _of_pairs(path) if "gap" in others else ""  # there are pairs
    nearest = nearest or hint(str(path[0]), [*seen, *others])
    return f"Fields seen: {', '.join(sorted(seen))}.", nearest
