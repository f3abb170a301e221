"""Beside: what stands beside the messages, and what is wrong with it before anything is read."""

import json
from pathlib import Path
from typing import Any

import pytest

import gymrecipe
import gymrecipe.formats
from gymrecipe.errors import RecipeError
from gymrecipe.planning.extra_columns import columns_of, own_keys
from gymrecipe.registry import FORMATS, Purpose
from gymrecipe.stages.write import Write
from tests.experiments.conftest import graded, save


def run(folder: Path, recipe: str, **knobs: Any) -> gymrecipe.Version:
    return gymrecipe.run(recipe, output_dir=str(folder), dry_run=True, **knobs)


@pytest.mark.parametrize(
    ("recipe", "knobs", "said"),
    [
        ("sft_threshold", {"format": "custom"}, "'custom' has the columns named here"),
        ("sft_threshold", {"stages.write.columns": ["nope"]}, "'nope' is on no line"),
        (
            "sft_threshold",
            {"format": "custom", "stages.write.columns": {"answr": "a"}},
            r"stages.write.columns: 'answr' is on no line .* Did you mean 'answer'\?",
        ),
        ("ppo", {"metrics": ["accuracy", "metadata.nope"]}, "'metadata.nope' is on no line"),
        ("dpo_same_prompt", {"stages.write.columns": ["nope"]}, "'nope' is on no line"),
        ("dpo_same_prompt", {"stages.write.columns": ["rejected.nope"]}, "'nope' is on no line"),
        ("dpo_same_prompt", {"stages.write.columns": ["model"]}, "write chosen_model or"),
        (
            "sft_threshold",
            {"stages.write.columns": {"accuracy": "reward"}},
            "two columns are named",
        ),
        (
            "sft_threshold",
            {"stages.write.columns": {"accuracy": "messages"}},
            "'messages' writes 'messages' itself",
        ),
        ("kto_threshold", {"stages.write.columns": {"accuracy": "label"}}, "'label' itself"),
        (
            "kto_threshold",
            {"format": "llama_factory", "stages.write.columns": {"accuracy": "kto_tag"}},
            "'kto_tag' itself",
        ),
        ("reward_model_pairs", {"stages.write.columns": {"gap": "margin"}}, "'margin' itself"),
        (
            "reward_model_pairs",
            {"format": "raw", "stages.write.columns": {"gap": "margin"}},
            "'raw' writes 'margin' itself",
        ),
        (
            "dpo_same_prompt",
            {"format": "raw", "stages.write.columns": {"accuracy": "chosen"}},
            "'raw' writes 'chosen' itself",
        ),
        ("rl_prompts", {"stages.write.columns": {"rollouts": "agent_ref"}}, "'agent_ref' itself"),
        (
            "verl_rl",
            {"stages.write.columns": ["reward"]},
            "a task has no 'reward'; it has roll",
        ),
        ("verl_rl", {"stages.write.columns": ["nope"]}, "'nope' is on no line"),
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


def test_a_pair_writes_the_task_type_of_either_side(tmp_path: Path) -> None:
    columns = ["task_type", "rejected_task_type"]
    made = row(tmp_path, "dpo_same_prompt", **{"stages.write.columns": columns})
    assert made["task_type"] == made["rejected_task_type"] == "writing"


def test_a_field_that_is_named_like_a_side_is_a_column_of_either_side(tmp_path: Path) -> None:
    lines = tmp_path / "a.jsonl"
    save(lines, (value | {"rejected_count": 10 * n} for n, value in enumerate(graded(1, 4))))
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "stages:\n  load: {use: load}\n"
        "  p: {use: pair, strategy: best_vs_worst}\n"
        "  f: {use: filter, where: chosen_rejected_count > rejected_rejected_count}\n"
        "  w: {use: write, format: trl, columns: [chosen.rejected_count]}\n"
    )
    assert row(tmp_path, str(path), input=str(lines))["chosen.rejected_count"] == 30


def test_a_field_of_an_odd_key_that_is_only_named_is_called_by_the_key() -> None:
    columns = ['field["pass@1"]', 'rejected.field["pass@1"]', 'a["b c"]']
    asked = columns_of(Write(format="custom", columns=columns), "dpo")
    assert list(asked.values()) == ["pass@1", "rejected.pass@1", 'a["b c"]']


@pytest.mark.parametrize("format", ["custom", "trl"])
def test_a_pair_writes_its_gap(format: str, tmp_path: Path) -> None:
    columns = {"gap": "better_by", "chosen_reward": "a", "rejected_reward": "b"}
    knobs: dict[str, Any] = {"format": format, "stages.write.columns": columns}
    made = row(tmp_path, "dpo_same_prompt", **knobs)
    assert made["better_by"] == made["a"] - made["b"] > 0


def test_the_format_custom_writes_the_label_and_the_reward_of_a_rollout(tmp_path: Path) -> None:
    columns = {"answer": "completion", "label": "label", "reward": "score"}
    knobs: dict[str, Any] = {"format": "custom", "stages.write.columns": columns}
    made = row(tmp_path, "kto_threshold", **knobs)
    assert made["label"] is (made["score"] >= 0.7)


def test_a_pair_of_labelled_rollouts_writes_the_label_of_a_side(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "stages:\n  load: {use: load}\n  l: {use: label}\n  p: {use: pair}\n"
        "  w: {use: write, format: trl, columns: [chosen_label, rejected_label]}\n"
    )
    assert row(tmp_path, str(path))["chosen_label"] is True


def test_without_a_stage_that_labels_a_label_is_a_path(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is on no line"):
        run(tmp_path, "sft_threshold", **{"stages.write.columns": ["label"]})


def row(folder: Path, recipe: str, **knobs: Any) -> dict[str, Any]:
    (example,) = run(folder, recipe, **knobs).examples.values()
    made: dict[str, Any] = json.loads(example)
    return made


def test_every_purpose_has_its_columns_beside_what_the_format_writes(tmp_path: Path) -> None:
    kto = row(tmp_path, "kto_threshold")
    assert [*kto][-2:] == ["reward", "task_type"]
    assert type(kto["label"]) is bool
    model = row(tmp_path, "reward_model_pairs")
    assert [*model][-3:] == ["reward_chosen", "reward_rejected", "reward_gap"]
    assert model["margin"] == model["reward_gap"]
    rl = row(tmp_path, "rl_prompts")
    assert rl.keys() > {"success_rate", "mean_reward", "rollouts", "task_type", "agent_ref"}


def test_what_the_format_writes_itself_is_not_written_twice(tmp_path: Path) -> None:
    assert "reward" in own_keys("messages", "buffer")
    assert "reward" not in columns_of(Write(), "buffer").values()
    assert list(row(tmp_path, "ppo")).count("reward") == 1


@pytest.mark.parametrize(
    ("format", "purpose"),
    [(name, purpose) for name, entry in sorted(FORMATS.items()) for purpose in entry.purposes],
)
def test_no_standard_column_hides_a_key_of_a_format(format: str, purpose: Purpose) -> None:
    keys = own_keys(format, purpose)
    assert keys or format in ("raw", "custom")
    assert not keys & set(columns_of(Write(format=format), purpose).values())


def test_a_task_writes_columns_of_its_own_of_its_line_and_of_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "columns: {kind: {path: metadata.task_type, default: none}}\nstages:\n"
        "  load: {use: load}\n  tasks: {use: tasks}\n  write: {use: write, format: trl, columns:\n"
        "    {std_reward: spread, kind: kind, metadata.task_type: its, task_key: key}}\n"
    )
    made = row(tmp_path, str(path))
    assert isinstance(made["spread"], float)
    assert made["kind"] == made["its"] == made["task_type"]
    assert len(made["key"]) == 16


@pytest.mark.parametrize(
    ("recipe", "names"),
    [
        ("rl_prompts", ("answer", "completion", "messages")),
        ("sft_threshold", ("request", "verifier")),
    ],
)
def test_custom_reads_a_field_of_the_line_that_is_called_like_a_part_of_another_purpose(
    recipe: str, names: tuple[str, ...], tmp_path: Path
) -> None:
    fields = {name: f"the {name} of the line" for name in names if name != "messages"}
    lines = save(tmp_path / "a.jsonl", [line | fields for line in graded(2)])
    columns = {"stages.write.columns": list(names)}
    made = row(tmp_path, recipe, input=str(lines), format="custom", **columns)
    assert {name: made[name] for name in fields} == fields
    assert "messages" not in names or made["messages"][-1]["role"] == "user"


def test_custom_refuses_a_part_of_another_purpose_that_no_line_has(tmp_path: Path) -> None:
    columns = {"stages.write.columns": ["request"]}
    with pytest.raises(RecipeError, match=r"request.*' is on no line"):
        run(tmp_path, "sft_threshold", format="custom", **columns)
