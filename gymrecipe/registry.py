"""The registry: YAML holds names, this holds the code behind them.

A stage is a plain function and the pydantic model of its parameters, in a file of its own:

    @stage(takes="rollouts", version=1)
    def balance(rollouts: pl.LazyFrame, params: Balance) -> pl.LazyFrame: ...

Its name is the function's, its parameters' type the annotation of `params`. It returns a frame in
which the rows to leave carry a `reason`, or such a frame and its facts: small named tables for the
manifest. A table `warnings` with a column `message` is shown to the user.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Container
from types import SimpleNamespace
from typing import Any, Literal, TypeVar, get_args, get_type_hints

import msgspec

from gymrecipe.errors import hint
from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import Params

Unit = Literal["rollouts", "tasks", "pairs", "metrics"]
Purpose = Literal["sft", "dpo", "kto", "reward_model", "rl", "buffer"]
File = Literal["jsonl", "parquet"]
PairsAt = Literal["trajectory", "decision"]
Reasoning = Literal["field", "think_tags", "drop"]
Facts = dict[str, "pl.LazyFrame"]
Function = TypeVar("Function", bound=Callable[..., Any])


def unit_of(columns: Container[str]) -> Unit:
    """What the rows of a table are, by the columns that only such a table has."""
    if "chosen_row" in columns:
        return "pairs"
    if "rows" in columns:
        return "tasks"
    return "rollouts" if "row" in columns else "metrics"


class Stage(msgspec.Struct, frozen=True):
    """A registered stage. `makes` is None where it makes the unit that it took."""

    name: str
    function: Callable[..., Any]
    params: type[Params]
    takes: tuple[Unit, ...]
    makes: Unit | Literal["nothing"] | None
    version: int
    reads: Literal["rows", "metrics", "facts"]


class Strategy(msgspec.Struct, frozen=True):
    """A registered way to choose pairs among the ranked rollouts of a task."""

    name: str
    function: Callable[..., Any]


class Format(msgspec.Struct, frozen=True):
    """A registered format: the purposes it has a form for, and how it writes one example.

    `guide` says how its trainer loads what was written (see `formats.guide`). `files` are the
    kinds of file it can be written as, the usual one first; `pairs_at` where its pairs can part,
    the usual place first; `reasoning` how the model's thoughts are carried unless a recipe says.
    `across_prompts`: it can write pairs whose sides have different prompts. `copies_request`: its
    RL prompts are the request as it stands, also what of it is not text. `without_ids` are the
    purposes whose records have no place for token ids. `advice` says of a purpose that it has no
    form for what to do instead.
    """

    name: str
    function: Callable[..., Any]
    purposes: tuple[Purpose, ...]
    version: int
    guide: Callable[..., Any] | None
    files: tuple[File, ...]
    pairs_at: tuple[PairsAt, ...]
    reasoning: Reasoning
    across_prompts: bool
    copies_request: bool
    without_ids: tuple[Purpose, ...]
    advice: dict[Purpose, str]


class Check(msgspec.Struct, frozen=True):
    """A registered figure that `validate` holds against limits, and what to do about it."""

    name: str
    function: Callable[..., Any]
    takes: tuple[Unit, ...]
    advice: str


Entry = Stage | Strategy | Format | Check

STAGES: dict[str, Stage] = {}
STRATEGIES: dict[str, Strategy] = {}
FORMATS: dict[str, Format] = {}
CHECKS: dict[str, Check] = {}
PLUGINS: list[str] = []
"""Modules beyond ours that were loaded as plugins or registered something; workers import them
too, and their code is part of a version's id.
"""


def _add(kind: str, table: dict[str, Any], entry: Entry) -> None:
    if entry.name in table:
        raise ValueError(f"a {kind} named '{entry.name}' is registered already")
    table[entry.name] = entry
    remember(entry.function.__module__)


def remember(module: str) -> None:
    """Count a module among the plugins, unless it is one of ours."""
    if not _is_of_gymrecipe(module) and module not in PLUGINS:
        PLUGINS.append(module)


def is_ours(entry: Entry) -> bool:
    """Whether what is registered is of gymrecipe itself, and of no plugin."""
    return _is_of_gymrecipe(entry.function.__module__)


def _is_of_gymrecipe(module: str) -> bool:
    return module.partition(".")[0] == "gymrecipe"


def stage(
    *,
    takes: Unit | tuple[Unit, ...],
    makes: Unit | Literal["nothing"] | None = None,
    version: int,
    reads: Literal["rows", "metrics", "facts"] = "rows",
) -> Callable[[Function], Function]:
    """Register a stage under its function's name.

    `reads="metrics"` hands it every numeric metric long-form (`row`, `metric`, `value`) instead
    of the rows, `reads="facts"` the facts of the stages before it as a third argument.
    """

    def register(function: Function) -> Function:
        units = (takes,) if isinstance(takes, str) else takes
        what = f"the stage '{function.__name__}'"
        made = () if makes in (None, "nothing") else (makes,)
        _all_of(f"{what} takes or makes", (*units, *made), Unit)
        params = _params(function)
        entry = Stage(function.__name__, function, params, units, makes, version, reads)
        _add("stage", STAGES, entry)
        return function

    return register


def _params(function: Callable[..., Any]) -> type[Params]:
    """What `params` is annotated with; to look at the others would import Polars."""
    said = {name: what for name, what in function.__annotations__.items() if name == "params"}
    globals = vars(sys.modules[function.__module__])
    alone = SimpleNamespace(__annotations__=said)
    params = get_type_hints(alone, globals, include_extras=True).get("params")
    name = function.__name__
    if not isinstance(params, type) or not issubclass(params, Params):
        raise TypeError(
            f"the stage '{name}' needs a second parameter `params` that is annotated with its"
            " model, which is a class of Params"
        )
    use = params.model_fields.get("use")
    if use is None or get_args(use.annotation) not in ((), (name,)):
        raise TypeError(
            f"the model {params.__name__} of the stage '{name}' needs a field"
            f""" `use: Literal["{name}"] = "{name}"`"""
        )
    return params


def _all_of(said: str, names: Any, allowed: Any) -> None:
    """Raise where one of the names is not of a Literal, or where a text stands for several."""
    known = get_args(allowed)
    if isinstance(names, str):
        raise TypeError(f"""{said} the text "{names}"; write a tuple, ("{names}",)""")
    for name in names:
        if name not in known:
            listed = ", ".join(known)
            raise ValueError(f"{said} '{name}'; there are {listed}.{hint(str(name), known)}")


def strategy(function: Function) -> Function:
    """Register a pairing strategy under its function's name."""
    _add("strategy", STRATEGIES, Strategy(function.__name__, function))
    return function


def format(
    *,
    purposes: tuple[Purpose, ...],
    version: int,
    guide: Callable[..., Any] | None = None,
    files: tuple[File, ...] = ("jsonl", "parquet"),
    pairs_at: tuple[PairsAt, ...] = ("trajectory", "decision"),
    reasoning: Reasoning = "field",
    across_prompts: bool = False,
    copies_request: bool = False,
    without_ids: tuple[Purpose, ...] = (),
    advice: dict[Purpose, str] | None = None,
) -> Callable[[Function], Function]:
    """Register a format under its function's name; see `Format` for the rest."""

    def register(function: Function) -> Function:
        what = f"the format '{function.__name__}' has"
        _all_of(f"{what} the purposes", purposes, Purpose)
        _all_of(f"{what} the files", files, File)
        _all_of(f"{what} pairs_at", pairs_at, PairsAt)
        _all_of(f"{what} reasoning", (reasoning,), Reasoning)
        _all_of(f"{what} without_ids", without_ids, Purpose)
        entry = Format(
            function.__name__, function, purposes, version, guide, files, pairs_at, reasoning,
            across_prompts, copies_request, without_ids, advice or {},
        )  # fmt: skip
        _add("format", FORMATS, entry)
        return function

    return register


def check(*, takes: tuple[Unit, ...], advice: str) -> Callable[[Function], Function]:
    """Register a check under its function's name; the function gives the figure, or None."""

    def register(function: Function) -> Function:
        _all_of(f"the check '{function.__name__}' takes", takes, Unit)
        _add("check", CHECKS, Check(function.__name__, function, takes, advice))
        return function

    return register


def summary(function: Callable[..., Any]) -> str:
    """The first sentence of a docstring, as the verbs show it."""
    text = inspect.getdoc(function) or ""
    return " ".join(text.split("\n\n")[0].split())
