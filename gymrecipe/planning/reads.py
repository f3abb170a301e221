"""Reads: which columns the steps of a recipe read, and as what kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from msgspec.structs import replace

from gymrecipe.errors import RecipeError
from gymrecipe.parameters import QUANTILE, Optional, Reads, ReadsWhere, marked
from gymrecipe.planning.extra_columns import made_of_text, paths_written
from gymrecipe.planning.settings import NamedColumn
from gymrecipe.planning.steps import Step, writes_of
from gymrecipe.rollouts.columns import (
    BUILT_IN,
    GENERAL,
    MADE,
    OWN,
    PAIR_COLUMNS,
    TEXTS,
    Column,
    Kind,
    Path,
    name_of,
    parse_path,
    split_side,
)
from gymrecipe.stages import where as language
from gymrecipe.stages.load import Load


def columns_read(steps: Iterable[Step], named: dict[str, NamedColumn]) -> Iterator[Column]:
    """Every column that a step reads, with the kind that its use says.

    Raises RecipeError with every column that cannot be read so.
    """
    problems: list[str] = []
    seen: set[str] = set()
    steps = list(steps)
    for step in steps:
        made = _made(step)
        for at, name, kind in _used(step):
            try:
                for column in _column(name, kind, step, named, made):
                    if column.kind != "any":
                        seen.add(column.name)
                    yield column
            except ValueError as error:
                problems.append(f"stages.{step.name}.{at}: {error}")
        for _, value, switch in marked(step.params, Optional):
            if value:
                yield Column(switch.column, ((switch.column,),), switch.kind, optional=True)
    for step in writes_of(steps):
        written = list(map(partial(_bare, step), step.write.columns))
        for name in written:
            # Else its use has said the kind, or it is copied from the line as it stands.
            if name in named.keys() - seen - {"task_type"} and made_of_text(named[name]):
                yield from _column(name, "text", step, named, {})
        standard = step.takes in ("rollouts", "tasks")
        if (standard or "task_type" in written) and "task_type" not in seen:
            yield _task_type(named.get("task_type"))
    if problems:
        raise RecipeError(*problems)


def unused(steps: Sequence[Step], named: dict[str, NamedColumn]) -> list[str]:
    """The named columns that no step uses."""
    used = {"task_type"}
    for step in steps:
        used |= {_bare(step, name) for _, name, _ in _used(step)}
    for step in writes_of(steps):
        used |= {_bare(step, name.rpartition(".")[2]) for name in step.write.columns}
    return [name for name in named if name not in used]


def places(steps: Sequence[Step], named: dict[str, NamedColumn]) -> dict[str, str]:
    """Which part of the recipe asks for a column, or for a path that a write copies."""
    found: dict[str, str] = {}
    for step in steps:
        for at, name, _ in _used(step):
            found.setdefault(_bare(step, name), f"stages.{step.name}.{at}")
        for at, value, switch in marked(step.params, Optional):
            if value:
                found.setdefault(switch.column, f"stages.{step.name}.{at}")
    for step, path in paths_written(steps, named):
        found.setdefault(name_of(path), f"stages.{step.name}.columns")
    return found | {name: f"columns.{name}.path" for name in named}


def lists_of_paths(
    steps: Sequence[Step], named: dict[str, NamedColumn]
) -> dict[str, tuple[Path, ...]]:
    """The paths of which a line may have any, by the part of the recipe that lists them."""
    load = steps[0].params
    assert isinstance(load, Load)
    lists = {f"stages.{steps[0].name}.task_fields": load.task_fields}
    for name, column in named.items():
        if isinstance(column.path, list):
            lists[f"columns.{name}.path"] = column.path
    return {place: tuple(map(parse_path, names)) for place, names in lists.items()}


def expressions(steps: Sequence[Step]) -> dict[str, str]:
    """The expressions of a recipe, by the part of it in which they stand."""
    return {
        f"stages.{step.name}.{at}": value
        for step in steps
        for at, value, _ in marked(step.params, ReadsWhere)
        if isinstance(value, str)
    }


def _task_type(named: NamedColumn | None) -> Column:
    """What every example of one rollout has beside it: `general` where the line does not say."""
    column = _named("task_type", "text", named or NamedColumn(path="metadata.task_type"))
    default = GENERAL if column.default is None else column.default
    return replace(column, default=default, optional=named is None)


def _named(name: str, kind: Kind, column: NamedColumn) -> Column:
    """A named column. What a pattern looks into may also be numbers and lists."""
    paths = [column.path] if isinstance(column.path, str) else column.path
    if kind in TEXTS and column.regex is not None:
        kind = "texts"
    return Column(name, tuple(map(parse_path, paths)), kind, column.regex, column.default)


def _used(step: Step) -> Iterator[tuple[str, str, Kind]]:
    """The names that a step's parameters use: which parameter, the name, and as what kind."""
    for at, value, mark in marked(step.params, Reads):
        if value is not None and value not in mark.other_than:
            yield at, value, mark.kind
    for at, value, _ in marked(step.params, ReadsWhere):
        if isinstance(value, str) and not QUANTILE.fullmatch(value):
            for name, kind in language.parse(value).names.items():
                yield at, name, kind


def _made(step: Step) -> dict[str, Kind]:
    """The columns that stages above made, which are not looked for in the lines."""
    return {
        name: kind
        for other in step.above
        for name, (kind, _) in MADE.get(other.stage.name, {}).items()
    }


def _bare(step: Step, name: str) -> str:
    """The name of a rollout's column, without the side of the pair."""
    return split_side(name)[1] if step.takes == "pairs" else name


def _too_early(name: str, step: Step) -> ValueError:
    return ValueError(
        f"'{name}' is a column of pairs, and {step.takes} have none yet; put the stage behind the"
        " one that makes pairs"
    )


def _column(
    name: str, kind: Kind, step: Step, named: dict[str, NamedColumn], made: dict[str, Kind]
) -> Iterator[Column]:
    if step.takes == "pairs" and name in PAIR_COLUMNS:
        return
    name = _bare(step, name)
    side, rest = split_side(name)
    if side and rest in (*BUILT_IN, "row") and step.takes != "pairs":
        raise _too_early(name, step)
    if name in BUILT_IN or name in made:
        known = made[name] if name in made else BUILT_IN[name][0]
        if kind not in (known, "category", "any"):
            raise ValueError(f"'{name}' is a {known}, used as a {kind}")
        return
    if name == "gap":
        raise _too_early(name, step)
    maker = next((stage for stage, columns in MADE.items() if name in columns), None)
    if maker is not None and name not in named:
        raise ValueError(
            f"'{name}' is a column that the stage '{maker}' makes, and none comes before; for a"
            f" field of the lines give it another name under columns, such as my_{name}: {name}"
        )
    if name in (*OWN, *PAIR_COLUMNS):
        raise ValueError(
            f"'{name}' is a name of ours; give the field another one under columns, such as"
            f" my_{name}: {name}"
        )
    if (column := named.get(name)) is not None:
        from_text = column.regex is not None or column.default is not None
        if kind == "any" and from_text:
            kind = "text"
        if kind not in TEXTS and from_text:
            raise ValueError(f"'{name}' has a regex or a default and is a text, used as a {kind}")
        yield _named(name, kind, column)
        return
    yield Column(name, (parse_path(name),), kind)
