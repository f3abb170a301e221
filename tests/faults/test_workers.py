"""A worker that dies is told with the slice it held; one more try, and no byte is another."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.experiments.conftest import graded, save
from tests.faults.conftest import HERE, faults_of, figure
from tests.forked import python

PLUGIN = """
import os, signal
from pathlib import Path
from gymrecipe.registry import format

@format(purposes=("sft",), version=1)
def deadly(example):
    text = example.completion[-1].content
    if text == "answer 3 2":
        for marker in Path(__file__).parent.glob("kill-*"):
            marker.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
    return {"text": text}
"""
RECIPE = "stages: {load: {use: load}, write: {use: write, format: deadly}}\n"


def run(folder: Path, kills: int) -> subprocess.CompletedProcess[str]:
    """A run of which a worker is killed so often, by what it writes."""
    folder.mkdir()
    (folder / "my_format.py").write_text(PLUGIN)
    (folder / "own.yaml").write_text(RECIPE)
    for number in range(kills):
        (folder / f"kill-{number}").touch()
    rollouts = save(folder / "a.jsonl", graded())
    words = ["+recipe=own.yaml", "--plugin", "my_format", f"input={rollouts}", "json=true",
             "engine.workers=2"]  # fmt: skip
    return python(str(HERE / "command.py"), *words, cwd=folder, WORTH_BYTES="0")


def test_a_run_whose_worker_is_killed_once_tells_it_and_makes_the_same_bytes(root: Path) -> None:
    made = []
    for kills in (0, 1):
        done = run(root / str(kills), kills)
        assert done.returncode == 0, done.stderr
        version = root / str(kills) / "experiments/own/v0001"
        assert faults_of(version) == []
        made.append((version / "data/train.jsonl").read_bytes())
        said = [text for text in json.loads(done.stdout)["warnings"] if "worker" in text]
        held = "train: rows 0 to 20"
        assert said == kills * [
            f"a worker process died (killed: out of memory?) while it held {held}; that was done"
            " again."
        ]
    assert made[0] == made[1]
    figure("whole or absent", "kill -9 of a worker", 1, "the same bytes, told")


def test_a_run_whose_worker_is_killed_twice_names_the_slice_and_leaves_nothing(root: Path) -> None:
    done = run(root / "run", 2)
    assert done.returncode == 6
    assert "twice (killed: out of memory?) while it held train: rows 0 to 20." in done.stderr
    assert "Traceback" not in done.stderr
    assert not (root / "run" / "experiments" / "own").exists()
    figure("whole or absent", "kill -9 of a worker, twice", 1, "0 half, nothing left")
