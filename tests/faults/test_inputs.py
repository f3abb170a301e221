"""The input is what the manifest says: what changes while it is read is an error."""

from __future__ import annotations

import gzip
import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import gymrecipe
from gymrecipe.errors import ChangedError, InputError
from gymrecipe.experiments.manifest import Manifest
from gymrecipe.rollouts import files, table
from gymrecipe.running.progress import Silent
from tests.experiments.conftest import graded, save
from tests.faults.conftest import figure
from tests.forked import python
from tests.full import often


def run(rollouts: Path, out: Path) -> gymrecipe.Version:
    return gymrecipe.run("dpo_same_prompt", input=str(rollouts), output_dir=str(out), again=True)


def edit(path: Path, restore_times: bool = False) -> None:
    """Change a line that no pair uses, in place, with the same length."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(path.read_bytes().index(b"no json"))
        file.write(b"NO JSON")
    if restore_times:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.rename(path)


def point_elsewhere(path: Path) -> None:
    """The link that was named stands for another file of the same bytes."""
    target = path.with_name("target")
    other = path.with_name("other target")
    other.write_bytes(target.read_bytes())
    path.unlink()
    path.symlink_to(other)


CHANGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, path.stat().st_size - 20),
    "emptied": lambda path: os.truncate(path, 0),
    "edited": edit,
    "edited, dates restored": lambda path: edit(path, restore_times=True),
    "replaced by its copy": replace,
    "gone": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "its link points elsewhere": point_elsewhere,
}


def rollouts_at(path: Path, change: str) -> Path:
    if change == "its link points elsewhere":
        save(path.with_name("target"), [*graded(), b"no json"])
        path.symlink_to("target")
        return path
    return save(path, [*graded(), b"no json"])


class ChangesIn(Silent):
    """Progress that changes the input when a phase begins."""

    def __init__(self, phase: str, change: Callable[[], object]) -> None:
        self.phase, self.change = phase, change

    def begin(self, phase: str, total: int, unit: str) -> None:
        if phase.startswith(self.phase):
            self.change()


def changed_run(rollouts: Path, out: Path, phase: str, change: Callable[[], object]) -> None:
    from gymrecipe import api
    from gymrecipe.recipe.composing import compose
    from gymrecipe.recipe.finding import locate
    from gymrecipe.running import ahead, executor

    words = [f"input='{rollouts}'", f"output_dir='{out}'", "again=true"]
    composed = compose(locate("dpo_same_prompt"), words)
    with ahead.engine(composed) as engine:
        executor.run(api.prepare(composed), engine, ChangesIn(phase, change))


@pytest.mark.parametrize("phase", ["reading", "writing"])
@pytest.mark.parametrize("change", CHANGES)
def test_an_input_that_changes_while_it_is_read_is_an_error(
    change: str, phase: str, root: Path
) -> None:
    rollouts = rollouts_at(root / "a.jsonl", change)
    with pytest.raises(ChangedError, match=r"a\.jsonl"):
        changed_run(rollouts, root / "out", phase, lambda: CHANGES[change](rollouts))
    assert not (root / "out").exists()
    figure("the input is what the manifest says", f"changed while {phase}, in nine ways", 1, "seen")


@pytest.mark.parametrize("change", ["edited", "edited, dates restored", "replaced by its copy"])
def test_control_without_the_look_at_the_end_a_changed_input_is_not_seen(
    change: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gymrecipe.running import executor

    for module in (executor, table, files):
        monkeypatch.setattr(module, "check_unchanged", lambda source: None)
    rollouts = rollouts_at(root / "a.jsonl", change)
    changed_run(rollouts, root / "out", "writing", lambda: CHANGES[change](rollouts))


def test_control_by_date_and_size_alone_an_edit_with_its_date_restored_is_not_seen(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stamp(status: os.stat_result) -> tuple[int, int, int, int]:
        return status.st_dev, status.st_ino, status.st_mtime_ns, 0

    monkeypatch.setattr(files, "_stamp", stamp)
    rollouts = rollouts_at(root / "a.jsonl", "edited")
    changed_run(rollouts, root / "out", "writing", lambda: edit(rollouts, restore_times=True))


def test_a_compressed_input_that_grows_while_it_is_read_is_an_error(root: Path) -> None:
    rollouts = root / "a.jsonl.gz"
    member = gzip.compress(save(root / "a.jsonl", graded()).read_bytes())
    rollouts.write_bytes(member)

    def grow() -> None:
        with rollouts.open("ab") as file:
            file.write(member)

    with pytest.raises(ChangedError, match=r"a\.jsonl\.gz"):
        changed_run(rollouts, root / "out", "writing", grow)


def prefix_is_what_was_read(rollouts: Path, record: Manifest) -> bool:
    (read,) = record.inputs
    data = rollouts.read_bytes()[: read.bytes]
    blocks = [data[start : start + 2**23] for start in range(0, len(data), 2**23)]
    digest = hashlib.sha256(b"".join(hashlib.sha256(block).digest() for block in blocks))
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    return (read.digest, read.lines) == (digest.hexdigest(), lines)


def test_a_growing_input_is_read_to_where_it_was_and_the_manifest_says_how_far(root: Path) -> None:
    rollouts = save(root / "a.jsonl", graded(20))
    more = save(root / "b.jsonl", graded(200)).read_bytes() * 10
    done = threading.Event()

    def grow() -> None:
        with rollouts.open("ab", buffering=0) as file:
            for start in range(0, len(more), 700):
                file.write(more[start : start + 700])
                time.sleep(0.0005)
                if done.is_set():
                    return

    writer = threading.Thread(target=grow)
    writer.start()
    times, torn = often(3, 50), 0
    try:
        for _ in range(times):
            record = run(rollouts, root / "out").manifest
            assert prefix_is_what_was_read(rollouts, record)
            bad = record.stages[0].rejected
            assert set(bad) <= {"truncated_tail"}
            torn += sum(bad.values())
    finally:
        done.set()
        writer.join()
    figure("the input is what the manifest says", "runs on a growing file", times,
           f"{times} exact prefixes, {torn} torn tails named")  # fmt: skip


def test_inputs_are_not_touched(root: Path) -> None:
    rollouts = save(root / "a.jsonl", graded())
    rollouts.chmod(0o444)
    before, data = rollouts.stat(), rollouts.read_bytes()
    for recipe in ("dpo_same_prompt", "sft_threshold", "aggregate"):
        gymrecipe.run(recipe, input=str(rollouts), output_dir=str(root / "out"))
    after = rollouts.stat()
    for name in ("st_ino", "st_mode", "st_size", "st_mtime_ns", "st_ctime_ns", "st_nlink"):
        assert getattr(before, name) == getattr(after, name), name
    assert rollouts.read_bytes() == data


def make_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path may have 108 bytes only
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "not a regular file"),
    "socket": (make_socket, "not a regular file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    "folder": (os.mkdir, "a folder, not a file"),
    "link to nowhere": (lambda path: path.symlink_to("nowhere"), "no such file"),
    "link to itself": (lambda path: path.symlink_to(path.name), "cannot be read"),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("kind", ODD)
def test_an_input_that_is_no_file_is_a_sentence_and_never_a_hang(kind: str, root: Path) -> None:
    make, said = ODD[kind]
    make(root / "a.jsonl")
    words = ["+recipe=dpo_same_prompt", f"input={root}/a.jsonl", f"output_dir={root}/out"]
    done = python("-m", "gymrecipe", *words)
    assert done.returncode == InputError.exit_code
    assert done.stderr.count("\n") == 1
    assert f"{root}/a.jsonl: {said}" in done.stderr
    assert not (root / "out").exists()


NOBODY = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_input_that_may_not_be_read_is_a_sentence(root: Path) -> None:
    rollouts = save(root / "a.jsonl", graded())
    rollouts.chmod(0)
    code = (
        "import os, sys; from gymrecipe.errors import InputError;"
        "from gymrecipe.rollouts.naming import sources;"
        f"os.setegid({NOBODY}); os.seteuid({NOBODY})\n"
        "try: sources(sys.argv[1], False)\n"
        "except InputError as error: print(error)"
    )
    for folder in (root, *root.parents[:2]):
        folder.chmod(0o755)
    done = python("-c", code, str(rollouts))
    assert done.stdout == f"{rollouts}: cannot be read: Permission denied.\n"
