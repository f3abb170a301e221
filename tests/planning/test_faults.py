"""Faults: where, what is wrong, the value, what is allowed, and the nearest name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gymrecipe.errors import RecipeError
from gymrecipe.planning.plan import plan
from gymrecipe.recipe.composing import compose
from gymrecipe.recipe.finding import locate, recipes

DPO = recipes()["dpo_same_prompt"]


def said(overrides: Sequence[str], path: Path = DPO) -> str:
    with pytest.raises(RecipeError) as caught:
        plan(compose(path, overrides))
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("min_gap=abc", "command line: min_gap: should be a valid number, got 'abc'."),
        ("min_gap=-1", "command line: min_gap: should be greater than or equal to 0, got -1."),
        ("min_gap=nan", "command line: min_gap: should be a finite number, got nan."),
        ("min_gap=1e999", "command line: min_gap: should be a finite number, got inf."),
        ("min_gap=true", "command line: min_gap: should be a valid number, got true."),
        ("min_gap='0.3'", "command line: min_gap: should be a valid number, got '0.3'."),
        ("min_gap=", "command line: min_gap: should be a valid number, got ''."),
        ("min_gap=null", "command line: min_gap: should be a valid number, got null."),
        ("seed=1.0", "command line: seed: should be a valid integer, got 1.0."),
        ("limit=0", "command line: limit: should be greater than or equal to 1, got 0."),
        ("json=yes", "command line: json: should be true or false, got 'yes'."),
        ("dry_run=1", "command line: dry_run: should be true or false, got 1."),
        (
            "validation_fraction=12.5%",
            "command line: validation_fraction: should be a valid number, got '12.5%'. Did you mean"
            " 0.125?",
        ),
        (
            "min_gap='30 %'",
            "command line: min_gap: should be a valid number, got '30 %'. Did you mean 0.3?",
        ),
        ("limit=10%", "command line: limit: should be a valid integer, got '10%'."),
        ("engine.workers=x", "command line: engine.workers: should be a valid integer, got 'x'."),
    ],
)
def test_a_wrong_value_on_the_command_line_is_told_with_it(override: str, expected: str) -> None:
    assert said([override]) == expected


@pytest.mark.parametrize(
    ("recipe", "override", "guess"),
    [
        ("sft_threshold", "min_reward=p101", "got 'p101'. Did you mean 'p100'?"),
        ("sft_threshold", "min_reward=P90", "got 'P90'. Did you mean 'p90'?"),
        ("sft_threshold", "min_reward=90%", "got '90%'. Did you mean 'p90'?"),
        ("sft_threshold", "min_reward='0.9'", "got '0.9'."),
        ("sft_threshold", "min_reward=true", "got true."),
        ("dpo_stratified", "high=p101", "got 'p101'. Did you mean 'p100'?"),
    ],
)
def test_what_is_neither_a_number_nor_a_quantile_is_told_once(
    recipe: str, override: str, guess: str
) -> None:
    assert said([override], locate(recipe)) == (
        f"command line: {override.partition('=')[0]}: should be a valid number or a quantile such"
        f" as p90 (p0 to p100), {guess}"
    )


def test_the_forms_of_a_value_are_one_sentence() -> None:
    assert said(["input=null"]) == (
        "command line: input: should be a valid string or a valid list, got null."
    )
    assert said(["stages.pair.high='a >'"]).startswith(
        "command line: stages.pair.high: should be a valid number or a quantile such as p90 (p0 to"
        " p100); or 'a >' cannot be read: invalid syntax."
    )


@pytest.mark.parametrize("value", ['[field["a b"],c]', "[a,b"])
def test_a_list_that_cannot_be_read_is_told_what_its_texts_need(value: str) -> None:
    assert said([f"stages.write.columns={value}"]) == (
        f"command line: stages.write.columns: should be a mapping or a valid list, got {value!r}."
        " It cannot be read as one; texts with signs need quotes: ['field[\"a b\"]', c]."
    )


def test_a_fault_of_two_knobs_is_told_of_the_one_that_was_set() -> None:
    said_of = said(["input=a.jsonl", "group_by=consecutive"])
    assert said_of == "command line: group_by: consecutive and num_repeats need each other."


@pytest.mark.parametrize(
    ("override", "guess"),
    [
        ("mingap=0.3", "min_gap"),
        ("+startegy=all", "strategy"),
        ("validation_fracton=0.1", "validation_fraction"),
        ("stages.pair.mingap=1", "min_gap"),
        ("stages.par.min_gap=1", "pair"),
        ("engine.worker=1", "workers"),
        ("strategy=best_vs_worts", "best_vs_worst"),
        ("stages.pair.strategy=best_vs_worts", "best_vs_worst"),
        ("stages.pair.use=pari", "pair"),
        ("format=trll", "trl"),
        ("stages.check.purpose=dop", "dpo"),
        ("stages.pair.ties=shortst", "shortest"),
        ("order=shufled", "shuffled"),
        ("stage.pair.min_gap=1", "stages"),
        ("stages.check.checks={mean_gp: {min: 1}}", "mean_gap"),
        ("stages.check.checks={mean_gap: {mim: 1}}", "min"),
        ("columns={c: {path: a, regx: b}}", "regex"),
        ("examples={e: {rollout: []}}", "rollouts"),
    ],
)
def test_an_unknown_name_at_any_level_names_the_nearest(override: str, guess: str) -> None:
    with pytest.raises(RecipeError) as caught:
        plan(compose(DPO, [override]))
    key = override.lstrip("+").partition("=")[0]
    assert any(
        problem.startswith(f"command line: {key}") and problem.endswith(f"Did you mean '{guess}'?")
        for problem in caught.value.problems
    )


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("stages.check.checks={mean_gap: 0.1}", "checks.mean_gap: should be a mapping, got 0.1."),
        ("columns={c: [a, b]}", "columns.c: should be a mapping, got ['a', 'b']."),
        ("validation_fraction=1", "validation_fraction: should be less than 1, got 1."),
        ("stages.pair.max_pairs_per_task=0", "should be greater than or equal to 1, got 0."),
    ],
)
def test_what_should_be_there_is_in_words_of_yaml_and_the_value_beside_it(
    override: str, expected: str
) -> None:
    assert said([override]).endswith(expected)


def test_a_name_like_no_other_has_no_guess() -> None:
    assert "Did you mean" not in said(["zzz=1"])


def test_an_unknown_knob_lists_the_recipes_own() -> None:
    assert "has the knobs min_gap, strategy, and those that all recipes share" in said(["foo=1"])


def test_an_override_below_an_unknown_knob_is_told_as_it_was_typed() -> None:
    assert said(["stage.pair.min_gap=1"]).startswith("command line: stage.pair.min_gap: unknown")


def test_a_fault_in_the_file_names_the_file_and_the_place(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("n: x\nstages:\n  load: {use: load, limit: '${n}'}\n  write: {use: write}\n")
    assert said([], path) == f"{path}: stages.load.limit: should be a valid integer, got 'x'."


def test_a_fault_of_a_knob_that_was_overridden_names_the_knob(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("n: 1\nstages:\n  load: {use: load, limit: '${n}'}\n  write: {use: write}\n")
    assert said(["n=x"], path) == "command line: n: should be a valid integer, got 'x'."


def test_a_fault_of_two_parameters_is_the_command_lines_if_one_was_given_there() -> None:
    assert said(["num_repeats=4"]).startswith("command line: num_repeats: ")
    assert said(["stages.pair.max_gap=0.1"]).startswith("command line: stages.pair.max_gap: ")


def test_a_fault_of_a_whole_stage_is_the_command_lines_if_a_part_was_given_there() -> None:
    place = "stages.check.checks.largest_category"
    assert said([f"{place}={{max: 0.3}}"]) == (
        f"command line: {place}: largest_category needs a category: the column to judge."
    )


def test_a_knob_that_no_stage_uses_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("fomat: raw\nstages:\n  load: {use: load}\n  write: {use: write}\n")
    assert said([], path) == (
        f"{path}: fomat: no stage uses this knob. Write ${{fomat}} where it belongs, or take it"
        " out. Did you mean 'format'?"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stage:\n  load: {use: load}\n", "or take it out. Did you mean 'stages'?"),
        ("stages:\n- {use: load}\n",
         "stages: should be a mapping from names to stages, not a list"),
        ("stages: {load: {use: load}, a: {completed: true}, b: {use: write}}\n",
         "stages.a: a stage says what it uses, such as {use: filter}."),
    ],
)  # fmt: skip
def test_stages_that_are_none_are_told_for_what_they_are(
    text: str, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        plan(compose(path, []))
    assert caught.value.problems[0].endswith(expected)


def test_overriding_the_place_of_a_knob_leaves_the_knob_alone() -> None:
    made = plan(compose(DPO, ["stages.pair.strategy=best_vs_worst"]))
    assert made.steps[2].params.strategy == "best_vs_worst"  # type: ignore[attr-defined]
    assert made.settings.name == "dpo_same_prompt"


def test_overriding_a_knob_and_its_place_is_refused_since_the_knob_does_nothing() -> None:
    found = said(["stages.pair.strategy=all", "strategy=best_vs_worst"])
    assert found.startswith("command line: strategy: changes nothing, got 'best_vs_worst'")


def test_a_long_value_is_cut() -> None:
    assert len(said([f"min_gap={'x' * 5000}"])) < 400


def test_a_pattern_that_cannot_run_says_why_on_one_line() -> None:
    found = said(["columns={c: {path: a, regex: '(?=a)(b)'}}"])
    assert "look-around" in found
    assert "\n" not in found
