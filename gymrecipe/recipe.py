"""Recipes: read from YAML, composed with the command line. The only file that imports Hydra.

Hydra composes; it never instantiates. A recipe may come from a stranger, so it is read here, under
limits, and whatever could run code or reach outside is refused before Hydra sees it.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf._utils import get_omega_conf_dumper, get_yaml_loader
from omegaconf.errors import OmegaConfBaseException

from gymrecipe.credentials import holds_one
from gymrecipe.errors import InputError, RecipeError, hint
from gymrecipe.guards import (
    A_CREDENTIAL,
    MAX_SIZE,
    REFUSED_KEYS,
    bad_references,
    measure,
    refuse,
)

ALIASES = {"input_jsonl_fpath": "input"}
"""Names that `ng_collect_rollouts` has for knobs of ours."""

TEXTS = {
    "agent", "chat_template", "input", "name", "materialized_inputs", "output_dir",
    "output_jsonl_fpath", "prompt_from", "system", "tag", "tokenizer",
}  # fmt: skip
"""Knobs that are texts however they look: `tag=1.10` is not 1.1."""

HERE = ("chat_template", "tokenizer")
"""Knobs that a recipe cannot say for the machine it comes to."""

_UNUSED = (
    "env", "help", "hydra_help", "hydra_logging", "job_logging", "launcher", "output", "sweeper",
)  # fmt: skip
_QUIET = [{f"override hydra/{group}": None} for group in _UNUSED]
"""Hydra launches, logs and explains nothing here, and need not read how."""

_KEY = re.compile(r"[A-Za-z_][\w\-]*(?:\.[\w\-]+)*")
_NAME = re.compile(r"[A-Za-z0-9][\w\-]{0,63}")
_PLAIN_KEY = re.compile(
    r"(?!(?:null|true|false|nan|inf)\Z)[A-Za-z_][A-Za-z0-9_.\-]*", re.IGNORECASE | re.ASCII
)
"""A key that Hydra's grammar can write and reads as a text."""


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


class Composed(msgspec.Struct, frozen=True):
    """One recipe with its command line, as plain data.

    `values` is resolved; `raw` still has its `${knob}` and is what `recipe.yaml` shows; `file` is
    the recipe file alone. `base` names the knobs that all recipes share, `overridden` the keys set
    on the command line, by the `overrides` that it has.
    """

    name: str
    path: str
    folder: str
    values: dict[str, Any]
    raw: dict[str, Any]
    file: dict[str, Any]
    base: tuple[str, ...]
    overridden: dict[str, str]
    overrides: tuple[str, ...]


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
        files = [path for path in sorted(folder.glob("*.yaml")) if path.is_file()]
        found |= {path.stem: path for path in files if _NAME.fullmatch(path.stem)}
    return found


def description(path: Path) -> str:
    """The comment at the head of a recipe: its command and when to use it."""
    with path.open(encoding="utf-8", errors="replace") as file:
        text = file.read(MAX_SIZE)
    lines = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
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
    if "," in recipe:
        raise RecipeError(
            f"recipe: several values need -m (a sweep), got '{recipe}': -m +recipe={recipe}"
        )
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
        if not parsed.is_sweep_override():
            choices.append([override])
            continue
        try:
            choices.append([f"{key}={value}" for value in parsed.sweep_string_iterator()])
        except HydraException:
            raise RecipeError(
                f"command line: {override}: cannot be counted out. Write the values, such as"
                f" {key}=1,2, or {key}=range(1,4)."
            ) from None
        if not choices[-1]:
            raise RecipeError(
                f"command line: {override}: has no values. Write at least one, such as {key}=1,2,"
                f" or {key}=range(1,4)."
            )
    return [list(member) for member in itertools.product(*choices)]


def compose(path: Path, overrides: Sequence[str]) -> Composed:
    """The recipe file under the shared knobs, with the overrides of a command line.

    Raises RecipeError with every fault of the file, or of the overrides.
    """
    recipe = _read(path)
    base = _read(shared_folder("conf") / "config.yaml", trusted=True)
    for name, value in base.items():
        if isinstance(value, dict) and not isinstance(recipe.get(name) or {}, dict):
            raise RecipeError(f"{path}: {name}: should be a mapping, not a {_kind(recipe[name])}.")
    engines = [option.stem for option in (shared_folder("conf") / "engine").glob("*.yaml")]
    store = ConfigStore.instance()
    store.store(name="gymrecipe", node=base | {"defaults": [*base["defaults"], *_QUIET]})
    store.store(group="recipe", name="chosen", node=recipe, package="_global_")
    overridden: dict[str, str] = {}
    beyond: dict[str, Any] = {}
    normal: list[str] = []
    problems = list(_vain_deletions(overrides, recipe))
    for override in overrides:
        try:
            normal.append(_normal(override, base | recipe, overridden, beyond, engines))
        except RecipeError as error:
            problems += error.problems
    if problems:
        raise RecipeError(*dict.fromkeys(problems))
    try:
        with _our_hydra():
            config = hydra_compose("gymrecipe", ["+recipe=chosen", *filter(None, normal)])
        for key, value in beyond.items():
            merge = isinstance(value, dict) and isinstance(_at(base | recipe, key), dict)
            OmegaConf.update(config, key, value, merge=merge, force_add=True)
        raw: Any = OmegaConf.to_container(config, resolve=False)
        refuse(raw, str(path))
        problems = [f"{path}: {problem}" for problem in bad_references(raw)]
        if problems:
            raise RecipeError(*dict.fromkeys(problems))
        values: Any = OmegaConf.to_container(config, resolve=True)
    except (HydraException, OmegaConfBaseException, RecursionError) as error:
        raise RecipeError(f"{path}: {_plain(error)}") from None
    return Composed(
        name=path.stem,
        path=str(path),
        folder=str(path.resolve().parent),
        values=values,
        raw=raw,
        file=recipe,
        base=(*(name for name in base if name != "defaults"), "engine"),
        overridden=overridden,
        overrides=tuple(overrides),
    )


@contextmanager
def _our_hydra() -> Iterator[None]:
    """Hydra on our folder. A caller that uses Hydra too has its own again afterwards."""
    theirs = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        # A folder: without one Hydra looks through the whole stack for the file that calls it.
        with initialize_config_dir(str(shared_folder("conf")), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = theirs


def needed(composed: Composed) -> list[str]:
    """The overrides that the recipe cannot do without: values that its file leaves to the command
    line (`???`), and what only this machine has.
    """
    return [
        f"{key}={value}"
        for key, value in composed.overridden.items()
        if _at(composed.file, key) == "???" or _is_here(composed.file, key)
    ]


def _is_here(file: dict[str, Any], key: str) -> bool:
    """Whether a key is a file of this machine, for the recipe or for a stage that its file has."""
    parent, _, name = key.rpartition(".")
    return name in HERE and (not parent or isinstance(_at(file, parent), dict))


def in_grammar(value: Any) -> str:
    """A Python value in the grammar of Hydra's overrides."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(float(value))  # a float of numpy has a repr of its own
    if isinstance(value, int):
        return repr(value)
    if isinstance(value, list | tuple) and _fits_grammar(value):
        return f"[{','.join(in_grammar(part) for part in value)}]"
    if isinstance(value, dict) and _fits_grammar(value):
        return "{" + ",".join(f"{key}:{in_grammar(part)}" for key, part in value.items()) + "}"
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, default=str)  # `_structured` reads it
    # In Hydra's quotes a backslash is itself, except before a quote.
    escaped = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), str(value))
    return f"'{escaped}'"


def _fits_grammar(value: Any) -> bool:
    """Whether Hydra's grammar has a place for every key: it knows no quoted ones."""
    if isinstance(value, dict):
        keys = all(isinstance(key, str) and _PLAIN_KEY.fullmatch(key) for key in value)
        return keys and all(map(_fits_grammar, value.values()))
    return not isinstance(value, list | tuple) or all(map(_fits_grammar, value))


def as_yaml(values: dict[str, Any]) -> str:
    """Plain values as YAML, in their order; what is not seen is written out."""
    config = OmegaConf.create(values)
    text: str = OmegaConf.to_yaml(config)
    if text.replace("\n", "").isprintable():
        return text
    return str(
        yaml.dump(
            OmegaConf.to_container(config, resolve=False), Dumper=get_omega_conf_dumper(),
            default_flow_style=False, allow_unicode=False, sort_keys=False,
        )
    )  # fmt: skip


def _read(path: Path, trusted: bool = False) -> dict[str, Any]:
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
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        raise RecipeError(f"{path}: not a readable recipe: {_plain(error)}") from None
    if not isinstance(value, dict):
        raise RecipeError(f"{path}: a recipe is a mapping with `stages`, not a {_kind(value)}.")
    if not trusted:
        refuse(value, str(path))
    return {str(name): part for name, part in value.items()}


def _normal(
    override: str,
    defaults: dict[str, Any],
    overridden: dict[str, str],
    beyond: dict[str, Any],
    engines: list[str],
) -> str:
    """An override as Hydra wants it: `++key=value`, quoted where its grammar needs that.

    A value that its grammar cannot hold goes to `beyond` instead, and so does a list in place of a
    mapping or the reverse, which it will not merge.
    """
    deletion = override.startswith("~")
    key, separator, value = override.lstrip("+~").partition("=")
    key = ALIASES.get(key, key)
    if not _KEY.fullmatch(key) or REFUSED_KEYS & {*key.split(".")}:
        raise RecipeError(
            f"command line: '{override}' is not an override. Write name=value, such as min_gap=0.3."
        )
    if deletion:
        return f"~{key}"
    if not separator:
        raise RecipeError(f"command line: '{override}' has no value. Write {key}=value.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise RecipeError(f"command line: {key}: not UTF-8 text, got {value!r}.")
    refuse(value, "command line", key)
    if "." not in key and holds_one(f"{key}={value}"):
        raise RecipeError(f"command line: {key}: {A_CREDENTIAL}")
    overridden[key] = value
    if key == "engine" and not value.startswith("{"):
        name = value.strip("'\"")
        if name not in engines:
            raise RecipeError(
                f"command line: engine: no engine is named '{name}'. There are"
                f" {', '.join(engines)}.{hint(name, engines)}"
            )
        return f"engine={name}"
    text = f"++{key}={value}"
    try:
        parsed = OverridesParser.create().parse_override(text)
    except HydraException:
        structured = _structured(value)
        refuse(structured, "command line", key)
        if _fits_grammar(structured):
            return f"++{key}={in_grammar(structured)}"
        beyond[key] = structured
        return ""
    if parsed.is_sweep_override():
        raise RecipeError(
            f"command line: {key}: several values need -m (a sweep), got '{value}'. For one value"
            " with a comma write it in quotes, for a list in brackets."
        )
    if key in TEXTS and isinstance(parsed.value(), int | float):
        return f"++{key}={in_grammar(value.strip())}"
    refuse(parsed.value(), "command line", key)
    if {type(parsed.value()), type(_at(defaults, key))} == {dict, list}:
        beyond[key] = parsed.value()
        return ""
    return text


def _at(values: Any, key: str) -> Any:
    """What stands at a dotted key; None where nothing does."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _structured(value: str) -> Any:
    """A mapping or list that Hydra's grammar has no place for, as JSON or YAML; else the text."""
    if value[:1] not in ("{", "["):
        return value
    with suppress(ValueError, RecursionError):
        return json.loads(value)
    with suppress(yaml.YAMLError, ValueError, RecursionError):
        measure(value)
        return yaml.safe_load(value)
    return value


def _vain_deletions(overrides: Sequence[str], recipe: dict[str, Any]) -> Iterable[str]:
    """What is said of each `~name` that the recipe does not have."""
    for override in overrides:
        value: Any = recipe
        for part in override[1:].split(".") if override.startswith("~") else ():
            if not isinstance(value, dict) or part not in value:
                names = list(value) if isinstance(value, dict) else []
                yield (
                    f"command line: {override}: there is no '{part}' to take out."
                    f"{hint(part, map(str, names))}"
                )
                break
            value = value[part]


def _plain(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith(("full_key:", "object_type=")))


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "list"
    return "text" if isinstance(value, str) else "single value"
