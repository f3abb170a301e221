"""Steps: the stages of a recipe in running order, each with its checked parameters."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from typing import Any

import msgspec
from pydantic import ValidationError

import gymrecipe.formats
import gymrecipe.stages
from gymrecipe.errors import hint
from gymrecipe.faults import explain, fault
from gymrecipe.formats.custom import OF_ONE_PROMPT
from gymrecipe.guards import references
from gymrecipe.parameters import Params
from gymrecipe.recipe.composing import Composed
from gymrecipe.registry import FORMATS, STAGES, Purpose, Stage
from gymrecipe.rollouts.chat import Reading
from gymrecipe.settings import Settings
from gymrecipe.stages.load import Load
from gymrecipe.stages.write import Write

__all__ = ["POSSIBLE", "Step", "above", "build", "consistent", "gymrecipe", "purpose_of"]

POSSIBLE: dict[str, tuple[Purpose, ...]] = {
    "rollouts": ("sft", "kto", "buffer"),
    "pairs": ("dpo", "reward_model"),
    "tasks": ("rl",),
}
"""What the rows of a unit can be written for, the usual first."""

_NAME = re.compile(r"[A-Za-z_][\w\-]{0,63}", re.ASCII)
"""A stage's name; where there are several writes it is also their folder's."""


class Step(msgspec.Struct, frozen=True):
    """One stage of a recipe: its name there, its parameters, and whose result it takes."""

    name: str
    stage: Stage
    params: Params
    source: str | None
    takes: str
    makes: str


def build(
    values: dict[str, Any], knobs: dict[str, Any], composed: Composed, problems: list[str]
) -> list[Step]:
    """The steps of a recipe, or none where `problems` had to be added."""
    before = len(problems)
    steps: list[Step] = []
    made: dict[str, str] = {}
    previous: str | None = None
    for name, source in _ordered(values, composed, problems):
        value = values[name]
        path = f"stages.{name}"
        if not _NAME.fullmatch(str(name)):
            problems.append(
                fault(
                    composed,
                    path,
                    "should be named with letters, digits, '_' and '-', up to 64 of them",
                )
            )
        if not isinstance(value, dict) or not isinstance(value.get("use"), str):
            known = [other for other, it in values.items() if isinstance(it, dict) and "use" in it]
            problems.append(
                fault(
                    composed,
                    path,
                    f"there is no such stage; a stage says what it uses, such as"
                    f" {{use: filter}}.{hint(str(name), map(str, set(known) - {name}))}",
                )
            )
            continue
        entry = STAGES.get(value["use"])
        source, previous = source or previous, name
        if entry is None:
            problems.append(
                fault(
                    composed,
                    f"{path}.use",
                    f"no stage is named '{value['use']}'. There are"
                    f" {', '.join(sorted(STAGES))}.{hint(value['use'], STAGES)}",
                )
            )
            continue
        params = _params(entry, name, value, knobs, composed, problems)
        takes = ""
        if not entry.takes:
            source = None
        elif source is None:
            problems.append(fault(composed, path, "the first stage must be a load"))
            takes = entry.takes[0]
        else:
            # What a faulty stage makes is not known, and no reason for another fault.
            takes = made.get(source, entry.takes[0])
            if takes == "nothing":
                problems.append(
                    fault(
                        composed,
                        path,
                        f"comes after '{source}', which makes nothing to take;"
                        " say whose result it takes, such as from: load",
                    )
                )
            elif takes not in entry.takes:
                problems.append(
                    fault(
                        composed,
                        path,
                        f"'{entry.name}' takes {' or '.join(entry.takes)}, but"
                        f" '{source}' makes {takes}. Move it, or say from: another stage",
                    )
                )
        if takes in entry.takes or source is None:
            made[name] = entry.makes or takes
        if params is not None:
            steps.append(Step(name, entry, params, source, takes, entry.makes or takes))
    taken = {step.source for step in steps}
    if len([step for step in steps if not step.stage.takes]) > 1:
        problems.append(fault(composed, "stages", "there can be one load; give it several inputs"))
    sound = len(problems) == before
    for step in steps:
        if step.makes != "nothing" and step.name not in taken and sound:
            problems.append(
                fault(
                    composed,
                    f"stages.{step.name}",
                    "no stage takes its result; add a write after it, or take it out",
                )
            )
    return steps if len(problems) == before else []


def _ordered(
    values: dict[str, Any], composed: Composed, problems: list[str]
) -> list[tuple[str, str | None]]:
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
            problems.append(fault(composed, path, "says where it stands; take out its `from`"))
        sources[name] = after
        if after not in order:
            problems.append(
                fault(composed, path, f"there is no stage '{after}'.{hint(after, order)}")
            )
            order.append(name)
            continue
        for follower, source in sources.items():
            if source == after and follower != name:
                sources[follower] = name
        order.insert(order.index(after) + 1, name)
    for place, name in enumerate(order):
        source, before = sources[name], list(map(str, order[:place]))
        if source is not None and source not in before and name not in late:
            problems.append(
                fault(
                    composed,
                    f"stages.{name}.from",
                    f"there is no stage '{source}' before it.{hint(source, before)}",
                )
            )
    return [(name, sources[name]) for name in order]


def _params(
    entry: Stage,
    name: str,
    value: dict[str, Any],
    knobs: dict[str, Any],
    composed: Composed,
    problems: list[str],
) -> Params | None:
    chosen = {key: part for key, part in value.items() if key not in ("from", "after")}
    if entry.params in (Load, Write):
        # The knobs that all recipes share are what load and write leave open.
        shared = entry.params.model_fields.keys() & knobs.keys() & set(composed.base)
        chosen = {key: knobs[key] for key in sorted(shared)} | chosen
    try:
        return entry.params.model_validate(chosen)
    except ValidationError as error:
        takes = ["from", "after", *entry.params.model_fields]
        what = f"'{entry.name}'"
        problems += explain(error, f"stages.{name}", composed, takes, what, entry.params)
        return None


def consistent(steps: list[Step], settings: Settings | None, composed: Composed) -> Iterator[str]:
    """Faults that only the whole recipe shows."""
    by_name = {step.name: step for step in steps}
    writes = [step for step in steps if isinstance(step.params, Write)]
    if not writes:
        yield fault(composed, "stages", "nothing is written; add {use: write}")
    for step in writes:
        for parameter, said in _unfit(step, by_name):
            yield fault(composed, f"stages.{step.name}.{parameter}", said)
    if settings and settings.output_jsonl_fpath:
        first = writes[0].params if writes else None
        assert first is None or isinstance(first, Write)
        figures = bool(writes) and writes[0].takes == "metrics"
        if len(writes) != 1 or (first and (_file(first) != "jsonl" or first.shard_rows)) or figures:
            yield fault(
                composed,
                "output_jsonl_fpath",
                "needs a recipe with one write of examples, as jsonl and without shards",
            )
    used = references(composed.raw)
    for key, said in _vain(writes, composed, used):
        yield fault(composed, key, said)
    for name in composed.base:
        if name == "columns":  # at the top they are names for paths, in a write what stands there
            continue
        takers = [step.name for step in steps if isinstance(step.params, Load | Write)
                  and name in type(step.params).model_fields]  # fmt: skip
        own = [taker for taker in takers if name in composed.values["stages"][taker]]
        if name in composed.overridden and takers and own == takers and name not in used:
            yield fault(
                composed,
                name,
                "changes nothing here: this recipe sets it in"
                f" {', '.join(f'stages.{taker}.{name}' for taker in own)}; override that",
            )


def _vain(
    writes: list[Step], composed: Composed, used: Container[str]
) -> Iterator[tuple[str, str]]:
    """The overrides that no write can use, and why. What a recipe sets itself is no fault."""
    for key in composed.overridden:
        at, _, name = key.rpartition(".")
        takers = [step for step in writes if at in ("", f"stages.{step.name}")]
        if name == "materialized_inputs" and at in ("", "stages.load"):
            takers, name = writes, "verifier_fields"
        elif not takers or (not at and (name not in composed.base or name in used)):
            continue
        why = [_idle(step).get(name) for step in takers]
        usual = Write.model_fields.get(name)
        asked = usual and any(getattr(step.params, name) != usual.default for step in takers)
        if why and all(why) and (asked or key.endswith("materialized_inputs")):
            yield key, f"changes nothing here: {why[0]}"


def _idle(step: Step) -> dict[str, str]:
    """The parameters of a write that change nothing of such rows in its format, and why."""
    assert isinstance(step.params, Write)
    if step.takes == "metrics":
        said = "figures are written as they are"
        return dict.fromkeys(Write.model_fields.keys() - {"use", "file", "seed"}, said)
    idle: dict[str, str] = {}
    purpose, format = purpose_of(step), step.params.format
    if purpose != "rl":
        said = f"it is for prompts for RL, and this write is for {purpose}"
        idle |= dict.fromkeys(("agent", "verifier_fields"), said)
    if format != "rendered":
        said = f"it is for format=rendered, and this is {format}"
        idle |= dict.fromkeys(("tokenizer", "chat_template"), said)
    if format == "raw":
        said = "format=raw copies the lines as they are"
        idle |= dict.fromkeys((*Reading.__struct_fields__, "pairs_at"), said)
    if step.takes != "pairs":
        idle["pairs_at"] = f"it is for pairs, and this write takes {step.takes}"
    return idle


def _unfit(step: Step, by_name: dict[str, Step]) -> Iterator[tuple[str, str]]:
    """The parameters of a write that do not fit its rows or its format, and why."""
    assert isinstance(step.params, Write)
    params, chosen = step.params, FORMATS[step.params.format]
    if step.takes == "metrics":
        if params.file == "parquet":
            yield "file", "figures are written as jsonl; set file: jsonl"
        return
    purpose, upstream = purpose_of(step), list(above(step, by_name))
    if purpose not in POSSIBLE[step.takes]:
        said = f"{step.takes} cannot be written for {purpose}, only for "
        said += " or ".join(POSSIBLE[step.takes])
        if purpose == "rl":
            said += "; add {use: tasks} before it, which makes one row a prompt"
        yield "purpose", said
    elif purpose == "kto" and not any(up.stage.name == "label" for up in upstream):
        yield "purpose", "needs labels; add {use: label, high: 0.7, low: 0.4} before it"
    elif purpose not in chosen.purposes:
        able = sorted(name for name, other in FORMATS.items() if purpose in other.purposes)
        instead = f"For {purpose} there is {', '.join(able) or 'no format yet'}"
        yield (
            "format",
            f"'{chosen.name}' has no form for {purpose}; it has one for"
            f" {', '.join(chosen.purposes)}. {chosen.advice.get(purpose, instead)}",
        )
    if params.file and params.file not in chosen.files:
        files = " or ".join(chosen.files)
        able = sorted(
            name
            for name, other in FORMATS.items()
            if purpose in other.purposes and params.file in other.files and name != "custom"
        )
        other_way = f" ({params.file}: format {' or '.join(able)})" if able else ""
        yield "file", f"'{chosen.name}' is written as {files}; set file: {files}{other_way}"
    if step.takes == "pairs" and params.pairs_at and params.pairs_at not in chosen.pairs_at:
        able_at = " or ".join(chosen.pairs_at)
        yield "pairs_at", f"'{chosen.name}' carries pairs at {able_at} only, as its trainer does"
    if any(getattr(up.params, "across_prompts", False) for up in upstream):
        able = sorted(name for name, other in FORMATS.items() if other.across_prompts)
        if chosen.name not in able:
            yield (
                "format",
                f"'{chosen.name}' needs one prompt for both sides, and across_prompts pairs have"
                f" two; use {' or '.join(able)}",
            )
        if params.validation_fraction:
            yield (
                "validation_fraction",
                "holds out whole prompts, and across_prompts pairs have two each, of which one"
                f" would be trained on; got {params.validation_fraction:g}, set it to 0",
            )
        asked = params.columns if chosen.name == "custom" else ()
        for name in [name for name in OF_ONE_PROMPT if name in asked]:
            said = f"pairs across prompts have no '{name}' of both; `chosen` and `rejected` are"
            yield "columns", f"{said} whole conversations"


def _file(params: Write) -> str:
    return params.file or FORMATS[params.format].files[0]


def purpose_of(step: Step) -> Purpose:
    """What a write is for: as it says, or by the unit that arrives."""
    assert isinstance(step.params, Write)
    return step.params.purpose or POSSIBLE[step.takes][0]


def above(step: Step, by_name: dict[str, Step]) -> Iterator[Step]:
    while step.source is not None:
        step = by_name[step.source]
        yield step
