"""Imports point one way; this holds it."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import gymrecipe
from tests.forked import python

PACKAGE = Path(__file__).parents[1] / "gymrecipe"

LAYERS = [
    ["errors", "lazy_polars", "names"],
    ["parameters", "registry"],
    ["rollouts"],
    ["reasons"],
    ["stages", "formats", "engines"],
    ["patterns", "credentials", "guards", "recipe", "planning"],
    ["experiments"],
    ["running", "check", "checking"],
    ["report", "api", "plugins"],
    ["command", "cli", "__main__", "__init__"],
]
"""From the ground up: a module imports from its own layer and those before it."""


def layer(module: str) -> int:
    return next(height for height, names in enumerate(LAYERS) if module in names)


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module.split(".")]
            if node.module == "gymrecipe":
                names = [["gymrecipe", alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        else:
            continue
        found |= {name[1] for name in names if name[0] == "gymrecipe" and len(name) > 1}
    return {name for name in found if not name.startswith("__")}


FILES = sorted(PACKAGE.rglob("*.py"))


def test_a_module_imports_only_from_its_own_layer_and_below() -> None:
    assert len(FILES) > 200
    for path in FILES:
        own = layer(path.relative_to(PACKAGE).parts[0].removesuffix(".py"))
        assert not [name for name in imported(path) if layer(name) > own], path


def test_only_recipe_imports_hydra_and_omegaconf() -> None:
    users = {
        path.relative_to(PACKAGE).parts[0]
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else
                     [alias.name for alias in node.names])
        if name.split(".")[0] in ("hydra", "omegaconf")
    }  # fmt: skip
    assert users == {"recipe"}


@pytest.mark.parametrize("module", ["engines.worker", "engines.server", "running.executor"])
def test_workers_and_what_begins_a_run_do_not_import_polars(module: str) -> None:
    code = f"import sys, gymrecipe.{module}; sys.exit('polars' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


ENDS: list[tuple[list[str], int]] = [
    ([], 0),
    (["--help"], 0),
    (["recipes"], 0),
    (["stages"], 0),
    (["stages", "pair"], 0),
    (["versions"], 0),
    (["show", "ppo/v0001"], 0),
    (["explain", "ppo/v0002", "a.jsonl:1"], 2),
    (["rejects", "ppo/v0002"], 2),
    (["verify", "ppo/v0002"], 2),
    (["diff", "ppo/v0001", "ppo/v0002"], 2),
    (["+recipe=ppo", "--cfg", "job"], 0),
    (["+recipe=dpo_same_prompt", "mingap=0.3"], 2),
    (["+recipe=dpo_same_prompt", "stages.pair.min_gap=x"], 2),
]
EACH_ALONE = """
import json, os, sys
import hydra, omegaconf, pydantic, rich  # which take long, and are none of its business
import gymrecipe.command.words, gymrecipe.planning.plan, gymrecipe.recipe.composing
from gymrecipe.cli import main

for words in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        os._exit(main(words) + 100 * ("polars" in sys.modules))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=sys.stderr)
"""


def test_what_reads_no_table_does_not_import_polars(tmp_path: Path) -> None:
    gymrecipe.run("ppo", output_dir=str(tmp_path / "experiments"))
    line = [sys.executable, "-c", EACH_ALONE, json.dumps([words for words, _ in ENDS])]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    codes = [int(said) for said in done.stderr.splitlines() if said.isdecimal()]
    assert list(zip([words for words, _ in ENDS], codes, strict=True)) == ENDS, done.stderr


def test_stages_of_plugins_may_have_polars_by_any_name(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import polars\n"
        "from gymrecipe.parameters import Params\n"
        "from gymrecipe.registry import STAGES, stage\n"
        "class Mine(Params):\n    use: str = 'mine'\n"
        "@stage(takes='rollouts', version=1)\n"
        "def mine(rows: polars.LazyFrame, params: Mine) -> polars.LazyFrame:\n    return rows\n"
        "assert STAGES['mine'].params is Mine\n"
    )
    assert subprocess.run([sys.executable, "mine.py"], cwd=tmp_path).returncode == 0


def test_signals_are_heard_before_libraries_are_loaded() -> None:
    code = (
        "import sys, gymrecipe.cli; known = sys.stdlib_module_names | {'gymrecipe'};"
        "before = {'site', 'sitecustomize', 'usercustomize'};"
        "loaded = {name.partition('.')[0] for name in sys.modules} - known - before;"
        "print(sorted(name for name in loaded if not name.startswith('_')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_show_tells_the_knobs_as_the_run_did(tmp_path: Path) -> None:
    run = python("-m", "gymrecipe", "+recipe=ppo", cwd=tmp_path)
    show = python("-m", "gymrecipe", "show", "ppo", cwd=tmp_path)

    def knobs(text: str) -> str:
        return text.partition("\nKnobs")[2].partition("\n\n")[0]

    assert "load" in knobs(run.stderr)
    assert knobs(show.stdout) == knobs(run.stderr)


def test_only_check_imports_the_models_of_lines(tmp_path: Path) -> None:
    lines = [["formats"], ["columns"], ["+recipe=ppo", "dry_run=true"]]
    code = (
        "import sys; from gymrecipe.cli import main;"
        f"codes = [main(words) for words in {lines}]; loaded = set(sys.modules);"
        "sys.exit(any(codes) or bool(loaded & {'gymrecipe.check', 'gymrecipe.formats.models'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 0


def test_no_module_has_more_than_300_lines() -> None:
    assert not [path for path in FILES if path.read_text().count("\n") > 300]


def test_no_module_is_a_bag_of_utilities() -> None:
    names = {path.stem for path in FILES}
    assert not names & {"utils", "util", "helpers", "common", "misc"}
