"""The values by which a line was rejected: those that its stage saw, or why they are not told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gymrecipe
from gymrecipe.experiments.explain import Rejected
from gymrecipe.experiments.rejects import rejects
from gymrecipe.recipe.finding import recipes
from gymrecipe.report.explained import sentence
from gymrecipe.running.retrace import explain
from gymrecipe.stages.evidence import Evidence, can_be_told
from tests.experiments.conftest import MISSING, graded, rollout, run, save
from tests.full import often


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe(folder: Path, *stages: str) -> Path:
    path = folder / "own.yaml"
    inner = "".join(f"  s{number}: {{{stage}}}\n" for number, stage in enumerate(stages))
    path.write_text(
        f"stages:\n  load: {{use: load}}\n{inner}  write: {{use: write, format: raw}}\n"
    )
    return path


def rejected(version: gymrecipe.Version, line: str) -> Rejected:
    assert version.path is not None
    (found,) = explain(version.path, line)
    assert isinstance(found, Rejected)
    return found


GRADED = [rollout(f"p{n % 2}", f"a{n}", n / 10, kind="xy"[n > 5], len=n) for n in range(10)]
"""Lines 1, 3, 5, … answer one prompt, 2, 4, 6, … another; the rewards are 0.0, 0.1, …, 0.9."""
OTHERS = [
    rollout("wide", "a long answer", 2.0, kind="z", len=20),
    rollout("wide", "another", -2.0, kind="z", len=20),
    rollout("narrow", "some", 5.05, kind="z", len=20),
    rollout("narrow", "other", 5.0, kind="z", len=20),
]
"""Of which something is written whatever a stage asks for."""
RATED = "use: filter, success_at: 0.5"
PAIR = "use: pair, strategy: best_vs_second"


@pytest.mark.parametrize(
    ("stages", "line", "said"),
    [
        (["use: filter, min_reward: 0.35"], 4, "reward 0.3, at least 0.35 is asked for"),
        (["use: filter, max_reward: p50"], 10, "reward 0.9, at most 0.5 is asked for"),
        (["use: filter, min_chars: 3"], 1, "chars 2, at least 3 is asked for"),
        (["use: filter, where: reward > 0.4 and kind == 'x'"], 8, "reward 0.7; kind 'y'"),
        (["use: filter, where: len is None or reward > 0.9"], 8, "len is None false; reward 0.7"),
        (["use: filter, where: 1 / len > 0.1"], 1, "len 0"),
        (["use: filter, success_at: 0.7, min_success_rate: 0.3"], 1,
         "success_rate 0.2, at least 0.3 is asked for"),
        (["use: filter, min_reward: 0.15", f"{RATED}, min_success_rate: 0.9"], 6,
         "success_rate 0.75, at least 0.9 is asked for"),
        (["use: tasks, success_at: 0.7", "use: filter, where: success_rate > 0.3"], 1,
         "success_rate 0.2"),
        (["use: balance, most: 2, prefer: reward"], 1,
         "rows of its task 5, at most 2 is asked for"),
        (["use: balance, by: kind, most: 2, prefer: reward"], 7,
         "kind 'y'; rows of its group 4, at most 2 is asked for"),
        (["use: balance, by: kind, proportions: {x: 1, y: 1}, prefer: reward"], 1,
         "kind 'x'; rows of its group 6, at most 4 is asked for"),
        (["use: label, high: 0.8, low: 0.1"], 4,
         "reward 0.3, at least 0.8 or at most 0.1 is asked for"),
        (["use: label, high: reward > 0.7, low: 0.1"], 4, "reward 0.3, at most 0.1 is asked for;"
         " reward 0.3"),
        ([f"{PAIR}, min_gap: 0.3"], 9,
         "reward 0.8; gap 0.2 (a.jsonl:9 over a.jsonl:7), at least 0.3 is asked for"),
        ([f"{PAIR}, min_gap: 0.3"], 1,
         "reward 0; gap 0.2 (a.jsonl:9 over a.jsonl:7), at least 0.3 is asked for"),
        (["use: pair, max_gap: 0.1"], 1,
         "reward 0; gap 0.8 (a.jsonl:9 over a.jsonl:1), at most 0.1 is asked for"),
        (["use: pair, strategy: tiers, high: 0.95"], 9, "reward 0.8, at least 0.95 is asked for"),
        (["use: pair, strategy: tiers, low: -1"], 1, "reward 0, at most -1 is asked for"),
        (["use: pair", "use: filter, where: gap > 0.5"], 3,
         "gap 0.4 (a.jsonl:7 over a.jsonl:3)"),
    ],
)  # fmt: skip
def test_a_rejection_is_told_with_the_values_that_the_stage_judged(
    stages: list[str], line: int, said: str, folder: Path
) -> None:
    save(folder / "a.jsonl", [*GRADED, *OTHERS])
    version = run(folder, recipe(folder, *stages), input="a.jsonl")
    told = sentence(rejected(version, f"a.jsonl:{line}"))
    assert f"): {said}. Its parameters" in told, told


def test_a_value_that_looks_like_its_limit_is_told_in_full(folder: Path) -> None:
    save(folder / "a.jsonl", [rollout("p", "a", 0.9), rollout("p", "b", 0.9 - 1e-8)])
    stages = "use: filter, min_reward: 0.9"
    found = rejected(run(folder, recipe(folder, stages), input="a.jsonl"), "a.jsonl:2")
    assert "reward 0.89999999, at least 0.9" in sentence(found)


def test_of_a_band_and_of_duplicates_it_is_told_what_stays(folder: Path) -> None:
    save(folder / "a.jsonl", [*GRADED, GRADED[3], GRADED[3]])
    knobs = {"input": "a.jsonl"}
    drawn = run(folder, recipe(folder, "use: sample, edges: [0.5], sizes: [2, 9]"), **knobs)
    assert drawn.path is not None
    gone = next(line for line in rejects(drawn.path) if line.reason == "not_sampled")
    found = rejected(drawn, f"a.jsonl:{gone.line}")
    assert found.evidence[1] == Evidence("rows of its band", 7, most=2)
    single = run(folder, recipe(folder, "use: dedup"), **knobs)
    assert single.path is not None
    lines = [line.line for line in rejects(single.path)]
    (kept,) = {4, 11, 12} - {*lines}
    for line in lines:
        assert rejected(single, f"a.jsonl:{line}").evidence == [
            Evidence("the one that stays", f"a.jsonl:{kept}")
        ]


def test_what_its_reason_says_needs_no_value_and_no_input(folder: Path) -> None:
    save(folder / "a.jsonl", [*GRADED, rollout("p0", "x", MISSING), rollout("p9", "y")])
    version = run(folder, recipe(folder, "use: pair"), input="a.jsonl")
    (folder / "a.jsonl").unlink()
    for line, reason in ((11, "missing_reward"), (12, "only_one")):
        found = rejected(version, f"a.jsonl:{line}")
        assert (found.reason, found.evidence, found.untold) == (reason, [], "")


@pytest.mark.parametrize("change", ["edited", "gone"])
def test_of_a_file_that_changed_no_value_is_told(change: str, folder: Path) -> None:
    save(folder / "a.jsonl", GRADED)
    version = run(folder, recipe(folder, "use: filter, min_reward: 0.35"), input="a.jsonl")
    if change == "edited":
        save(folder / "a.jsonl", [{**row, "reward": 0.123} for row in GRADED])
    else:
        (folder / "a.jsonl").unlink()
    found = rejected(version, "a.jsonl:4")
    why = "not what it was when" if change == "edited" else "gone, or not readable any more."
    assert found.evidence == []
    assert found.untold.startswith(f"a.jsonl: {why}")
    assert "0.123" not in sentence(found)
    assert f"What it was judged by cannot be told: a.jsonl: {why}" in sentence(found)


def test_a_file_that_has_grown_is_read_as_far_as_it_was(folder: Path) -> None:
    save(folder / "a.jsonl", GRADED)
    stages = "use: filter, success_at: 0.7, min_success_rate: 0.3"
    version = run(folder, recipe(folder, stages), input="a.jsonl")
    save(folder / "a.jsonl", [*GRADED, rollout("p0", "more", 1.0)])
    assert rejected(version, "a.jsonl:1").evidence == [Evidence("success_rate", 0.2, least=0.3)]


def test_without_values_no_input_is_read(folder: Path) -> None:
    save(folder / "a.jsonl", GRADED)
    version = run(folder, recipe(folder, "use: filter, min_reward: 0.35"), input="a.jsonl")
    (folder / "a.jsonl").unlink()
    assert version.path is not None
    (found,) = explain(version.path, "a.jsonl:4", values=False)
    assert isinstance(found, Rejected)
    assert (found.evidence, found.untold) == ([], "")


def test_a_branch_is_retraced_without_the_others(folder: Path) -> None:
    save(folder / "a.jsonl", graded(1, 3))
    version = run(folder, "sft_and_dpo", input="a.jsonl", min_gap=0.9)
    found = rejected(version, "a.jsonl:2")
    assert (found.stage, found.reason) == ("pair", "not_selected")
    assert found.evidence == [Evidence("reward", 0.5)]


@pytest.mark.parametrize("name", sorted(recipes([]))[:: often(3, 1)])
def test_each_kind_of_rejection_of_the_sample_has_its_values(
    name: str, of_the_sample: Callable[[str], Any]
) -> None:
    version = of_the_sample(name)
    use = {stage.name: stage.use for stage in version.manifest.stages}
    firsts = {(line.stage, line.reason): line for line in reversed(rejects(version.path))}
    for (stage, reason), line in firsts.items():
        found = rejected(version, f"{line.source}:{line.line}")
        assert found.untold == ""
        assert bool(found.evidence) == can_be_told(use[stage], reason), found
        for one in found.evidence:
            assert not _keeps(one), found
        assert json.dumps(sentence(found))


@pytest.mark.parametrize(
    "file", ["aviary_wrapper__hotpotqa_20_rollouts", "grl_tetris__example_rollouts",
             "structeval__example_rollouts", "newton_bench__example_rollouts"],
)  # fmt: skip
def test_of_real_rollouts_the_value_is_the_one_of_their_lines(
    file: str, real: Path, tmp_path: Path
) -> None:
    path = real / f"{file}.jsonl"
    version = run(tmp_path, "sft_threshold", input=str(path))
    assert version.path is not None
    texts = path.read_bytes().splitlines()
    below = [line.line for line in rejects(version.path) if line.reason == "below_min_reward"]
    assert below
    for number in below[:5]:
        reward = json.loads(texts[number - 1])["reward"]
        assert rejected(version, f"{path}:{number}").evidence == [
            Evidence("reward", reward, least=0.95)
        ]


def _keeps(one: Evidence) -> bool:
    """Whether a value keeps one of the limits that it was held against."""
    least = one.least is not None and one.value >= one.least
    return least or (one.most is not None and one.value <= one.most)
