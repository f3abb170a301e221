"""Fit: whether the steps of a recipe fit each other, its formats and its overrides."""

from __future__ import annotations

from collections.abc import Container, Iterator

from gymrecipe.errors import hint
from gymrecipe.formats.custom import OF_ONE_PROMPT
from gymrecipe.formats.nemo_rl import REQUEST
from gymrecipe.guards import at, references
from gymrecipe.planning.extra_columns import STANDARD, columns_of, unfit_columns
from gymrecipe.planning.settings import NamedColumn, Settings
from gymrecipe.planning.steps import POSSIBLE, Step, writes_of
from gymrecipe.recipe.composing import Composed
from gymrecipe.registry import FORMATS, File, Format, Purpose
from gymrecipe.rollouts.chat import Reading
from gymrecipe.rollouts.columns import key_of
from gymrecipe.stages.load import Load
from gymrecipe.stages.write import Write


def unfit(
    steps: list[Step],
    settings: Settings | None,
    named: dict[str, NamedColumn],
    composed: Composed,
) -> Iterator[tuple[str, str]]:
    """Faults that only the whole recipe shows: where each is, and what is wrong."""
    writes, used = writes_of(steps), references(composed.raw)
    if not writes:
        yield "stages", "nothing is written; add {use: write}"
    for step in writes:
        for parameter, said in _unfit_write(step):
            yield f"stages.{step.name}.{parameter}", said
    yield from _not_copied(settings, writes)
    yield from _vain(writes, composed, used)
    yield from _taken_out(writes, composed)
    yield from _set_below(steps, composed, used)
    for step in writes:
        for said in unfit_columns(step, named):
            yield f"stages.{step.name}.columns", said


def _not_copied(settings: Settings | None, writes: list[Step]) -> Iterator[tuple[str, str]]:
    """That `output_jsonl_fpath` has not the one data file that it is a copy of."""
    if settings is None or not settings.output_jsonl_fpath:
        return
    if len(writes) == 1 and writes[0].takes != "metrics":
        params = writes[0].write
        if params.written_as == "jsonl" and not params.shard_rows:
            return
    said = "needs a recipe with one write of examples, as jsonl and without shards"
    yield "output_jsonl_fpath", said


def _set_below(
    steps: list[Step], composed: Composed, used: Container[str]
) -> Iterator[tuple[str, str]]:
    """The overrides of a shared knob that the recipe sets itself wherever it counts."""
    for name in composed.base:
        if name == "columns":  # at the top they are names for paths, in a write what stands there
            continue
        takers = [step.name for step in steps if isinstance(step.params, Load | Write)
                  and name in type(step.params).model_fields]  # fmt: skip
        own = [taker for taker in takers if name in composed.values["stages"][taker]]
        if name in composed.overridden and takers and own == takers and name not in used:
            places = ", ".join(f"stages.{taker}.{name}" for taker in own)
            yield name, f"changes nothing here: this recipe sets it in {places}; override that"


def _vain(
    writes: list[Step], composed: Composed, used: Container[str]
) -> Iterator[tuple[str, str]]:
    """The overrides that no write can use, and why. What a recipe sets itself is no fault."""
    for key in composed.overridden:
        above, _, name = key.rpartition(".")
        takers = [step for step in writes if above in ("", f"stages.{step.name}")]
        if name == "materialized_inputs" and above in ("", "stages.load"):
            takers, name = writes, "verifier_fields"
        elif not takers or (not above and (name not in composed.base or name in used)):
            continue
        why = [_idle(step).get(name) for step in takers]
        usual = Write.model_fields.get(name)
        asked = usual and any(getattr(step.params, name) != usual.default for step in takers)
        if why and all(why) and (asked or key.endswith("materialized_inputs")):
            yield key, f"changes nothing here: {why[0]}"


def _taken_out(writes: list[Step], composed: Composed) -> Iterator[tuple[str, str]]:
    """The columns that overrides leave out of a write, though it has none of the name.

    A recipe file is not asked: that of a version has what an override left out of its recipe.
    """
    for step in writes:
        key = f"stages.{step.name}.columns"
        written, columns = at(composed.file, key), step.write.columns
        asked = any(name == key or name.startswith(f"{key}.") for name in composed.overridden)
        if step.takes == "metrics" or not asked or isinstance(written, str):
            continue
        given = columns.items() if isinstance(columns, dict) else ()
        there = [*STANDARD[step.purpose], *(written or ())]
        for name in [name for name, to in given if to is None and name not in there]:
            listed = ", ".join(dict.fromkeys(map(str, there)))
            said = f"'{name}' is no column here that null could leave out; there are {listed}."
            yield key, said + hint(name, map(str, there))


def _idle(step: Step) -> dict[str, str]:
    """The parameters of a write that change nothing of such rows in its format, and why."""
    if step.takes == "metrics":
        said = "figures are written as they are"
        return dict.fromkeys(Write.model_fields.keys() - {"use", "file", "seed"}, said)
    idle: dict[str, str] = {}
    purpose, format = step.purpose, step.write.format
    if purpose != "rl":
        said = f"it is for prompts for RL, and this write is for {purpose}"
        idle |= dict.fromkeys(("agent", "verifier_fields"), said)
    else:
        said = "it is about answers, and a row for rl has what was asked alone"
        idle |= dict.fromkeys(("ending", "refusals", "truncated"), said)
    if purpose == "rl" and FORMATS[format].copies_request:
        said = f"rows for rl in '{format}' are the requests as they stand"
        idle |= dict.fromkeys(("developer", "system", "reasoning"), said)
    if format != "rendered":
        said = f"it is for format=rendered, and this is {format}"
        names = ("tokenizer", "chat_template", "chat_template_kwargs")
        idle |= dict.fromkeys(names, said)
    if purpose in FORMATS[format].without_ids:
        idle["token_ids"] = f"'{format}' has no place for token ids in rows for {purpose}"
    if format == "raw":
        said = "format=raw copies the lines as they are"
        idle |= dict.fromkeys((*Reading.__struct_fields__, "pairs_at"), said)
    if step.takes != "pairs":
        idle["pairs_at"] = f"it is for pairs, and this write takes {step.takes}"
    return idle


def _unfit_write(step: Step) -> Iterator[tuple[str, str]]:
    """The parameters of a write that do not fit its rows or its format, and why."""
    params, chosen = step.write, FORMATS[step.write.format]
    if step.takes == "metrics":
        if params.file == "parquet":
            yield "file", "figures are written as jsonl; set file: jsonl"
        return
    yield from _unfit_purpose(step, chosen)
    if params.file and params.file not in chosen.files:
        yield "file", _other_file(params.file, chosen, step.purpose)
    if step.takes == "pairs" and params.pairs_at and params.pairs_at not in chosen.pairs_at:
        able = " or ".join(chosen.pairs_at)
        yield "pairs_at", f"'{chosen.name}' carries pairs at {able} only, as its trainer does"
    if step.crosses_prompts:
        yield from _unfit_across_prompts(params, chosen)
    if step.purpose == "rl" and chosen.copies_request:
        yield from _unfit_verifier(params, chosen)


def _unfit_purpose(step: Step, chosen: Format) -> Iterator[tuple[str, str]]:
    """What stands in the way of the purpose: the unit of the rows, or the format."""
    purpose = step.purpose
    if purpose not in POSSIBLE[step.takes]:
        said = f"{step.takes} cannot be written for {purpose}, only for "
        said += " or ".join(POSSIBLE[step.takes])
        if purpose == "rl":
            said += "; add {use: tasks} before it, which makes one row a prompt"
        yield "purpose", said
    elif purpose == "kto" and not any(up.stage.name == "label" for up in step.above):
        yield "purpose", "needs labels; add {use: label, high: 0.7, low: 0.4} before it"
    elif purpose not in chosen.purposes:
        able = sorted(name for name, other in FORMATS.items() if purpose in other.purposes)
        instead = f"For {purpose} there is {', '.join(able) or 'no format yet'}"
        yield (
            "format",
            f"'{chosen.name}' has no form for {purpose}; it has one for"
            f" {', '.join(chosen.purposes)}. {chosen.advice.get(purpose, instead)}",
        )


def _other_file(file: File, chosen: Format, purpose: Purpose) -> str:
    """As what a format is written, and which other ones are written as such a file."""
    files = " or ".join(chosen.files)
    able = sorted(
        name
        for name, other in FORMATS.items()
        if purpose in other.purposes and file in other.files and name != "custom"
    )
    other_way = f" ({file}: format {' or '.join(able)})" if able else ""
    return f"'{chosen.name}' is written as {files}; set file: {files}{other_way}"


def _unfit_across_prompts(params: Write, chosen: Format) -> Iterator[tuple[str, str]]:
    """What pairs whose sides have different prompts cannot be written as."""
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


def _unfit_verifier(params: Write, chosen: Format) -> Iterator[tuple[str, str]]:
    """The fields of a verifier that would stand in the place of a key or a column of the record."""
    beside = columns_of(params, "rl").values()
    for field in params.verifier_fields or ():
        if (key := key_of(field)) in REQUEST:
            yield "verifier_fields", f"'{field}': '{chosen.name}' writes '{key}' itself"
        elif key in beside:
            said = f"'{field}' would stand in place of the column '{key}'; name that otherwise"
            yield "verifier_fields", f"{said} in columns, or leave it out"
