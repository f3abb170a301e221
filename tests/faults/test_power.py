"""A power cut: what was told as published survives it, and no half version appears.

A file system in an image file holds what was synced in the image, and the rest in memory: a copy
of the image is what a cut at that moment would leave.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gymrecipe.experiments import ledger, references
from tests.faults.conftest import LAST_STEPS, figure, half_versions, mounted
from tests.full import often


@pytest.fixture
def image(root: Path) -> Path:
    """An image with an empty ext4 file system."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is missing")
    path = root / "image"
    with path.open("wb") as file:
        file.truncate(24 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", path], check=True)
    return path


def cuts(image: Path, root: Path, times: int, *without: str) -> tuple[int, int]:
    """Publish again and again, and cut the power after each word of success: how many of the
    versions that were told are gone, and how many cuts left half a version.
    """
    lost = half = 0
    with mounted(root / "disk", "-o", "loop", image) as disk:
        (disk / "dpo").mkdir()
        subprocess.run(["sync", "-f", disk], check=True)
        for number in range(1, times + 1):
            command = [*LAST_STEPS, str(disk / "dpo"), *without]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            copy = root / "copy"
            shutil.copyfile(image, copy)
            with mounted(root / "after", "-o", "loop", copy) as after:
                names = [path.name for path in references.versions(after / "dpo")]
                lines = [line["version"] for line in ledger.read(after / "dpo")]
                lost += Path(told.strip()).name not in names
                faults = half_versions(after / "dpo")
                half += bool(faults) or (not without and lines != names)
            assert number == len(references.versions(disk / "dpo"))
    return lost, half


def test_a_version_that_was_told_survives_a_power_cut(image: Path, root: Path) -> None:
    times = often(3, 100)
    assert cuts(image, root, times) == (0, 0)
    figure("whole or absent", "power cut after the word of success (ext4)", times, "0 lost, 0 half")


def test_control_without_fsync_a_power_cut_takes_what_was_told(image: Path, root: Path) -> None:
    times = often(2, 20)
    lost, half = cuts(image, root, times, "without", "fsync")
    assert lost + half > 0
    figure("whole or absent", "control: power cut without fsync", times,
           f"{lost} lost, {half} half")  # fmt: skip
