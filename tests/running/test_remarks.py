"""What a run says of what nobody may have meant."""

import json
from pathlib import Path
from typing import Any

import pytest

import gymrecipe
from tests.rollouts.conftest import rollout


def flags(folder: Path, rewards: list[float], recipe: str, **knobs: Any) -> list[str]:
    """The red flags about a scale, of rollouts of one prompt that get these rewards."""
    lines = [rollout(answer=f"{n}", reward=reward) for n, reward in enumerate(rewards)]
    path = folder / "a.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    version = gymrecipe.run(
        recipe, input=str(path), output_dir=str(folder / "made"), dry_run=True, **knobs
    )
    return [text for text in version.manifest.warnings if "from 0 to 1" in text]


@pytest.mark.parametrize(
    ("recipe", "knobs"),
    [
        ("dpo_same_prompt", "min_gap=0.2"),
        ("sft_threshold", "min_reward=0.95"),
        ("dpo_stratified", "min_gap=0.2, high=0.7, low=0.4"),
        ("kto_threshold", "high=0.7, low=0.4"),
    ],
)
def test_thresholds_for_rewards_up_to_one_are_told_of_others(
    recipe: str, knobs: str, tmp_path: Path
) -> None:
    (flag,) = flags(tmp_path, [0.1, 0.2, 4, 7, 10], recipe)
    assert f"{knobs} is for values from 0 to 1" in flag
    assert "'reward' are above 1, up to 10." in flag


def test_a_threshold_that_was_asked_for_is_on_the_scale_that_was_meant(tmp_path: Path) -> None:
    assert not flags(tmp_path, [1, 2, 4, 7, 10], "dpo_same_prompt", min_gap=0.5)
    knobs: dict[str, Any] = {"stages.good.min_reward": 0.5}
    assert not flags(tmp_path, [1, 2, 4, 7, 10], "sft_threshold", **knobs)


@pytest.mark.parametrize("rewards", [[0.0, 1.0, 1.0, 1.2], [-1.0, 0.5, 1.0, 3.0]])
def test_a_bonus_beyond_one_is_no_other_scale(rewards: list[float], tmp_path: Path) -> None:
    assert not flags(tmp_path, rewards, "dpo_same_prompt")


def test_tiers_that_no_strategy_reads_are_not_told(tmp_path: Path) -> None:
    (flag,) = flags(tmp_path, [1, 2, 4, 7, 10], "dpo_same_prompt")
    assert "high" not in flag
