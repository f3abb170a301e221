"""Publishing: a version is there whole or not at all, whoever races or dies."""

import errno
import json
import os
import stat
import subprocess
import sys

import pytest

from gymrecipe.errors import DurabilityError, MachineError
from gymrecipe.experiments import disk, folders, publishing, references
from tests.experiments.conftest import hidden, publish

PUBLISH = """
import errno, json, os, sys
from pathlib import Path
from gymrecipe.experiments import disk, folders, publishing

if sys.argv[3] == "without renameat2":
    disk._renameat2 = lambda old, new: errno.EINVAL
folder = Path(sys.argv[1])
retries = 0

def manifest_for(name):
    global retries
    retries += 1
    return json.dumps({"id": name}).encode()

print("ready", flush=True)
sys.stdin.readline()
for round in range(int(sys.argv[2])):
    with folders.staging(folder) as staged:
        (staged / "who").write_text(f"{os.getpid()} {round}")
        version = publishing.publish(staged, folder, manifest_for)
        retries -= 1
    print(version.name, os.getpid(), round)
print(retries)
"""

DIE = """
import os, sys
from pathlib import Path
from gymrecipe.experiments import folders, publishing

folder = Path(sys.argv[1])
with folders.staging(folder) as staged:
    (staged / "data").write_text("x")
    publishing.publish(staged, folder, lambda name: os._exit(9))
"""


def run(script: str, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", script, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)


def test_a_version_is_published_whole_and_nothing_hidden_stays(tmp_path):
    version = publish(tmp_path)
    assert version == tmp_path / "v0001"
    assert json.loads((version / "manifest.json").read_bytes())["version"] == "v0001"
    assert (version / "data" / "train.jsonl").read_text() == "x"
    assert hidden(tmp_path) == []
    assert os.readlink(tmp_path / "latest") == "v0001"


def test_numbers_go_on_behind_v9999(tmp_path):
    (tmp_path / "v9999").mkdir()
    assert publish(tmp_path).name == "v10000"
    assert publish(tmp_path).name == "v10001"
    assert [path.name for path in references.versions(tmp_path)] == ["v10000", "v10001"]


@pytest.mark.parametrize("link", ["latest", "best"])
def test_a_number_that_a_link_stands_for_is_not_given_again(tmp_path, link):
    (tmp_path / link).symlink_to("v0004")
    assert publish(tmp_path).name == "v0005"


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_version_may_be_read_by_whom_the_umask_lets(tmp_path, mask):
    before = os.umask(mask)
    try:
        with folders.staging(tmp_path) as staged:
            assert stat.S_IMODE(staged.stat().st_mode) == 0o700
            version = publishing.publish(staged, tmp_path, lambda name: b"{}")
    finally:
        os.umask(before)
    assert stat.S_IMODE(version.stat().st_mode) == 0o777 & ~mask


@pytest.mark.parametrize("way", ["with renameat2", "without renameat2"])
def test_racing_processes_get_different_versions_without_gaps(tmp_path, way):
    (tmp_path / "v0007").mkdir()
    (tmp_path / "v0008").write_text("a file")
    (tmp_path / "v0009").symlink_to("nowhere")
    rounds = 25
    processes = [run(PUBLISH, tmp_path, rounds, way) for _ in range(8)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    lines = [process.communicate()[0].splitlines() for process in processes]
    told = [line.split() for process in lines for line in process[:-1]]
    assert sum(int(process[-1]) for process in lines) > 0  # there was a race
    assert [process.returncode for process in processes] == [0] * 8
    names = [f"v{number:04d}" for number in range(10, 10 + 8 * rounds)]
    assert sorted(name for name, _, _ in told) == names
    assert [path.name for path in references.versions(tmp_path)] == names
    for name, process, round in told:
        assert (tmp_path / name / "who").read_text() == f"{process} {round}"
        assert json.loads((tmp_path / name / "manifest.json").read_bytes()) == {"id": name}
    assert os.listdir(tmp_path / "v0007") == []
    assert (tmp_path / "v0008").read_text() == "a file"
    assert os.readlink(tmp_path / "v0009") == "nowhere"
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("refusal", [None, errno.EINVAL, errno.ENOSYS])
@pytest.mark.parametrize("trap", ["empty folder", "file", "dead link"])
def test_a_name_taken_at_the_last_moment_is_passed_over(tmp_path, monkeypatch, refusal, trap):
    if refusal:
        monkeypatch.setattr(disk, "_renameat2", lambda old, new: refusal)
    asked = []

    def manifest_for(name):
        asked.append(name)
        if name == "v0001":
            match trap:
                case "empty folder":
                    (tmp_path / name).mkdir()
                case "file":
                    (tmp_path / name).write_text("mine")
                case _:
                    (tmp_path / name).symlink_to("nowhere")
        return json.dumps({"id": name}).encode()

    with folders.staging(tmp_path) as staged:
        version = publishing.publish(staged, tmp_path, manifest_for)
    assert asked == ["v0001", "v0002"]
    assert json.loads((version / "manifest.json").read_bytes()) == {"id": "v0002"}
    status = (tmp_path / "v0001").lstat()
    assert references.versions(tmp_path) == [version]
    assert stat.S_ISDIR(status.st_mode) == (trap == "empty folder")
    assert hidden(tmp_path) == []


def test_a_claimed_name_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "_renameat2", lambda old, new: errno.EINVAL)
    (tmp_path / ".claim-v0001").touch()
    assert publish(tmp_path).name == "v0002"
    assert hidden(tmp_path) == [".claim-v0001"]


def test_a_name_claimed_at_the_last_moment_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "_renameat2", lambda old, new: errno.EINVAL)

    def manifest_for(name):
        if name == "v0001":
            (tmp_path / ".claim-v0001").touch()
        return b"{}"

    with folders.staging(tmp_path) as staged:
        assert publishing.publish(staged, tmp_path, manifest_for).name == "v0002"
    assert hidden(tmp_path) == [".claim-v0001"]


def test_a_killed_run_leaves_no_version_and_the_next_one_gets_its_number(tmp_path):
    process = run(DIE, tmp_path)
    process.communicate()
    assert process.returncode == 9
    assert references.versions(tmp_path) == []
    assert len(hidden(tmp_path)) == 1
    assert publish(tmp_path).name == "v0001"


def test_each_failing_sync_ends_with_no_version_or_with_an_unconfirmed_one(tmp_path, monkeypatch):
    fsync = os.fsync

    def outcome(failing: int) -> str:
        (folder := tmp_path / f"recipe{failing}").mkdir()
        calls = iter(range(1, 99))

        def fail(handle: int) -> None:
            if next(calls) == failing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(handle)

        with monkeypatch.context() as patch:
            patch.setattr(disk.os, "fsync", fail)
            try:
                publish(folder)
            except (MachineError, DurabilityError) as error:
                says = str(error)
            else:
                says = "published"
        left = os.listdir(folder)
        if "The disk is full" in says and str(folder) in says and left == []:
            return "nothing"
        assert (folder / "v0001" / "data" / "train.jsonl").read_text() == "x"
        return "unconfirmed" if f"{folder / 'v0001'} is published, but" in says else says

    # Before the rename the file, its folder, the staged folder, the manifest and once more the
    # staged folder are synced; after it the recipe's folder, and again with `latest`.
    expected = ["nothing"] * 5 + ["unconfirmed"] * 2 + ["published"]
    assert [outcome(failing) for failing in range(1, 9)] == expected
