"""Faults: what is wrong with a recipe, said as where, what, the value, and what is allowed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from gymrecipe.errors import hint
from gymrecipe.guards import look_up, references
from gymrecipe.parameters import near_quantile
from gymrecipe.planning.settings import Engine
from gymrecipe.recipe.composing import Composed
from gymrecipe.registry import STAGES

Model = TypeVar("Model", bound=BaseModel)

SHOWN = 200
"""The most characters of a value that a message shows."""


def origin(composed: Composed, path: str) -> str:
    """Where a path was set: by the caller, if it set it or the knob that it comes from."""
    if place := set_by_caller(composed, path):
        return f"{composed.caller.name}: {place}"
    return f"{composed.path}: {path}"


def set_by_caller(composed: Composed, path: str) -> str:
    """By which name the caller set what stands at the path; empty where it did not."""
    for candidate in (path, knob_of(composed, path)):
        for key in composed.overridden:
            if f"{candidate}.".startswith(f"{key}."):
                return candidate
            if key.startswith(f"{candidate}.") and not _has(composed.file, candidate):
                return key
    return ""


def knob_of(composed: Composed, path: str) -> str:
    """The knob whose value stands at the path, if it is written as `${knob}` there."""
    parts = path.split(".")
    if not _has(composed.raw, path):
        shared = parts[0] == "stages" and len(parts) > 2 and parts[2] in composed.base
        return parts[2] if shared else path
    value = look_up(composed.raw, path)
    names = references(value) if isinstance(value, str) else set()
    return names.pop() if names else path


def _has(values: Any, path: str) -> bool:
    try:
        look_up(values, path)
    except KeyError:
        return False
    return True


def unknown(composed: Composed, knobs: dict[str, Any]) -> Iterator[str]:
    """What is said of knobs that change nothing: no stage uses them, or none any more with these
    overrides.
    """
    caller, used = composed.caller.name, references(composed.raw)
    # As the file has it too: an override may put a value where the file refers to a knob.
    usual = used | references(composed.file)
    for name in (name for name in knobs if name not in composed.base):
        given = [key for key in composed.overridden if key.split(".")[0] == name]
        if name in used or (name in usual and not given):
            continue
        allowed = [*usual, *composed.base, "stages", "examples"]
        if name in usual:
            yield (
                f"{caller}: {name}: changes nothing, got '{composed.overridden[given[0]]}':"
                " another override took the place where it is used."
            )
        elif given and name not in composed.file:
            takes = ", ".join(sorted(usual - set(composed.base))) or "none of its own"
            yield (
                f"{caller}: {given[0]}: unknown knob, got '{composed.overridden[given[0]]}'."
                f" Recipe '{composed.name}' has the knobs {takes}, and those that all"
                " recipes share (--help lists them)."
                f"{_whole(composed, given[0]) or hint(name, allowed)}"
            )
        else:
            yield (
                f"{composed.path}: {name}: no stage uses this knob. Write ${{{name}}} where it"
                f" belongs, or take it out.{hint(name, allowed)}"
            )


def _whole(composed: Composed, key: str) -> str:
    """` Did you mean 'stages.pair.max_gap'?` for `max_gap` or `pair.max_gap`, or nothing."""
    name, stages = key.split(".")[0], composed.values.get("stages")
    found = [f"stages.{key}"] if isinstance(stages, dict) and name in stages else []
    for stage, value in stages.items() if isinstance(stages, dict) and not found else ():
        use = value.get("use") if isinstance(value, dict) else None
        entry = STAGES.get(use) if isinstance(use, str) else None
        if entry is not None and name in entry.params.model_fields.keys() - {"use"}:
            found.append(f"stages.{stage}.{key}")
    if name in Engine.model_fields and name != "use":
        found.append(f"engine.{key}")
    meant = " or ".join(f"'{path}'" for path in found)
    return f" Did you mean {meant}?" if found else ""


class Faults:
    """What is wrong with a recipe (`said`), while one part of it after the other is looked at."""

    def __init__(self, composed: Composed) -> None:
        self.composed = composed
        self.said: list[str] = []

    def add(self, path: str, problem: str) -> None:
        """One more, with where it is in front."""
        self.said.append(f"{origin(self.composed, path)}: {problem}")

    def validated(
        self, model: type[Model], value: Any, below: str, what: str, also: tuple[str, ...] = ()
    ) -> Model | None:
        """The value that stands `below` as its model, or None where it has faults; `also` are names
        that may stand beside the model's fields.
        """
        try:
            return model.model_validate(value)
        except ValidationError as error:
            takes = [*also, *model.model_fields]
            self.said += _invalid(error, below, self.composed, takes, what, model)
            return None


def _invalid(
    error: ValidationError,
    below: str,
    composed: Composed,
    takes: list[str],
    what: str,
    model: type[BaseModel],
) -> Iterator[str]:
    """Pydantic's errors in our words: where, what is wrong, the value, what is allowed."""
    grouped: dict[str, list[Any]] = {}
    for problem in error.errors(include_url=False):
        names = [str(part) for part in problem["loc"]]
        path = ".".join(part for part in names if part.isidentifier() or part.isdigit())
        # The branches of a union follow the parameter's name; one line for all of them.
        path = path if problem["type"] == "extra_forbidden" else _parameter(names)
        grouped.setdefault(".".join(part for part in (below, path) if part), []).append(problem)
    for path, found in grouped.items():
        first = found[0]
        if first["type"] == "extra_forbidden":
            *above, name = map(str, first["loc"])
            inner = _model_at(model, above)
            known = takes if inner is model else list(inner.model_fields)
            owner = what if inner is model else f"'{above[-1]}'"
            said = f"unknown parameter; {owner} takes {', '.join(known)}.{hint(name, known)}"
        elif first["type"] == "missing":
            said = f"missing; {what} needs it"
        else:
            messages = list(dict.fromkeys(_message(problem) for problem in found))
            said = with_value(_either(messages), first["input"])
        if path == below and (given := _given(composed, below, model, said)):
            yield f"{composed.caller.name}: {given}: {said.removeprefix(f'{given}: ')}"
        else:
            yield f"{origin(composed, path)}: {said}"


def _given(composed: Composed, below: str, model: type[BaseModel], said: str) -> str:
    """The override that a fault of the whole model may come from: the first of a parameter that it
    speaks of, or else of any.
    """
    words = re.findall(r"\w+", said)
    for name in sorted(model.model_fields, key=lambda name: name not in words):
        place = knob_of(composed, f"{below}.{name}")
        for key in composed.overridden:
            if f"{key}.".startswith(f"{place}."):
                return key
    return ""


def _model_at(model: type[BaseModel], names: list[str]) -> type[BaseModel]:
    """The model that stands below a parameter, behind lists, mappings and alternatives."""
    for name in names:
        if name in model.model_fields:
            model = next(_models(model.model_fields[name].annotation), model)
    return model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _parameter(names: list[str]) -> str:
    branches = ("function-", "constrained", "list[", "literal", "float", "int", "str", "dict[")
    inner = itertools.takewhile(lambda name: not name.startswith(branches), names[1:])
    return ".".join([*names[:1], *inner])


def _message(problem: Any) -> str:
    if problem["type"] in ("dict_type", "model_type"):
        return "should be a mapping"
    if problem["type"] == "bool_type":
        return "should be true or false"
    text = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return text[:1].lower() + text[1:]


def _either(messages: list[str]) -> str:
    """What a value with several forms should be: one sentence."""
    first, *others = messages
    for other in others:
        same = first.startswith("should be ") and other.startswith("should be ")
        first += f" or {other.removeprefix('should be ')}" if same else f"; or {other}"
    return first


def _in_yaml(value: Any) -> str:
    """The value, with what YAML writes otherwise than Python as it was written."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return repr(value)


def _near_number(value: Any, message: str) -> str:
    """` Did you mean 0.1?` for a percentage such as `10%` in place of a number, or nothing."""
    share = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value) if isinstance(value, str) else None
    if share is None or "valid number" not in message:
        return ""
    return f" Did you mean {float(share[1]) / 100:g}?"


def with_value(message: str, value: Any) -> str:
    """The message with the value that it is about, and the nearest of the names it lists."""
    shown = _in_yaml(value)
    shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"
    limit = message.startswith("should be ") and not isinstance(value, str)
    if isinstance(value, dict) or (shown in message and not limit):
        return f"{message}." if not message.endswith((".", "?", ")")) else message
    listed = message.partition("should be one of ")[2].split(", ")
    listed += re.findall(r"'(\w+)'", message) if message.startswith("should be '") else []
    near = near_quantile(value) if "quantile" in message else _near_number(value, message)
    if shown[1:2] == "[" and "list" in message:
        near = " It cannot be read as one; texts with signs need quotes: ['field[\"a b\"]', c]."
    return f"{message}, got {shown}.{near or hint(str(value), filter(None, listed))}"
