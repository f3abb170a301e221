"""A disk that is really full: a run says so, publishes nothing and leaves nothing."""

from __future__ import annotations

import os
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from gymrecipe.experiments import references
from tests.experiments.conftest import graded, rollout, save
from tests.faults.conftest import HERE, figure, half_versions, mounted
from tests.forked import python
from tests.full import often


def small_disk(folder: Path, options: str) -> AbstractContextManager[Path]:
    """A file system in memory with little room."""
    return mounted(folder, "-t", "tmpfs", "-o", options, "tmpfs")


def run(rollouts: Path, out: Path) -> subprocess.CompletedProcess[str]:
    words = ["+recipe=sft_threshold", f"input={rollouts}", f"output_dir={out}"]
    return python("-m", "gymrecipe", *words)


def check(done: subprocess.CompletedProcess[str], folder: Path) -> bool:
    """Whether it was published; raises AssertionError for anything else than whole or absent."""
    assert "Traceback" not in done.stderr
    there = os.listdir(folder) if folder.exists() else []
    if done.returncode == 0:
        assert references.versions(folder)
        assert half_versions(folder) == []
        return True
    assert "No space left on device" in done.stderr
    assert str(folder.parent) in done.stderr
    if done.returncode == 7 or "is published" in done.stderr:
        assert half_versions(folder) == []
        return True
    assert done.returncode == 6
    assert [name for name in there if name != references.LEDGER] == []
    return False


def test_a_disk_with_too_little_room_is_told_and_nothing_is_left(root: Path) -> None:
    answer = "x" * 2_000
    rollouts = save(root / "a.jsonl", [rollout(f"p{n}", f"{answer}{n}") for n in range(100)])
    seen = set()
    sizes = range(16, 600, often(240, 8))
    for size in sizes:
        with small_disk(root / "disk", f"size={size}k") as disk:
            seen.add(check(run(rollouts, disk / "out"), disk / "out" / "sft_threshold"))
    assert seen == {False, True}
    figure("whole or absent", "a tmpfs of too few bytes", len(sizes), "0 half, nothing left")


def test_a_disk_with_too_few_inodes_is_told_and_nothing_is_left(root: Path) -> None:
    rollouts = save(root / "a.jsonl", graded())
    seen = set()
    numbers = range(2, 26, often(10, 1))
    for number in numbers:
        with small_disk(root / "disk", f"nr_inodes={number}") as disk:
            seen.add(check(run(rollouts, disk / "out"), disk / "out" / "sft_threshold"))
    assert seen == {False, True}
    figure("whole or absent", "a tmpfs of too few inodes", len(numbers), "0 half, nothing left")


SIZES = range(40, 160, often(24, 8))
"""Kilobytes: from too few for the two files of `last_steps.py` to enough for two of each."""


def last_steps(folder: Path, *without: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    return python(str(HERE / "last_steps.py"), str(folder), *without)


def test_control_on_a_full_disk_a_version_built_in_place_is_found_half(root: Path) -> None:
    half = 0
    for size in SIZES:
        with small_disk(root / "disk", f"size={size}k") as disk:
            check(last_steps(disk / "dpo"), disk / "dpo")
        with small_disk(root / "disk", f"size={size}k") as disk:
            last_steps(disk / "dpo", "without", "staging")
            half += bool(half_versions(disk / "dpo"))
    assert half
    figure("whole or absent", "control: built in place on a tmpfs", len(SIZES), f"{half} half")


INODES = range(3, 14, often(2, 1))
"""From too few for the files and folders of `last_steps.py` to enough for them."""


def test_control_without_inodes_a_version_built_in_place_is_found_half(root: Path) -> None:
    half, seen = 0, set()
    for number in INODES:
        with small_disk(root / "disk", f"nr_inodes={number}") as disk:
            seen.add(check(last_steps(disk / "dpo"), disk / "dpo"))
        with small_disk(root / "disk", f"nr_inodes={number}") as disk:
            last_steps(disk / "dpo", "without", "staging")
            half += bool(half_versions(disk / "dpo"))
    assert seen == {False, True}
    assert half
    figure("whole or absent", "control: built in place with too few inodes", len(INODES),
           f"{half} half")  # fmt: skip


def test_control_on_a_full_disk_what_is_not_cleaned_up_is_found(root: Path) -> None:
    with small_disk(root / "disk", f"size={SIZES[0]}k") as disk:
        assert not check(last_steps(disk / "dpo"), disk / "dpo")
    with small_disk(root / "disk", f"size={SIZES[0]}k") as disk:
        done = last_steps(disk / "dpo", "without", "cleaning")
        with pytest.raises(AssertionError, match="staging"):
            check(done, disk / "dpo")
