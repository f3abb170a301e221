"""Reading: a recipe as plain values, under limits, and values as YAML again."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf._utils import get_omega_conf_dumper, get_yaml_loader
from omegaconf.errors import OmegaConfBaseException

from gymrecipe.errors import RecipeError
from gymrecipe.guards import MAX_SIZE, dangers, measure
from gymrecipe.recipe.finding import shared_folder

_Loader = get_yaml_loader()
"""YAML as OmegaConf reads it: twice the same key is an error, a date is a text."""

if hasattr(yaml, "CSafeLoader"):

    class _InC(yaml.cyaml.CParser, _Loader):  # type: ignore
        """The same, parsed by libyaml."""

        def __init__(self, text: str) -> None:
            yaml.cyaml.CParser.__init__(self, text)  # type: ignore[attr-defined]
            yaml.constructor.SafeConstructor.__init__(self)
            yaml.resolver.Resolver.__init__(self)

    _Loader = _InC


class _Dumper(get_omega_conf_dumper()):  # type: ignore
    """YAML as OmegaConf writes it, with what stands in two places written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def read(path: Path, trusted: bool = False) -> dict[str, Any]:
    """The values of a YAML file. Raises RecipeError for what is none, or is refused."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}.") from None
    if len(data) > MAX_SIZE:
        raise RecipeError(f"{path}: a recipe of more than {MAX_SIZE // 2**10} KiB is refused.")
    try:
        text = data.decode()
        measure(text)
        value = yaml.load(text, Loader=_Loader)
        OmegaConf.create(value)  # which refuses what a configuration cannot hold
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not UTF-8 text.") from None
    except yaml.MarkedYAMLError as error:
        raise RecipeError(f"{path}: not a readable recipe: {_marked(error, text)}") from None
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        raise RecipeError(f"{path}: not a readable recipe: {plain(error)}") from None
    if not isinstance(value, dict):
        raise RecipeError(f"{path}: a recipe is a mapping with `stages`, not a {kind(value)}.")
    if not trusted and (problems := list(dangers(value))):
        raise RecipeError(*(f"{path}: {problem}" for problem in problems))
    return {str(name): part for name, part in value.items()}


def _marked(error: yaml.MarkedYAMLError, text: str) -> str:
    """Where the text is no YAML, why, what stands there, and what may help."""
    if (mark := error.problem_mark) is None:
        return plain(error)
    line = [*text.splitlines(), ""][mark.line]
    got = f", got '{line.strip()}'" if line.strip() else ""
    said = f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}{got}."
    if line[mark.column : mark.column + 1] == "\t":
        return f"{said} YAML is indented with spaces, not with tabs."
    if "flow" in (error.context or ""):
        return f"{said} In braces or brackets a value that has {{ }} [ ] , or : has quotes."
    return said


@cache
def shared_config() -> dict[str, Any]:
    """The file of the knobs that all recipes share, with what it says to Hydra; only to be read."""
    return read(shared_folder("conf") / "config.yaml", trusted=True)


def base_knobs() -> dict[str, Any]:
    """The knobs that all recipes share, with their defaults."""
    return {name: value for name, value in shared_config().items() if name != "defaults"}


def knobs(path: Path) -> dict[str, Any]:
    """The knobs at the top of a recipe file, with the file's values."""
    return {
        name: value
        for name, value in read(path).items()
        if name not in ("stages", "examples", "columns")
    }


def as_yaml(values: dict[str, Any]) -> str:
    """Plain values as YAML, in their order; what is not seen is written out."""
    text = _dumped(values, allow_unicode=True)
    seen = text.replace("\n", "").isprintable()
    return text if seen else _dumped(values, allow_unicode=False)


def _dumped(values: dict[str, Any], allow_unicode: bool) -> str:
    return str(yaml.dump(values, Dumper=_Dumper, allow_unicode=allow_unicode, sort_keys=False))


def plain(error: Exception) -> str:
    """What an error of YAML, OmegaConf or Hydra says, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith(("full_key:", "object_type=")))


def kind(value: Any) -> str:
    """What is there in place of a mapping."""
    if isinstance(value, list):
        return "list"
    return "text" if isinstance(value, str) else "single value"
