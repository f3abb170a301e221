"""The built wheel, installed in an environment of its own, works from any folder."""

import importlib.metadata
import os
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.full import FULL

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    line = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(REPOSITORY)]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("gymrecipe-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel and what it depends on, nothing else.

    In the full set it is all installed; else what it depends on is linked to what there is here.
    """
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "--quiet"]
    install = [*pip, "install", "--no-compile", *([] if FULL else ["--no-deps"]), str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if not FULL:
        (packages,) = folder.glob("lib/*/site-packages")
        (ours,) = importlib.metadata.distributions(name="gymrecipe", path=[str(packages)])
        for name, place in needed(ours).items():
            (packages / name).symlink_to(place)
    return folder / "bin"


def needed(of: Distribution) -> dict[str, Path]:
    """What lies at the top of a distribution's dependencies, and of theirs, and where."""
    found: dict[str, Path] = {}
    for requirement in map(Requirement, of.requires or []):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            there = importlib.metadata.distribution(requirement.name)
            assert requirement.specifier.contains(there.version, prereleases=True)
            tops = {file.parts[0] for file in there.files or []} - {"..", "__pycache__"}
            found |= {top: Path(str(there.locate_file(top))) for top in tops} | needed(there)
    return found


def test_recipes_knobs_and_sample_travel_in_the_wheel_and_nothing_else_does(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("recipes", "conf"):
        for path in (REPOSITORY / folder).rglob("*.yaml"):
            assert f"gymrecipe/{path.relative_to(REPOSITORY)}" in names
    assert "gymrecipe/rollouts/sample.jsonl" in names
    top = {name.split("/")[0] for name in names}
    assert {name.split("-")[0] for name in top} == {"gymrecipe"}
    assert not [name for name in names if "__pycache__" in name]


def test_the_installed_command_runs_from_an_unrelated_folder(
    installed: Path, tmp_path: Path
) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))
    }

    def run(*line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(installed / line[0]), *line[1:]], cwd=tmp_path, capture_output=True, text=True,
            env=environment,
        )  # fmt: skip

    done = run("gymrecipe", "+recipe=dpo_same_prompt", "min_gap=0.3")
    assert (done.returncode, done.stdout) == (0, "experiments/dpo_same_prompt/v0001\n"), done.stderr
    assert "Warning" not in done.stderr
    listed = run("python", "-m", "gymrecipe", "recipes")
    assert listed.returncode == 0, listed.stderr
    names = {line.split()[0] for line in listed.stdout.splitlines()[1:] if line[:1].strip()}
    assert names == {path.stem for path in (REPOSITORY / "recipes").glob("*.yaml")}
    assert len(names) == 22
    assert run("gymrecipe", "verify", "dpo_same_prompt").returncode == 0
    assert run("gymrecipe", "reproduce", "dpo_same_prompt").returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"experiments"}
