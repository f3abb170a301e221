"""Links that somebody planted in the output folder lead nowhere: what they point at stays."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from gymrecipe.errors import GymrecipeError, InputError, RecipeError
from gymrecipe.experiments import disk, ledger, references
from gymrecipe.experiments.verify import verify
from tests.experiments.conftest import graded, run, save
from tests.full import FULL, often

PLANTED = [
    "v0001", "v0002", "v0003/manifest.json", "latest", "versions.jsonl", "v1.0", ".staging-x",
    ".claim-v0001", "data/train.jsonl", "manifest.json", ".mode",
]  # fmt: skip
"""Names in a recipe's folder that a run looks at, makes or puts something in the place of."""

KINDS: dict[str, Callable[[Path, Path], None]] = {
    "symbolic": lambda link, canary: link.symlink_to(canary),
    "relative": lambda link, canary: link.symlink_to(os.path.relpath(canary, link.parent)),
    "hard": lambda link, canary: os.link(canary, link),
}


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file of the user's that nothing may change."""
    path = tmp_path / "canary.jsonl"
    path.write_text('{"version": "v0009"}\n')
    return path


def state(path: Path) -> tuple[bytes, int, int, int]:
    status = path.stat()
    return path.read_bytes(), status.st_mode, status.st_mtime_ns, status.st_ino


def attempt(folder: Path, **knobs: Any) -> Path | None:
    """A version of a small file, whole if there is one."""
    source = save(folder / "a.jsonl", graded(2))
    try:
        version = run(folder, input=str(source), **knobs).path
    except GymrecipeError:
        return None
    assert version is not None
    assert verify(version).differences == []
    return version


TRIED = [(name, kind) for name in PLANTED for kind in (KINDS if FULL else ["symbolic", "hard"])]


@pytest.mark.parametrize(("name", "kind"), TRIED[:: often(3, 1)])
def test_what_a_planted_link_points_at_stays(
    name: str, kind: str, canary: Path, tmp_path: Path
) -> None:
    link = tmp_path / "experiments/dpo_same_prompt" / name
    link.parent.mkdir(parents=True)
    KINDS[kind](link, canary)
    before = state(canary)
    attempt(tmp_path, tag="v1.0")
    attempt(tmp_path, seed=1)
    if kind == "hard":  # its dates tell of links that were made or taken away
        assert canary.read_bytes() == before[0]
    else:
        assert state(canary) == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_ledger_that_is_a_link_is_told_or_parted_from_what_it_is_linked_to(
    kind: str, canary: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "experiments/dpo_same_prompt"
    folder.mkdir(parents=True)
    KINDS[kind](folder / "versions.jsonl", canary)
    if kind == "hard":
        assert attempt(tmp_path) is not None
        assert [line["version"] for line in ledger.read(folder)] == ["v0009", "v0010"]
    else:
        with pytest.raises(InputError, match=r"versions\.jsonl: not a file"):
            run(tmp_path, input=str(save(tmp_path / "a.jsonl", graded(2))))
        assert references.versions(folder) == []


def test_without_this_a_ledger_that_is_a_link_is_followed(
    canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "experiments/dpo_same_prompt").mkdir(parents=True)
    (tmp_path / "experiments/dpo_same_prompt/versions.jsonl").symlink_to(canary)
    monkeypatch.setattr(ledger, "no_link", os.open)
    monkeypatch.setattr(ledger, "check", lambda folder: None)
    before = state(canary)
    attempt(tmp_path)
    assert state(canary) != before


@contextmanager
def planting(folder: Path, canary: Path) -> Iterator[list[int]]:
    """Another process's hands: whatever name shows up in the folder is made a link, if it can."""
    ended, planted = threading.Event(), [0]

    def plant() -> None:
        while not ended.is_set():
            for path in (folder, folder / ".gymrecipe", *folder.glob("*/")):
                with suppress(OSError):
                    for name in ("versions.jsonl", "latest", "v1.0", "v0001", "v0002"):
                        link = path / name
                        if not os.path.lexists(link):
                            link.symlink_to(canary)
                            planted[0] += 1
                            os.unlink(link)

    thread = threading.Thread(target=plant)
    thread.start()
    try:
        yield planted
    finally:
        ended.set()
        thread.join()


def test_links_that_come_and_go_while_versions_are_made_lead_nowhere(
    canary: Path, tmp_path: Path
) -> None:
    source = save(tmp_path / "a.jsonl", graded(2))
    before = state(canary)
    with planting(tmp_path / "experiments", canary) as planted:
        for seed in range(often(4, 250)):
            with suppress(GymrecipeError):
                run(tmp_path, input=str(source), seed=seed, tag=f"t{seed}")
    assert planted[0] > 100
    assert state(canary) == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_goes_to_a_name_and_never_through_it(
    kind: str, canary: Path, tmp_path: Path
) -> None:
    KINDS[kind](tmp_path / "out.jsonl", canary)
    source = save(tmp_path / "a.jsonl", graded(2))
    with pytest.raises(RecipeError, match="exists and is no output"):
        run(tmp_path, input=str(source), output_jsonl_fpath=str(tmp_path / "out.jsonl"))
    assert canary.read_text() == '{"version": "v0009"}\n'


def test_a_link_in_the_place_of_a_half_copy_is_not_written_through(
    canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save(tmp_path / "a.jsonl", graded(2))
    monkeypatch.setattr(disk.secrets, "token_hex", lambda size: "0" * (2 * size))
    before = state(canary)
    made = run(tmp_path, input=str(source))
    link = tmp_path / ".gymrecipe-0000000000000000.tmp"
    link.symlink_to(canary)
    with pytest.raises(GymrecipeError, match="File exists"):
        run(tmp_path, input=str(source), output_jsonl_fpath=str(tmp_path / "out.jsonl"))
    assert made.path is not None
    assert state(canary) == before


@pytest.mark.usefixtures("every_scan_is_kept")
@pytest.mark.parametrize("name", [".gymrecipe", ".gymrecipe/ENTRY", ".gymrecipe/.gitignore"])
def test_a_cache_that_is_a_link_leads_to_nothing_that_is_changed(
    name: str, canary: Path, tmp_path: Path
) -> None:
    source = save(tmp_path / "a.jsonl", graded(2))
    status = source.stat()
    entry = f"{status.st_dev:x}-{status.st_ino:x}.table"
    link = tmp_path / "experiments" / name.replace("ENTRY", entry)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(canary)
    before = state(canary)
    for seed in (1, 2):
        assert run(tmp_path, input=str(source), seed=seed).path is not None
    assert state(canary) == before
    assert name != ".gymrecipe/ENTRY" or not link.is_symlink()  # it was put in its place


def test_a_pipe_in_the_place_of_the_ledger_is_told_and_not_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "experiments/dpo_same_prompt"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "versions.jsonl")
    with pytest.raises(InputError, match="not a file"):
        run(tmp_path, input=str(save(tmp_path / "a.jsonl", graded(2))))
    with pytest.raises(InputError, match="cannot be read"):
        ledger.read(folder)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of other users")


@needs_root
@pytest.mark.parametrize("name", ["experiments", "experiments/dpo_same_prompt", "."])
def test_a_link_of_another_user_on_the_way_is_refused(name: str, tmp_path: Path) -> None:
    source = save(tmp_path / "a.jsonl", graded(2))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / "theirs" / name
    if name == ".":
        link = tmp_path / "theirs"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(elsewhere)
    own = run(tmp_path / "theirs", input=str(source))
    assert own.path is not None  # a link of one's own is one's own affair
    os.lchown(link, 12345, 12345)
    with pytest.raises(InputError, match="a link that another user made"):
        run(tmp_path / "theirs", input=str(source), seed=1)


@needs_root
@pytest.mark.parametrize("name", ["experiments", "experiments/dpo_same_prompt"])
def test_a_folder_of_another_user_that_anybody_may_change_is_refused(
    name: str, tmp_path: Path
) -> None:
    source = save(tmp_path / "a.jsonl", graded(2))
    (tmp_path / "experiments/dpo_same_prompt").mkdir(parents=True)
    theirs = tmp_path / name
    os.chown(theirs, 12345, 12345)
    theirs.chmod(0o777)
    with pytest.raises(InputError, match="in which anybody may replace files"):
        run(tmp_path, input=str(source))
    theirs.chmod(0o1777)
    assert run(tmp_path, input=str(source)).path is not None


def test_a_folder_of_ones_own_that_anybody_may_change_is_ones_own_affair(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments").chmod(0o777)
    assert attempt(tmp_path) is not None


def test_links_that_lead_in_circles_end_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "experiments").symlink_to("experiments/experiments/experiments")
    assert attempt(tmp_path) is None
