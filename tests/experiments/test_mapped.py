"""Frames in files are those in memory, and no byte of a run depends on where they are."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import gymrecipe
from gymrecipe.errors import MachineError
from gymrecipe.experiments import fates, mapped
from gymrecipe.recipe.finding import recipes
from gymrecipe.rollouts import hashes, table
from gymrecipe.running import stepping, writing
from gymrecipe.running.reproduce import reproduce
from tests.full import often
from tests.test_cache import made


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (mapped, table, stepping, writing):
        monkeypatch.setattr(module, "LARGE_ROWS", 3)
    monkeypatch.setattr(table, "FRAME_ROWS", 2)
    for module in (hashes, fates):
        monkeypatch.setattr(module, "PART_ROWS", 50)


@pytest.fixture
def mapped_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The columns that came to be shown from a file."""
    found: list[str] = []

    def noted(file: IO[bytes]) -> pl.Series:
        found.append((shown := usual(file)).name)
        return shown

    usual = mapped._shown
    monkeypatch.setattr(mapped, "_shown", noted)
    return found


COLUMNS: dict[str, tuple[list[object], pl.DataType]] = {
    "flags": ([True, None, False, True], pl.Boolean()),
    "small": ([1, -1, None, 2], pl.Int8()),
    "places": ([0, 2**32 - 1, 7, None], pl.UInt32()),
    "keys": ([2**64 - 1, 0, 5, 5], pl.UInt64()),
    "numbers": ([0.5, None, float("inf"), -0.0], pl.Float64()),
    "texts": (["", None, "twelve bytes", "a text that is longer than twelve bytes"], pl.String()),
    "short": (["a", "b", None, "a"], pl.String()),
    "codes": (["a", "b", None, "a"], pl.Categorical()),
    "reasons": (["tied", None, "tied", "gap"], pl.Enum(["gap", "tied"])),
    "absent": ([None] * 4, pl.UInt64()),
    "lists": ([[1], [], None, [2, 3]], pl.List(pl.UInt32())),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_in_a_file_has_the_values_that_it_had(
    name: str, tmp_path: Path, mapped_files: list[str]
) -> None:
    values, dtype = COLUMNS[name]
    frame = pl.DataFrame({name: values}, schema={name: dtype})
    spill = mapped.mapping(tmp_path)
    for part in (frame, frame.slice(1), pl.concat([frame.slice(2), frame])):
        there = spill(part)
        assert there.schema == part.schema
        assert_frame_equal(there, part)
        assert_frame_equal(there.reverse(), part.reverse())
        absent = pl.col(name).is_null()
        assert_frame_equal(there.filter(absent), part.filter(absent))
    assert mapped_files == [name] * 3


def test_what_is_in_a_file_is_not_written_again(tmp_path: Path, mapped_files: list[str]) -> None:
    frame = pl.DataFrame({"row": range(5), "reward": [0.5] * 5})
    codes = pl.Series(["a", "b", "a", "a", "b"], dtype=pl.Enum(["a", "b"]))
    spill = mapped.mapping(tmp_path)
    there = spill(frame.with_columns(codes=codes))
    spill(there.with_columns(gap=pl.col("reward") + 1))
    assert mapped_files == ["row", "reward", "codes", "gap"]


def test_few_rows_stay_in_memory(tmp_path: Path, mapped_files: list[str]) -> None:
    frame = pl.DataFrame({"row": [1, 2]})
    assert mapped.mapping(tmp_path)(frame) is frame
    assert not mapped_files


def test_without_pyarrow_all_rows_stay_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "find_spec", lambda name: None)
    frame = pl.DataFrame({"row": range(5)})
    assert mapped.mapping(tmp_path)(frame) is frame


def test_a_file_has_no_name_and_is_gone_with_its_frame(tmp_path: Path) -> None:
    there = mapped.mapping(tmp_path)(pl.DataFrame({"row": range(5)}))
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) in Path("/proc/self/maps").read_text()
    assert there["row"].to_list() == [0, 1, 2, 3, 4]
    del there
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(dir: Path) -> IO[bytes]:
        return open("/dev/full", "r+b")

    monkeypatch.setattr(mapped, "TemporaryFile", full)
    spill = mapped.mapping(tmp_path)
    with pytest.raises(MachineError, match=f"{tmp_path}: cannot be written: No space left"):
        spill(pl.DataFrame({"row": range(5)}))


@pytest.mark.parametrize("name", sorted(recipes())[:: often(4, 1)])
def test_a_table_in_files_and_parts_makes_the_same_bytes(
    name: str,
    of_the_sample: Callable[[str], gymrecipe.Version],
    tmp_path: Path,
    mapped_files: list[str],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for module in (mapped, table, stepping, writing):
            patch.setattr(module, "LARGE_ROWS", 2**20)
        patch.setattr(hashes, "PART_ROWS", 2**20)
        patch.setattr(fates, "PART_ROWS", 2**20)
        usual = made(of_the_sample(name))
    assert not mapped_files
    assert made(gymrecipe.run(name, output_dir=str(tmp_path))) == usual
    assert mapped_files


@pytest.mark.parametrize(
    ("knobs", "there"),
    [({}, "."), ({"cache_dir": "fast/cache"}, "fast"), ({"dry_run": True}, tempfile.gettempdir())],
)
def test_files_are_on_the_disk_of_the_cache(
    knobs: dict[str, Any], there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fast").mkdir()
    folders = set()

    def noted(dir: Path) -> IO[bytes]:
        folders.add(dir)
        return usual(dir=dir)

    usual = mapped.TemporaryFile
    monkeypatch.setattr(mapped, "TemporaryFile", noted)
    gymrecipe.run("ppo", output_dir="deep/experiments", **knobs)
    assert folders == {tmp_path / there}


def test_a_version_is_made_again_from_a_table_in_files(
    of_the_sample: Callable[[str], gymrecipe.Version], mapped_files: list[str]
) -> None:
    version = of_the_sample("dpo_same_prompt")
    assert version.path is not None
    mapped_files.clear()
    reproduce(version.path)
    assert mapped_files
