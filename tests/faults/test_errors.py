"""A disk or an input that fails anywhere ends in one sentence, and never in half a version."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from gymrecipe.experiments import manifest, references
from tests.experiments.conftest import graded, save
from tests.faults.conftest import (
    COMMAND,
    LAST_STEPS,
    figure,
    half_versions,
    needs_strace,
    points,
    strace,
    struck,
)
from tests.full import FULL, often

ERRORS = ["ENOSPC", "EIO", "EMFILE", "EDQUOT"]


def outcome(folder: Path, done: subprocess.CompletedProcess[str]) -> str:
    """What became of a run on a folder that had one version: which promise is broken, if any."""
    new = references.versions(folder)[1:]
    if half_versions(folder):
        return "half a version"
    if "Traceback" in done.stderr:
        return f"traceback: {done.stderr}"
    if done.returncode == 0:
        return "done" if new and str(new[0]) in done.stdout else "success without a version"
    if not done.stderr.strip():
        return "no word"
    if not new:
        return "nothing published" if done.returncode in (2, 6) else f"exit {done.returncode}"
    said = "is published" in done.stderr and done.returncode in (6, 7)
    return "published, and said so" if said else f"published, but it says: {done.stderr}"


GOOD = {"done", "nothing published", "published, and said so"}


def sweep(
    folder: Path, command: list[str], log: Path, error: str, persistent: bool, step: int = 1
) -> Counter[str]:
    """Let each call of the command on the folder fail, or one of so many; count the outcomes."""
    folder.mkdir(parents=True)
    subprocess.run(command, capture_output=True, check=True)
    before = log.with_name("before")
    shutil.copytree(folder, before, symlinks=True)
    found: Counter[str] = Counter()
    for point in points(command, folder, log)[::step]:
        shutil.rmtree(folder)
        shutil.copytree(before, folder, symlinks=True)
        words = struck(point, f"error={error}", command, persistent)
        found[outcome(folder, subprocess.run(words, capture_output=True, text=True))] += 1
    return found


@needs_strace
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("error", ERRORS)
def test_a_publication_whose_disk_fails_says_what_is_published(
    error: str, persistent: bool, root: Path
) -> None:
    if (error, persistent) != ("ENOSPC", False) and not FULL:
        pytest.skip("the full set does this: make test-faults")
    command, step = [*LAST_STEPS, str(root / "dpo")], often(3, 1)
    found = sweep(root / "dpo", command, root / "log", error, persistent, step)
    assert set(found) <= GOOD
    assert found["nothing published"] > often(3, 10)
    assert found["published, and said so"] > often(0, 3)
    how = "from then on" if persistent else "once"
    figure("whole or absent", f"{error} {how}, at each call of a publication", found.total(),
           "0 half, 0 silent")  # fmt: skip


@needs_strace
@pytest.mark.skipif(not FULL, reason="the full set does this: make test-faults")
@pytest.mark.parametrize("error", ERRORS)
def test_a_command_whose_disk_fails_says_what_is_published(error: str, root: Path) -> None:
    rollouts = save(root / "a.jsonl", [*graded(), b"no json"])
    folder = root / "out" / "dpo_same_prompt"
    command = [*COMMAND, f"input={rollouts}", f"output_dir={root / 'out'}"]
    found = sweep(folder, command, root / "log", error, False)
    assert set(found) <= GOOD
    assert found["nothing published"] > 20
    figure("whole or absent", f"{error} once, at each call of a run", found.total(),
           "0 half, 0 silent")  # fmt: skip


@needs_strace
def test_control_an_error_after_the_rename_that_is_taken_for_failure_is_found(root: Path) -> None:
    done = subprocess.CompletedProcess([], 6, "", "gymrecipe: the disk is full")
    (root / "dpo").mkdir()
    for _ in range(2):
        subprocess.run([*LAST_STEPS, str(root / "dpo")], capture_output=True, check=True)
    assert outcome(root / "dpo", done).startswith("published, but it says")
    (root / "dpo" / "v0002" / "README.md").write_text("cut")
    assert outcome(root / "dpo", done) == "half a version"


READS = ["pread64", "openat", "newfstatat"]


@needs_strace
@pytest.mark.parametrize("call", READS if FULL else READS[:1])
@pytest.mark.parametrize("compressed", [False, True] if FULL else [False])
def test_an_input_that_cannot_be_read_is_never_a_shorter_dataset(
    call: str, compressed: bool, root: Path
) -> None:
    import gzip

    rollouts = save(root / "a.jsonl", graded(2))
    if compressed:
        rollouts = root / "a.jsonl.gz"
        rollouts.write_bytes(gzip.compress((root / "a.jsonl").read_bytes()))
        call = "read" if call == "pread64" else call
    command = [*COMMAND, f"input={rollouts}", f"output_dir={root / 'out'}"]
    failed = passed = tried = 0
    while passed < often(2, 8):  # a call may fail without harm; so many in a row are none any more
        number = 1 + tried * often(8, 1)
        tried += 1
        inject = f"inject={call}:error=EIO:when={number}"
        traced = strace("-P", str(rollouts), "-e", f"trace={call}", "-e", inject)
        done = subprocess.run([*traced, *command], capture_output=True, text=True)
        if done.returncode == 0:
            passed += 1
            assert manifest.read(root / done.stdout.strip()).lines.read == 8
            continue
        failed, passed = failed + 1, 0
        assert "Traceback" not in done.stderr
        assert str(rollouts) in done.stderr
    assert failed
    assert len(references.versions(root / "out" / "dpo_same_prompt")) == tried - failed
    kind = "compressed" if compressed else "plain"
    figure("the input is what the manifest says", f"EIO at each {call} of a {kind} input", failed,
           "0 short datasets")  # fmt: skip
