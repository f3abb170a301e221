"""What became of one line, and why."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gymrecipe
from gymrecipe.errors import DataError, InputError, RecipeError
from gymrecipe.experiments.explain import explain
from gymrecipe.reasons import FATES, meaning
from gymrecipe.report.explained import sentence
from gymrecipe.rollouts.bad_reasons import BAD_LINE
from gymrecipe.rollouts.chat import UNUSABLE
from tests.experiments.conftest import MISSING, graded, rollout, run, save


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(folder: Path) -> None:
    run(folder, input=str(save(folder / "a.jsonl", graded())))


def about(version: gymrecipe.Version, line: str) -> str:
    assert version.path is not None
    return "\n".join(map(sentence, explain(version.path, line)))


def recipe(folder: Path, *stages: str) -> Path:
    path = folder / "own.yaml"
    inner = "".join(f"  s{number}: {{{stage}}}\n" for number, stage in enumerate(stages))
    path.write_text(f"stages:\n  load: {{use: load}}\n{inner}  write: {{use: write}}\n")
    return path


@pytest.mark.parametrize(
    ("stage", "line", "said"),
    [
        ("use: filter, min_reward: 0.5", 1,
         "a.jsonl:1: rejected by stage 's0': below_min_reward (below the least allowed reward)."
         " Its parameters: min_reward=0.5."),
        ("use: filter, min_reward: 0.5, min_success_rate: 0.2", 1, "success_at=1.0"),
        ("use: filter, min_reward: 0.5, max_success_rate: 0.2", 1, "success_at=1.0"),
        ("use: filter, min_reward: p50", 1, "Its parameters: min_reward=p50 (0.333333)."),
        ("use: filter, max_reward: 0.0", 12, "above_max_reward (above the most allowed reward)"),
        ("use: filter, where: reward > 0.5", 1, "where (the expression `where` does not hold)."
         " Its parameters: where=reward > 0.5"),
        ("use: filter, min_reward: 0.0", 13, "missing_reward (it has no value for reward)."
         " Its parameters: min_reward=0.0"),
        ("use: filter, completed: true", 14, "empty (neither text nor a tool call came back)"),
        ("use: balance, by: task, most: 1, prefer: reward", 1, "over_quota (its group had as many"),
        ("use: sample, edges: [0.5], sizes: [1, 1]", 13, "rejected by stage 's0': missing_reward"),
        ("use: dedup", 1, "duplicate (another rollout is the same)"),
    ],
)  # fmt: skip
def test_each_kind_of_stage_says_why_it_rejected_a_line(
    stage: str, line: int, said: str, folder: Path
) -> None:
    rows = [*graded(3, 4), rollout("x", "y", MISSING), rollout("e", ""), graded(3, 4)[0]]
    save(folder / "a.jsonl", rows)
    version = run(folder, recipe(folder, stage), input="a.jsonl")
    assert said in about(version, f"a.jsonl:{line}")


def test_a_bad_line_is_explained_by_load(folder: Path) -> None:
    save(folder / "a.jsonl", [*graded(), b"", b"\xff", b'{"reward": NaN}', b"[1]"])
    version = run(folder, input="a.jsonl")
    for line, reason in ((21, "blank"), (22, "not_utf8"), (23, "non_finite"), (24, "not_object")):
        sentence = f"a.jsonl:{line}: rejected by stage 'load': {reason} ({BAD_LINE[reason]})."
        assert about(version, f"a.jsonl:{line}") == sentence


def test_a_line_in_two_branches_and_several_pairs_is_said_for_each(folder: Path) -> None:
    save(folder / "a.jsonl", graded(1, 3))
    version = run(folder, "sft_and_dpo", input="a.jsonl", strategy="all", validation_fraction=0.0)
    assert about(version, "a.jsonl:3").splitlines() == [
        "a.jsonl:3: used in data/dpo/train.jsonl:2 as the chosen side, held against a.jsonl:1.",
        "a.jsonl:3: used in data/dpo/train.jsonl:3 as the chosen side, held against a.jsonl:2.",
        "a.jsonl:3: used in data/sft/train.jsonl:1.",
    ]


def test_a_file_that_has_no_rows_of_lines_is_named_alone(folder: Path) -> None:
    save(folder / "a.jsonl", graded(1, 3))
    version = run(folder, "aggregate", input="a.jsonl")
    assert about(version, "a.jsonl:2") == "a.jsonl:2: used in data/metrics.jsonl."


def test_the_file_may_be_named_another_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(folder / "runs/a.jsonl", graded())
    version = run(folder, input="runs/a.jsonl")
    for name in ("runs/a.jsonl", "./runs/a.jsonl", "a.jsonl", str(folder / "runs/a.jsonl")):
        assert about(version, f"{name}:1").startswith("runs/a.jsonl:1: used in")
    monkeypatch.chdir(folder / "runs")
    assert about(version, "./a.jsonl:1").startswith("runs/a.jsonl:1: used in")


def test_another_file_of_the_same_name_is_not_taken_for_it(folder: Path) -> None:
    save(folder / "runs/a.jsonl", graded())
    version = run(folder, input="runs/a.jsonl")
    with pytest.raises(InputError, match=r"other/a.jsonl: not an input of .*It read runs/a.jsonl"):
        about(version, "other/a.jsonl:1")


def test_a_bare_name_that_several_inputs_have_is_an_error(folder: Path) -> None:
    for name in ("x", "y"):
        save(folder / name / "a.jsonl", graded(2))
    version = run(folder, input=["x/a.jsonl", "y/a.jsonl"])
    assert about(version, "y/a.jsonl:1").startswith("y/a.jsonl:1")
    deep = run(folder, name="deep", input=[f"{folder}/x/a.jsonl", f"{folder}/y/a.jsonl"])
    (folder / "y/a.jsonl").unlink()
    assert f"{folder}/y/a.jsonl:1: " in about(deep, "y/a.jsonl:1")
    with pytest.raises(InputError, match=r"several inputs have this name: x/a.jsonl, y/a.jsonl"):
        about(version, "a.jsonl:1")


def test_a_folder_that_the_systems_encoding_lacks_is_not_in_the_way(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(folder / "ü/a.jsonl", graded())
    monkeypatch.chdir(folder / "ü")
    version = run(Path(".."), input="a.jsonl")
    line = [sys.executable, "-m", "gymrecipe", "explain", str(version.path), "../a.jsonl:1"]
    encoding = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    told = subprocess.run(line, env={**os.environ, **encoding}, capture_output=True, text=True)
    assert "../a.jsonl: not an input of" in told.stderr
    assert told.returncode == 2


def test_signs_of_patterns_in_the_path_of_a_version_mean_themselves(folder: Path) -> None:
    save(folder / "a.jsonl", graded())
    version = run(folder / "out[1]*", input="a.jsonl")
    assert about(version, "a.jsonl:1").startswith("a.jsonl:1: used in")


@pytest.mark.parametrize(
    "line",
    ["a.jsonl", "a.jsonl:", "a.jsonl:x", ":3", "a.jsonl:²", "a:-1", f"a:{'9' * 5_000}"],
)
def test_what_is_no_line_is_an_error(line: str, as_made: Any) -> None:
    with pytest.raises(RecipeError, match=r"not a line. Write file:number"):
        explain(as_made(make) / "experiments/dpo_same_prompt/v0001", line)


def test_input_rows_are_not_taken_for_rollouts(folder: Path) -> None:
    task = {"_ng_task_index": 0, "agent_ref": {"name": "a"}}
    asked = {"responses_create_params": {"input": "p"}, **task}
    save(folder / "a.jsonl", [rollout("p", "a", 1.0, **asked), rollout("p", "b", 0.0, **asked)])
    save(folder / "a_materialized_inputs.jsonl", [{**asked, "expected_answer": "a"}])
    rows = "a_materialized_inputs.jsonl"
    version = run(folder, "rl_prompts", input="a.jsonl", materialized_inputs=rows)
    with pytest.raises(InputError, match=f"{rows}: .*v0001 read its input rows beside the rollout"):
        about(version, f"{rows}:1")
    version = run(folder, "rl_prompts", input="a.jsonl", materialized_inputs="a.jsonl")
    assert about(version, "a.jsonl:1") == "a.jsonl:1: used in data/train.jsonl:1."


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"PAR1")])
@pytest.mark.parametrize("name", ["rejects.parquet", "used.parquet"])
def test_a_version_without_its_records_is_a_sentence(name: str, damage: Any, as_made: Any) -> None:
    version = as_made(make) / "experiments/dpo_same_prompt/v0001"
    damage(version / name)
    with pytest.raises(DataError, match=f"{name}: missing, or not the table.*`verify`"):
        explain(version, f"{version.parents[2]}/a.jsonl:1")


def reasons_named() -> set[str]:
    """The texts that stages put into a table, and those that a line is unusable for."""
    package = Path(gymrecipe.__file__).parent
    files = [path for path in package.rglob("*.py") if path.name != "write.py"]
    calls = [
        node
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and node.args
    ]
    named = set()
    for call in calls:
        match call:
            case ast.Call(
                ast.Name("Unusable") | ast.Attribute(ast.Name("pl"), "lit"),
                [ast.Constant(str(reason)), *_],
            ):
                named.add(reason)
    return named - {""}


def test_every_reason_that_the_code_names_has_a_meaning() -> None:
    named = reasons_named()
    assert {"undecided", "duplicate", "missing_tools", "over_limit_tasks"} <= named
    assert [reason for reason in sorted(named) if not meaning(reason)] == []


def test_a_reason_that_begins_like_a_missing_column_has_its_own_words() -> None:
    assert meaning("missing_tools") == UNUSABLE["missing_tools"]
    assert meaning("missing_reward") == "it has no value for reward"


def test_the_listed_reasons_have_meanings_and_an_unknown_one_has_none() -> None:
    for reason in (*BAD_LINE, *UNUSABLE, *FATES):
        assert re.search(r"\w \w", meaning(reason)), reason
    assert meaning("below_min_turns") == "below the least allowed turns"
    assert meaning("of_a_plugin") == ""


def test_every_line_of_the_sample_can_be_explained(tmp_path: Path) -> None:
    version = run(tmp_path)
    said = [about(version, f"gymrecipe:sample:{line}") for line in range(1, 204)]
    assert sum("used in" in sentence for sentence in said) == version.manifest.lines.used
    assert json.dumps(said)


def test_a_parameter_that_counts_only_with_another_is_told_only_with_it(folder: Path) -> None:
    save(folder / "a.jsonl", [rollout("p", f"a{n}", 0.5) for n in range(2)] + graded(1, 4))
    mirrored = about(run(folder, "dpo_same_prompt", input="a.jsonl"), "a.jsonl:1")
    tiers = about(run(folder, "dpo_stratified", input="a.jsonl"), "a.jsonl:1")
    assert ("high=" in mirrored, "high=0.7" in tiers) == (False, True)
