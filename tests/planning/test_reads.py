"""Reads: which columns a recipe asks for, and as what."""

from __future__ import annotations

from pathlib import Path

import pytest

from gymrecipe.errors import RecipeError
from gymrecipe.planning.plan import plan
from gymrecipe.planning.reads import places
from gymrecipe.recipe.composing import compose
from gymrecipe.recipe.finding import recipes
from gymrecipe.rollouts.columns import Column
from gymrecipe.running.rehearsal import rehearse
from tests.planning.conftest import planned, staged


def columns(folder: Path, named: str, *stages: str) -> dict[str, Column]:
    text = f"columns: {{{named}}}\n{staged('load: {use: load}', *stages)}"
    return {column.name: column for column in planned(folder, text).columns}


WRITE = "write: {use: write}"
PAIR, TRL = "p: {use: pair}", "w: {use: write, format: trl}"


def where(text: str) -> str:
    return f"f: {{use: filter, where: {text!r}}}"


def test_a_column_is_typed_by_its_use(tmp_path: Path) -> None:
    text = 'score > 1 and kind == "x" and ok and metadata.deep >= 2'
    found = columns(tmp_path, "", where(text), WRITE)
    kinds = {name: column.kind for name, column in found.items()}
    assert kinds == {
        "score": "number", "kind": "text", "ok": "boolean", "metadata.deep": "number",
        "task_type": "text",
    }  # fmt: skip
    assert found["metadata.deep"].paths == (("metadata", "deep"),)


def test_a_built_in_column_is_not_looked_for_in_the_line(tmp_path: Path) -> None:
    assert set(columns(tmp_path, "", where("reward > 0 and not truncated"), WRITE)) == {"task_type"}


def test_a_hidden_or_odd_name_is_reached_by_field(tmp_path: Path) -> None:
    found = columns(tmp_path, "", where('field["reward"] > 0 and field["pass@1"] > 0'), WRITE)
    assert found['field["reward"]'].paths == (("reward",),)
    assert found['field["pass@1"]'].paths == (("pass@1",),)


@pytest.mark.parametrize("name", ["row", "reason", "answer_key"])
def test_a_name_of_ours_has_to_be_renamed(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match=f"f.where: '{name}' is a name of ours.*my_{name}: {name}"
    ):
        columns(tmp_path, "", where(f"{name} > 1"), WRITE)
    found = columns(tmp_path, f"my_{name}: {name}", where(f"my_{name} > 1"), WRITE)
    assert found[f"my_{name}"].paths == ((name,),)


def test_a_built_in_column_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"stages\.s\.by: 'model' is a text, used as a number"):
        columns(tmp_path, "", "s: {use: sample, by: model}", WRITE)


@pytest.mark.parametrize("name", ["turns", "truncated", "model"])
def test_a_built_in_column_of_any_kind_is_a_category(name: str, tmp_path: Path) -> None:
    columns(tmp_path, "", f"b: {{use: balance, by: {name}, most: 1}}", WRITE)


def test_two_kinds_of_one_column_are_a_conflict(tmp_path: Path) -> None:
    text = "g: {use: filter, where: 'x == \"a\"'}"
    with pytest.raises(RecipeError, match="'x' is used as a number and as a text"):
        columns(tmp_path, "", where("x > 1"), text, WRITE)


def test_every_column_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    stages = ["b: {use: balance, by: a b, most: 1}", "c: {use: sample, by: model}"]
    with pytest.raises(RecipeError) as caught:
        columns(tmp_path, "", *stages, WRITE)
    assert len(caught.value.problems) == 2


def test_a_column_that_is_only_asked_whether_it_is_there_is_of_any_kind(tmp_path: Path) -> None:
    found = columns(tmp_path, "", where("kind is not None"), WRITE)
    assert found["kind"].kind == "any"
    other = "g: {use: filter, where: 'kind == \"x\"'}"
    assert columns(tmp_path, "", where("kind is None"), other, WRITE)["kind"].kind == "text"


def test_several_paths_that_are_only_asked_whether_one_is_there_are_of_any_kind(
    tmp_path: Path,
) -> None:
    found = columns(tmp_path, "score: {path: [a, b]}", where("score is not None"), WRITE)
    assert found["score"].kind == "any"


@pytest.mark.parametrize(("more", "kind"), [("regex: '(x)'", "texts"), ("default: x", "text")])
def test_a_text_by_its_pattern_or_default_may_be_asked_whether_it_is_there(
    more: str, kind: str, tmp_path: Path
) -> None:
    found = columns(tmp_path, f"kind: {{path: a, {more}}}", where("kind is None"), WRITE)
    assert found["kind"].kind == kind


def test_a_column_that_is_written_is_no_answer_to_whether_it_is_there(tmp_path: Path) -> None:
    write = "write: {use: write, columns: [kind]}"
    found = columns(tmp_path, "kind: {path: [a, b]}", where("kind is not None"), write)
    assert found["kind"].kind == "text"


def test_what_a_stage_makes_may_be_asked_whether_it_is_there(tmp_path: Path) -> None:
    stages = [
        "l: {use: label}",
        where("label is not None"),
        "w: {use: write, purpose: kto, format: trl}",
    ]
    columns(tmp_path, "", *stages)


def test_a_named_column_has_its_paths_its_pattern_and_its_default(tmp_path: Path) -> None:
    named = "c: {path: [a.b, 'field[\"x y\"]'], regex: 'C: (.)', default: none}"
    found = columns(tmp_path, named, "b: {use: balance, by: c, most: 1}", WRITE)
    assert found["c"] == Column("c", (("a", "b"), ("x y",)), "texts", "C: (.)", "none")


@pytest.mark.parametrize("more", ["regex: '(.)'", "default: x"])
def test_a_text_by_its_pattern_or_default_is_no_number(more: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"f\.where: 'c' has a regex or a default and is a text"):
        columns(tmp_path, f"c: {{path: a, {more}}}", where("c > 1"), WRITE)


def test_a_named_column_that_is_written_has_the_kind_of_its_other_use(tmp_path: Path) -> None:
    write = "write: {use: write, columns: {c: c, d: d}}"
    found = columns(tmp_path, "c: a.b, d: e", where("c > 1"), write)
    assert found["c"].kind == "number"
    assert "d" not in found  # it is copied from the line as it stands


def test_pairs_read_the_columns_of_their_rollouts(tmp_path: Path) -> None:
    text = "gap > 0.1 and chosen_accuracy > rejected_accuracy and chosen_turns < 3"
    found = columns(tmp_path, "", PAIR, where(text), TRL)
    assert {name: column.paths for name, column in found.items()} == {"accuracy": (("accuracy",),)}


def test_a_pair_may_write_a_named_column_of_one_side(tmp_path: Path) -> None:
    write = "w: {use: write, format: trl, columns: {chosen_c: c}}"
    assert set(columns(tmp_path, "c: {path: a.b, default: d}", PAIR, write)) == {"c"}


@pytest.mark.parametrize("name", ["gap", "chosen_reward", "rejected_turns", "chosen_row"])
def test_a_column_of_pairs_is_refused_before_there_are_any(name: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=f"'{name}' is a column of pairs, and rollouts have none"):
        columns(tmp_path, "", where(f"{name} > 0.1"), WRITE)


def test_a_switch_reads_a_column_that_no_line_needs_to_have(tmp_path: Path) -> None:
    switch = "f: {use: filter, require_success: true}"
    assert columns(tmp_path, "", switch, WRITE)["success"].optional
    asked = "g: {use: filter, where: success}"
    assert not columns(tmp_path, "", switch, asked, WRITE)["success"].optional


def test_the_metric_that_ranks_pairs_is_a_number(tmp_path: Path) -> None:
    assert columns(tmp_path, "", "p: {use: pair, by: m.score}", TRL)["m.score"].kind == "number"


def test_tiers_read_the_columns_of_their_expressions(tmp_path: Path) -> None:
    pair = "p: {use: pair, strategy: tiers, high: a >= 1, low: b <= 0.5}"
    assert set(columns(tmp_path, "", pair, TRL)) == {"a", "b"}


def test_task_type_is_read_for_demonstrations_unless_it_is_named(tmp_path: Path) -> None:
    assert columns(tmp_path, "", WRITE)["task_type"].paths == (("metadata", "task_type"),)
    write = "write: {use: write, columns: {task_type: task_type}}"
    assert columns(tmp_path, "task_type: kind", write)["task_type"].paths == (("kind",),)


@pytest.mark.parametrize("name", ["task_type", "chosen_task_type", "rejected_task_type"])
def test_task_type_is_read_for_pairs_that_write_it(name: str, tmp_path: Path) -> None:
    write = f"w: {{use: write, format: trl, columns: [{name}]}}"
    assert set(columns(tmp_path, "", PAIR, write)) == {"task_type"}
    assert not columns(tmp_path, "", PAIR, TRL)


LABEL, TASKS = "l: {use: label, by: score}", "t: {use: tasks}"
RL = "w: {use: write, format: trl}"


def test_what_a_stage_makes_is_not_looked_for_in_the_line(tmp_path: Path) -> None:
    text = "0 < success_rate < 1 and rollouts > 2 and kind == 'x'"
    assert set(columns(tmp_path, "", TASKS, where(text), RL)) == {"kind", "task_type"}
    balance = "b: {use: balance, by: label, most: 3}"
    assert set(columns(tmp_path, "", LABEL, where("label"), balance, WRITE)) == {
        "score",
        "task_type",
    }


@pytest.mark.parametrize(("name", "stage"), [("label", "label"), ("success_rate", "tasks")])
def test_what_a_stage_makes_is_not_there_before_it(name: str, stage: str, tmp_path: Path) -> None:
    said = f"'{name}' is a column that the stage '{stage}' makes, and none comes before"
    with pytest.raises(RecipeError, match=said):
        columns(tmp_path, "", where(f"{name} == 1"), WRITE)
    found = columns(tmp_path, f"my_{name}: {name}", where(f"my_{name} == 1"), WRITE)
    assert found[f"my_{name}"].paths == ((name,),)


def test_what_a_stage_makes_has_its_kind(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'label' is a boolean, used as a number"):
        columns(tmp_path, "", LABEL, where("label > 0"), WRITE)


def test_a_pair_has_what_a_stage_made_on_both_sides(tmp_path: Path) -> None:
    text = "chosen_label and not rejected_label"
    assert set(columns(tmp_path, "", LABEL, PAIR, where(text), TRL)) == {"score"}


def test_what_a_rollout_has_is_no_column_of_a_task(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    late = "f: {use: filter, where: reward > 0}, w: {use: write, format: trl}"
    path.write_text("stages: {load: {use: load}, t: {use: tasks}, " + late + "}")
    with pytest.raises(RecipeError, match="needs the column 'reward', which tasks do not have"):
        rehearse(plan(compose(path, [])))


def test_every_recipe_says_which_part_of_it_asks_for_a_column(tmp_path: Path) -> None:
    for path in recipes().values():
        made = plan(compose(path, []))
        known = places(made.steps, made.named)
        asked = {column.name for column in made.columns if not column.optional}
        assert asked <= known.keys()
