"""Recipes: read from YAML, composed with the command line. The only file that imports Hydra.

Hydra composes; it never instantiates. A recipe may come from a stranger, so it is read here, under
limits, and whatever could run code or reach outside is refused before Hydra sees it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gymrecipe.errors import InputError, RecipeError, hint

MAX_BYTES, MAX_DEPTH, MAX_NODES, MAX_ALIASES = 2**20, 50, 50_000, 50
ALIASES = {"input_jsonl_fpath": "input"}
"""Names that `ng_collect_rollouts` has for knobs of ours."""

REFUSED_KEYS = {
    "hydra", "defaults", "_target_", "_partial_", "_recursive_", "_convert_", "_args_", "target",
    "()",
}  # fmt: skip
"""Keys that could run code, wherever they stand."""

_INTERPOLATION = re.compile(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}")
_KEY = re.compile(r"[A-Za-z_][\w\-]*(?:\.[\w\-]+)*")
_NAME = re.compile(r"[A-Za-z0-9][\w\-]{0,63}")


@dataclass(frozen=True)
class Composed:
    """One recipe with its command line, as plain data.

    `values` is resolved; `raw` still has its `${knob}` and is what `recipe.yaml` shows; `file` is
    the recipe file alone. `base` names the knobs that all recipes share, `overridden` the keys set
    on the command line.
    """

    name: str
    path: str
    folder: str
    values: dict[str, Any]
    raw: dict[str, Any]
    file: dict[str, Any]
    base: tuple[str, ...]
    overridden: dict[str, str]


def shared_folder(name: str) -> Path:
    """Where `recipes` and `conf` lie: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def recipes(folders: Iterable[Path] = ()) -> dict[str, Path]:
    """The recipes by name: those that ship, then those of other folders."""
    found: dict[str, Path] = {}
    for folder in (shared_folder("recipes"), *folders):
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder of recipes.")
        for path in sorted(folder.glob("*.yaml")):
            found[path.stem] = path
    return found


def description(path: Path) -> str:
    """The comment at the head of a recipe: its command and when to use it."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)


def base_knobs() -> dict[str, Any]:
    """The knobs that all recipes share, with their defaults."""
    loaded = _read(shared_folder("conf") / "config.yaml", trusted=True)
    return {name: value for name, value in loaded.items() if name != "defaults"}


def knobs(path: Path) -> dict[str, Any]:
    """The knobs at the top of a recipe file, with the file's values."""
    return {
        name: value
        for name, value in _read(path).items()
        if name not in ("stages", "examples", "columns")
    }


def locate(recipe: str, folders: Iterable[Path] = ()) -> Path:
    """The file of a recipe: a name, or a path to a `.yaml`. Raises RecipeError with a guess."""
    if recipe.endswith((".yaml", ".yml")):
        path = Path(recipe)
        if not path.is_file():
            raise RecipeError(f"recipe: no such file, got '{recipe}'.")
        return path
    known = recipes(folders)
    if not _NAME.fullmatch(recipe) or recipe not in known:
        raise RecipeError(
            f"recipe: no recipe is named '{recipe}'. There are {', '.join(sorted(known))};"
            f" or give the path of a .yaml file.{hint(recipe, known)}"
        )
    return known[recipe]


def split_recipe(overrides: Sequence[str]) -> tuple[str | None, list[str]]:
    """The value of `recipe=` (or `+recipe=`, `++recipe=`) and the other overrides."""
    recipe, rest = None, []
    for override in overrides:
        key, separator, value = override.partition("=")
        if key.lstrip("+") == "recipe" and separator:
            recipe = value.strip("'\"")
        else:
            rest.append(override)
    return recipe, rest


def expand_sweep(overrides: Sequence[str]) -> list[list[str]]:
    """Every combination of the values that a sweep names, in Hydra's own grammar."""
    choices = []
    for override in overrides:
        key, _, _ = override.partition("=")
        try:
            parsed = OverridesParser.create().parse_override(override)
        except HydraException:
            choices.append([override])
            continue
        if parsed.is_sweep_override():
            choices.append([f"{key}={value}" for value in parsed.sweep_string_iterator()])
        else:
            choices.append([override])
    return [list(member) for member in itertools.product(*choices)]


def compose(path: Path, overrides: Sequence[str]) -> Composed:
    """The recipe file under the shared knobs, with the overrides of a command line.

    Raises RecipeError with every fault of the file, or of the overrides.
    """
    recipe = _read(path)
    base = _read(shared_folder("conf") / "config.yaml", trusted=True)
    store = ConfigStore.instance()
    store.store(name="gymrecipe", node=base)
    store.store(group="recipe", name="chosen", node=recipe, package="_global_")
    for option in sorted((shared_folder("conf") / "engine").glob("*.yaml")):
        store.store(group="engine", name=option.stem, node=_read(option, trusted=True))
    overridden: dict[str, str] = {}
    _check_deletions(overrides, recipe)
    normal = [_normal(override, overridden) for override in overrides]
    GlobalHydra.instance().clear()
    try:
        with initialize(version_base="1.3", config_path=None):
            config = hydra_compose("gymrecipe", ["+recipe=chosen", *normal])
        raw: Any = OmegaConf.to_container(config, resolve=False)
        _refuse(raw, str(path))
        values: Any = OmegaConf.to_container(config, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise RecipeError(f"{path}: {_plain(error)}") from None
    shared = (*(name for name in base if name != "defaults"), "engine")
    folder = str(path.resolve().parent)
    return Composed(path.stem, str(path), folder, values, raw, recipe, shared, overridden)


def in_grammar(value: Any) -> str:
    """A Python value in the grammar of Hydra's overrides."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(in_grammar(part) for part in value)}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{in_grammar(part)}" for key, part in value.items()) + "}"
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def as_yaml(values: dict[str, Any]) -> str:
    """Plain values as YAML, in their order."""
    text: str = OmegaConf.to_yaml(OmegaConf.create(values))
    return text


def references(value: Any) -> set[str]:
    """The knobs that a value refers to as `${knob}`."""
    if isinstance(value, dict):
        return set().union(*(references(part) for part in value.values()))
    if isinstance(value, list):
        return set().union(*(references(part) for part in value))
    if isinstance(value, str):
        return {name.split(".")[0] for name in _INTERPOLATION.findall(value)}
    return set()


def _read(path: Path, trusted: bool = False) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}.") from None
    if len(data) > MAX_BYTES:
        raise RecipeError(f"{path}: a recipe of more than {MAX_BYTES // 2**20} MiB is refused.")
    try:
        text = data.decode()
        _measure(text)
        value = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not UTF-8 text.") from None
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        raise RecipeError(f"{path}: not a readable recipe: {_plain(error)}") from None
    if not isinstance(value, dict):
        raise RecipeError(f"{path}: a recipe is a mapping with `stages`, not a {_kind(value)}.")
    if not trusted:
        _refuse(value, str(path))
    return {str(name): part for name, part in value.items()}


def _measure(text: str) -> None:
    """Raise ValueError for a document that could grow without bound, before it is built."""
    depth = aliases = 0
    for nodes, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        aliases += isinstance(event, yaml.AliasEvent)
        if depth > MAX_DEPTH or nodes > MAX_NODES or aliases > MAX_ALIASES:
            raise ValueError(
                f"more than {MAX_DEPTH} levels, {MAX_NODES} nodes or {MAX_ALIASES} aliases."
            )


def _refuse(value: Any, where: str) -> None:
    problems = list(_dangers(value, ""))
    if problems:
        raise RecipeError(*(f"{where}: {problem}" for problem in problems))


def _dangers(value: Any, at: str) -> Iterable[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            path = f"{at}.{key}" if at else str(key)
            if str(key).split("@")[0].split("/")[0] in REFUSED_KEYS or "@" in str(key):
                yield f"{path}: '{key}' is refused: a recipe names stages, it does not run code."
            else:
                yield from _dangers(part, path)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _dangers(part, f"{at}.{index}")
    elif isinstance(value, str) and "$" in value:
        plain, count = _INTERPOLATION.subn("", value)
        if "${" in plain:
            yield f"{at}: only plain ${{name}} is allowed, got '{value}'."
        elif count > 1:
            yield f"{at}: one ${{name}} a value is allowed, got '{value}'."


def _normal(override: str, overridden: dict[str, str]) -> str:
    """An override as Hydra wants it: `++key=value`, quoted where its grammar needs that."""
    deletion = override.startswith("~")
    key, separator, value = override.lstrip("+~").partition("=")
    key = ALIASES.get(key, key)
    if not _KEY.fullmatch(key) or key.split(".")[0] in REFUSED_KEYS:
        raise RecipeError(
            f"command line: '{override}' is not an override. Write name=value, such as min_gap=0.3."
        )
    if deletion:
        return f"~{key}"
    if not separator:
        raise RecipeError(f"command line: '{override}' has no value. Write {key}=value.")
    if "${" in _INTERPOLATION.sub("", value):
        raise RecipeError(f"command line: {key}: only plain ${{name}} is allowed, got '{value}'.")
    overridden[key] = value
    prefix = "" if key == "engine" else "++"
    text = f"{prefix}{key}={value}"
    try:
        parsed = OverridesParser.create().parse_override(text)
    except HydraException:
        return f"{prefix}{key}={in_grammar(_structured(value))}"
    if parsed.is_sweep_override():
        raise RecipeError(
            f"command line: {key}: several values need -m (a sweep), got '{value}'. For one value"
            " with a comma write it in quotes, for a list in brackets."
        )
    return text


def _structured(value: str) -> Any:
    """A mapping or list that Hydra's grammar has no place for, read as YAML; else the text."""
    if value[:1] in ("{", "["):
        try:
            return yaml.safe_load(value)
        except yaml.YAMLError:
            return value
    return value


def _check_deletions(overrides: Sequence[str], recipe: dict[str, Any]) -> None:
    """Raise RecipeError for a `~name` of what the recipe does not have."""
    for override in overrides:
        value: Any = recipe
        for part in override[1:].split(".") if override.startswith("~") else ():
            if not isinstance(value, dict) or part not in value:
                names = list(value) if isinstance(value, dict) else []
                raise RecipeError(
                    f"command line: {override}: there is no '{part}' to take out."
                    f"{hint(part, map(str, names))}"
                )
            value = value[part]


def _plain(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith(("full_key:", "object_type=")))


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "list"
    return "text" if isinstance(value, str) else "single value"
