"""Completion: what may come next, and that a real shell gets it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gymrecipe.command.completion import SCRIPTS, candidates, completion
from gymrecipe.command.words import VERBS
from gymrecipe.errors import RecipeError
from gymrecipe.recipe.finding import recipes
from gymrecipe.recipe.reading import base_knobs
from gymrecipe.stages.pairing import Pair
from tests.full import often


def test_an_empty_line_offers_verbs_the_recipe_options_and_shared_knobs() -> None:
    found = candidates("gymrecipe ", [])
    assert {*VERBS, "recipe=", "--help", "seed="} <= set(found)
    assert found == sorted(found)


def test_a_begun_verb_is_completed() -> None:
    assert candidates("gymrecipe vers", []) == ["versions"]


@pytest.mark.parametrize("prefix", ["", "+", "++"])
def test_recipes_are_completed_with_the_prefix_that_was_typed(prefix: str) -> None:
    found = candidates(f"gymrecipe {prefix}recipe=dpo_", [])
    names = sorted(name for name in recipes() if name.startswith("dpo_"))
    assert found == [f"{prefix}recipe={name}" for name in names]


def test_recipes_of_ones_own_folder_are_offered(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("stages: {}\n")
    assert candidates("gymrecipe +recipe=mi", [tmp_path]) == ["+recipe=mine"]


def test_the_knobs_of_the_recipe_are_offered() -> None:
    assert candidates("gymrecipe +recipe=dpo_same_prompt min", []) == ["min_gap="]
    assert "min_gap=" not in candidates("gymrecipe +recipe=ppo min", [])
    everything = set(candidates("gymrecipe +recipe=ppo ", []))
    assert {f"{name}=" for name in base_knobs()} <= everything


@pytest.mark.parametrize("prefix", ["", "+", "++"])
def test_the_parameters_of_stages_are_offered(prefix: str) -> None:
    found = candidates(f"gymrecipe +recipe=dpo_same_prompt {prefix}stages.pair.", [])
    assert found == sorted(f"{prefix}stages.pair.{name}=" for name in Pair.model_fields)


def test_what_can_be_taken_out_is_offered_without_a_value() -> None:
    found = candidates("gymrecipe +recipe=dpo_same_prompt ~stages.check", [])
    assert {"~stages.check", "~stages.check.purpose"} <= set(found)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("+recipe=ppo format=t", ["format=trl", "format=trl_prompt_completion"]),
        ("+recipe=ppo order=", ["order=shuffled", "order=source", "order=strict"]),
        ("+recipe=ppo reasoning=d", ["reasoning=drop"]),
        ("+recipe=ppo dry_run=", ["dry_run=false", "dry_run=true"]),
        ("+recipe=ppo json=t", ["json=true"]),
        ("+recipe=dpo_same_prompt strategy=best_vs_w", ["strategy=best_vs_worst"]),
        ("+recipe=dpo_same_prompt stages.pair.ties=", ["stages.pair.ties=draw",
                                                       "stages.pair.ties=shortest"]),
        ("+recipe=dpo_same_prompt stages.nope.x=", []),
        ("+recipe=ppo seed=", []),
        ("stages pa", ["pair"]),
        ("recipes p", []),
    ],
)  # fmt: skip
def test_values_that_are_names_are_offered(line: str, expected: list[str]) -> None:
    assert candidates(f"gymrecipe {line}", []) == expected


def test_versions_are_offered_to_the_verbs_that_take_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments" / "dpo_same_prompt" / "v0001").mkdir(parents=True)
    (tmp_path / "other" / "ppo" / "v0003").mkdir(parents=True)
    assert candidates("gymrecipe show dpo", []) == ["dpo_same_prompt", "dpo_same_prompt/v0001"]
    assert candidates("gymrecipe versions d", []) == ["dpo_same_prompt"]
    assert candidates("gymrecipe diff output_dir=other ppo/", []) == ["ppo/v0003"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rejects ppo re", ["reason="]),
        ("rejects ppo sn", ["snippet=true"]),
        ("cache cl", ["clear=true"]),
    ],
)
def test_the_knobs_of_a_verb_are_offered(
    line: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert candidates(f"gymrecipe {line}", []) == expected


def test_the_knobs_of_check_and_their_values_are_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert candidates("gymrecipe check rows.jsonl ", []) == ["format=", "json=true", "purpose="]
    assert candidates("gymrecipe check rows.jsonl format=t", []) == [
        "format=trl",
        "format=trl_prompt_completion",
    ]
    assert candidates("gymrecipe check rows.jsonl format=ro", []) == ["format=rollouts"]
    assert candidates("gymrecipe check rows.jsonl purpose=d", []) == ["purpose=dpo"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("+recipe=ppo input=a", ["input=a.jsonl"]),
        ("+recipe=ppo ++input_jsonl_fpath=", ["++input_jsonl_fpath=a.jsonl",
                                             "++input_jsonl_fpath=runs/"]),
        ("+recipe=ppo stages.load.input=runs/", ["stages.load.input=runs/b.jsonl"]),
        ("+recipe=ppo input=runs/.", ["input=runs/.hidden"]),
        ("+recipe=ppo input=nowhere/", []),
        ("check a", ["a.jsonl"]),
        ("columns ru", ["runs/"]),
        ("explain ppo/v0001 a", ["a.jsonl"]),
        ("versions a", []),
        ("--config-dir ru", ["runs/"]),
        ("--config-dir runs +recipe=mi", ["+recipe=mine"]),
        ("+recipe=runs/", ["+recipe=runs/mine.yaml"]),
    ],
)  # fmt: skip
def test_files_are_offered_where_one_is_to_be_named(
    line: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for name in ("a.jsonl", "runs/.hidden", "runs/b.jsonl", "runs/mine.yaml", "in two words"):
        (tmp_path / name).touch()
    if line.endswith("input=runs/"):
        expected = [*expected, "stages.load.input=runs/mine.yaml"]
    assert candidates(f"gymrecipe {line}", []) == expected


@pytest.mark.parametrize(
    "line", ["gymrecipe 'a", 'gymrecipe "', "gymrecipe +recipe=nope m", "gymrecipe \\"]
)
def test_a_line_that_cannot_be_read_offers_nothing_and_does_not_fail(line: str) -> None:
    assert "min_gap=" not in candidates(line, [])


@pytest.mark.parametrize("stages", ["5", "[a]", "{a: null, b: 5, c: {use: load}}"])
def test_a_broken_recipe_does_not_fail(stages: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(f"knob: 1\nstages: {stages}\n")
    assert candidates(f"gymrecipe +recipe={path} kn", []) == ["knob="]


def test_a_query_reads_the_line_up_to_the_cursor() -> None:
    line = "gymrecipe versions dpo"
    assert completion("query", {"COMP_LINE": line, "COMP_POINT": "14"}, []) == "versions\n"
    assert completion("query", {"COMP_LINE": "gymrecipe verify"}, []) == "verify\n"
    assert completion("query", {}, [])


@pytest.mark.parametrize("shell", SCRIPTS)
def test_there_is_a_script_for_each_shell(shell: str) -> None:
    assert "--shell-completion query" in completion(f"install={shell}", {}, [])


@pytest.mark.parametrize("what", ["install=bsh", "install=", "instal=bash", "uninstall=bash", ""])
def test_another_request_says_what_to_write(what: str) -> None:
    with pytest.raises(RecipeError, match=r"write install=bash\|zsh\|fish"):
        completion(what, {}, [])


OFFERED = [
    ("gymrecipe vers", ["versions"]),
    ("gymrecipe +recipe=dpo_s", ["+recipe=dpo_same_prompt", "+recipe=dpo_stratified"]),
    ("gymrecipe +recipe=dpo_same_prompt min", ["min_gap="]),
    ("gymrecipe +recipe=ppo ++stages.scored.min_r", ["++stages.scored.min_reward="]),
    ("gymrecipe +recipe=ppo input=scr", ["input=script"]),
    ("gymrecipe zzz", []),
]
"""What every shell offers."""

IN_BASH = """
set -u; source ./script; complete -p gymrecipe >/dev/null || exit 9
COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}; _gymrecipe
if ((${#COMPREPLY[@]})); then printf "%s\\n" "${COMPREPLY[@]}"; fi
[[ $COMP_WORDBREAKS != *=* ]] || exit 8
"""

IN_ZSH = """
zmodload zsh/zpty
zpty -b inner zsh -f -i
zpty -w inner "PS1= ZDOTDIR=$PWD; source ./script"
zpty -w inner 'functions[_theirs]=$functions[_gymrecipe]'
zpty -w inner 'compadd() { print -rl -- "${(@)@[4,-1]}" >> found; builtin compadd "$@" }'
zpty -w inner '_gymrecipe() { _theirs; mv found done || touch done }'
zpty -w -n inner "$1"$'\\t'
for i in {1..300}; do [[ -e done ]] && break; sleep 0.1; done
zpty -d inner
cat done
"""
"""A terminal in which the line is typed, for zsh completes nowhere else. The last three words that
`compadd` is given before the candidates are `-S '' --`."""

IN_FISH = "source ./script; complete -C $argv[1]"


def offered(shell: list[str], program: str, line: str, folder: Path) -> list[str]:
    """What a real shell offers behind a line, with the script that is installed in it."""
    if shutil.which(shell[0]) is None:
        pytest.skip(f"no {shell[0]}")
    command = folder / "gymrecipe"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m gymrecipe "$@"\n')
    command.chmod(0o755)
    (folder / "script").write_text(SCRIPTS[shell[0]])
    done = subprocess.run(
        [*shell, "-c", program, *(["shell"] if shell[0] != "fish" else []), line],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder)},
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return [word for word in done.stdout.splitlines() if word]


@pytest.mark.parametrize(("line", "expected"), [*OFFERED, ("gymrecipe 'a", [])])
def test_a_real_bash_offers_the_candidates(line: str, expected: list[str], tmp_path: Path) -> None:
    assert offered(["bash"], IN_BASH, line, tmp_path) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        *OFFERED[:: often(3, 1)],
        ("gymrecipe '+recipe=bal", ["+recipe=balanced"]),
        ("true; A=1 gymrecipe +recipe=balanced per", ["per_category="]),
    ],
)
def test_a_real_zsh_offers_the_candidates(line: str, expected: list[str], tmp_path: Path) -> None:
    assert offered(["zsh", "-f"], IN_ZSH, line, tmp_path) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        *OFFERED[:: often(3, 1)],
        ("gymrecipe 'a", []),
        ("true; A=1 gymrecipe +recipe=balanced per", ["per_category="]),
    ],
)
def test_a_real_fish_offers_the_candidates(line: str, expected: list[str], tmp_path: Path) -> None:
    assert offered(["fish", "--no-config"], IN_FISH, line, tmp_path) == expected
