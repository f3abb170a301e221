"""Steps: the stages of a recipe in running order, each with its checked parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

import gymrecipe.formats
import gymrecipe.stages  # noqa: F401, they register themselves
from gymrecipe.errors import hint
from gymrecipe.formats.template import Template, read_template
from gymrecipe.parameters import Params
from gymrecipe.planning.faults import Faults, set_by_caller, with_value
from gymrecipe.recipe.composing import Composed
from gymrecipe.recipe.reading import kind
from gymrecipe.registry import STAGES, Purpose, Stage
from gymrecipe.stages.load import Load
from gymrecipe.stages.write import Write

POSSIBLE: dict[str, tuple[Purpose, ...]] = {
    "rollouts": ("sft", "kto", "buffer"),
    "pairs": ("dpo", "reward_model"),
    "tasks": ("rl",),
}
"""What the rows of a unit can be written for, the usual first."""

_NAME = re.compile(r"[A-Za-z_][\w\-]{0,63}", re.ASCII)
"""A stage's name; where there are several writes it is also their folder's."""


class Step(msgspec.Struct, frozen=True):
    """One stage of a recipe: its name there, its parameters, and the step whose result it takes
    (None for a load).
    """

    name: str
    stage: Stage
    params: Params
    before: Step | None

    @property
    def takes(self) -> str:
        """The unit of the rows that it takes; empty for a load."""
        return "" if self.before is None else self.before.makes

    @property
    def makes(self) -> str:
        """The unit of the rows that it makes."""
        return self.stage.makes or self.takes

    @property
    def source(self) -> str | None:
        """The name of the step whose result it takes."""
        return None if self.before is None else self.before.name

    @property
    def above(self) -> list[Step]:
        """The steps whose results came into this one, the nearest first."""
        return [] if self.before is None else [self.before, *self.before.above]

    @property
    def crosses_prompts(self) -> bool:
        """Whether the pairs that reach it may have different prompts."""
        return any(getattr(step.params, "across_prompts", False) for step in self.above)

    @property
    def write(self) -> Write:
        """The parameters of a write."""
        assert isinstance(self.params, Write)
        return self.params

    @property
    def purpose(self) -> Purpose:
        """What a write is for: as it says, or by the unit that arrives."""
        return self.write.purpose or POSSIBLE[self.takes][0]


def build(values: Any, knobs: dict[str, Any], faults: Faults) -> list[Step]:
    """The steps of a recipe, or none where they have faults."""
    known = len(faults.said)
    if not values:
        faults.add("stages", "a recipe needs stages, such as load and write")
        return []
    if not isinstance(values, dict):
        said = f"should be a mapping from names to stages, not a {kind(values)}"
        faults.add("stages", said)
        return []
    steps: dict[str, Step] = {}
    made: dict[str, str] = {}
    previous: str | None = None
    for name, source in _ordered(values, faults):
        value = values[name]
        path = f"stages.{name}"
        if not _NAME.fullmatch(str(name)):
            faults.add(path, "should be named with letters, digits, '_' and '-', up to 64 of them")
        if not isinstance(value, dict) or not isinstance(value.get("use"), str):
            faults.add(path, _no_use(name, values, faults.composed))
            continue
        entry = STAGES.get(value["use"])
        source, previous = source or previous, name
        if entry is None:
            near = hint(value["use"], STAGES) or " One of a plugin needs --plugin MODULE."
            there = f"There are {', '.join(sorted(STAGES))}.{near}"
            faults.add(f"{path}.use", f"no stage is named '{value['use']}'. {there}")
            continue
        params = _params(entry, name, value, knobs, faults)
        source = source if entry.takes else None
        takes = _taken(entry, path, source, made, faults)
        if takes in entry.takes or source is None:
            made[name] = entry.makes or takes
        if params is not None:
            steps[name] = Step(name, entry, params, steps.get(source or ""))
    if len([step for step in steps.values() if not step.stage.takes]) > 1:
        faults.add("stages", "there can be one load; give it several inputs")
    taken = {step.source for step in steps.values()}
    for step in steps.values() if len(faults.said) == known else ():
        if step.makes != "nothing" and step.name not in taken:
            said = "no stage takes its result; add a write after it, or take it out"
            faults.add(f"stages.{step.name}", said)
    return list(steps.values()) if len(faults.said) == known else []


def _taken(
    entry: Stage, path: str, source: str | None, made: dict[str, str], faults: Faults
) -> str:
    """The unit that a stage takes from its source, of those that stages before it have `made`."""
    if not entry.takes:
        return ""
    if source is None:
        faults.add(path, "the first stage must be a load")
        return entry.takes[0]
    # What a faulty stage makes is not known, and no reason for another fault.
    takes = made.get(source, entry.takes[0])
    if takes not in entry.takes:
        fitting = [other for other, makes in made.items() if makes in entry.takes]
        by_caller = bool(set_by_caller(faults.composed, path))
        faults.add(path, _misplaced(entry, source, takes, fitting if by_caller else []))
    return takes


def _misplaced(entry: Stage, source: str, takes: str, fitting: list[str]) -> str:
    """What is said of a stage that cannot take what the stage before it makes; `fitting` are those
    that a caller could put it behind.
    """
    if takes != "nothing":
        said = f"'{entry.name}' takes {' or '.join(entry.takes)}, but '{source}' makes {takes}."
        return f"{said} Move it, or say from: another stage"
    said = f"comes after '{source}', which makes nothing to take; say"
    if fitting:
        return f"{said} behind which stage it runs, such as after: {fitting[-1]}"
    return f"{said} whose result it takes, such as from: load"


def _no_use(name: str, values: dict[str, Any], composed: Composed) -> str:
    """What is said of a stage that does not say which one it uses: its name may be misspelt."""
    if not isinstance(value := values[name], dict):
        said = "should be a mapping that says what the stage uses, such as {use: filter}"
        return with_value(said, value)
    said = "a stage says what it uses, such as {use: filter}."
    written = composed.file.get("stages")
    if isinstance(written, dict) and name in written:
        return said
    known = [other for other, it in values.items() if isinstance(it, dict) and "use" in it]
    return f"there is no such stage; {said}{hint(str(name), map(str, set(known) - {name}))}"


def _ordered(values: dict[str, Any], faults: Faults) -> list[tuple[str, str | None]]:
    """The stages in running order, each with the source that it names."""
    order: list[str] = []
    sources: dict[str, str | None] = {}
    late: list[str] = []
    for name, value in values.items():
        value = value if isinstance(value, dict) else {}
        (late if value.get("after") is not None else order).append(name)
        sources[name] = None if value.get("from") is None else str(value["from"])
    for name in late:
        after = str(values[name]["after"])
        path = f"stages.{name}.after"
        if sources[name] is not None:
            faults.add(path, "says where it stands; take out its `from`")
        sources[name] = after
        if after not in order:
            faults.add(path, f"there is no stage '{after}'.{hint(after, order)}")
            order.append(name)
            continue
        for follower, source in sources.items():
            if source == after and follower != name:
                sources[follower] = name
        order.insert(order.index(after) + 1, name)
    for place, name in enumerate(order):
        source, before = sources[name], list(map(str, order[:place]))
        if source is not None and source not in before and name not in late:
            said = f"there is no stage '{source}' before it.{hint(source, before)}"
            faults.add(f"stages.{name}.from", said)
    return [(name, sources[name]) for name in order]


def _params(
    entry: Stage, name: str, value: dict[str, Any], knobs: dict[str, Any], faults: Faults
) -> Params | None:
    chosen = {key: part for key, part in value.items() if key not in ("from", "after")}
    if entry.params in (Load, Write):
        # The knobs that all recipes share are what load and write leave open.
        shared = entry.params.model_fields.keys() & knobs.keys() & set(faults.composed.base)
        chosen = {key: knobs[key] for key in sorted(shared)} | chosen
    what, also = f"'{entry.name}'", ("from", "after")
    return faults.validated(entry.params, chosen, f"stages.{name}", what, also)


def writes_of(steps: Iterable[Step]) -> list[Step]:
    """The writes among the steps."""
    return [step for step in steps if isinstance(step.params, Write)]


def templates_of(steps: Iterable[Step]) -> dict[str, Template]:
    """The chat template of each write that renders text, by the step's name. A run reads them
    once, so that what is in the version's id is what was rendered. Raises RecipeError.
    """
    rendering = {
        step.name: step.write for step in writes_of(steps) if step.write.format == "rendered"
    }
    return {
        name: read_template(params.tokenizer, params.chat_template, params.chat_template_kwargs)
        for name, params in rendering.items()
    }
