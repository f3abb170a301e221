"""Laws that hold for every registered stage; a new stage gets them unasked."""

from __future__ import annotations

import ast
import inspect
import random
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import BaseModel

import gymrecipe.formats
import gymrecipe.stages
from gymrecipe.parameters import Params, documentation
from gymrecipe.reasons import FATES
from gymrecipe.registry import STAGES, STRATEGIES, Stage
from gymrecipe.rollouts.columns import MADE
from gymrecipe.stages.validate import LIMITS
from tests.stages.conftest import call, rollouts, shuffles

assert gymrecipe.stages

OURS = sorted(
    name for name, entry in STAGES.items() if entry.function.__module__.startswith("gymrecipe.")
)
VALUES: dict[str, list[dict[str, Any]]] = {
    "aggregate": [{}],
    "balance": [
        {"most": 2},
        {"most": 3, "by": "category", "prefer": "reward"},
        {"by": "category", "proportions": {"a": 2, "b": 1}, "prefer": "shortest"},
        {"by": "label", "proportions": {"desirable": [3, 4], "undesirable": 3}},
    ],
    "dedup": [{"same": "answer"}, {"same": "prompt"}],
    "filter": [
        {"completed": True, "min_reward": 0.4, "max_turns": 3, "require_success": True},
        {"where": "reward > 0.3 and turns < 4", "require_tool_usage": True},
        {"min_success_rate": 0.2, "max_success_rate": 0.9, "success_at": 0.5},
        {"where": "0 < success_rate < 1 and rollouts > 2"},
    ],
    "pair": [
        *({"strategy": name, "min_gap": 0.2, "ties": "shortest"} for name in sorted(STRATEGIES)),
        {"strategy": "all", "max_pairs_per_task": 2},
        {"strategy": "tiers", "across_prompts": True, "max_pairs": 4},
    ],
    "label": [{}, {"by": "reward", "high": 0.5, "low": 0.5}],
    "sample": [{"sizes": [2, 3, 4]}, {"by": "success_rate", "sizes": [1, 1, 1]}],
    "tasks": [{}, {"success_at": 0.5}],
    "validate": [{"purpose": name, "checks": {"rows": {"min": 100}}} for name in sorted(LIMITS)],
    "write": [{"validation_fraction": 0.4, "order": "shuffled"}],
}
"""What the laws are tried with; `load` is not here, for its rows come from the scan."""

CASES = [
    pytest.param(STAGES[name], STAGES[name].params.model_validate(values), id=f"{name}-{i}")
    for name in OURS
    for i, values in enumerate(VALUES.get(name, []))
]


@cache
def table(size: int = 60) -> pl.LazyFrame:
    """Rollouts of every kind: tasks and prompts that overlap, ties, missing values, flags."""
    chance = random.Random(5)

    def column(*values: Any) -> list[Any]:
        return [chance.choice(values) for _ in range(size)]

    draws = [place / size for place in range(size)]
    chance.shuffle(draws)
    return rollouts(
        {
            "draw": draws,
            "task_key": column(None, 1, 2, 3, 4, 5, 6, 7, 8),
            "prompt_key": column(None, 5, 5, 5, 6),
            "reward": column(None, 0.0, 0.2, 0.5, 0.7, 0.8, 1.0),
            "answer_key": column(1, 2, 3, 4, 5),
            "answer_chars": column(10, 20, 30),
            "turns": column(1, 2, 3, 4),
            "tool_calls": column(0, 1),
            "truncated": column(False, False, True),
            "failed": column(False, False, True),
            "success": column(None, False, True),
            "category": column(None, "a", "b", "general"),
            "label": column(False, True),
        }
    )


def metrics() -> pl.LazyFrame:
    return table().select("row", metric=pl.lit("reward"), value="reward").drop_nulls()


@cache
def pair_table() -> pl.LazyFrame:
    whole = STAGES["pair"].function(table(), STAGES["pair"].params())[0]
    return whole.filter(pl.col("reason").is_null()).drop("reason").collect().lazy()


@cache
def task_table() -> pl.LazyFrame:
    whole = STAGES["tasks"].function(table(), STAGES["tasks"].params())[0]
    return whole.filter(pl.col("reason").is_null()).drop("reason").collect().lazy()


INPUTS: dict[str, Callable[[], pl.LazyFrame]] = {
    "rollouts": table,
    "tasks": task_table,
    "pairs": pair_table,
}


def inputs(entry: Stage) -> list[pl.LazyFrame]:
    if entry.reads == "metrics":
        return [metrics()]
    return [INPUTS[unit]() for unit in entry.takes if unit in INPUTS]


MADE_OF: dict[tuple[str, str, int], tuple[pl.LazyFrame, tuple[pl.DataFrame, Any]]] = {}
"""What was made of which rows; they are kept, so that no others get their number."""


def made_of(entry: Stage, params: Params, rows: pl.LazyFrame) -> tuple[pl.DataFrame, Any]:
    """What a stage makes of the rows: made once for all laws."""
    key = entry.name, params.model_dump_json(), id(rows)
    if key not in MADE_OF:
        MADE_OF[key] = rows, call(rows, params, *_more(entry.name))
    return MADE_OF[key][1]


def _more(stage: str) -> tuple[Any, ...]:
    return ({"rewards": [{"n": 9, "distinct": 3}]},) if STAGES[stage].reads == "facts" else ()


def fits(params: Params, rows: pl.LazyFrame) -> bool:
    """Whether the rows have the columns that a stage with these parameters reads: of filter's
    criteria few mean something on tasks and pairs, and those have other names.
    """
    try:
        made = STAGES[params.use].function(rows, params, *_more(params.use))  # type: ignore[attr-defined]
        (made[0] if isinstance(made, tuple) else made).collect_schema()
    except pl.exceptions.ColumnNotFoundError:
        return False
    return True


def test_every_stage_is_tried() -> None:
    assert set(OURS) - {"load"} == VALUES.keys()


@pytest.mark.parametrize(("entry", "params"), CASES)
def test_every_case_fits_some_rows(entry: Stage, params: Params) -> None:
    assert any(fits(params, rows) for rows in inputs(entry))


@pytest.mark.parametrize("name", OURS)
def test_every_stage_has_a_file_and_tests_of_its_name(name: str) -> None:
    assert Path(inspect.getfile(STAGES[name].function)).name == f"{name}.py"
    if name != "load":
        assert Path(__file__).with_name(f"test_{name}.py").exists()


@pytest.mark.parametrize("name", OURS)
def test_every_parameter_says_what_it_does(name: str) -> None:
    about = documentation(STAGES[name].params)
    for parameter in STAGES[name].params.model_fields:
        said = about.get(parameter, "")
        assert parameter == "use" or re.search(r"[.)]$", said), f"{name}.{parameter}: {said!r}"


@pytest.mark.parametrize("name", OURS)
def test_every_stage_and_its_parameters_say_what_they_are_for(name: str) -> None:
    assert len(inspect.getdoc(STAGES[name].function) or "") > 30
    assert "params" in inspect.signature(STAGES[name].function).parameters
    assert STAGES[name].params.__doc__ not in (None, BaseModel.__doc__, Params.__doc__)


@pytest.mark.parametrize("name", OURS)
def test_the_parameter_use_names_the_stage(name: str) -> None:
    assert STAGES[name].params.model_fields["use"].default == name


@pytest.mark.parametrize("name", OURS)
def test_unknown_parameters_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no_such_parameter"):
        STAGES[name].params.model_validate({"no_such_parameter": 1})


@pytest.mark.parametrize(("entry", "params"), CASES)
def test_parameters_can_be_read_back_from_a_manifest(entry: Stage, params: Params) -> None:
    assert entry.params.model_validate(params.model_dump(mode="json")) == params


@pytest.mark.parametrize(("entry", "params"), CASES)
def test_what_is_kept_and_what_is_rejected_add_up(entry: Stage, params: Params) -> None:
    for rows in inputs(entry):
        if entry.makes in ("tasks", "pairs", "metrics") or not fits(params, rows):
            continue
        before = rows.collect()
        after, _ = made_of(entry, params, rows)
        key = "row" if "row" in before.columns else ["chosen_row", "rejected_row"]
        before = before.drop(MADE.get(entry.name, {}), strict=False)
        assert after.select(before.columns).sort(key).equals(before.sort(key))


def test_every_rollout_is_in_a_pair_or_has_one_reason() -> None:
    for values in VALUES["pair"]:
        after, _ = made_of(STAGES["pair"], STAGES["pair"].params.model_validate(values), table())
        whole = after.filter(pl.col("reason").is_null())
        halves = after.filter(pl.col("reason").is_not_null())["chosen_row"].to_list()
        inside = {*whole["chosen_row"], *whole["rejected_row"]}
        assert sorted([*inside, *halves]) == list(range(60))


@pytest.mark.parametrize(("entry", "params"), CASES)
def test_shuffled_rows_have_the_same_fates(entry: Stage, params: Params) -> None:
    for rows in inputs(entry):
        if not fits(params, rows):
            continue
        after, facts = made_of(entry, params, rows)
        order = [name for name in ("row", "chosen_row", "rejected_row") if name in after.columns]
        for shuffled in shuffles(rows):
            again, again_facts = made_of(entry, params, shuffled)
            same = again.sort(order).equals(after.sort(order)) if order else again.equals(after)
            assert same
            assert again_facts == facts


@pytest.mark.parametrize(("entry", "params"), CASES)
def test_an_empty_table_has_the_same_columns(entry: Stage, params: Params) -> None:
    for rows in inputs(entry):
        if fits(params, rows):
            after, facts = made_of(entry, params, rows)
            empty, no_facts = made_of(entry, params, rows.clear())
            assert empty.schema == after.schema
            assert no_facts.keys() == facts.keys()


@pytest.mark.parametrize(("entry", "params"), CASES)
def test_every_reason_is_named_in_the_documentation(entry: Stage, params: Params) -> None:
    written = inspect.getsource(inspect.getmodule(entry.function) or entry.function)
    names = set(re.findall(r"[`\"]([a-z_<>]+)[`\"]", written)) | FATES.keys()
    for rows in inputs(entry):
        if fits(params, rows):
            for reason in made_of(entry, params, rows)[0]["reason"].drop_nulls().unique():
                general = re.sub(r"^(missing_|below_min_|above_max_)\w+", r"\1<name>", reason)
                assert {reason, general, "missing_<by>", "missing_<metric>"} & names


(FOLDER,) = map(Path, gymrecipe.stages.__path__)
FILES = {path.stem for path in FOLDER.glob("*.py")}
FORBIDDEN = {
    "datetime", "glob", "io", "multiprocessing", "numpy", "os", "pathlib", "random", "secrets",
    "shutil", "socket", "subprocess", "tempfile", "threading", "time", "uuid",
}  # fmt: skip
CALLS = {"open", "hash", "id", "print", "input", "eval", "exec", "sample", "shuffle"}


@pytest.mark.parametrize("name", sorted(FILES - {"where"}))  # which reads a text as a file
def test_a_stage_reads_no_clock_no_chance_and_no_file(name: str) -> None:
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & FORBIDDEN
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in FORBIDDEN
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in CALLS
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith(("scan_", "read_", "sink_", "write_", "hash"))
