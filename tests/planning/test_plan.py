"""Plans: every fault before a byte is read, and a version's record gives the same plan again."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Literal, get_args, get_origin

import msgspec
import pytest

from gymrecipe.errors import RecipeError
from gymrecipe.guards import references
from gymrecipe.planning.plan import Plan, plan, rebuild
from gymrecipe.planning.settings import NamedColumn, Settings
from gymrecipe.recipe.composing import compose
from gymrecipe.recipe.finding import description, locate, recipes
from gymrecipe.recipe.overrides import split_recipe
from gymrecipe.stages.load import Load
from gymrecipe.stages.write import Write
from tests.planning.conftest import planned, problems

TAIL = "stages:\n  load: {use: load}\n  write: {use: write}\n"
USING_C = TAIL.replace("use: write", "use: write, columns: [c]")
OVERRIDES = {
    "dpo_same_prompt": [
        "stages.pair.strategy=best_vs_worst", "+stages.d={use: dedup, after: usable}", "seed=3",
        "input=[a b.jsonl,'c,d.jsonl']", 'stages.usable.where=reward >= 0.5 and a == "x"',
    ],
    "balanced": [
        r"columns.category.regex='\s(\w+)'", "per_category=3",
        """stages.write.columns={'field["pass@1"]': p, category: null}""",
    ],
    "sft_and_dpo": ["~stages.check", "tag=1.10", "name=x", "min_gap=1e-5"],
    "sft_threshold": ["stages.good.min_reward=p90", "group_by=consecutive", "num_repeats=4"],
    "ppo": ["metrics=[accuracy]", "limit=5", "validation_fraction=0.1"],
}  # fmt: skip

GIVEN = [*((name, []) for name in recipes()), *OVERRIDES.items()]
"""Every recipe as it is, and some with overrides."""


# --- the recipes that ship


@pytest.mark.parametrize("name", recipes())
def test_a_shipped_recipe_opens_with_a_command_that_plans(name: str) -> None:
    first, command, blank, *when = description(locate(name)).split("\n")
    assert first.endswith(".")
    words = shlex.split(command.removeprefix("  "))
    assert words[:4] == ["python", "-m", "gymrecipe", f"+recipe={name}"]
    recipe, overrides = split_recipe(words[3:])
    assert plan(compose(locate(recipe or ""), overrides)).settings.name == name
    assert not blank
    assert when


@pytest.mark.parametrize("name", recipes())
def test_every_knob_of_a_shipped_recipe_is_used(name: str) -> None:
    composed = compose(locate(name), [])
    shared = {*composed.base, "stages", "examples"}
    assert set(composed.raw) - shared <= references(composed.raw)


@cache
def plan_of(name: str, *overrides: str) -> Plan:
    """The plan of a recipe; made once."""
    return plan(compose(locate(name), overrides))


@pytest.mark.parametrize(("name", "overrides"), GIVEN)
def test_the_dumped_recipe_gives_the_same_plan_again(
    name: str, overrides: list[str], tmp_path: Path
) -> None:
    first = plan_of(name, *overrides)
    path = tmp_path / "recipe.yaml"
    path.write_text(first.recipe_yaml)
    again = plan(compose(path, []))
    assert again.steps == first.steps
    assert (again.columns, again.named, again.examples) == (
        first.columns, first.named, first.examples,
    )  # fmt: skip
    assert again.recipe_yaml == first.recipe_yaml
    assert again.settings.name == first.settings.name


@pytest.mark.parametrize(("name", "overrides"), GIVEN)
def test_the_records_of_a_manifest_give_the_same_plan_again(
    name: str, overrides: list[str]
) -> None:
    first = plan_of(name, *overrides)
    records = [
        (s.name, s.stage.name, s.source, s.params.model_dump(mode="json")) for s in first.steps
    ]
    through = msgspec.json.decode(msgspec.json.encode([first.parameters, records]))
    again = rebuild(through[0], through[1], Settings(name=name))
    assert (again.steps, again.columns, again.named) == (first.steps, first.columns, first.named)


def test_a_named_column_that_is_only_a_path_is_rebuilt(tmp_path: Path) -> None:
    first = planned(tmp_path, "columns: {c: metadata.category}\n" + USING_C)
    assert rebuild(first.parameters, [], Settings(name="r")).named == first.named


def test_a_rebuilt_plan_names_a_stage_whose_plugin_is_missing() -> None:
    with pytest.raises(RecipeError, match=r"stages\.a: no stage is named 'mine'; is a plugin"):
        rebuild({}, [("a", "mine", None, {})], Settings(name="r"))


# --- faults


def test_all_faults_are_told_at_once_each_once_with_its_place(tmp_path: Path) -> None:
    text = """
foo: 1
min_gap: x
json: 1
columns: {reward: a, c: {path: 'a b'}}
stages:
  load: {use: load, limitt: 4, limit: -1}
  a: {use: pair, min_gap: "${min_gap}", strategy: mirored}
  b: {use: filtre}
  c: {use: validate, checks: {rows: {mim: 1}}}
  write: {use: write, format: "${format}"}
"""
    found = problems(tmp_path, text, ["format=mesages", "bar=2", "engine.worker=1"])
    assert len(set(found)) == len(found)
    wanted = {
        "r.yaml: foo: no stage uses this knob",
        "command line: bar: unknown knob, got '2'",
        "r.yaml: json: should be true or false, got 1",
        "command line: engine.worker: unknown parameter; 'engine' takes use, workers",
        "r.yaml: columns.reward: not a free name",
        "r.yaml: columns.c.path: 'a b' is not a path",
        "r.yaml: stages.load.limitt: unknown parameter; 'load' takes from, after, use, input",
        "r.yaml: stages.load.limit: should be greater than or equal to 1, got -1",
        "r.yaml: stages.a.min_gap: should be a valid number, got 'x'",
        "r.yaml: stages.a.strategy: should be one of all, best_vs_second",
        "r.yaml: stages.b.use: no stage is named 'filtre'",
        "r.yaml: stages.c.checks.rows.mim: unknown parameter; 'rows' takes min, max, level, at",
        "command line: format: should be one of axolotl, custom",
    }
    told = {start for start in wanted for problem in found if problem.startswith(start)}
    assert told == wanted
    assert len(found) == len(wanted)
    guesses = ["limit", "mirrored", "filter", "min", "messages", "workers"]
    assert [g for g in guesses if any(p.endswith(f"Did you mean '{g}'?") for p in found)] == guesses


def test_a_value_used_twice_is_told_once(tmp_path: Path) -> None:
    text = "n: 0.5\nstages:\n  load: {use: load}\n"
    text += "  a: {use: filter, min_reward: '${n}'}\n  b: {use: filter, min_reward: '${n}'}\n"
    text += "  write: {use: write}\n"
    assert len(problems(tmp_path, text, ["n=x"])) == 1


def test_faults_of_columns_stand_beside_those_of_knobs(tmp_path: Path) -> None:
    text = "foo: 1\nstages:\n  load: {use: load}\n"
    text += "  a: {use: sample, by: model}\n  b: {use: balance, by: a b, most: 1}\n"
    text += "  write: {use: write, file: parquet, format: raw}\n"
    found = problems(tmp_path, text)
    assert [problem.split(": ")[1] for problem in found] == [
        "foo", "stages.write.file", "stages.a.by", "stages.b.by",
    ]  # fmt: skip


def test_a_document_without_stages_says_what_is_needed(tmp_path: Path) -> None:
    assert problems(tmp_path, "seed: 1\n") == [
        "r.yaml: stages: a recipe needs stages, such as load and write"
    ]


@pytest.mark.parametrize("override", ["columns=5", "examples=1", "examples=[a]", "stages=1"])
def test_a_part_that_is_no_mapping_is_a_fault_of_the_command_line(
    override: str, tmp_path: Path
) -> None:
    (found,) = problems(tmp_path, TAIL, [override])
    assert found.startswith(f"command line: {override.partition('=')[0]}: ")


@pytest.mark.parametrize(
    "name", ["reward", "draw", "row", "gap", "chosen_x", "rejected_reward", "a.b", "1", "a b", "é-"]
)
def test_a_named_column_may_not_take_a_name_of_ours(name: str, tmp_path: Path) -> None:
    text = f"columns: {{{name!r}: a.b}}\n{TAIL}"
    assert problems(tmp_path, text)[0].startswith(f"r.yaml: columns.{name}: not a free name")


def test_the_name_is_the_recipe_files_unless_it_is_said(tmp_path: Path) -> None:
    assert planned(tmp_path, TAIL).settings.name == "r"
    assert planned(tmp_path, "name: x\n" + TAIL).settings.name == "x"
    assert planned(tmp_path, "name: x\n" + TAIL, ["name=y"]).settings.name == "y"
    assert planned(tmp_path, "name: x\n" + TAIL, ["~name"]).settings.name == "r"
    assert planned(tmp_path, TAIL, ["name=123"]).settings.name == "123"


def test_the_dump_says_nothing_of_one_run(tmp_path: Path) -> None:
    made = planned(tmp_path, TAIL, ["tag=a", "dry_run=true", "output_dir=x", "engine.workers=2"])
    for word in ("tag", "dry_run", "output_dir", "engine", "again", "json"):
        assert f"\n{word}" not in f"\n{made.recipe_yaml}"


def test_a_shared_knob_reaches_the_load_and_every_write() -> None:
    made = plan(compose(locate("sft_and_dpo"), ["seed=5", "order=shuffled", "limit=3"]))
    assert made.load.seed == 5
    assert made.load.limit == 3
    writes = [step.params for step in made.steps if step.stage.name == "write"]
    assert [(write.seed, write.order) for write in writes] == [(5, "shuffled")] * 2  # type: ignore[attr-defined]


def test_every_parameter_of_load_and_write_is_a_shared_knob_that_tells_its_values() -> None:
    """So that an error which advises `empty_arguments=object` can be typed as it stands."""
    text = (Path(__file__).parents[2] / "conf" / "config.yaml").read_text()
    told = dict(line.split(": ", 1) for line in text.splitlines() if re.match("[a-z_]+: ", line))
    for name, field in (Load.model_fields | Write.model_fields).items():
        if name in ("use", "purpose"):  # what a stage is
            continue
        assert name in told
        kinds = (field.annotation, *get_args(field.annotation))
        values = [
            value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)
        ]
        assert all(value in told[name] for value in values), name


def test_a_plan_knows_what_is_above_a_step() -> None:
    made = plan(compose(locate("sft_and_dpo"), []))
    assert [step.name for step in made.steps[-1].above] == ["check", "pair", "usable", "load"]


def test_named_columns_are_kept_as_they_were_given(tmp_path: Path) -> None:
    text = "columns: {c: {path: [a, b], regex: '(x)', default: d}}\n" + USING_C
    expected = NamedColumn(path=["a", "b"], regex="(x)", default="d")
    assert planned(tmp_path, text).named == {"c": expected}


def test_a_named_column_that_no_stage_uses_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"columns\.c: no stage uses this column"):
        planned(tmp_path, "columns: {c: metadata.category}\n" + TAIL)
