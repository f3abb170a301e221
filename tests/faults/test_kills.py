"""A run that is killed at any moment leaves a whole version or none, and the next run goes on."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from gymrecipe.experiments import ledger, links, references
from tests.experiments.conftest import graded, save
from tests.faults.conftest import (
    COMMAND,
    LAST_STEPS,
    PYTHON,
    faults_of,
    figure,
    half_versions,
    needs_strace,
    points,
    struck,
    torn,
)
from tests.full import FULL, often


def sweep(folder: Path, command: list[str], log: Path, step: int = 1) -> Counter[str]:
    """Kill the command at each of its calls on the folder, or at one of so many, which has one
    version already; count what is left, and whether a run afterwards mends it.
    """
    folder.mkdir(parents=True)
    subprocess.run(command, capture_output=True, check=True)
    before = log.with_name("before")
    shutil.copytree(folder, before, symlinks=True)
    lines = (folder / references.LEDGER).read_bytes()
    found: Counter[str] = Counter()
    for point in points(command, folder, log)[::step]:
        shutil.rmtree(folder)
        shutil.copytree(before, folder, symlinks=True)
        killed = subprocess.run(struck(point, "signal=SIGKILL", command), capture_output=True)
        found["killed" if killed.returncode else "not reached"] += 1
        found["half"] += bool(half_versions(folder))
        found["older lost"] += references.versions(folder)[:1] != [folder / "v0001"]
        found["ledger changed"] += not (folder / references.LEDGER).read_bytes().startswith(lines)
        ledger.complete(references.versions(folder)[-1])
        links.mend_latest(folder)
        found["not mended"] += not mended(folder)
    return found


def mended(folder: Path) -> bool:
    """Whether the ledger and `latest` speak of exactly the versions there are."""
    names = [version.name for version in references.versions(folder)]
    told = [line["version"] for line in ledger.read(folder)]
    return told == names and os.readlink(folder / "latest") == names[-1]


@needs_strace
def test_a_publication_killed_at_each_of_its_calls_leaves_no_half_version(root: Path) -> None:
    folder = root / "dpo"
    found = sweep(folder, [*LAST_STEPS, str(folder)], root / "log", often(4, 1))
    assert found["killed"] > often(8, 30)
    assert {name: n for name, n in found.items() if n} == {"killed": found["killed"]}
    figure("whole or absent", "kill -9 at each call of a publication", found["killed"], "0 half")


@needs_strace
def test_control_a_version_built_in_place_is_found_half(root: Path) -> None:
    folder = root / "dpo"
    command = [*LAST_STEPS, str(folder), "without", "staging"]
    found = sweep(folder, command, root / "log", often(4, 1))
    assert found["half"] > often(0, 3)
    figure("whole or absent", "control: built in place", found["killed"], f"{found['half']} half")


@needs_strace
@pytest.mark.skipif(not FULL, reason="the full set does this: make test-faults")
def test_a_command_killed_at_each_of_its_calls_leaves_no_half_version(root: Path) -> None:
    rollouts = save(root / "a.jsonl", [*graded(), b"no json"])
    folder = root / "out" / "dpo_same_prompt"
    command = [*COMMAND, f"input={rollouts}", f"output_dir={root / 'out'}"]
    found = sweep(folder, command, root / "log")
    assert found["killed"] > 40
    assert {name: n for name, n in found.items() if n} == {"killed": found["killed"]}
    figure("whole or absent", "kill -9 at each call of a run", found["killed"], "0 half")


def test_a_run_killed_at_a_random_moment_leaves_no_half_version(root: Path) -> None:
    rollouts = save(root / "a.jsonl", graded(200, 4))
    folder = root / "out" / "dpo_same_prompt"
    command = [*PYTHON, "-m", "gymrecipe", "+recipe=dpo_same_prompt", "again=true",
               f"input={rollouts}", f"output_dir={root / 'out'}"]  # fmt: skip
    began = time.monotonic()
    subprocess.run(command, capture_output=True, check=True)
    usual = time.monotonic() - began
    chance, died, times = random.Random(0), 0, often(2, 500)
    for _ in range(times):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            # What a run does with the disk, it does at the end.
            process.wait(usual * chance.uniform(0.4, 1.1))
        except subprocess.TimeoutExpired:
            process.kill()
        died += process.wait() != 0
        assert half_versions(folder) == []
    subprocess.run(command, capture_output=True, check=True)
    names = [version.name for version in references.versions(folder)]
    assert sorted(line["version"] for line in ledger.read(folder)) == names
    assert torn(folder) <= died
    assert all(faults_of(version) == [] for version in references.versions(folder))
    figure("whole or absent", "kill -9 at a random moment", times, f"{died} died, 0 half")
