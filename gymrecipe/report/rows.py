"""Rows: the rows that the verbs recipes, stages, formats, columns, versions and cache show."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from gymrecipe.errors import GymrecipeError, RecipeError, hint

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

Rows = list[dict[str, str]]


def recipes(folders: Iterable[Path]) -> Rows:
    """Each recipe with the first line of its description."""
    from gymrecipe.recipe.finding import description
    from gymrecipe.recipe.finding import recipes as known

    rows = []
    for name, path in known(folders).items():
        lines = description(path).splitlines()
        rows.append({"recipe": name, "what it makes": lines[0] if lines else ""})
    return rows


def stages() -> Rows:
    """Each stage with what it takes and makes."""
    from gymrecipe.registry import STAGES, summary

    import_module("gymrecipe.stages")
    return [
        {
            "stage": name,
            "takes": " or ".join(entry.takes) or "files",
            "makes": entry.makes or "the same",
            "what it does": summary(entry.function),
        }
        for name, entry in sorted(STAGES.items())
    ]


def parameters(name: str) -> tuple[str, Rows, Rows]:
    """What a stage does, its parameters, and the strategies or checks that they choose among."""
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
    rows = [
        {
            "parameter": parameter,
            "default": shown(info.get_default(call_default_factory=True)),
            "what it sets": about.get(parameter, "") + _choices(info, about.get(parameter, "")),
        }
        for parameter, info in entry.params.model_fields.items()
        if parameter != "use"
    ]
    choices: Rows = []
    if name == "pair":
        choices = [
            {"strategy": other, "what it pairs": summary(found.function)}
            for other, found in sorted(STRATEGIES.items())
        ]
    elif name == "validate":
        choices = [
            {"check": other, "its figure": summary(found.function)}
            for other, found in sorted(CHECKS.items())
        ]
    return summary(entry.function), rows, choices


def _choices(info: FieldInfo, said: str) -> str:
    """The texts that a parameter can be, where what is said of it does not name them all."""
    branches = [info.annotation, *get_args(info.annotation)]
    values = [value for part in branches if get_origin(part) is Literal for value in get_args(part)]
    if all(f"`{value}`" in said for value in values):
        return ""
    return f" One of {', '.join(f'`{value}`' for value in values)}."


def formats() -> Rows:
    """Each format with the purposes it has a form for."""
    from gymrecipe.registry import FORMATS, summary

    import_module("gymrecipe.formats")
    return [
        {
            "format": name,
            "for": ", ".join(entry.purposes),
            "files": ", ".join(entry.files),
            "what it writes": summary(entry.function),
        }
        for name, entry in sorted(FORMATS.items())
    ]


def columns(entries: str | list[str], most: int, sidecars: bool) -> tuple[Rows, Rows, int]:
    """The built-in columns, the fields of the first lines of the inputs or else of the sample, and
    how many lines.
    """
    from gymrecipe.rollouts.columns import BUILT_IN
    from gymrecipe.rollouts.fields import fields
    from gymrecipe.rollouts.files import SAMPLE
    from gymrecipe.rollouts.naming import sources

    files, _ = sources(entries or SAMPLE, sidecars)
    found, read = fields(files, most)
    built_in = [
        {"column": name, "kind": kind, "what it is": said}
        for name, (kind, said) in BUILT_IN.items()
    ]
    present = [
        {
            "field": one.name,
            "lines": str(one.lines),
            "kind": ", ".join(sorted(one.types)),
            "for example": " · ".join(one.examples),
        }
        for one in found
    ]
    return built_in, present, read


def versions(root: Path, names: list[str]) -> Rows:
    """The versions below `root` of these recipes, or of all."""
    from gymrecipe.experiments import references

    there = sorted(os.listdir(root)) if root.is_dir() else []
    rows = []
    for name in names or there:
        folder = root / name
        paths = references.versions(folder)
        if names and not paths:
            raise RecipeError(f"versions: {folder} has no versions.{hint(name, there)}")
        tags = references.tags(folder) if paths else {}
        for path in paths:
            own = [tag for tag, version in tags.items() if version == path.name]
            row = {"version": f"{name}/{path.name}", "tag": ", ".join(own)}
            rows.append(row | _version(path))
    return rows


def _version(path: Path) -> dict[str, str]:
    """The figures of a version, or that it has no manifest that can be read."""
    from gymrecipe.experiments import manifest

    try:
        record = manifest.read(path)
    except GymrecipeError as error:
        said = str(error).removeprefix(f"{path / manifest.FILE}: ")
        none = dict.fromkeys(("created", "rows", "used", "rejected"), "")
        return none | {"overrides": f"(manifest: {said})"}
    return {
        "created": (record.environment.created or "")[:16].replace("T", " "),
        "rows": str(sum(output.rows for output in record.outputs)),
        "used": str(record.lines.used),
        "rejected": str(record.lines.rejected),
        "overrides": shlex.join(record.environment.overrides),
    }


def kept(folder: Path) -> Rows:
    """The inputs of which a scan is kept in the folder, the one used last first."""
    from gymrecipe.report.safe import size
    from gymrecipe.rollouts import shelf

    return [
        {
            "input": entry.path,
            "lines": str(entry.lines),
            "bytes": size(entry.size),
            "kept": size(length),
            "state": shelf.state(entry),
        }
        for entry, length in shelf.entries(folder)
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
