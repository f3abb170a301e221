"""Ctrl-C, SIGTERM, SIGHUP at any moment: one sentence, no staging left, a version or none."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.experiments.conftest import graded, save
from tests.faults.conftest import (
    COMMAND,
    Point,
    figure,
    half_versions,
    needs_strace,
    points,
    struck,
)
from tests.full import FULL, often

SIGNALS = [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)]
PLACED = [(*each, place) for each, place in zip(SIGNALS, (2, 4, 6), strict=True)]
"""With the eighths of its calls before the one at which a run is interrupted in every test run."""


def faults(folder: Path, done: subprocess.CompletedProcess[str], code: int) -> list[str]:
    """What a run that was interrupted did wrong."""
    found = half_versions(folder) if folder.exists() else []
    hidden = [name for name in os.listdir(folder) if name[0] == "."] if folder.exists() else []
    if done.returncode == 128 - code:  # before the command began the signal is the interpreter's
        return found + hidden
    if done.returncode not in (0, code):
        found.append(f"exit code {done.returncode}")
    if any(word in done.stderr for word in ("Traceback", "Exception ignored", "panicked")):
        found.append(done.stderr)
    return found + hidden


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], list[Point]]:
    """A folder in which a command made a version, the command, and the calls that it makes there.

    `before` in the folder is a copy of what it made.
    """
    root = tmp_path_factory.mktemp("traced").resolve()
    rollouts = save(root / "a.jsonl", [*graded(), b"no json"])
    folder = root / "out" / "dpo_same_prompt"
    command = [*COMMAND, f"input={rollouts}", f"output_dir={root / 'out'}"]
    subprocess.run(command, capture_output=True, check=True)
    shutil.copytree(folder, root / "before", symlinks=True)
    return root, command, points(command, folder, root / "log")


@needs_strace
@pytest.mark.parametrize(("name", "code", "place"), PLACED)
def test_a_run_interrupted_at_its_calls_leaves_nothing_behind(
    name: str, code: int, place: int, traced: tuple[Path, list[str], list[Point]]
) -> None:
    root, command, reached = traced
    folder = root / "out" / "dpo_same_prompt"
    wrong, interrupted = [], 0
    for point in reached if FULL else [reached[len(reached) * place // 8]]:
        shutil.rmtree(folder)
        shutil.copytree(root / "before", folder, symlinks=True)
        words = struck(point, f"signal={name}", command)
        done = subprocess.run(words, capture_output=True, text=True)
        interrupted += done.returncode == code
        wrong += [(point, fault) for fault in faults(folder, done, code)]
    assert wrong == []
    assert interrupted
    figure("whole or absent", f"{name} at the calls of a run", interrupted, "0 half, nothing left")


@pytest.mark.skipif(not FULL, reason="the full set does this: make test-faults")
@pytest.mark.parametrize(("name", "code"), SIGNALS)
def test_a_run_interrupted_at_a_random_moment_leaves_nothing_behind(
    name: str, code: int, root: Path
) -> None:
    rollouts = save(root / "a.jsonl", graded(200, 4))
    command = [*COMMAND, f"input={rollouts}", f"output_dir={root / 'out'}"]
    began = time.monotonic()
    subprocess.run(command, capture_output=True, check=True)
    usual = time.monotonic() - began
    chance, interrupted, wrong = random.Random(0), 0, []
    for _ in range(often(1, 60)):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        time.sleep(usual * chance.uniform(0.5, 1.0))
        process.send_signal(getattr(signal, name))
        _, said = process.communicate()
        interrupted += process.returncode == code
        done = subprocess.CompletedProcess(command, process.returncode, "", said)
        wrong += faults(root / "out" / "dpo_same_prompt", done, code)
    assert wrong == []
    figure("whole or absent", f"{name} at a random moment", 60,
           f"{interrupted} interrupted, 0 half, nothing left")  # fmt: skip


def test_control_a_run_that_is_killed_instead_leaves_its_staging(root: Path) -> None:
    folder = root / "dpo"
    folder.mkdir()
    (folder / ".staging-0123456789abcdef").mkdir()
    done = subprocess.CompletedProcess([], -9, "", "")
    assert faults(folder, done, 130) == ["exit code -9", ".staging-0123456789abcdef"]
