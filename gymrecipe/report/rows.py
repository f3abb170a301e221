"""Rows: what the verbs recipes, stages, formats, columns, versions and cache list, as records."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import msgspec

from gymrecipe.errors import GymrecipeError, RecipeError, hint

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


class Recipe(msgspec.Struct, frozen=True):
    """A recipe with the first line of its description."""

    recipe: str
    what_it_makes: str


class Stage(msgspec.Struct, frozen=True):
    """A stage with the units that it takes and makes."""

    stage: str
    takes: list[str]
    makes: str
    what_it_does: str


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of a stage."""

    parameter: str
    default: Any
    what_it_sets: str


class Strategy(msgspec.Struct, frozen=True):
    """A strategy of `pair`."""

    strategy: str
    what_it_pairs: str


class Check(msgspec.Struct, frozen=True):
    """A check of `validate`."""

    check: str
    its_figure: str


class Parameters(msgspec.Struct, frozen=True):
    """A stage's parameters, and the strategies or checks that they choose among."""

    stage: str
    what_it_does: str
    parameters: list[Parameter]
    strategies: list[Strategy] = []
    checks: list[Check] = []


class Format(msgspec.Struct, frozen=True):
    """A format with the purposes it has a form for."""

    format: str
    purposes: list[str]
    files: list[str]
    what_it_writes: str


class BuiltIn(msgspec.Struct, frozen=True):
    """A column that every line has."""

    column: str
    kind: str
    what_it_is: str


class Present(msgspec.Struct, frozen=True):
    """A field that some lines have: on how many, of which kinds, and the first values."""

    field: str
    lines: int
    kind: list[str]
    for_example: list[str]


class Columns(msgspec.Struct, frozen=True):
    """What a recipe can name: the built-in columns, and the fields of the first `lines` lines, of
    which `limit` were asked for.
    """

    built_in: list[BuiltIn]
    fields: list[Present]
    lines: int
    limit: int


class Made(msgspec.Struct, frozen=True):
    """A version with its figures, or an `error` where its manifest cannot be read."""

    version: str
    tags: list[str]
    created: str | None = None
    rows: int | None = None
    used: int | None = None
    rejected: int | None = None
    overrides: list[str] = []
    error: str = ""


class Kept(msgspec.Struct, frozen=True):
    """An input of which a scan is kept: its bytes, those that are kept, and what a run would make
    of them.
    """

    input: str
    lines: int
    bytes: int
    kept: int
    state: str


def recipes(folders: Iterable[Path]) -> list[Recipe]:
    """Each recipe there is."""
    from gymrecipe.recipe.finding import description
    from gymrecipe.recipe.finding import recipes as known

    return [
        Recipe(name, next(iter(description(path).splitlines()), ""))
        for name, path in known(folders).items()
    ]


def stages() -> list[Stage]:
    """Each stage there is."""
    from gymrecipe.registry import STAGES, summary

    import_module("gymrecipe.stages")
    return [
        Stage(name, list(one.takes) or ["files"], one.makes or "the same", summary(one.function))
        for name, one in sorted(STAGES.items())
    ]


def parameters(name: str) -> Parameters:
    """What a stage does, and what it takes. Raises RecipeError for a name that no stage has."""
    from gymrecipe.parameters import documentation
    from gymrecipe.registry import CHECKS, STAGES, STRATEGIES, summary

    import_module("gymrecipe.stages")
    if name not in STAGES:
        raise RecipeError(
            f"stages: no stage is named '{name}'. There are {', '.join(sorted(STAGES))}."
            f"{hint(name, STAGES)}"
        )
    entry = STAGES[name]
    about = documentation(entry.params)
    strategies = sorted(STRATEGIES.items()) if name == "pair" else []
    checks = sorted(CHECKS.items()) if name == "validate" else []
    return Parameters(
        name,
        summary(entry.function),
        [
            Parameter(
                parameter,
                info.get_default(call_default_factory=True),
                about.get(parameter, "") + _choices(info, about.get(parameter, "")),
            )
            for parameter, info in entry.params.model_fields.items()
            if parameter != "use"
        ],
        [Strategy(other, summary(found.function)) for other, found in strategies],
        [Check(other, summary(found.function)) for other, found in checks],
    )


def _choices(info: FieldInfo, said: str) -> str:
    """The texts that a parameter can be, where what is said of it does not name them all."""
    branches = [info.annotation, *get_args(info.annotation)]
    values = [value for part in branches if get_origin(part) is Literal for value in get_args(part)]
    if all(f"`{value}`" in said for value in values):
        return ""
    return f" One of {', '.join(f'`{value}`' for value in values)}."


def formats() -> list[Format]:
    """Each format there is."""
    from gymrecipe.registry import FORMATS, summary

    import_module("gymrecipe.formats")
    return [
        Format(name, list(one.purposes), list(one.files), summary(one.function))
        for name, one in sorted(FORMATS.items())
    ]


def columns(entries: str | list[str], most: int, sidecars: bool) -> Columns:
    """What can be named of the first lines of the inputs, or else of the sample."""
    from gymrecipe.rollouts.columns import BUILT_IN
    from gymrecipe.rollouts.fields import fields
    from gymrecipe.rollouts.files import SAMPLE
    from gymrecipe.rollouts.naming import sources

    files, _ = sources(entries or SAMPLE, sidecars)
    found, read = fields(files, most)
    return Columns(
        [BuiltIn(name, kind, said) for name, (kind, said) in BUILT_IN.items()],
        [Present(one.name, one.lines, sorted(one.types), one.examples) for one in found],
        read,
        most,
    )


def versions(root: Path, names: list[str]) -> list[Made]:
    """The versions below `root` of these recipes, or of all. Raises RecipeError for a recipe that
    has none.
    """
    from gymrecipe.experiments import references

    there = sorted(os.listdir(root)) if root.is_dir() else []
    found = []
    for name in names or there:
        folder = root / name
        paths = references.versions(folder)
        if names and not paths:
            having = [other for other in there if references.versions(root / other)]
            raise RecipeError(f"versions: {folder} has no versions.{hint(name, having)}")
        tags = references.tags(folder) if paths else {}
        for path in paths:
            own = [tag for tag, version in tags.items() if version == path.name]
            found.append(_version(path, own))
    return found


def _version(path: Path, tags: list[str]) -> Made:
    from gymrecipe.experiments import manifest

    name = f"{path.parent.name}/{path.name}"
    try:
        record = manifest.read(path)
    except GymrecipeError as error:
        return Made(name, tags, error=str(error).removeprefix(f"{path / manifest.FILE}: "))
    return Made(
        name,
        tags,
        record.environment.created,
        sum(output.rows for output in record.outputs),
        record.lines.used,
        record.lines.rejected,
        record.environment.overrides,
    )


def kept(folder: Path) -> list[Kept]:
    """The inputs of which a scan is kept in the folder, the one used last first."""
    from gymrecipe.rollouts import cache_folder

    return [
        Kept(entry.path, entry.lines, entry.size, length, cache_folder.state(entry))
        for entry, length in cache_folder.entries(folder)
    ]


def shown(value: Any) -> str:
    """A value as it is written on a command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(shown(part) for part in value)}]"
    return "{}" if value == {} else str(value)
