"""Overrides: what a caller sets in a recipe, in the grammar that Hydra has for it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from numbers import Integral, Real
from os import PathLike
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from gymrecipe.credentials import holds_one
from gymrecipe.errors import RecipeError, hint
from gymrecipe.guards import A_CREDENTIAL, REFUSED_KEYS, dangers, measure

ALIASES = {"input_jsonl_fpath": "input"}
"""Names that `ng_collect_rollouts` has for knobs of ours."""

TEXTS = {
    "agent", "cache_dir", "chat_template", "input", "name", "materialized_inputs", "output_dir",
    "output_jsonl_fpath", "prompt_from", "system", "tag", "tokenizer",
}  # fmt: skip
"""Knobs that are texts however they look: `tag=1.10` is not 1.1."""

_KEY = re.compile(r"[A-Za-z_][\w\-]*(?:\.[\w\-]+)*")

_PLAIN_KEY = re.compile(
    r"(?!(?:null|true|false|nan|inf)\Z)[A-Za-z_][A-Za-z0-9_.\-]*", re.IGNORECASE | re.ASCII
)
"""A key that Hydra's grammar can write and reads as a text."""


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


def normalised(
    override: str,
    defaults: dict[str, Any],
    overridden: dict[str, str],
    beyond: dict[str, Any],
    engines: list[str],
) -> str:
    """An override as Hydra wants it: `++key=value`, quoted where its grammar needs that.

    A value that its grammar cannot hold goes to `beyond` instead, and so does a list in place of a
    mapping or the reverse, which it will not merge. Raises RecipeError for what is no override.
    """
    deletion = override.startswith("~")
    key, separator, value = override.lstrip("+~").partition("=")
    key = ALIASES.get(key, key)
    if not _KEY.fullmatch(key) or REFUSED_KEYS & {*key.split(".")}:
        raise RecipeError(
            f"'{override}' is not an override. Write name=value, such as min_gap=0.3."
        )
    if deletion:
        return f"~{key}"
    if not separator:
        raise RecipeError(f"'{override}' has no value. Write {key}=value.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise RecipeError(f"{key}: not UTF-8 text, got {value!r}.")
    _refuse(value, key)
    if "." not in key and holds_one(f"{key}={value}"):
        raise RecipeError(f"{key}: {A_CREDENTIAL}")
    overridden[key] = value
    if key == "engine" and not value.startswith("{"):
        name = value.strip("'\"")
        if name not in engines:
            raise RecipeError(
                f"engine: no engine is named '{name}'. Write"
                f" {' or '.join(engines)}.{hint(name, engines)}"
            )
        return f"engine={name}"
    text = f"++{key}={value}"
    try:
        parsed = OverridesParser.create().parse_override(text)
    except HydraException:
        structured = _structured(value)
        if isinstance(structured, str) and value.startswith("{") and value.endswith("}"):
            raise RecipeError(
                f"{key}: cannot be read as a mapping, got '{value}'. In it a text with brackets"
                " needs quotes; quotes around the whole make it a text."
            ) from None
        _refuse(structured, key)
        if _fits_grammar(structured):
            return f"++{key}={in_grammar(structured)}"
        beyond[key] = structured
        return ""
    if parsed.is_sweep_override():
        raise RecipeError(
            f"{key}: several values need -m (a sweep), got '{value}'. For one value"
            " with a comma write it in quotes, for a list in brackets."
        )
    if key in TEXTS and isinstance(parsed.value(), int | float):
        return f"++{key}={in_grammar(value.strip())}"
    _refuse(parsed.value(), key)
    if parsed.value() == {} and at(defaults, key) and isinstance(at(defaults, key), dict):
        first = next(iter(at(defaults, key)))
        raise RecipeError(
            f"{key}: changes nothing, got '{value}': a mapping is added to what the recipe has"
            f" there. Write ~{key}.{first} to take '{first}' out."
        )
    if {type(parsed.value()), type(at(defaults, key))} == {dict, list}:
        beyond[key] = parsed.value()
        return ""
    return text


def _refuse(value: Any, key: str) -> None:
    if problems := list(dangers(value, key)):
        raise RecipeError(*problems)


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


def vain_deletions(overrides: Sequence[str], recipe: dict[str, Any]) -> Iterable[str]:
    """What is said of each `~name` that the recipe does not have."""
    for override in overrides:
        value: Any = recipe
        for part in override[1:].split(".") if override.startswith("~") else ():
            if not isinstance(value, dict) or part not in value:
                names = list(value) if isinstance(value, dict) else []
                yield f"{override}: there is no '{part}' to take out.{hint(part, map(str, names))}"
                break
            value = value[part]


def as_plain(value: Any) -> Any:
    """A value of Python as what a recipe file can hold: texts (of paths and dates too), numbers of
    any kind, booleans, null, and lists and mappings of them, those of OmegaConf among them.

    Raises TypeError with the name of the type that is none of these.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):  # those of numpy have a repr of their own
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, PathLike | date):
        return str(value)
    if isinstance(value, Mapping):
        return {key: as_plain(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [as_plain(part) for part in value]
    raise TypeError(f"{type(value).__module__}.{type(value).__name__}")


def in_grammar(value: Any) -> str:
    """Plain data in the grammar of Hydra's overrides."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list) and _fits_grammar(value):
        return f"[{','.join(in_grammar(part) for part in value)}]"
    if isinstance(value, dict) and _fits_grammar(value):
        return "{" + ",".join(f"{key}:{in_grammar(part)}" for key, part in value.items()) + "}"
    if isinstance(value, dict | list):
        return json.dumps(value)  # `_structured` reads it
    # In Hydra's quotes a backslash is itself, except before a quote.
    escaped = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return f"'{escaped}'"


def _fits_grammar(value: Any) -> bool:
    """Whether Hydra's grammar has a place for every key: it knows no quoted ones."""
    if isinstance(value, dict):
        keys = all(isinstance(key, str) and _PLAIN_KEY.fullmatch(key) for key in value)
        return keys and all(map(_fits_grammar, value.values()))
    return not isinstance(value, list) or all(map(_fits_grammar, value))


def at(values: Any, key: str) -> Any:
    """What stands at a dotted key; None where nothing does."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values
