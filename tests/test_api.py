"""The API: `gymrecipe.run` takes any Python value and gives the version."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import gymrecipe
from gymrecipe.errors import InputError, RecipeError
from tests.experiments.conftest import graded, save
from tests.forked import python
from tests.full import often

SAMPLE = Path(gymrecipe.__file__).parent / "rollouts" / "sample.jsonl"


def run(folder: Path, recipe: str | Path = "dpo_same_prompt", **knobs: Any) -> gymrecipe.Version:
    return gymrecipe.run(recipe, **{"output_dir": folder, "engine.workers": 1} | knobs)


def parameters(version: gymrecipe.Version, stage: str) -> dict[str, Any]:
    return next(each.parameters for each in version.manifest.stages if each.name == stage)


def test_a_run_gives_the_version_that_it_made(tmp_path: Path) -> None:
    version = run(tmp_path, min_gap=0.3)
    assert version.path == tmp_path / "dpo_same_prompt" / "v0001"
    assert (version.path / "manifest.json").is_file()
    assert version.manifest.version == "v0001"
    assert not version.existed


def test_the_same_run_gives_the_version_that_exists(tmp_path: Path) -> None:
    first = run(tmp_path)
    again = run(tmp_path)
    assert again.existed
    assert (again.path, again.manifest.id) == (first.path, first.manifest.id)
    assert run(tmp_path, again=True).manifest.version == "v0002"


def test_the_recipe_of_a_version_runs_as_it_is_and_finds_that_version(tmp_path: Path) -> None:
    first = run(tmp_path, min_gap=0.3, **{"stages.pair.strategy": "best_vs_worst"})
    assert first.path is not None
    again = run(tmp_path, first.path / "recipe.yaml")
    assert (again.existed, again.path) == (True, first.path)


def test_a_list_of_another_library_is_a_list(tmp_path: Path) -> None:
    config = OmegaConf.create({"input": [str(SAMPLE)]})
    assert run(tmp_path, input=config.input).manifest.inputs[0].path == str(SAMPLE)


def test_a_value_that_no_recipe_can_hold_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"run\(\): input: a value of type builtins.set stands"):
        run(tmp_path, input={str(SAMPLE)})


def test_a_dry_run_has_no_path_but_an_example(tmp_path: Path) -> None:
    version = run(tmp_path / "out", dry_run=True)
    assert version.path is None
    assert version.examples
    assert not (tmp_path / "out").exists()


def test_runs_of_several_threads_are_each_of_their_own_recipe(tmp_path: Path) -> None:
    recipes = ["dpo_same_prompt", "sft_threshold", "ppo"]
    together = threading.Barrier(2 * len(recipes))

    def run_once(recipe: str) -> list[tuple[str, str]]:
        together.wait()
        version = run(tmp_path, recipe, dry_run=True)
        return [(stage.name, stage.use) for stage in version.manifest.stages]

    alone = [
        [(stage.name, stage.use) for stage in run(tmp_path, recipe, dry_run=True).manifest.stages]
        for recipe in recipes
    ]
    with ThreadPoolExecutor(together.parties) as threads:
        assert list(threads.map(run_once, recipes * 2)) == alone * 2


NAMES = ["it's.jsonl", 'a "b".jsonl', "a, b.jsonl", "a\\b.jsonl", "é 数.jsonl", "a=b.jsonl", "123",
         "null", "1.10", "{a}.jsonl", "$x.jsonl", "a\\'b.jsonl", "end\\"]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, str) for name in NAMES[:: often(2, 1)]),
        *((name, Path) for name in NAMES[1 :: often(4, 2)]),
    ],
)
def test_an_input_of_any_name_is_found(name: str, kind: type, tmp_path: Path) -> None:
    path = save(tmp_path / name, graded(2))
    version = run(tmp_path, input=kind(path), dry_run=True)
    assert version.manifest.lines.read == 8


def test_an_input_may_be_a_list_of_paths(tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(SAMPLE.read_bytes())
    version = run(tmp_path, "aggregate", input=[SAMPLE, str(copy)], limit=210, dry_run=True)
    assert version.manifest.lines.read == 210


def test_none_is_null(tmp_path: Path) -> None:
    assert run(tmp_path, limit=None, tag=None, dry_run=True).manifest.lines.read == 203


def test_a_number_of_another_library_is_a_number(tmp_path: Path) -> None:
    class Float64(float):
        def __repr__(self) -> str:
            return f"np.float64({float(self)})"

    version = run(tmp_path, min_gap=Float64(0.3), dry_run=True)
    assert parameters(version, "pair")["min_gap"] == 0.3


def test_a_mapping_and_a_list_reach_a_stage(tmp_path: Path) -> None:
    knobs = {"stages.check.checks": {"rows": {"min": 1, "level": "warn"}, "mean_gap": None}}
    version = run(tmp_path, dry_run=True, task_fields=["a.b", 'field["x y"]'], **knobs)
    assert set(parameters(version, "check")["checks"]) == {"rows", "mean_gap"}
    assert parameters(version, "load")["task_fields"] == ["a.b", 'field["x y"]']


def test_a_stage_may_be_added(tmp_path: Path) -> None:
    stage = {"use": "filter", "where": 'agent != "it\'s, {x}" or reward >= 0', "after": "usable"}
    version = run(tmp_path, dry_run=True, **{"stages.more": stage})
    assert parameters(version, "more")["where"] == stage["where"]


def test_named_columns_keep_their_patterns(tmp_path: Path) -> None:
    pattern = r"^(?:[\s\S]*Category: )?([A-Za-z_]{1,40})\s*$"
    column = {"path": ["responses_create_params.input.0.content"], "regex": pattern}
    knobs = {"columns": {"kind": column}, "stages.check.category": "kind"}
    version = run(tmp_path, "sft_threshold", dry_run=True, **knobs)
    assert version.manifest.parameters["columns"]["kind"]["regex"] == pattern


def test_an_odd_key_is_a_key(tmp_path: Path) -> None:
    columns = {'field["reward"]': "score", "reward": None}
    version = run(tmp_path, "sft_threshold", dry_run=True, **{"stages.write.columns": columns})
    assert parameters(version, "write")["columns"] == columns
    assert '"score":' in version.examples["write"]


def test_an_odd_key_that_is_only_named_is_the_name_of_its_column(tmp_path: Path) -> None:
    line = {"messages": [{"role": "user", "content": "1 + 1?"}], "response": "2", "reward": 1.0}
    (tmp_path / "a.jsonl").write_text(json.dumps(line | {"pass@1": 0.5}) + "\n")
    knobs = {"input": str(tmp_path / "a.jsonl"), "metrics": ['field["pass@1"]']}
    version = run(tmp_path, "ppo", dry_run=True, **knobs)
    assert json.loads(version.examples["write"])["pass@1"] == 0.5


def test_the_engine_is_a_name_or_its_settings(tmp_path: Path) -> None:
    run(tmp_path, engine="local", dry_run=True)
    run(tmp_path, engine={"workers": 1}, dry_run=True)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), object(), {1, 2}, b"a", [0.1]])
def test_a_value_that_is_no_number_is_a_fault_of_the_recipe(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="min_gap"):
        run(tmp_path, min_gap=wrong)


def test_a_text_is_never_read_as_a_sweep_or_a_resolver(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no such file|should be one of"):
        run(tmp_path, strategy="all,mirrored")
    with pytest.raises(RecipeError, match=r"only plain"):
        run(tmp_path, input="${oc.env:HOME}")


def test_an_unknown_knob_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"Did you mean 'min_gap'\?"):
        run(tmp_path, mingap=0.3)


def test_a_value_of_the_call_is_told_as_of_the_call(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        run(tmp_path, min_gap="abc", strategy="al")
    said = "gymrecipe.run(): min_gap: should be a valid number, got 'abc'."
    assert said in caught.value.problems
    assert str(caught.value) == "\n".join(caught.value.problems)
    assert "command line" not in str(caught.value)


def test_a_value_that_the_recipe_asks_for_is_asked_of_the_call(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text('n: ???\nstages:\n  load: {use: load, limit: "${n}"}\n  write: {use: write}\n')
    with pytest.raises(RecipeError, match=r"n: has to be given\. Write n=value in the call\.\Z"):
        run(tmp_path, path)


def test_a_recipe_is_a_name_or_a_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("stages:\n  load: {use: load}\n  write: {use: write}\n")
    assert run(tmp_path, path, dry_run=True).manifest.name == "mine"
    with pytest.raises(RecipeError, match="no recipe is named 'nope'"):
        run(tmp_path, "nope")


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.jsonl"):
        run(tmp_path, input=tmp_path / "none.jsonl")


FORMAT = """
from gymrecipe.registry import format

@format(purposes=("sft",), version=1)
def shout(example):
    return {"text": example.completion[-1].content.upper()}
"""
RUN = """
import gymrecipe

if __name__ == "__main__":
    knobs = {"output_dir": "out", "format": "shout", "engine.workers": 1}
    print(*gymrecipe.run("sft_threshold", **knobs).manifest.plugins.items())
"""


def ran(folder: Path, program: str) -> str:
    (folder / "program.py").write_text(program)
    done = python("program.py", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_installed_plugin_is_loaded_and_recorded(tmp_path: Path) -> None:
    (tmp_path / "my_format.py").write_text(FORMAT)
    installed = tmp_path / "mine-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Name: mine\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[gymrecipe.plugins]\nmine = my_format\n")
    assert ran(tmp_path, RUN).startswith("('my_format', '")


def test_a_plugin_imported_by_hand_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "my_format.py").write_text(FORMAT)
    assert ran(tmp_path, f"import my_format\n{RUN}").startswith("('my_format', '")


def test_what_a_script_registers_itself_is_recorded_with_its_code(tmp_path: Path) -> None:
    one, other = (ran(tmp_path, f"{FORMAT}{RUN}# {note}\n") for note in ("one", "other"))
    assert one.startswith("('__main__', '")
    assert one != other


@pytest.mark.parametrize("piped", [False, True])
def test_code_that_is_in_no_file_never_finds_a_version_of_other_code(
    piped: bool, tmp_path: Path
) -> None:
    for code, name in ((FORMAT, "v0001"), (FORMAT.replace("upper", "lower"), "v0002")):
        program = f"{code}{RUN.replace('.plugins.items()', '.version')}"
        program = program.replace("print(*", "print(")
        if piped:
            words = [sys.executable, "-"]
            done = subprocess.run(
                words, input=program, cwd=tmp_path, capture_output=True, text=True
            )
        else:
            done = python("-c", program, cwd=tmp_path)
        assert done.stdout == f"{name}\n", done.stderr


def test_a_stage_is_taken_out_as_on_the_command_line(tmp_path: Path) -> None:
    version = run(tmp_path, **{"~stages.check": None})
    assert [stage.name for stage in version.manifest.stages] == ["load", "usable", "pair", "write"]
    with pytest.raises(RecipeError, match=r"~stages\.chek: .*Did you mean 'check'\?"):
        run(tmp_path, **{"~stages.chek": None})


def test_a_recipe_that_is_named_twice_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"^gymrecipe\.run\(\): recipe: named twice\."):
        gymrecipe.run("ppo", recipe="ppo")
