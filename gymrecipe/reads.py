"""Reads: which columns the steps of a recipe read, and as what kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from gymrecipe.errors import RecipeError
from gymrecipe.registry import Optional, Reads, ReadsWhere, marked
from gymrecipe.rollouts.columns import BUILT_IN, PAIR_COLUMNS, Column, Kind, Path, parse_path
from gymrecipe.settings import NamedColumn
from gymrecipe.stages import where as language
from gymrecipe.stages.balance import GENERAL
from gymrecipe.stages.write import Write
from gymrecipe.steps import Step

QUANTILE = re.compile(r"p(100|\d{1,2}(\.\d+)?)")
"""A threshold given as a quantile."""


def columns_read(steps: Iterable[Step], named: dict[str, NamedColumn]) -> Iterator[Column]:
    """Every column that a step reads, with the kind that its use says."""
    for step in steps:
        for _, value, mark in marked(step.params, Reads):
            if value is not None and value not in mark.other_than:
                yield from _column(value, mark.kind, step, named)
        for _, value, _mark in marked(step.params, ReadsWhere):
            if isinstance(value, str) and not QUANTILE.fullmatch(value):
                for name, kind in language.parse(value).names.items():
                    yield from _column(name, kind, step, named)
        for _, value, switch in marked(step.params, Optional):
            if value:
                yield Column(switch.column, ((switch.column,),), switch.kind, optional=True)
        if isinstance(step.params, Write):
            for name in step.params.columns:
                if name in named:
                    yield from _column(name, "text", step, named)
            if step.takes == "rollouts" and "task_type" not in named:
                path: Path = ("metadata", "task_type")
                yield Column("task_type", (path,), "text", default=GENERAL)


def _column(name: str, kind: Kind, step: Step, named: dict[str, NamedColumn]) -> Iterator[Column]:
    if step.takes == "pairs":
        if name in PAIR_COLUMNS:
            return
        name = name.removeprefix("chosen_").removeprefix("rejected_")
    if name in BUILT_IN:
        if BUILT_IN[name][0] != kind:
            raise RecipeError(
                f"stages.{step.name}: '{name}' is a {BUILT_IN[name][0]}, used as a {kind}"
            )
        return
    if (column := named.get(name)) is not None:
        paths = [column.path] if isinstance(column.path, str) else column.path
        yield Column(
            name,
            tuple(parse_path(path) for path in paths),
            "text" if column.regex else kind,
            column.regex,
            column.default,
        )
        return
    try:
        path = parse_path(name)
    except ValueError as error:
        raise RecipeError(f"stages.{step.name}: {error}") from None
    yield Column(name, (path,), kind)
