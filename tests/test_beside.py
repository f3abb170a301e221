"""Beside: what stands beside the messages, and what is wrong with it before anything is read."""

from pathlib import Path
from typing import Any

import pytest

import gymrecipe
from gymrecipe.errors import RecipeError


def run(folder: Path, recipe: str, **knobs: Any) -> gymrecipe.Version:
    return gymrecipe.run(recipe, output_dir=str(folder), dry_run=True, **knobs)


@pytest.mark.parametrize(
    ("recipe", "knobs", "said"),
    [
        ("sft_threshold", {"format": "custom"}, "'custom' has the columns named here"),
        ("sft_threshold", {"stages.write.columns": ["nope"]}, "'nope' is on no line"),
        ("ppo", {"metrics": ["accuracy", "metadata.nope"]}, "'metadata.nope' is on no line"),
        ("dpo_same_prompt", {"stages.write.columns": ["nope"]}, "'nope' is on no line"),
        ("dpo_same_prompt", {"stages.write.columns": ["rejected.nope"]}, "'nope' is on no line"),
        ("dpo_same_prompt", {"stages.write.columns": ["model"]}, "write chosen_model or"),
        (
            "sft_threshold",
            {"stages.write.columns": {"accuracy": "reward"}},
            "two columns are named",
        ),
        ("sft_threshold", {"stages.write.columns": {"accuracy": "messages"}}, "messages stand"),
        ("review_sample", {"stages.write.columns": ["accuracy"]}, "'raw' copies lines"),
        ("sft_threshold", {"stages.write.columns": {"a b": "x"}}, "is not a path"),
    ],
)
def test_columns_that_cannot_be_written_are_refused(
    recipe: str, knobs: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=said):
        run(tmp_path, recipe, **knobs)


def test_a_named_column_is_copied_with_its_own_type(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "columns: {acc: accuracy}\nstages:\n  load: {use: load}\n"
        "  good: {use: filter, where: acc >= 1}\n"
        "  write: {use: write, columns: [acc, task_key, model, turns]}\n"
    )
    example = run(tmp_path, str(path)).examples["write"]
    assert '"acc":1.0' in example
    assert '"model":"example-model"' in example
    assert '"turns":' in example


def test_a_pair_writes_the_columns_of_either_side(tmp_path: Path) -> None:
    columns = [
        "chosen_turns",
        "rejected_model",
        "metadata.task_type",
        "rejected.metadata.task_type",
    ]
    example = run(tmp_path, "dpo_same_prompt", **{"stages.write.columns": columns})
    text = example.examples["write"]
    assert '"rejected_model":"example-model"' in text
    assert text.count('task_type":"') == 2
