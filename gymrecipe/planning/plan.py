"""The plan: a composed recipe, checked, with every fault found before a byte is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any

import msgspec

from gymrecipe.errors import RecipeError
from gymrecipe.guards import references
from gymrecipe.parameters import Of, marked
from gymrecipe.planning.faults import Faults, knob_of, origin, set_by_caller, unknown
from gymrecipe.planning.fit import unfit
from gymrecipe.planning.reads import columns_read, lists_of_paths, places, unused
from gymrecipe.planning.settings import SETTINGS, NamedColumn, Settings, WorkedExample
from gymrecipe.planning.steps import Step, build
from gymrecipe.recipe.composing import Composed
from gymrecipe.recipe.reading import as_yaml
from gymrecipe.registry import STAGES
from gymrecipe.rollouts.columns import BUILT_IN, OWN, PAIR_COLUMNS, Column, Path, merge, split_side
from gymrecipe.stages.load import Load


class Plan(msgspec.Struct, frozen=True):
    """A recipe that can be run: its steps in order, and the columns that they read."""

    steps: tuple[Step, ...]
    columns: tuple[Column, ...]
    named: dict[str, NamedColumn]
    settings: Settings
    parameters: dict[str, Any]
    examples: dict[str, WorkedExample] = {}
    recipe_yaml: str = ""
    recipe_path: str = ""
    recipe_folder: str = ""
    origins: dict[str, str] = {}
    """Where each stage, and each part of the recipe that asks for a column or path, was set."""
    unasked: dict[str, str] = {}
    """The thresholds that the caller left as the recipe has them, each with its knob."""
    hoped: dict[str, tuple[Path, ...]] = {}
    """The lists of paths that the caller gave, by their places."""
    overrides: tuple[str, ...] = ()
    command: str = ""

    @property
    def load(self) -> Load:
        """The parameters of the one load."""
        params = self.steps[0].params
        assert isinstance(params, Load)
        return params


def plan(composed: Composed) -> Plan:
    """Check a composed recipe. Raises RecipeError with everything that is wrong with it."""
    faults = Faults(composed)
    knobs = dict(composed.values)
    stages, worked = knobs.pop("stages", None), knobs.pop("examples", None)
    named = _named(knobs.pop("columns", None), faults)
    faults.said += unknown(composed, knobs)
    settings = _settings(knobs, faults)
    for name, said in _written_elsewhere(composed):
        faults.add(name, said)
    examples = _examples(worked, faults)
    steps = build(stages, knobs, faults)
    columns: list[Column] = []
    if steps:
        for path, said in unfit(steps, settings, named, composed):
            faults.add(path, said)
        for name in unused(steps, named):
            faults.add(f"columns.{name}", "no stage uses this column; use it, or take it out")
        try:
            columns = merge(columns_read(steps, named))
        except RecipeError as error:
            for problem in error.problems:
                faults.add(*problem.split(": ", maxsplit=1))
    if faults.said or settings is None:
        raise RecipeError(*dict.fromkeys(faults.said))
    return Plan(
        steps=tuple(steps),
        columns=tuple(columns),
        named=named,
        settings=settings,
        parameters=knobs | {"columns": composed.values.get("columns") or {}},
        examples=examples,
        recipe_yaml=_recipe_yaml(composed),
        recipe_path=composed.path,
        recipe_folder=composed.folder,
        overrides=composed.overrides,
        origins=_origins(steps, named, composed),
        unasked={
            place: knob_of(composed, place)
            for step in steps
            for name, *_ in marked(step.params, Of)
            if not set_by_caller(composed, place := f"stages.{step.name}.{name}")
        },
        hoped={
            said: paths
            for place, paths in lists_of_paths(steps, named).items()
            if (said := set_by_caller(composed, place))
        },
    )


def _origins(
    steps: list[Step], named: dict[str, NamedColumn], composed: Composed
) -> dict[str, str]:
    """Where each part of the recipe that an error may speak of later was set."""
    parts = (
        *places(steps, named).values(),
        *(f"stages.{step.name}" for step in steps),
        f"stages.{steps[0].name}.reward",
    )
    return {part: origin(composed, part) for part in parts}


def rebuild(
    parameters: dict[str, Any],
    steps: Iterable[tuple[str, str, str | None, dict[str, Any]]],
    settings: Settings,
) -> Plan:
    """A plan from a manifest alone: the knobs, and each step's name, use, source, parameters."""
    columns = parameters.get("columns", {})
    named = {name: NamedColumn.model_validate(value) for name, value in columns.items()}
    built: dict[str, Step] = {}
    for name, use, source, params in steps:
        entry = STAGES.get(use)
        if entry is None:
            raise RecipeError(f"stages.{name}: no stage is named '{use}'; is a plugin missing?")
        checked = entry.params.model_validate(params)
        built[name] = Step(name, entry, checked, built[source] if source else None)
    return Plan(
        steps=tuple(built.values()),
        columns=tuple(merge(columns_read(built.values(), named))),
        named=named,
        settings=settings,
        parameters=parameters,
    )


def _settings(knobs: dict[str, Any], faults: Faults) -> Settings | None:
    chosen = {name: knobs[name] for name in SETTINGS if name in knobs}
    if chosen.get("name") is None:
        chosen["name"] = faults.composed.name
    return faults.validated(Settings, chosen, "", "settings")


def _written_elsewhere(composed: Composed) -> Iterator[tuple[str, str]]:
    """The knobs by which a recipe says itself where on this machine is written, but for below the
    folder of the call, and what is said of them: who wrote it may be a stranger, the overrides are
    the user's.
    """
    for name in ("output_dir", "output_jsonl_fpath", "cache_dir"):
        value = composed.values.get(name)
        if name in composed.overridden or not isinstance(value, str):
            continue
        path = PurePath(value)
        if path.is_absolute() or ".." in path.parts:
            said = "a recipe may name only what is below the folder of the call"
        elif name == "output_jsonl_fpath" and path.suffix != ".jsonl":
            said = "a recipe may name only a .jsonl file"
        else:
            continue
        instead = f"Write {name}=… {composed.caller.there}."
        yield name, f"{said}, got {value!r}. {instead}"


def _named(values: Any, faults: Faults) -> dict[str, NamedColumn]:
    named = {}
    for name, value in _mapping("columns", values, faults):
        path = f"columns.{name}"
        taken = name in (*BUILT_IN, *OWN, *PAIR_COLUMNS) or split_side(name)[0]
        if taken or not re.fullmatch(r"[A-Za-z_]\w*", name):
            faults.add(path, "not a free name; choose another identifier")
        elif column := faults.validated(NamedColumn, value, path, "a column"):
            named[name] = column
    return named


def _examples(values: Any, faults: Faults) -> dict[str, WorkedExample]:
    found = {
        name: faults.validated(WorkedExample, value, f"examples.{name}", "an example")
        for name, value in _mapping("examples", values, faults)
    }
    return {name: example for name, example in found.items() if example is not None}


def _mapping(path: str, values: Any, faults: Faults) -> Iterable[tuple[str, Any]]:
    if values is not None and not isinstance(values, dict):
        faults.add(path, f"should be a mapping from names, got {values!r}.")
        return ()
    return ((str(name), value) for name, value in (values or {}).items())


def _recipe_yaml(composed: Composed) -> str:
    """The recipe as it was run: with the values of its knobs, and nothing about this one run."""
    used = {*composed.base, *references(composed.raw), "stages", "examples"}
    kept = {
        name: value
        for name, value in composed.raw.items()
        if name == "name" or name in used - {*SETTINGS}
    }
    # Its own name, so that running it from a version's folder finds that version.
    return as_yaml(kept | {"name": kept.get("name") or composed.name})
