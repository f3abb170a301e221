"""Faults: what the model of a line says of a record, in our words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

from gymrecipe.checking.finding import cut, shown
from gymrecipe.formats.models.line import near

_SHOULD_BE = {
    "string_type": "should be a text",
    "list_type": "should be a list",
    "dict_type": "should be an object",
    "model_type": "should be an object",
    "bool_type": "should be true or false",
    "float_type": "should be a number",
    "int_type": "should be a whole number",
    "finite_number": "should be a finite number",
    "none_required": "should be null",
    "string_too_short": "should not be empty",
    "too_short": "should not be empty",
}


_MEANT = {
    "human": ("user",),
    "gpt": ("assistant",),
    "model": ("assistant", "gpt"),
    "bot": ("assistant", "gpt"),
    "user": ("human",),
    "assistant": ("gpt",),
    "function": ("tool", "observation"),
    "tool": ("observation",),
}
"""Roles as other formats call them, and what they are in this one."""


def faults(record: dict[str, Any], form: type[BaseModel]) -> Iterator[str]:
    """Each fault of a record as a sentence: where, what should be there, and what is."""
    try:
        form.model_validate(record)
    except ValidationError as error:
        told: dict[str, dict[str, None]] = {}
        decoded = cache(msgspec.json.decode)
        for problem in error.errors(include_url=False):
            if problem["type"] == "faults":
                yield from problem["ctx"]["faults"]
            else:
                place = _place(problem["loc"], record, problem["type"] == "missing", decoded)
                told.setdefault(place, {})[_what(problem)] = None
        outer = {place[: dot.start()] for place in told for dot in re.finditer(r"\.", place)}
        for place, several in told.items():
            if place in outer:
                continue  # of two forms that it may have, it has the other one, with faults inside
            yield f"{place}: {' or '.join(several)}" if place else " or ".join(several)


def _place(
    loc: tuple[int | str, ...], record: Any, is_missing: bool, decoded: Callable[[str], Any]
) -> str:
    """Where in the record a fault is, without the steps that only the model has, as its unions.
    `decoded` reads a JSON text, of which several faults may be in one.
    """
    steps: list[str] = []
    value = record
    for i, step in enumerate(loc):
        if isinstance(value, str):  # a JSON text whose parts the model has looked at
            with suppress(msgspec.DecodeError):
                value = decoded(value)
        is_key = isinstance(value, dict) and step in value
        is_index = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if is_key or is_index:
            value = value[step]
        elif not is_missing or i < len(loc) - 1:
            continue
        steps.append(str(step))
    return ".".join(steps)


def _what(problem: Any) -> str:
    kind, given, context = problem["type"], problem["input"], problem.get("ctx", {})
    if kind == "missing":
        name = str(problem["loc"][-1])
        return f"is missing{near(name, [key for key in given if isinstance(key, str)])}"
    if kind == "union_tag_invalid":
        known = context["expected_tags"]
        names = known.replace("'", "").split(", ")
        meant = [name for name in _MEANT.get(str(context["tag"]), ()) if name in names]
        guess = near(meant[0] if meant else str(context["tag"]), names)
        return f"{_key(context)} should be one of {known}, got '{cut(str(context['tag']))}'{guess}"
    if kind == "union_tag_not_found":
        return f"should have a '{_key(context)}', got {shown(given)}"
    if kind == "literal_error":
        return f"should be {context['expected']}, got {shown(given)}"
    should_be = _SHOULD_BE.get(kind) or problem["msg"].removeprefix("Value error, ")
    return f"{should_be}, got {shown(given)}"


def _key(context: dict[str, str]) -> str:
    """What tells the forms of a union apart, as it is written in a row."""
    return context["discriminator"].split(" | ")[-1].strip("'")
