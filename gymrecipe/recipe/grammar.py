"""Grammar: plain data as the texts of Hydra's overrides, and such texts as plain data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date
from numbers import Integral, Real
from os import PathLike
from typing import Any

import yaml

from gymrecipe.guards import measure

_PLAIN_KEY = re.compile(
    r"(?!(?:null|true|false|nan|inf)\Z)[A-Za-z_][A-Za-z0-9_.\-]*", re.IGNORECASE | re.ASCII
)
"""A key that Hydra's grammar can write and reads as a text."""


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
    if isinstance(value, list) and fits_grammar(value):
        return f"[{','.join(in_grammar(part) for part in value)}]"
    if isinstance(value, dict) and fits_grammar(value):
        return "{" + ",".join(f"{key}:{in_grammar(part)}" for key, part in value.items()) + "}"
    if isinstance(value, dict | list):
        return json.dumps(value)  # `from_text` reads it
    # In Hydra's quotes a backslash is itself, except before a quote.
    escaped = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return f"'{escaped}'"


def fits_grammar(value: Any) -> bool:
    """Whether Hydra's grammar has a place for every key: it knows no quoted ones."""
    if isinstance(value, dict):
        keys = all(isinstance(key, str) and _PLAIN_KEY.fullmatch(key) for key in value)
        return keys and all(map(fits_grammar, value.values()))
    return not isinstance(value, list) or all(map(fits_grammar, value))


def from_text(value: str) -> Any:
    """A mapping or list that Hydra's grammar has no place for, as JSON or YAML; else the text."""
    if value[:1] not in ("{", "["):
        return value
    with suppress(ValueError, RecursionError):
        return json.loads(value)
    with suppress(yaml.YAMLError, ValueError, RecursionError):
        measure(value)
        return yaml.safe_load(value)
    return value
