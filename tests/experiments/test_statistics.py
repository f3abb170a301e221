"""The figures of what was written."""

import statistics as reference
from pathlib import Path
from typing import Any

import pytest

from tests.experiments.conftest import MISSING, graded, records, rollout, run, save


def figures(version: Any, write: str = "write") -> dict[str, Any]:
    found: dict[str, Any] = version.manifest.statistics[write]
    return found


def test_the_figures_are_of_the_rows_that_were_written(tmp_path: Path) -> None:
    version = run(tmp_path, input=str(save(tmp_path / "a.jsonl", graded(7, 5))), min_gap=0.3)
    rows = records(version)
    found = figures(version)
    assert (found["rows"], found["train"], found["validation"]) == (len(rows), len(rows), 0)
    assert found["tasks"] == 7
    for name, column in (("gap", "reward_gap"), ("reward_chosen", "reward_chosen")):
        values = [row[column] for row in rows]
        assert found[name]["n"] == len(values)
        assert found[name]["mean"] == pytest.approx(reference.mean(values))
        assert found[name]["std"] == pytest.approx(reference.stdev(values))
        assert (found[name]["p0"], found[name]["p100"]) == (min(values), max(values))


def test_train_and_validation_are_counted_over_all_shards(tmp_path: Path) -> None:
    source = str(save(tmp_path / "a.jsonl", graded(40, 2)))
    version = run(tmp_path, "sft_threshold", input=source, validation_fraction=0.4, shard_rows=3)
    found = figures(version)
    outputs = {output.path: output.rows for output in version.manifest.outputs}
    assert found["train"] == sum(n for path, n in outputs.items() if "/train" in path)
    assert found["validation"] == sum(n for path, n in outputs.items() if "/validation" in path)
    assert found["train"] + found["validation"] == found["rows"] == 40


def test_a_single_row_has_no_std_and_a_missing_reward_is_in_no_mean(tmp_path: Path) -> None:
    rows = [rollout("p", "a", 0.5), rollout("q", "b", MISSING), rollout("r", "c", None)]
    source = str(save(tmp_path / "a.jsonl", rows))
    recipe = tmp_path / "all.yaml"
    recipe.write_text("stages: {load: {use: load}, write: {use: write}}\n")
    found = figures(run(tmp_path, recipe, input=source))
    assert found["rows"] == 3
    assert (found["reward"]["n"], found["reward"]["mean"], found["reward"]["std"]) == (1, 0.5, None)


def test_categories_are_counted_and_those_without_one_are_general(tmp_path: Path) -> None:
    rows = [
        rollout(f"p{number}", "a", 1.0, metadata=metadata)
        for number, metadata in enumerate([{"task_type": "maths"}, {}, None, {"task_type": "code"},
                                           {"task_type": "maths"}, "no object"])
    ]  # fmt: skip
    source = str(save(tmp_path / "a.jsonl", rows))
    found = figures(run(tmp_path, "sft_threshold", input=source))
    assert found["task_type"] == {"code": 1, "general": 3, "maths": 2}


def test_what_could_not_be_written_is_in_no_figure(tmp_path: Path) -> None:
    empty = rollout("p9", "x", 1.0) | {"response": {"output": [{"type": "odd"}]}}
    source = str(save(tmp_path / "a.jsonl", [*graded(3, 2), empty]))
    version = run(tmp_path, "sft_threshold", input=source)
    assert figures(version)["rows"] == len(records(version)) == 3
    assert figures(version)["reward"]["n"] == 3


def test_what_a_stage_made_groups_of_is_counted(tmp_path: Path) -> None:
    rows = [
        rollout(f"p{number}", "a", 1.0, metadata={"level": level})
        for number, level in enumerate([1, 2, 2, 2, None, 3.0])
    ]
    recipe = tmp_path / "levels.yaml"
    recipe.write_text(
        "stages:\n  load: {use: load}\n  cap: {use: balance, by: metadata.level, most: 2}\n"
        "  write: {use: write}\n"
    )
    found = figures(run(tmp_path, recipe, input=str(save(tmp_path / "a.jsonl", rows))))
    assert found["metadata.level"] == {"1": 1, "2": 2, "3": 1, "general": 1}


def test_a_column_of_very_many_values_has_no_groups(tmp_path: Path) -> None:
    rows = [rollout(f"p{number}", "a", 1.0, name=f"n{number}") for number in range(1_001)]
    recipe = tmp_path / "names.yaml"
    recipe.write_text(
        "stages:\n  load: {use: load}\n  cap: {use: balance, by: name, most: 2}\n"
        "  write: {use: write}\n"
    )
    found = figures(run(tmp_path, recipe, input=str(save(tmp_path / "a.jsonl", rows))))
    assert "name" not in found


def test_labels_are_counted(tmp_path: Path) -> None:
    rows = [rollout(f"p{number}", "a", reward) for number, reward in enumerate([1.0, 0.9, 0.0])]
    source = str(save(tmp_path / "a.jsonl", rows))
    found = figures(run(tmp_path, "kto_threshold", input=source, ratio=[1, 2]))
    assert found["label"] == {"desirable": 2, "undesirable": 1}


def test_the_metric_that_makes_the_pairs_is_described_for_both_sides(tmp_path: Path) -> None:
    rows = [rollout("p", f"a{score}", 0.5, score=score) for score in (1, 5, 9)]
    source = str(save(tmp_path / "a.jsonl", rows))
    found = figures(run(tmp_path, input=source, **{"stages.pair.by": "score"}))
    assert (found["gap"]["mean"], found["reward_chosen"]["mean"]) == (8, 0.5)
    assert (found["score_chosen"]["mean"], found["score_rejected"]["mean"]) == (9, 1)


def test_the_metric_that_makes_the_labels_is_described(tmp_path: Path) -> None:
    rows = [rollout(f"p{score}", "a", 0.5, score=score) for score in (0, 0.2, 0.8, 1)]
    source = str(save(tmp_path / "a.jsonl", rows))
    found = figures(run(tmp_path, "kto_threshold", input=source, **{"stages.label.by": "score"}))
    assert found["score"]["mean"] == 0.5


@pytest.mark.parametrize("recipe", ["balanced", "sft_demonstrations"])
def test_a_category_of_the_system_prompt_is_found_wherever_that_and_it_stand(
    recipe: str, tmp_path: Path
) -> None:
    asked: list[dict[str, Any]] = []
    for said in ("Category: MATH\nBe brief.", "Be brief. Category: c++", "Category: QA. Be brief."):
        shown = [{"role": "system", "content": said}, {"role": "user", "content": "1+1?"}]
        asked += [{"messages": shown}, {"responses_create_params": {"input": shown}}]
        asked += [{"responses_create_params": {"input": "1+1?", "instructions": said}}]
    asked += [{"messages": [{"role": "user", "content": "Which category is it?"}]}]
    source = save(
        tmp_path / "a.jsonl", [{**shown, "response": "2", "reward": 1} for shown in asked]
    )
    found = figures(run(tmp_path, recipe, input=str(source)))["category"]
    assert found == {"MATH": 3, "QA": 3, "c++": 3, "general": 1}


@pytest.mark.parametrize("recipe", ["balanced", "sft_demonstrations"])
def test_a_category_of_the_recipes_may_have_digits_and_signs_or_be_a_number(
    recipe: str, tmp_path: Path
) -> None:
    rows = [
        rollout(f"p{number}, what is it?", "a", 1.0, metadata={"task_type": kind})
        for number, kind in enumerate(["math-500", "c++", 3, "live code", None])
    ]
    source = str(save(tmp_path / "a.jsonl", rows))
    found = figures(run(tmp_path, recipe, input=source))["category"]
    assert found == {"3": 1, "c++": 1, "general": 2, "math-500": 1}
    path = {"columns.category.path": "metadata.task_type", "~columns.category.regex": None}
    found = figures(run(tmp_path, recipe, input=source, **path))["category"]
    assert found == {"3": 1, "c++": 1, "general": 1, "live code": 1, "math-500": 1}
