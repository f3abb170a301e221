"""The main recipes on real rollouts, with what is known about them."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import gymrecipe
from gymrecipe.errors import DataError
from gymrecipe.experiments.manifest import Manifest
from tests.full import FULL


def pairs(manifest: Manifest) -> tuple[int, int]:
    """Pairs written, and the tasks they are of."""
    rates = next(s for s in manifest.stages if s.use == "pair").facts["rates"][0]
    return rates["pairs"], rates["tasks_with_pair"]


def outcome(recipe: str, source: Path, folder: Path, **knobs: object) -> Manifest:
    """The manifest, of a version or of a run that found nothing to write."""
    try:
        return gymrecipe.run(recipe, input=str(source), output_dir=str(folder), **knobs).manifest
    except DataError as error:
        found: Manifest = error.manifest
        return found


@pytest.mark.parametrize(
    ("file", "expected", "tasks"),
    [
        ("aviary_wrapper__hotpotqa_20_rollouts", 11, 20),
        ("text_to_sql__example_rollouts", 2, 5),
        ("newton_bench__example_rollouts", 0, 5),
        ("aviary__example_rollouts", 0, 5),
        ("blackjack__example_rollouts", 0, 5),
        ("asr_with_pc__example_rollouts", 0, 5),
        ("indirect_prompt_injection__example_rollouts", 0, 5),
    ],
)
def test_pairs_of_the_same_prompt_are_found_and_traps_give_none(
    real: Path, tmp_path: Path, file: str, expected: int, tasks: int
) -> None:
    manifest = outcome("dpo_same_prompt", real / f"{file}.jsonl", tmp_path, min_gap=0.3)
    assert pairs(manifest) == (expected, expected)
    assert manifest.stages[0].facts["grouping"][0]["tasks"] == tasks


@pytest.fixture(scope="module")
def alone(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path], Manifest]:
    """The manifest of a recipe for one real file; made once."""
    folder = tmp_path_factory.mktemp("alone")

    @cache
    def made(recipe: str, file: Path) -> Manifest:
        knobs = {"min_gap": 0.3} if recipe == "dpo_same_prompt" else {}
        return outcome(recipe, file, folder, **knobs)

    return made


@pytest.mark.parametrize("recipe", ["dpo_same_prompt", "sft_threshold", "ppo"])
def test_every_real_file_runs_and_its_lines_add_up(
    real: Path, alone: Callable[[str, Path], Manifest], recipe: str
) -> None:
    files = sorted(real.glob("*.jsonl"))
    assert len(files) > 30
    # In every test run the two other recipes take a third of the files each: the next test takes
    # each of the first one.
    part = {"dpo_same_prompt": files, "sft_threshold": files[::3], "ppo": files[1::3]}
    for file in files if FULL else part[recipe]:
        lines = alone(recipe, file).lines
        assert lines.read == len(file.read_bytes().splitlines())
        assert lines.read == lines.used + lines.rejected, file.name


def test_all_real_files_at_once_keep_their_tasks_apart(
    real: Path, alone: Callable[[str, Path], Manifest], tmp_path: Path
) -> None:
    together = outcome("dpo_same_prompt", real / "*.jsonl", tmp_path, min_gap=0.3)
    each = [pairs(alone("dpo_same_prompt", file))[0] for file in sorted(real.glob("*.jsonl"))]
    assert pairs(together)[0] == sum(each)


def test_aggregate_agrees_with_the_figures_that_nemo_gym_wrote(real: Path, tmp_path: Path) -> None:
    import json

    manifest = outcome("aggregate", real / "asr_with_pc__example_rollouts.jsonl", tmp_path)
    ours = {row["metric"]: row for row in manifest.stages[1].facts["metrics"]}
    sidecar = real / "sidecars" / "asr_with_pc__example_rollouts_aggregate_metrics.json"
    theirs = json.loads(sidecar.read_text())[0]["agent_metrics"]
    compared = 0
    for name, row in ours.items():
        for figure in ("mean", "min", "max"):
            if f"{figure}/{name}" in theirs:
                assert row[figure] == pytest.approx(theirs[f"{figure}/{name}"])
                compared += 1
    assert compared > 10
