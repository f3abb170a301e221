"""Columns: the names a recipe may use, what they hold, and where in a line they are found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Literal

import msgspec

from gymrecipe.errors import RecipeError
from gymrecipe.rollouts.json_members import Repeated, member

Kind = Literal["number", "text", "texts", "boolean", "category", "any"]
"""What a value is read as: a `category` is a text, or a number or boolean as the text of it;
`texts` are one, or those of a list or an object, a line each; of `any` only whether there is one,
which is held as a boolean."""
TEXTS = frozenset({"text", "texts", "category"})
"""The kinds that are held as texts."""
Path = tuple[str | int, ...]

GENERAL = "general"
"""The category of rows that have none."""

BUILT_IN: dict[str, tuple[Kind, str]] = {
    "source": ("number", "which input file the line is in, counted from 0"),
    "line": ("number", "its line number there, counted from 1"),
    "offset": ("number", "where its first byte lies (in the uncompressed bytes)"),
    "bytes": ("number", "its length without the line feed"),
    "task_key": ("number", "which rollouts answer the same task; missing where that is unclear"),
    "prompt_key": ("number", "a hash of what the model was shown"),
    "reward": ("number", "the score (the knob `reward` says where it is)"),
    "turns": ("number", "model calls"),
    "output_items": ("number", "items in the response: messages, reasoning, calls, outputs"),
    "tool_calls": ("number", "function calls"),
    "answer_chars": ("number", "characters of the last assistant message"),
    "output_tokens": ("number", "output tokens as the model's server counted them"),
    "truncated": ("boolean", "cut off by a token limit or a filter"),
    "failed": ("boolean", "the run broke: an error or a failure class is recorded"),
    "masked": ("boolean", "`mask_sample`: not to be trained on"),
    "empty": ("boolean", "neither text nor a tool call came back"),
    "unanswered_calls": ("boolean", "a tool call has no output"),
    "model": ("text", "the model that answered"),
    "agent": ("text", "the agent that ran it"),
    "draw": ("number", "a number in [0, 1): a hash of seed and rollout"),
}

MADE: dict[str, dict[str, tuple[Kind, str]]] = {
    "label": {"label": ("boolean", "whether the rollout is desirable")},
    "tasks": {
        "rollouts": ("number", "how many rollouts of the task came in"),
        "success_rate": ("number", "the share of its scored rollouts that succeeded"),
        "mean_reward": ("number", "the mean of their rewards"),
        "std_reward": ("number", "the sample standard deviation of their rewards"),
    },
}
"""The columns that a stage makes and later stages may read, by the stage's name."""

OWN = (
    "row", "run", "reason", "id_hi", "id_lo", "index_key", "repeat_key", "group_value", "place",
    "answer_key", "has_tools", "rows", *(name for made in MADE.values() for name in made),
)  # fmt: skip
"""Further columns of the table, which no recipe reads from a line: a key so named is
`field["…"]`."""

OF_A_ROLLOUT = (
    "reward", "turns", "output_items", "tool_calls", "answer_chars", "output_tokens", "truncated",
    "failed", "masked", "empty", "unanswered_calls", "model", "answer_key", "label",
)  # fmt: skip
"""Columns that say how one rollout went, which a table of tasks does not have."""

SIDES = ("chosen", "rejected")
"""The two rollouts of a pair."""

ROWS = {"row": ""} | {f"{side}_row": f"{side}_" for side in SIDES}
"""The columns that say which rollouts a row is, and how the columns of each are called."""

SPLIT = "the split"
"""The column of a write that says which file a row goes to."""

INPUT = "input "
"""Before the columns that say where the input row of a task is, as a side is before a pair's."""

TASK_FIELD = "task field "
"""Before the number of a task field: the column that holds its key.

These three have a space, for no field of a line has a column of such a name: it is `field["…"]`.
"""

PAIR_COLUMNS = ("gap", "draw", "task_key", "prompt_key")
"""What a pair has of its own; every rollout column is there as `chosen_…` and `rejected_…`."""

WRITTEN = {
    "reward_chosen": "chosen_reward",
    "reward_rejected": "rejected_reward",
    "reward_gap": "gap",
}
"""How the file of a write calls columns of the pair table."""

_SEGMENT = re.compile(r"[A-Za-z_][\w\-]*|-?\d+")
_QUOTED = re.compile(r"""\[(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(-?\d+))\]""")
_INDEX = re.compile(r"\[(-?\d+)\]")


class Column(msgspec.Struct, frozen=True):
    """One column a recipe asks for: `name` in the table, `paths` in the line (the first that has a
    value counts), its `kind`. A `pattern` takes the first group that has part in a match out of a
    text; `default` stands where the value is missing; `optional` allows that no line has it.
    """

    name: str
    paths: tuple[Path, ...]
    kind: Kind
    pattern: str | None = None
    default: str | None = None
    optional: bool = False


def split_side(name: str) -> tuple[str, str]:
    """The side of a pair that a column is of, empty for none, and its name without the side.

    `chosen_rejected_count` is the field `rejected_count` of the chosen side.
    """
    side, underscore, rest = name.partition("_")
    return (side, rest) if underscore and side in SIDES else ("", name)


def of_pair(name: str) -> str:
    """The column of a pair that a name means: a bare one means the task that both sides answer."""
    return name if name in PAIR_COLUMNS or split_side(name)[0] else f"chosen_{name}"


def parse_path(name: str) -> Path:
    """`metadata.category` or `field["pass@1"]["mean"]` as a path; numbers count list items, those
    below 0 from the end.

    Raises ValueError for what is neither.
    """
    if name.startswith("field["):
        rest, path = name.removeprefix("field"), []
        while match := _QUOTED.match(rest):
            double, single, index = match.groups()
            text = double if double is not None else single
            path.append(int(index) if text is None else re.sub(r"\\(.)", r"\1", text))
            rest = rest[match.end() :]
        if rest or not path:
            raise ValueError(f'\'{name}\' is not a path; write it as field["a"]["b"]')
        return tuple(path)
    segments = name.split(".")
    if not all(_SEGMENT.fullmatch(segment) for segment in segments) or _counts(segments[0]):
        keys = segments if not set(name) & set("\"'[],\\") and all(segments) else ["an odd key"]
        written = "a.b or field" + "".join(f'["{key}"]' for key in keys)
        if (dotted := _INDEX.sub(r".\1", name)) != name and "[" not in dotted:
            written = f"{dotted}, with numbers for the items of lists"
        raise ValueError(f"'{name}' is not a path; write it as {written}")
    return tuple(int(segment) if _counts(segment) else segment for segment in segments)


def _counts(segment: str) -> bool:
    return segment.removeprefix("-").isdigit()


def key_of(name: str) -> str:
    """The last key of a path, which is how a verifier knows the field."""
    return str(parse_path(name)[-1])


def name_of(path: Path) -> str:
    """The one name of a path: dotted where it can be, `field["…"]` for odd or hidden keys."""
    dotted = ".".join(str(part) for part in path)
    if dotted not in BUILT_IN and dotted not in OWN:
        with suppress(ValueError):
            if parse_path(dotted) == path:
                return dotted
    quoted = (f"[{p}]" if isinstance(p, int) else '["' + _escape(p) + '"]' for p in path)
    return "field" + "".join(quoted)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def merge(wanted: Iterable[Column]) -> list[Column]:
    """The columns with each name once; two kinds for one name are a conflict (RecipeError), but a
    category gives way to another kind, and `any` to all.
    """
    found: dict[str, Column] = {}
    problems = []
    for column in wanted:
        if (known := found.get(column.name)) is None:
            found[column.name] = column
        elif _strength(known) < _strength(column):
            optional = known.optional and column.optional
            found[column.name] = msgspec.structs.replace(column, optional=optional)
        elif column.kind != known.kind and _strength(known) == _strength(column):
            problems.append(
                f"columns: '{column.name}' is used as a {known.kind} and as a {column.kind};"
                " a column has one type"
            )
        elif known.optional and not column.optional:
            found[column.name] = msgspec.structs.replace(known, optional=False)
    if problems:
        raise RecipeError(*problems)
    return list(found.values())


def category_of(value: str | float) -> str:
    """What the group of a value is called: as JSON writes it, and 3.0 as 3."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _strength(column: Column) -> int:
    return {"any": 0, "category": 1}.get(column.kind, 2)


_array = msgspec.json.Decoder(list[msgspec.Raw])
_value = msgspec.json.Decoder()


def find(raw: bytes | msgspec.Raw, path: Path) -> msgspec.Raw | bytes | None:
    """The JSON text at `path` below `raw`, decoding only what lies on the way; None if absent.

    Raises Repeated where an object on the way has the key of the path twice.
    """
    for part in path:
        try:
            found = _array.decode(raw)[part] if isinstance(part, int) else member(raw, part)
        except Repeated:
            raise
        except (msgspec.ValidationError, IndexError):
            return None
        if found is None:
            return None
        raw = found
    return raw


class Rounded(ValueError):
    """A number is an integer that no float holds, so that another one would be read."""


def _texts(value: Any) -> Iterator[str]:
    """The texts of a list or an object, in their order, and of those in it."""
    if isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
    elif value is not None:
        yield category_of(value)


def typed(raw: bytes | msgspec.Raw | None, kind: Kind) -> Any:
    """The value as its kind, or None where it is missing, null or of another type.

    A string is not a number, and true is not 1, but "3", 3 and 3.0 are one category; what is of
    `any` kind is true. Raises
    OverflowError for a number too large and Rounded for an integer between two floats.
    """
    if raw is None:
        return None
    value = _value.decode(raw)
    if kind == "any":
        return None if value is None else True
    if kind == "texts" and isinstance(value, list | dict):
        return "\n".join(_texts(value))
    if kind in ("category", "texts"):
        return category_of(value) if isinstance(value, str | int | float) else None
    if kind == "text":
        return value if isinstance(value, str) else None
    if isinstance(value, bool):
        return value if kind == "boolean" else None
    if kind != "number" or not isinstance(value, int | float):
        return None
    number = float(value)
    if number != value:
        raise Rounded(f"{value} would be {number:.0f}")
    return number
