"""What killed runs leave behind is taken away; work, what is young, and versions stay."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

import gymrecipe
from gymrecipe.cli import main
from gymrecipe.errors import InputError
from gymrecipe.experiments import folders
from gymrecipe.experiments.leftovers import Leftover, collect, recipe_folders
from tests.experiments.conftest import graded, run, save

HOUR = 3_600.0
HEX = "0123456789abcdef"


def make(folder: Path) -> None:
    (folder / "tmp").mkdir()
    run(folder, input=str(save(folder / "a.jsonl", graded())))


@pytest.fixture
def home(as_made: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the call, in which there is a temporary folder that nobody else uses."""
    folder: Path = as_made(make)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "tmp"))
    return folder


@pytest.fixture
def folder(home: Path) -> Path:
    """A recipe's folder with a version."""
    return home / "experiments/dpo_same_prompt"


def tree(folder: Path) -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


def gc(folder: Path, hours: float = 2.0, dry_run: bool = False) -> list[Leftover]:
    """What is found so many hours from now."""
    return list(collect([folder], [], HOUR, time.time() + hours * HOUR, dry_run))


def gone(found: list[Leftover]) -> list[str]:
    return [leftover.path.name for leftover in found if not leftover.stays]


def test_what_a_live_run_takes_away_meanwhile_is_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = os.listdir
    monkeypatch.setattr(
        os, "listdir", lambda path: [*there(path), ".claim-v0007", f".staging-{HEX}"]
    )
    (folder / ".claim-v0008").touch()
    assert gone(gc(folder)) == [".claim-v0008"]


def test_what_killed_runs_left_is_taken_away_and_nothing_else(folder: Path) -> None:
    before = tree(folder)
    staging = folder / f".staging-{HEX}"
    (staging / "data").mkdir(parents=True)
    (staging / "data" / ".part-train-000000").write_text("x")
    (staging / "out").symlink_to(folder / "v0001")
    (folder / ".claim-v0007").touch()
    (folder / f".latest-{HEX}").symlink_to("v0001")
    (folder / f".versions-{HEX}.tmp").touch()
    (Path(tempfile.gettempdir()) / "gymrecipe-abc_1234").mkdir()
    names = [".claim-v0007", f".latest-{HEX}", f".staging-{HEX}", f".versions-{HEX}.tmp",
             "gymrecipe-abc_1234"]  # fmt: skip
    assert gone(gc(folder, dry_run=True)) == names
    assert staging.exists()
    assert gone(gc(folder)) == names
    assert tree(folder) == before
    assert os.listdir(tempfile.gettempdir()) == []
    assert gc(folder) == []


@pytest.mark.parametrize(
    "name",
    ["v0002", "v0002/data", ".staging-0123", ".staging-0123456789abcdeg", ".hidden", "latest.old",
     f"x.staging-{HEX}", f".staging-{HEX}x", ".claim-v0001x", ".claim-v0009"],
)  # fmt: skip
def test_what_is_not_ours_by_name_and_kind_stays(name: str, folder: Path) -> None:
    (folder / name).mkdir(parents=True)
    assert gc(folder) == []
    assert (folder / name).is_dir()


def test_a_link_with_the_name_of_staging_stays_and_so_does_what_it_shows(folder: Path) -> None:
    (folder / f".staging-{HEX}").symlink_to("v0001")
    assert gc(folder) == []
    assert (folder / "v0001" / "manifest.json").exists()


def test_what_is_young_stays_by_the_youngest_of_its_parts(folder: Path) -> None:
    staging = folder / f".staging-{HEX}"
    (staging / "data").mkdir(parents=True)
    part = staging / "data" / "part"
    part.touch()
    old = time.time() - 9 * HOUR
    os.utime(staging / "data", (old, old))
    os.utime(staging, (old, old))
    (found,) = gc(folder, hours=0.5)
    assert found.stays == "not old enough"
    os.utime(part, (old, old))
    os.utime(staging / "data", (old, old))
    assert gone(gc(folder, hours=0.5)) == [staging.name]


def test_work_stays_however_old_it_is(folder: Path) -> None:
    with folders.staging(folder) as staged, folders.scratch() as scratched:
        found = gc(folder, hours=1000)
        assert {leftover.path for leftover in found} == {staged, scratched}
        assert {leftover.stays for leftover in found} == {"a run is working on it"}
        assert staged.exists()


def test_the_staging_of_a_process_that_was_killed_is_free(folder: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from gymrecipe.experiments import folders\n"
        "with folders.staging(Path(sys.argv[1])) as staged: print(staged); sys.stdout.flush();"
        " os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True)
    assert done.returncode == -9
    assert gone(gc(folder)) == [Path(done.stdout.strip()).name]


def test_half_a_copy_is_found_beside_the_file_that_a_version_was_copied_to(
    folder: Path, home: Path
) -> None:
    (home / "copies").mkdir()
    run(home, input="a.jsonl", seed=5, output_jsonl_fpath="copies/out.jsonl")
    half = home / "copies" / f".gymrecipe-{HEX}.tmp"
    half.touch()
    assert gone(gc(folder)) == [half.name]
    assert (home / "copies" / "out.jsonl").exists()
    half.touch()
    others = collect([], [home / "copies" / "other.jsonl"], HOUR, time.time() + 9e9, False)
    assert gone(list(others)) == [half.name]


def test_names_choose_folders_and_none_means_all(folder: Path, home: Path) -> None:
    out = home / "experiments"
    (out / "other").mkdir()
    (out / "link").symlink_to("other")
    (out / "file").touch()
    assert recipe_folders(out, []) == [out / "dpo_same_prompt", out / "other"]
    assert recipe_folders(out, ["other"]) == [out / "other"]
    assert recipe_folders(home / "nowhere", []) == []
    for name in ("nowhere", "../experiments", "", "file/x"):
        with pytest.raises(InputError, match="no folder of a recipe's versions"):
            recipe_folders(out, [name])


def test_the_verb_says_what_it_takes_away(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    staging = folder / f".staging-{HEX}"
    staging.mkdir()
    assert main(["gc", "output_dir=experiments"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "stays, not old enough." in " ".join(said.err.split())
    old = time.time() - 3 * HOUR
    os.utime(staging, (old, old))
    assert main(["gc", "dpo_same_prompt", "dry_run=true"]) == 0
    assert capsys.readouterr().out.endswith("180 minutes old: would be removed.\n")
    assert staging.exists()
    assert main(["gc", "older_than_minutes=200"]) == 0
    assert staging.exists()
    assert main(["gc"]) == 0
    assert capsys.readouterr().out.endswith("180 minutes old: removed.\n")
    assert not staging.exists()


def test_a_dry_run_and_a_run_leave_nothing_to_take_away(folder: Path, home: Path) -> None:
    gymrecipe.run("dpo_same_prompt", input="a.jsonl", dry_run=True)
    run(home, input="a.jsonl", again=True, output_jsonl_fpath=str(home / "out.jsonl"))
    assert gc(folder) == []
