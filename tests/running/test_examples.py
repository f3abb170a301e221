"""Examples: rollouts inside a recipe, and what becomes of each, checked before any data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gymrecipe.api import prepare
from gymrecipe.errors import RecipeError
from gymrecipe.experiments.leftovers import SCRATCH
from gymrecipe.planning.plan import plan
from gymrecipe.recipe.composing import compose
from gymrecipe.recipe.reading import as_yaml
from gymrecipe.running.examples import check_examples

STAGES: dict[str, Any] = {
    "load": {"use": "load", "input": "${input}"},
    "good": {"use": "filter", "min_reward": "${least}"},
    "write": {"use": "write"},
}
GOOD = {"prompt": "2 + 2?", "answer": "4", "reward": 1.0}
BAD = {"prompt": "2 + 2?", "answer": "5", "reward": 0.0}


def recipe(folder: Path, becomes: list[str], *rollouts: Any, **more: Any) -> Path:
    example = {"rollouts": list(rollouts), "becomes": becomes}
    values = {"least": 0.5, "examples": {"one": example}, "stages": STAGES} | more
    path = folder / "r.yaml"
    path.write_text(as_yaml(values))
    return path


def said(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        check_examples(plan(compose(path, overrides)))
    return [problem.replace(f"{path}: ", "") for problem in caught.value.problems]


def check(path: Path, *overrides: str) -> None:
    check_examples(plan(compose(path, overrides)))


def test_right_words_pass(tmp_path: Path) -> None:
    check(recipe(tmp_path, ["used", "below_min_reward"], GOOD, BAD))


def test_a_wrong_word_names_the_place_what_was_wanted_and_what_came(tmp_path: Path) -> None:
    assert said(recipe(tmp_path, ["below_min_reward", "used"], GOOD, BAD)) == [
        "examples.one: rollout 1 should become 'below_min_reward', got 'used'.",
        "examples.one: rollout 2 should become 'used', got 'below_min_reward'.",
    ]


@pytest.mark.parametrize("becomes", [[], ["used"], ["used"] * 3])
def test_a_wrong_count_names_both(becomes: list[str], tmp_path: Path) -> None:
    assert said(recipe(tmp_path, becomes, GOOD, GOOD | {"answer": "four"})) == [
        f"examples.one: 2 rollouts, but `becomes` has {len(becomes)} words."
    ]


def test_an_example_without_rollouts_holds(tmp_path: Path) -> None:
    check(recipe(tmp_path, []))


def test_what_a_killed_run_leaves_of_an_example_bears_a_name_that_gc_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    mkdir = os.mkdir
    monkeypatch.setattr(
        os, "mkdir", lambda path, *mode: [made.append(str(path)), mkdir(path, *mode)]
    )
    check(recipe(tmp_path, ["used"], GOOD))
    pattern, _, _ = SCRATCH
    outermost = [path for path in map(Path, made) if str(path.parent) not in made]
    assert [bool(pattern.fullmatch(path.name)) for path in outermost] == [True]


def test_every_example_that_fails_is_told(tmp_path: Path) -> None:
    wrong = {"rollouts": [GOOD], "becomes": ["x"]}
    found = said(recipe(tmp_path, [], examples={"a": wrong, "b": wrong}))
    assert [problem.split(":")[0] for problem in found] == ["examples.a", "examples.b"]


def test_lines_that_are_no_rollouts_have_their_reasons(tmp_path: Path) -> None:
    wrong = [{"error": "no"}, {}, GOOD | {"reward": "high"}, {"prompt": "a", "answer": "b"}]
    becomes = ["not_a_rollout", "not_a_rollout", "missing_reward", "missing_reward"]
    check(recipe(tmp_path, [*becomes, "used"], *wrong, GOOD))


def test_a_whole_line_may_be_an_example(tmp_path: Path) -> None:
    line = {"messages": [{"role": "user", "content": "a"}], "response": "b", "reward": 1.0}
    check(recipe(tmp_path, ["used"], line))


def test_unicode_and_odd_texts_are_kept(tmp_path: Path) -> None:
    check(recipe(tmp_path, ["used"], {"prompt": "é\n数 \u2028", "answer": "'\"\\", "reward": 1}))


def test_examples_run_with_the_values_that_are_composed(tmp_path: Path) -> None:
    path = recipe(tmp_path, ["used", "below_min_reward"], GOOD, BAD)
    assert len(said(path, "least=0.0")) == 1


@pytest.mark.parametrize("override", ["least=0.0", "limit=1", "seed=9", "stages.good.max_reward=0"])
def test_a_run_checks_them_with_the_files_own_values(override: str, tmp_path: Path) -> None:
    path = recipe(tmp_path, ["used", "below_min_reward"], GOOD, BAD)
    composed = compose(path, [override, f"input={tmp_path}/none.jsonl"])
    checked = prepare(composed)  # the examples held
    assert checked.overrides[0] == override


def test_a_required_knob_has_the_value_that_is_given(tmp_path: Path) -> None:
    path = recipe(tmp_path, ["used", "below_min_reward"], GOOD, BAD, least="???")
    assert prepare(compose(path, ["least=0.5", "seed=9"]))
    with pytest.raises(RecipeError, match="rollout 2 should become 'below_min_reward', got 'used'"):
        prepare(compose(path, ["least=0"]))


def test_a_required_parameter_has_the_value_that_is_given(tmp_path: Path) -> None:
    stages = STAGES | {"good": {"use": "filter", "min_reward": "???", "max_turns": "${least}"}}
    path = recipe(tmp_path, ["used", "below_min_reward"], GOOD, BAD, least=1, stages=stages)
    assert prepare(compose(path, ["stages.good.min_reward=0.5"]))


@pytest.mark.parametrize("knob", ["chat_template", "stages.write.chat_template"])
def test_a_template_of_this_machine_is_used_for_examples_too(knob: str, tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text(
        "{% for message in messages %}{{ message.content }}{% endfor %}"
    )
    path = recipe(tmp_path, ["used", "below_min_reward"], GOOD, BAD, format="rendered")
    assert prepare(compose(path, [f"{knob}={tmp_path}/t.jinja"]))


def test_a_run_stops_at_a_wrong_example_before_it_reads(tmp_path: Path) -> None:
    path = recipe(tmp_path, ["used"], BAD)
    with pytest.raises(RecipeError, match="should become 'used', got 'below_min_reward'"):
        prepare(compose(path, [f"input={tmp_path}/none.jsonl", f"output_dir={tmp_path}/out"]))
    assert not (tmp_path / "out").exists()


def test_limits_of_the_recipe_do_not_cut_an_example(tmp_path: Path) -> None:
    check(recipe(tmp_path, ["used", "below_min_reward"], GOOD, BAD, limit=1, limit_tasks=1))


def test_an_example_that_lacks_a_column_is_told_with_its_name(tmp_path: Path) -> None:
    stages = STAGES | {"good": {"use": "filter", "where": "accuracy >= ${least}"}}
    (found,) = said(recipe(tmp_path, ["used"], GOOD, stages=stages))
    assert found.startswith("examples.one: ")
    assert "accuracy" in found


def test_an_example_without_a_value_for_a_quantile_is_told(tmp_path: Path) -> None:
    stages = STAGES | {
        "good": {"use": "filter", "min_reward": "p50", "where": "reward >= ${least}"}
    }
    path = recipe(tmp_path, ["used"], {"prompt": "a", "answer": "b"}, stages=stages)
    assert said(path)[0].startswith("examples.one: ")


def test_a_stage_that_needs_a_column_pairs_lack_is_told_and_no_crash(tmp_path: Path) -> None:
    stages = STAGES | {"good": {"use": "pair"}, "late": {"use": "filter", "min_reward": "${least}"}}
    stages["write"] = stages.pop("write")
    with pytest.raises(RecipeError, match=r"stages\.late: needs the column 'reward'"):
        check(recipe(tmp_path, ["chosen", "rejected"], GOOD, BAD, stages=stages))


def test_both_sides_of_a_pair_have_their_words(tmp_path: Path) -> None:
    stages = STAGES | {"good": {"use": "pair", "min_gap": "${least}"}}
    check(recipe(tmp_path, ["chosen", "rejected"], GOOD, BAD, stages=stages))


def test_an_aggregate_uses_every_rollout(tmp_path: Path) -> None:
    stages = {"load": STAGES["load"], "a": {"use": "aggregate"}, "write": {"use": "write"}}
    example = {"one": {"rollouts": [GOOD, BAD], "becomes": ["used", "used"]}}
    path = tmp_path / "r.yaml"
    path.write_text(as_yaml({"examples": example, "stages": stages}))
    check(path)


def test_a_misspelt_part_of_an_example_is_told(tmp_path: Path) -> None:
    path = recipe(tmp_path, [], examples={"one": {"rollouts": [], "become": []}})
    with pytest.raises(RecipeError) as caught:
        plan(compose(path, []))
    assert "examples.one.become: unknown parameter" in str(caught.value)
    assert "Did you mean 'becomes'?" in str(caught.value)
