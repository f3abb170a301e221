"""Extra columns: what stands beside the messages of a write, and what each is made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

from msgspec import Raw

from gymrecipe.errors import hint
from gymrecipe.formats.custom import parts_in
from gymrecipe.formats.example import Example
from gymrecipe.formats.template import Template
from gymrecipe.planning.settings import NamedColumn
from gymrecipe.planning.steps import POSSIBLE, Step, writes_of
from gymrecipe.registry import FORMATS, Purpose, is_ours
from gymrecipe.rollouts.chat import Message
from gymrecipe.rollouts.columns import (
    BUILT_IN,
    MADE,
    OF_A_ROLLOUT,
    SIDES,
    WRITTEN,
    Path,
    parse_path,
    split_side,
)
from gymrecipe.stages.write import Write

_SCORED = ("reward", "task_type")
_COMPARED = ("reward_chosen", "reward_rejected", "reward_gap")
STANDARD: dict[Purpose, tuple[str, ...]] = {
    "sft": _SCORED,
    "dpo": _COMPARED,
    "kto": _SCORED,
    "reward_model": _COMPARED,
    "rl": ("success_rate", "mean_reward", "rollouts", "task_type"),
    "buffer": _SCORED,
}
"""The columns that every format but `raw` and `custom` has by itself."""

OF_PAIRS = WRITTEN | {name: name for name in ("gap", "task_key", "prompt_key")}
"""Names that mean a column of the pair table."""

_ONE_KEY = re.compile(r'((?:chosen\.|rejected\.)?)field\["([^"\\]+)"\]')
_PLAIN = "{% for message in messages %}{{ message.content }}{% endfor %}"


@cache
def own_keys(format: str, purpose: Purpose) -> frozenset[str]:
    """The keys that a format of ours writes itself, found by writing a made-up example. A plugin's
    is not asked: what it would do with such an example is not known.
    """
    if format == "custom" or not is_ours(FORMATS[format]):
        return frozenset()
    example = Example(
        purpose=purpose,
        lines=(b"{}", b"{}") if STANDARD[purpose] is _COMPARED else (b"{}",),
        values={},
        prompt=[Message("user", "1+1?")],
        completion=[Message("assistant", "2")],
        chosen=[Message("assistant", "2")],
        rejected=[Message("assistant", "3")],
        tools=[],
        label=True if purpose == "kto" else None,
        reward=1.0 if purpose == "buffer" else None,
        margin=1.0 if purpose == "reward_model" else None,
        request=Raw(b'{"input":"1+1?"}'),
        agent="agent",
        verifier={"expected_answer": Raw(b'"2"')},
        template=Template(_PLAIN, None, ""),
    )
    record = FORMATS[format].function(example)
    return frozenset(record) if isinstance(record, dict) else frozenset()  # a line as it is


def columns_of(params: Write, purpose: Purpose) -> dict[str, str]:
    """The columns beside the messages: the name of each in the record, by what it is made of."""
    standard = STANDARD[purpose]
    if params.format == "raw":
        standard = ("reward_gap",) if standard is _COMPARED else ()
    elif params.format == "custom":
        standard = ()
    # What the format writes itself, such as the reward of a buffer, is not written twice.
    standard = tuple(name for name in standard if name not in own_keys(params.format, purpose))
    given = params.columns
    asked = {name: _own_name(name) for name in given} if isinstance(given, list) else given
    return {name: to for name, to in ({n: n for n in standard} | asked).items() if to is not None}


def _own_name(name: str) -> str:
    """What a column is called that is only named: `field["pass@1"]` is called by its key."""
    key = _ONE_KEY.fullmatch(name)
    return key[1] + key[2] if key else name


def table_column(name: str, pairs: bool, named: Iterable[str]) -> str | None:
    """The column of the table that a name means; None where it means a path in the line."""
    known = {*BUILT_IN, *named, "task_type"}
    if not pairs:
        return name if name in known else None
    if name in OF_PAIRS:
        return OF_PAIRS[name]
    side, rest = split_side(name)
    if side and rest in known:
        return name
    return f"chosen_{name}" if name in known - set(BUILT_IN) else None


def path_of(name: str, pairs: bool, named: dict[str, NamedColumn]) -> str:
    """The path in the line that a name means, of a pair with its side in front. It is spelled so
    that it cannot be taken for a part of an example or a column of the table.
    """
    side, _, rest = name.partition(".")
    at = side if pairs and side in SIDES and rest else ""
    bare = rest if at else name
    if bare in named:
        path = named[bare].path
        bare = path if isinstance(path, str) else path[0]
    if pairs:
        return f"{at or 'chosen'}.{bare}"
    return f'field["{bare}"]' if bare.isidentifier() else bare


def made_of_text(column: NamedColumn) -> bool:
    """Whether a named column has to be worked out, rather than copied from the line."""
    return column.regex is not None or column.default is not None or isinstance(column.path, list)


class Beside(NamedTuple):
    """A column beside the messages: what the recipe calls it, its name in the record, and what it
    is made of: a column of the table, or a path in the line, or neither for a part of the example.
    """

    name: str
    to: str
    column: str | None = None
    path: str | None = None


def beside(step: Step, named: dict[str, NamedColumn], made: set[str]) -> Iterator[Beside]:
    """The columns beside the messages of a write; `made` are those that stages made of its table,
    which has the built-in ones and what is worked out of the lines, too.
    """
    pairs, parts = step.takes == "pairs", parts_in(step.write.format, step.purpose)
    table = {name for name, column in named.items() if made_of_text(column)} | made
    for name, to in columns_of(step.write, step.purpose).items():
        if name in parts:
            yield Beside(name, to)
        elif (column := table_column(name, pairs, table)) is not None:
            yield Beside(name, to, column=column)
        else:
            yield Beside(name, to, path=path_of(name, pairs, named))


def paths_written(
    steps: Iterable[Step], named: dict[str, NamedColumn]
) -> Iterator[tuple[Step, Path]]:
    """The paths that a write copies from the lines, each of which some line has to have.

    Raises ValueError for a name that is no path.
    """
    for step in [step for step in writes_of(steps) if step.takes != "metrics"]:
        for each in beside(step, named, made_above(step)):
            if each.path is not None:
                yield step, _parsed(each.path, step)


def unfit_columns(step: Step, named: dict[str, NamedColumn]) -> Iterator[str]:
    """What is wrong with the columns of a write, where its purpose fits its rows and its format."""
    if step.takes == "metrics":
        return
    format, purpose, pairs = step.write.format, step.purpose, step.takes == "pairs"
    if purpose not in POSSIBLE[step.takes] or purpose not in FORMATS[format].purposes:
        return
    columns = list(beside(step, named, made_above(step)))
    names = [each.to for each in columns]
    if format == "custom" and not columns:
        yield "the format 'custom' has the columns named here and no other; name some"
    if format == "raw" and not pairs and columns:
        yield "the format 'raw' copies lines as they are; it has no columns"
    if twice := sorted({name for name in names if names.count(name) > 1}):
        yield f"two columns are named '{twice[0]}'; rename one of them"
    for name in sorted({*names} & own_keys(format, purpose)):
        yield f"'{format}' writes '{name}' itself; give the column another name"
    for name, _, _, path in columns:
        if pairs and name in BUILT_IN and name not in OF_PAIRS:
            yield f"a pair has '{name}' twice; write chosen_{name} or rejected_{name}"
        elif step.takes == "tasks" and name in OF_A_ROLLOUT and name in BUILT_IN:
            yield f"a task has no '{name}'; it has {', '.join(MADE['tasks'])}"
        elif path is not None:
            try:
                _parsed(path, step)
            except ValueError as error:
                yield f"{error}{hint(name, [*BUILT_IN, *named])}"


def _parsed(path: str, step: Step) -> Path:
    """The path in a line, whichever side of a pair the line is."""
    return parse_path(path.partition(".")[2] if step.takes == "pairs" else path)


def made_above(step: Step) -> set[str]:
    """The columns that stages above a step made; a table of tasks has none of its rollouts'."""
    stages = ["tasks"] if step.takes == "tasks" else [up.stage.name for up in step.above]
    return {name for stage in stages for name in MADE.get(stage, ())}
