"""Overrides: what a caller sets in a recipe, in the grammar that Hydra has for it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from msgspec import UNSET

from gymrecipe.credentials import holds_one
from gymrecipe.errors import RecipeError, hint
from gymrecipe.guards import A_CREDENTIAL, REFUSED_KEYS, at, dangers
from gymrecipe.recipe.grammar import fits_grammar, from_text, in_grammar

ALIASES = {"input_jsonl_fpath": "input"}
"""Names that `ng_collect_rollouts` has for knobs of ours."""

TEXTS = {
    "agent", "cache_dir", "chat_template", "input", "name", "materialized_inputs", "output_dir",
    "output_jsonl_fpath", "prompt_from", "system", "tag", "tokenizer",
}  # fmt: skip
"""Knobs that are texts however they look: `tag=1.10` is not 1.1."""

_KEY = re.compile(r"[A-Za-z_][\w\-]*(?:\.[\w\-]+)*")


class Override(msgspec.Struct, frozen=True):
    """What one override asks for: its `key`, and the `value` as it was written (None where it takes
    the key out).

    `change` is what Hydra is told. Where its grammar cannot hold the value, or it would not put a
    list in the place of a mapping or the reverse, that is empty and `beyond` is the value.
    """

    key: str
    value: str | None
    change: str = ""
    beyond: Any = UNSET


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
    return [list(member) for member in itertools.product(*map(_values, overrides))]


def _values(override: str) -> list[str]:
    """An override for each value that it names; itself where it is no sweep."""
    key, _, _ = override.partition("=")
    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException:
        return [override]
    if not parsed.is_sweep_override():
        return [override]
    try:
        values = [f"{key}={value}" for value in parsed.sweep_string_iterator()]
    except HydraException:
        raise RecipeError(
            f"command line: {override}: cannot be counted out. Write the values, such as"
            f" {key}=1,2, or {key}=range(1,4)."
        ) from None
    if not values:
        raise RecipeError(
            f"command line: {override}: has no values. Write at least one, such as {key}=1,2,"
            f" or {key}=range(1,4)."
        )
    return values


def normalised(override: str, defaults: dict[str, Any], engines: list[str]) -> Override:
    """An override as Hydra wants it: `++key=value`, quoted where its grammar needs that.

    Raises RecipeError for what is no override.
    """
    key, value = _parted(override)
    if value is None:
        return Override(key, None, f"~{key}")
    if key == "engine" and not value.startswith("{"):
        return Override(key, value, _engine(value.strip("'\""), engines))
    try:
        parsed = OverridesParser.create().parse_override(f"++{key}={value}")
    except HydraException:
        return _structured(key, value)
    if parsed.is_sweep_override():
        raise RecipeError(
            f"{key}: several values need -m (a sweep), got '{value}'. For one value"
            " with a comma write it in quotes, for a list in brackets."
        )
    read, usual = parsed.value(), at(defaults, key)
    if key in TEXTS and isinstance(read, int | float):
        return Override(key, value, f"++{key}={in_grammar(value.strip())}")
    _refuse(read, key)
    if read == {} and usual and isinstance(usual, dict):
        first = next(iter(usual))
        raise RecipeError(
            f"{key}: changes nothing, got '{value}': a mapping is added to what the recipe has"
            f" there. Write ~{key}.{first} to take '{first}' out."
        )
    if {type(read), type(usual)} == {dict, list}:
        return Override(key, value, beyond=read)
    return Override(key, value, f"++{key}={value}")


def _parted(override: str) -> tuple[str, str | None]:
    """The key and the value of an override, None for a deletion; neither is one that is refused."""
    key, separator, value = override.lstrip("+~").partition("=")
    key = ALIASES.get(key, key)
    if refused := [part for part in key.split(".") if part in REFUSED_KEYS]:
        raise RecipeError(
            f"'{override}' is refused: '{refused[0]}' is none of a recipe's own. Knobs and"
            " parameters of stages can be set, and no other part of Hydra."
        )
    if not _KEY.fullmatch(key):
        raise RecipeError(
            f"'{override}' is not an override. Write name=value, such as min_gap=0.3."
        )
    if override.startswith("~"):
        return key, None
    if not separator:
        raise RecipeError(f"'{override}' has no value. Write {key}=value.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise RecipeError(f"{key}: not UTF-8 text, got {value!r}.")
    _refuse(value, key)
    if "." not in key and holds_one(f"{key}={value}"):
        raise RecipeError(f"{key}: {A_CREDENTIAL}")
    return key, value


def _engine(name: str, engines: list[str]) -> str:
    if name not in engines:
        raise RecipeError(
            f"engine: no engine is named '{name}'. Write"
            f" {' or '.join(engines)}.{hint(name, engines)}"
        )
    return f"engine={name}"


def _structured(key: str, value: str) -> Override:
    """The override with a value that Hydra's grammar cannot read: JSON, YAML or a text."""
    read = from_text(value)
    # Braces are for mappings alone. Brackets are in patterns of files too, so that whether such a
    # text should have been a list is for the parameter to say.
    if isinstance(read, str) and value.startswith("{") and value.endswith("}"):
        raise RecipeError(
            f"{key}: cannot be read as a mapping, got '{value}'. In it a text with brackets"
            " needs quotes; quotes around the whole make it a text."
        )
    _refuse(read, key)
    if fits_grammar(read):
        return Override(key, value, f"++{key}={in_grammar(read)}")
    return Override(key, value, beyond=read)


def _refuse(value: Any, key: str) -> None:
    if problems := list(dangers(value, key)):
        raise RecipeError(*problems)


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
