"""Steps: the stages of a recipe in running order, each with its checked parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from pydantic import ValidationError

import gymrecipe.formats
import gymrecipe.stages
from gymrecipe.errors import hint
from gymrecipe.faults import explain, fault
from gymrecipe.recipe import Composed
from gymrecipe.registry import FORMATS, STAGES, Params, Purpose, Stage
from gymrecipe.settings import Settings
from gymrecipe.stages.load import Load
from gymrecipe.stages.write import Write

__all__ = ["DEFAULT_PURPOSE", "Step", "above", "build", "consistent", "gymrecipe"]

DEFAULT_PURPOSE: dict[str, Purpose] = {"rollouts": "sft", "pairs": "dpo", "tasks": "rl"}
"""What a file is for unless its write says so, by the unit that arrives there."""


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
    ordered = _ordered(values, composed, problems)
    steps: list[Step] = []
    made: dict[str, str] = {}
    previous: str | None = None
    for name, source in ordered:
        value = values[name]
        path = f"stages.{name}"
        if not isinstance(value, dict) or not isinstance(value.get("use"), str):
            known = [other for other, it in values.items() if isinstance(it, dict) and "use" in it]
            problems.append(
                fault(
                    composed,
                    path,
                    f"there is no such stage; a stage says what it uses, such as"
                    f" {{use: filter}}.{hint(name, known)}",
                )
            )
            continue
        entry = STAGES.get(value["use"])
        if entry is None:
            problems.append(
                fault(
                    composed,
                    f"{path}.use",
                    f"no stage is named '{value['use']}'. There are"
                    f" {', '.join(sorted(STAGES))}.{hint(value['use'], STAGES)}",
                )
            )
            previous = name
            made[name] = "rollouts"
            continue
        params = _params(entry, name, value, knobs, composed, problems)
        takes = ""
        if not entry.takes:
            source = None
        else:
            source = source or previous
            if source is None:
                problems.append(fault(composed, path, "the first stage must be a load"))
                continue
            takes = made.get(source, "rollouts")
            if takes == "nothing":
                problems.append(
                    fault(
                        composed,
                        path,
                        f"comes after '{source}', which makes nothing to take;"
                        " say whose result it takes, such as from: load",
                    )
                )
                takes = entry.takes[0]
            elif takes not in entry.takes:
                problems.append(
                    fault(
                        composed,
                        path,
                        f"'{entry.name}' takes {' or '.join(entry.takes)}, but"
                        f" '{source}' makes {takes}. Move it, or say from: another stage",
                    )
                )
        makes = entry.makes or takes
        made[name] = makes
        previous = name
        if params is not None:
            steps.append(Step(name, entry, params, source, takes, makes))
    taken = {step.source for step in steps}
    if len([step for step in steps if not step.stage.takes]) > 1:
        problems.append(fault(composed, "stages", "there can be one load; give it several inputs"))
    for step in steps:
        if step.makes != "nothing" and step.name not in taken and not problems:
            problems.append(
                fault(
                    composed,
                    f"stages.{step.name}",
                    "no stage takes its result; add a write after it, or take it out",
                )
            )
    return steps


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
        sources[name] = value.get("from")
    for name in late:
        after = values[name]["after"]
        if after not in order:
            problems.append(
                fault(
                    composed,
                    f"stages.{name}.after",
                    f"there is no stage '{after}'.{hint(str(after), order)}",
                )
            )
            order.append(name)
            continue
        for follower, source in sources.items():
            if source == after and follower != name:
                sources[follower] = name
        order.insert(order.index(after) + 1, name)
        sources[name] = after
    for place, name in enumerate(order):
        source = sources[name]
        if source is not None and source not in order[:place]:
            problems.append(
                fault(
                    composed,
                    f"stages.{name}.from",
                    f"there is no stage '{source}' before it.{hint(str(source), order[:place])}",
                )
            )
            sources[name] = None
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
        problems += explain(error, f"stages.{name}", composed, takes, f"'{entry.name}'")
        return None


def consistent(steps: list[Step], settings: Settings | None, composed: Composed) -> Iterator[str]:
    """Faults that only the whole recipe shows."""
    by_name = {step.name: step for step in steps}
    writes = [step for step in steps if isinstance(step.params, Write)]
    if not writes:
        yield fault(composed, "stages", "nothing is written; add {use: write}")
    for step in writes:
        assert isinstance(step.params, Write)
        chosen = FORMATS[step.params.format]
        path = f"stages.{step.name}.format"
        if step.takes == "metrics":
            continue
        purpose = step.params.purpose or DEFAULT_PURPOSE[step.takes]
        if purpose not in chosen.purposes:
            able = sorted(name for name, other in FORMATS.items() if purpose in other.purposes)
            yield fault(
                composed,
                path,
                f"'{chosen.name}' has no form for {purpose}; it has one for"
                f" {', '.join(chosen.purposes)}. For {purpose} there are {', '.join(able)}",
            )
        if step.params.file == "parquet" and not chosen.parquet:
            yield fault(composed, path, f"'{chosen.name}' writes jsonl only; set file: jsonl")
        crossing = any(getattr(up.params, "across_prompts", False) for up in above(step, by_name))
        if crossing and not chosen.across_prompts:
            able = sorted(name for name, other in FORMATS.items() if other.across_prompts)
            yield fault(
                composed,
                path,
                f"'{chosen.name}' needs one prompt for both sides, and"
                f" across_prompts pairs have two; use {' or '.join(able)}",
            )
    if settings and settings.output_jsonl_fpath:
        first = writes[0].params if writes else None
        assert first is None or isinstance(first, Write)
        if len(writes) != 1 or (first and (first.file != "jsonl" or first.shard_rows)):
            yield fault(
                composed,
                "output_jsonl_fpath",
                "needs a recipe with one write, as jsonl and without shards",
            )


def above(step: Step, by_name: dict[str, Step]) -> Iterator[Step]:
    while step.source is not None:
        step = by_name[step.source]
        yield step
