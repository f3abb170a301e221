"""The plan: a composed recipe, checked, with every fault found before a byte is read."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

import gymrecipe.formats as formats
import gymrecipe.stages as stages
from gymrecipe.errors import RecipeError, hint
from gymrecipe.recipe import Composed, as_yaml, references
from gymrecipe.registry import (
    FORMATS,
    STAGES,
    Of,
    Optional,
    Params,
    Purpose,
    Reads,
    ReadsWhere,
    Stage,
    marked,
)
from gymrecipe.rollouts.columns import (
    BUILT_IN,
    PAIR_COLUMNS,
    Column,
    Kind,
    Path,
    merge,
    name_of,
    parse_path,
)
from gymrecipe.stages import where as language
from gymrecipe.stages.balance import GENERAL
from gymrecipe.stages.load import Load
from gymrecipe.stages.write import Write

__all__ = ["Example", "NamedColumn", "Plan", "Settings", "Step", "formats", "plan", "stages"]

KEYWORDS = ("use", "from", "after")
DEFAULT_PURPOSE: dict[str, Purpose] = {"rollouts": "sft", "pairs": "dpo", "tasks": "rl"}
QUANTILE = re.compile(r"p(100|\d{1,2}(\.\d+)?)")
_Text = Annotated[str, BeforeValidator(lambda value: value if value is None else str(value))]


class Engine(Params):
    """Where the slices are worked on."""

    use: str = "local"
    workers: Annotated[int, Field(ge=1)] | None = None


class Settings(Params):
    """What concerns a run and not its data: where, under which name, and what is shown."""

    output_dir: _Text = "experiments"
    name: _Text
    engine: Engine = Engine()
    again: bool = False
    dry_run: bool = False
    json_: Annotated[bool, Field(alias="json")] = False
    tag: _Text | None = None
    output_jsonl_fpath: _Text | None = None

    @field_validator("name", "tag")
    @classmethod
    def _safe(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value):
            raise ValueError("should be letters, digits, '.', '_' and '-', up to 100 of them")
        return value


class NamedColumn(Params):
    """A name for a path in the line, with the part of its text that a pattern finds."""

    path: str | list[str]
    regex: str | None = None
    default: str | None = None

    @field_validator("path")
    @classmethod
    def _paths(cls, value: str | list[str]) -> str | list[str]:
        for path in [value] if isinstance(value, str) else value:
            parse_path(path)
        return value

    @field_validator("regex")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        import polars as pl

        if value is not None:
            if len(value) > 1_000:
                raise ValueError("should be at most 1,000 characters")
            try:
                pl.Series([""]).str.extract(value, 1)
            except pl.exceptions.PolarsError as error:
                raise ValueError(f"is not a regular expression we can run: {error}") from None
        return value


class Example(BaseModel):
    """A few inline rollouts of a recipe, and what becomes of each."""

    model_config = ConfigDict(extra="forbid", strict=True)
    rollouts: list[dict[str, Any]]
    becomes: list[str]


class Step(msgspec.Struct, frozen=True):
    """One stage of a recipe: its name there, its parameters, and whose result it takes."""

    name: str
    stage: Stage
    params: Params
    source: str | None
    takes: str
    makes: str


class Plan(msgspec.Struct, frozen=True):
    """A recipe that can be run: its steps in order, and the columns that they read."""

    steps: tuple[Step, ...]
    columns: tuple[Column, ...]
    named: dict[str, NamedColumn]
    settings: Settings
    parameters: dict[str, Any]
    examples: dict[str, Example]
    recipe_yaml: str
    recipe_path: str
    recipe_folder: str
    overrides: tuple[str, ...] = ()
    command: str = ""

    @property
    def load(self) -> Load:
        """The parameters of the one load."""
        params = self.steps[0].params
        assert isinstance(params, Load)
        return params

    def above(self, step: Step) -> list[Step]:
        """The steps whose results came into this one, the nearest first."""
        return list(_above(step, {other.name: other for other in self.steps}))

    def crosses_prompts(self, step: Step) -> bool:
        """Whether the pairs that reach a step may have different prompts."""
        return any(getattr(above.params, "across_prompts", False) for above in self.above(step))


def plan(composed: Composed) -> Plan:
    """Check a composed recipe. Raises RecipeError with everything that is wrong with it."""
    problems: list[str] = []
    values = dict(composed.values)
    stage_values = values.pop("stages", None)
    example_values = values.pop("examples", {}) or {}
    named = _named(values.pop("columns", {}) or {}, composed, problems)
    knobs = values
    problems += _unknown(composed, knobs)
    settings = _settings(knobs, composed, problems)
    examples = _examples(example_values, composed, problems)
    steps: list[Step] = []
    if not isinstance(stage_values, dict) or not stage_values:
        problems.append(_at(composed, "stages", "a recipe needs stages, such as load and write"))
    else:
        steps = _steps(stage_values, knobs, composed, problems)
    columns: list[Column] = []
    if not problems:
        try:
            columns = merge(_columns(steps, named))
            problems += _consistent(steps, settings, composed)
        except RecipeError as error:
            problems += [f"{composed.path}: {problem}" for problem in error.problems]
    if problems or settings is None:
        raise RecipeError(*problems)
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
    )


def rebuild(
    parameters: dict[str, Any],
    steps: Iterable[tuple[str, str, str | None, dict[str, Any]]],
    settings: Settings,
) -> Plan:
    """A plan from a manifest alone: the knobs, and each step's name, use, source, parameters."""
    named = {
        name: NamedColumn.model_validate(value)
        for name, value in parameters.get("columns", {}).items()
    }
    made: dict[str, str] = {}
    built = []
    for name, use, source, params in steps:
        entry = STAGES.get(use)
        if entry is None:
            raise RecipeError(f"stages.{name}: no stage is named '{use}'; is a plugin missing?")
        takes = made[source] if source else ""
        makes = entry.makes or takes
        made[name] = makes
        built.append(
            Step(name, entry, entry.params.model_validate(params), source, takes, makes)
        )
    return Plan(
        steps=tuple(built),
        columns=tuple(merge(_columns(built, named))),
        named=named,
        settings=settings,
        parameters=parameters,
        examples={},
        recipe_yaml="",
        recipe_path="",
        recipe_folder="",
    )


def _at(composed: Composed, path: str, problem: str) -> str:
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


def _unknown(composed: Composed, knobs: dict[str, Any]) -> Iterator[str]:
    used = references(composed.raw.get("stages")) | references(composed.raw.get("columns"))
    for name in knobs:
        used |= references(composed.raw.get(name))
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


def _settings(
    knobs: dict[str, Any], composed: Composed, problems: list[str]
) -> Settings | None:
    names = ("output_dir", "engine", "again", "dry_run", "json", "tag", "output_jsonl_fpath")
    chosen = {name: knobs[name] for name in names}
    chosen["name"] = knobs["name"] if knobs["name"] is not None else composed.name
    try:
        return Settings.model_validate(chosen)
    except ValidationError as error:
        problems += _explain(error, "", composed, list(composed.base), "settings")
        return None


def _named(
    values: dict[str, Any], composed: Composed, problems: list[str]
) -> dict[str, NamedColumn]:
    named = {}
    for name, value in values.items():
        if name in BUILT_IN or not re.fullmatch(r"[A-Za-z_]\w*", name):
            problems.append(
                _at(composed, f"columns.{name}", "not a free name; choose another identifier")
            )
            continue
        value = {"path": value} if isinstance(value, str) else value
        try:
            named[name] = NamedColumn.model_validate(value)
        except ValidationError as error:
            takes = list(NamedColumn.model_fields)
            problems += _explain(error, f"columns.{name}", composed, takes, "a column")
    return named


def _examples(
    values: dict[str, Any], composed: Composed, problems: list[str]
) -> dict[str, Example]:
    examples = {}
    for name, value in values.items():
        try:
            examples[name] = Example.model_validate(value)
        except ValidationError as error:
            takes = list(Example.model_fields)
            problems += _explain(error, f"examples.{name}", composed, takes, "an example")
    return examples


def _steps(
    values: dict[str, Any], knobs: dict[str, Any], composed: Composed, problems: list[str]
) -> list[Step]:
    ordered = _ordered(values, composed, problems)
    steps: list[Step] = []
    made: dict[str, str] = {}
    previous: str | None = None
    for name, source in ordered:
        value = values[name]
        at = f"stages.{name}"
        if not isinstance(value, dict) or not isinstance(value.get("use"), str):
            known = [other for other, it in values.items() if isinstance(it, dict) and "use" in it]
            problems.append(
                _at(composed, at, f"there is no such stage; a stage says what it uses, such as"
                    f" {{use: filter}}.{hint(name, known)}")
            )
            continue
        entry = STAGES.get(value["use"])
        if entry is None:
            problems.append(
                _at(composed, f"{at}.use", f"no stage is named '{value['use']}'. There are"
                    f" {', '.join(sorted(STAGES))}.{hint(value['use'], STAGES)}")
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
                problems.append(_at(composed, at, "the first stage must be a load"))
                continue
            takes = made.get(source, "rollouts")
            if takes == "nothing":
                problems.append(
                    _at(composed, at, f"comes after '{source}', which makes nothing to take;"
                        " say whose result it takes, such as from: load")
                )
                takes = entry.takes[0]
            elif takes not in entry.takes:
                problems.append(
                    _at(composed, at, f"'{entry.name}' takes {' or '.join(entry.takes)}, but"
                        f" '{source}' makes {takes}. Move it, or say from: another stage")
                )
        makes = entry.makes or takes
        made[name] = makes
        previous = name
        if params is not None:
            steps.append(Step(name, entry, params, source, takes, makes))
    taken = {step.source for step in steps}
    if len([step for step in steps if not step.stage.takes]) > 1:
        problems.append(_at(composed, "stages", "there can be one load; give it several inputs"))
    for step in steps:
        if step.makes != "nothing" and step.name not in taken and not problems:
            problems.append(
                _at(composed, f"stages.{step.name}", "no stage takes its result;"
                    " add a write after it, or take it out")
            )
    return steps


def _ordered(
    values: dict[str, Any], composed: Composed, problems: list[str]
) -> list[tuple[str, str | None]]:
    """The stages in running order, each with the source that it names."""
    order: list[str] = []
    sources: dict[str, str | None] = {}
    late = []
    for name, value in values.items():
        value = value if isinstance(value, dict) else {}
        (late if value.get("after") is not None else order).append(name)
        sources[name] = value.get("from")
    for name in late:
        after = values[name]["after"]
        if after not in order:
            problems.append(
                _at(composed, f"stages.{name}.after", f"there is no stage '{after}'."
                    f"{hint(str(after), order)}")
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
                _at(composed, f"stages.{name}.from", f"there is no stage '{source}' before it."
                    f"{hint(str(source), order[:place])}")
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
        problems += _explain(error, f"stages.{name}", composed, takes, f"'{entry.name}'")
        return None


def _explain(
    error: ValidationError, at: str, composed: Composed, takes: list[str], what: str
) -> list[str]:
    """Pydantic's errors in our words: where, what is wrong, the value, what is allowed."""
    grouped: dict[str, list[Any]] = {}
    for problem in error.errors(include_url=False):
        names = [str(part) for part in problem["loc"]]
        path = ".".join(part for part in names if part.isidentifier() or part.isdigit())
        # The branches of a union follow the parameter's name; one line for all of them.
        path = path if problem["type"] == "extra_forbidden" else _parameter(names)
        grouped.setdefault(".".join(part for part in (at, path) if part), []).append(problem)
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
            value = first["input"]
            shown = "" if isinstance(value, dict) else f", got {value!r}"
            said = f"{' or '.join(messages)}{shown}."
        lines.append(_at(composed, path, said))
    return lines


def _parameter(names: list[str]) -> str:
    branches = ("function-", "constrained", "list[", "literal", "float", "int", "str", "dict[")
    inner = itertools.takewhile(lambda name: not name.startswith(branches), names[1:])
    return ".".join([*names[:1], *inner])


def _message(problem: Any) -> str:
    text = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return text[:1].lower() + text[1:]


def _columns(steps: Iterable[Step], named: dict[str, NamedColumn]) -> Iterator[Column]:
    """Every column that a step reads, with the kind that its use says."""
    for step in steps:
        for _, value, mark in marked(step.params, Reads):
            if value is not None and value not in mark.other_than:
                yield from _column(value, mark.kind, step, named)
        for _, value, _mark in marked(step.params, ReadsWhere):
            if isinstance(value, str) and not QUANTILE.fullmatch(value):
                for name, kind in language.parse(value).names.items():
                    yield from _column(name, kind, step, named)
        for _, value, switch in marked(step.params, Optional):
            if value:
                yield Column(switch.column, ((switch.column,),), switch.kind, optional=True)
        if isinstance(step.params, Write):
            for name in step.params.columns:
                if name in named:
                    yield from _column(name, "text", step, named)
            if step.takes == "rollouts" and "task_type" not in named:
                path: Path = ("metadata", "task_type")
                yield Column("task_type", (path,), "text", default=GENERAL)


def _column(
    name: str, kind: Kind, step: Step, named: dict[str, NamedColumn]
) -> Iterator[Column]:
    if step.takes == "pairs":
        if name in PAIR_COLUMNS:
            return
        name = name.removeprefix("chosen_").removeprefix("rejected_")
    if name in BUILT_IN:
        if BUILT_IN[name][0] != kind:
            raise RecipeError(
                f"stages.{step.name}: '{name}' is a {BUILT_IN[name][0]}, used as a {kind}"
            )
        return
    if (column := named.get(name)) is not None:
        paths = [column.path] if isinstance(column.path, str) else column.path
        yield Column(
            name,
            tuple(parse_path(path) for path in paths),
            "text" if column.regex else kind,
            column.regex,
            column.default,
        )
        return
    try:
        path = parse_path(name)
    except ValueError as error:
        raise RecipeError(f"stages.{step.name}: {error}") from None
    yield Column(name_of(path) if name.startswith("field[") else name, (path,), kind)


def _consistent(steps: list[Step], settings: Settings | None, composed: Composed) -> Iterator[str]:
    """Faults that only the whole recipe shows."""
    by_name = {step.name: step for step in steps}
    writes = [step for step in steps if isinstance(step.params, Write)]
    if not writes:
        yield _at(composed, "stages", "nothing is written; add {use: write}")
    for step in writes:
        assert isinstance(step.params, Write)
        chosen = FORMATS[step.params.format]
        at = f"stages.{step.name}.format"
        if step.takes == "metrics":
            continue
        purpose = step.params.purpose or DEFAULT_PURPOSE[step.takes]
        if purpose not in chosen.purposes:
            able = sorted(name for name, other in FORMATS.items() if purpose in other.purposes)
            yield _at(
                composed, at, f"'{chosen.name}' has no form for {purpose}; it has one for"
                f" {', '.join(chosen.purposes)}. For {purpose} there are {', '.join(able)}"
            )
        if step.params.file == "parquet" and not chosen.parquet:
            yield _at(composed, at, f"'{chosen.name}' writes jsonl only; set file: jsonl")
        crossing = any(getattr(up.params, "across_prompts", False) for up in _above(step, by_name))
        if crossing and not chosen.across_prompts:
            able = sorted(name for name, other in FORMATS.items() if other.across_prompts)
            yield _at(
                composed, at, f"'{chosen.name}' needs one prompt for both sides, and"
                f" across_prompts pairs have two; use {' or '.join(able)}"
            )
    if settings and settings.output_jsonl_fpath:
        first = writes[0].params if writes else None
        assert first is None or isinstance(first, Write)
        if len(writes) != 1 or (first and (first.file != "jsonl" or first.shard_rows)):
            yield _at(
                composed,
                "output_jsonl_fpath",
                "needs a recipe with one write, as jsonl and without shards",
            )


def _above(step: Step, by_name: dict[str, Step]) -> Iterator[Step]:
    while step.source is not None:
        step = by_name[step.source]
        yield step


def _recipe_yaml(composed: Composed) -> str:
    """The recipe as it was run: with the values of its knobs, and nothing about this one run."""
    left_out = {
        "output_dir", "engine", "again", "dry_run", "json", "tag", "output_jsonl_fpath", "name",
    }  # fmt: skip
    kept = {name: value for name, value in composed.raw.items() if name not in left_out}
    return as_yaml(kept)
