"""Faults: what is wrong with a recipe, said as where, what, the value, and what is allowed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from gymrecipe.errors import hint
from gymrecipe.recipe import Composed, references


def fault(composed: Composed, path: str, problem: str) -> str:
    """Where a fault is: the command line if the path, or the knob it comes from, was set there."""
    knob = _knob_of(composed, path)
    for candidate in (path, knob):
        for key in composed.overridden:
            if candidate and (candidate == key or candidate.startswith(f"{key}.")):
                return f"command line: {candidate}: {problem}"
    return f"{composed.path}: {path}: {problem}"


def _knob_of(composed: Composed, path: str) -> str:
    """The knob whose value stands at the path, if it is written as `${knob}` there."""
    value: Any = composed.raw
    for part in path.split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            value = None
            break
    names = references(value) if isinstance(value, str) else set()
    if names:
        return names.pop()
    parts = path.split(".")
    shared = parts[0] == "stages" and len(parts) > 2 and value is None and parts[2]
    return shared if shared in composed.base else path


def unknown(composed: Composed, knobs: dict[str, Any]) -> Iterator[str]:
    # As the file has it too: an override may put a value where the file refers to a knob.
    used = references(composed.raw) | references(composed.file)
    own = [name for name in knobs if name not in composed.base]
    for name in own:
        if name in used:
            continue
        allowed = [*used, *composed.base]
        if name in composed.overridden:
            takes = ", ".join(sorted(used - set(composed.base))) or "none of its own"
            yield (
                f"command line: {name}: unknown knob, got '{composed.overridden[name]}'."
                f" Recipe '{composed.name}' has the knobs {takes}, and those that all"
                f" recipes share (--help lists them).{hint(name, allowed)}"
            )
        else:
            yield (
                f"{composed.path}: {name}: no stage uses this knob. Write ${{{name}}} where it"
                f" belongs, or take it out.{hint(name, allowed)}"
            )


def explain(
    error: ValidationError, below: str, composed: Composed, takes: list[str], what: str
) -> list[str]:
    """Pydantic's errors in our words: where, what is wrong, the value, what is allowed."""
    grouped: dict[str, list[Any]] = {}
    for problem in error.errors(include_url=False):
        names = [str(part) for part in problem["loc"]]
        path = ".".join(part for part in names if part.isidentifier() or part.isdigit())
        # The branches of a union follow the parameter's name; one line for all of them.
        path = path if problem["type"] == "extra_forbidden" else _parameter(names)
        grouped.setdefault(".".join(part for part in (below, path) if part), []).append(problem)
    lines = []
    for path, found in grouped.items():
        first = found[0]
        if first["type"] == "extra_forbidden":
            name = str(first["loc"][-1])
            said = f"unknown parameter; {what} takes {', '.join(takes)}.{hint(name, takes)}"
        elif first["type"] == "missing":
            said = f"missing; {what} needs it"
        else:
            messages = dict.fromkeys(_message(problem) for problem in found)
            said = _with_value(" or ".join(messages), first["input"])
        lines.append(fault(composed, path, said))
    return lines


def _parameter(names: list[str]) -> str:
    branches = ("function-", "constrained", "list[", "literal", "float", "int", "str", "dict[")
    inner = itertools.takewhile(lambda name: not name.startswith(branches), names[1:])
    return ".".join([*names[:1], *inner])


def _message(problem: Any) -> str:
    text = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return text[:1].lower() + text[1:]


def _with_value(message: str, value: Any) -> str:
    """The message with the value that it is about, and the nearest of the names it lists."""
    if isinstance(value, dict) or repr(value) in message:
        return f"{message}." if not message.endswith((".", "?", ")")) else message
    listed = message.partition("should be one of ")[2].split(", ")
    return f"{message}, got {value!r}.{hint(str(value), listed)}"
