import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import gymrecipe
from gymrecipe.errors import DurabilityError, InputError, MachineError, RecipeError
from gymrecipe.experiments import ledger, store

PUBLISH = """
import errno, json, os, sys
from pathlib import Path
from gymrecipe.experiments import store

if sys.argv[3] == "without renameat2":
    store._renameat2 = lambda old, new: errno.EINVAL
folder = Path(sys.argv[1])
retries = 0

def manifest_for(name):
    global retries
    retries += 1
    return json.dumps({"id": name}).encode()

print("ready", flush=True)
sys.stdin.readline()
for round in range(int(sys.argv[2])):
    with store.staging(folder) as staged:
        (staged / "who").write_text(f"{os.getpid()} {round}")
        version = store.publish(staged, folder, manifest_for)
        retries -= 1
    print(version.name, os.getpid(), round)
print(retries)
"""

DIE = """
import os, sys
from pathlib import Path
from gymrecipe.experiments import store

folder = Path(sys.argv[1])
with store.staging(folder) as staged:
    (staged / "data").write_text("x")
    store.publish(staged, folder, lambda name: os._exit(9))
"""


def publish(folder: Path, id: str = "an id", text: str = "x") -> Path:
    with store.staging(folder) as staged:
        (staged / "data").mkdir()
        (staged / "data" / "train.jsonl").write_text(text)
        version = store.publish(
            staged, folder, lambda name: json.dumps({"id": id, "version": name}).encode()
        )
    store.link_latest(folder)
    return version


def hidden(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".")]


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
    assert [path.name for path in store.versions(tmp_path)] == ["v10000", "v10001"]


@pytest.mark.parametrize("link", ["latest", "best"])
def test_a_number_that_a_link_stands_for_is_not_given_again(tmp_path, link):
    (tmp_path / link).symlink_to("v0004")
    assert publish(tmp_path).name == "v0005"


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_version_may_be_read_by_whom_the_umask_lets(tmp_path, mask):
    before = os.umask(mask)
    try:
        with store.staging(tmp_path) as staged:
            assert stat.S_IMODE(staged.stat().st_mode) == 0o700
            version = store.publish(staged, tmp_path, lambda name: b"{}")
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
    assert [path.name for path in store.versions(tmp_path)] == names
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
        monkeypatch.setattr(store, "_renameat2", lambda old, new: refusal)
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

    with store.staging(tmp_path) as staged:
        version = store.publish(staged, tmp_path, manifest_for)
    assert asked == ["v0001", "v0002"]
    assert json.loads((version / "manifest.json").read_bytes()) == {"id": "v0002"}
    status = (tmp_path / "v0001").lstat()
    assert store.versions(tmp_path) == [version]
    assert stat.S_ISDIR(status.st_mode) == (trap == "empty folder")
    assert hidden(tmp_path) == []


def test_a_claimed_name_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_renameat2", lambda old, new: errno.EINVAL)
    (tmp_path / ".claim-v0001").touch()
    assert publish(tmp_path).name == "v0002"
    assert hidden(tmp_path) == [".claim-v0001"]


def test_a_name_claimed_at_the_last_moment_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_renameat2", lambda old, new: errno.EINVAL)

    def manifest_for(name):
        if name == "v0001":
            (tmp_path / ".claim-v0001").touch()
        return b"{}"

    with store.staging(tmp_path) as staged:
        assert store.publish(staged, tmp_path, manifest_for).name == "v0002"
    assert hidden(tmp_path) == [".claim-v0001"]


def test_a_killed_run_leaves_no_version_and_the_next_one_gets_its_number(tmp_path):
    process = run(DIE, tmp_path)
    process.communicate()
    assert process.returncode == 9
    assert store.versions(tmp_path) == []
    assert len(hidden(tmp_path)) == 1
    assert publish(tmp_path).name == "v0001"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_staging_is_removed_when_the_block_fails(tmp_path, error):
    def build():
        with store.staging(tmp_path) as staged:
            (staged / "data").write_text("x")
            raise error

    with pytest.raises(error):
        build()
    assert os.listdir(tmp_path) == []


def test_a_scratch_folder_is_gone_afterwards():
    with store.scratch() as folder:
        (folder / "data").write_text("x")
    assert not folder.exists()


def test_staging_is_locked_while_it_is_worked_on(tmp_path):
    look = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), 6)"
    with store.staging(tmp_path) as staged:
        busy = subprocess.run([sys.executable, "-c", look, staged], capture_output=True)
    assert b"BlockingIOError" in busy.stderr


def test_each_failing_sync_ends_with_no_version_or_with_an_unconfirmed_one(tmp_path, monkeypatch):
    fsync = os.fsync

    def outcome(failing: int) -> str:
        folder = store.recipe_folder(tmp_path, f"recipe{failing}")
        calls = iter(range(1, 99))

        def fail(handle: int) -> None:
            if next(calls) == failing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(handle)

        with monkeypatch.context() as patch:
            patch.setattr(store.os, "fsync", fail)
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


def test_an_error_of_the_disk_that_polars_tells_is_one_of_the_machine(tmp_path):
    rows = pl.LazyFrame({"a": [1]})
    missing = tmp_path / "nowhere"
    said = "nowhere: cannot be written: No such file"
    with pytest.raises(MachineError, match=said), store.writing(missing):
        rows.sink_parquet(missing / "file")
    with pytest.raises(pl.exceptions.ColumnNotFoundError), store.writing(tmp_path):
        rows.select("b").sink_parquet(tmp_path / "file")
    full = "underlying IO error: No space left on device (os error 28)"
    with pytest.raises(MachineError, match="disk is full"), store.writing(tmp_path):
        raise pl.exceptions.ComputeError(full)


def test_a_ctrl_c_between_a_link_and_its_name_leaves_no_link(tmp_path, monkeypatch):
    publish(tmp_path)
    (tmp_path / "latest").unlink()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.link_latest(tmp_path)
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, os.mkfifo])
def test_what_is_named_latest_and_is_no_link_is_told_before_a_run(tmp_path, make):
    folder = tmp_path / "dpo_same_prompt"
    folder.mkdir()
    make(folder / "latest")
    with pytest.raises(InputError, match=r"dpo_same_prompt/latest: not a link .* Move it away\."):
        gymrecipe.run("dpo_same_prompt", output_dir=str(tmp_path))
    assert os.listdir(folder) == ["latest"]


def test_the_line_in_the_ledger_comes_before_latest(tmp_path, monkeypatch):
    def made_by_somebody(folder):
        (folder / "latest").mkdir(parents=True)

    monkeypatch.setattr(store, "check_latest", made_by_somebody)
    with pytest.raises(DurabilityError, match=r"v0001 is published, but .*'latest' is not a link"):
        gymrecipe.run("dpo_same_prompt", output_dir=str(tmp_path))
    names = [line["version"] for line in ledger.read(tmp_path / "dpo_same_prompt")]
    assert names == ["v0001"]


def test_a_folder_named_latest_does_not_undo_a_version(tmp_path):
    (tmp_path / "latest").mkdir()
    with pytest.raises(DurabilityError, match=r"v0001 is published, but .*'latest' is not a link"):
        publish(tmp_path)
    assert [path.name for path in store.versions(tmp_path)] == ["v0001"]
    assert hidden(tmp_path) == []


def test_a_recipe_folder_is_made_with_its_parents(tmp_path):
    folder = store.recipe_folder(tmp_path / "a" / "b", "dpo")
    assert folder == tmp_path / "a" / "b" / "dpo"
    assert folder.is_dir()
    assert store.recipe_folder(tmp_path / "a" / "b", "dpo") == folder


@pytest.mark.parametrize("below", [".", "deeper", "deeper/still"])
def test_a_file_in_the_way_of_the_output_folder_is_named(tmp_path, below):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"file: a file, not a folder\. Set another output_dir\."):
        store.recipe_folder(tmp_path / "file" / below, "dpo")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/abs", "a/b", "a\0b", "-x", ".x", "a\n", "é", "x" * 101]
)
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    with pytest.raises(RecipeError, match="not a name"):
        store.recipe_folder(tmp_path, name)
    with pytest.raises(RecipeError, match="not a name"):
        store.check_tag(tmp_path, name)
    assert os.listdir(tmp_path) == []


def test_versions_are_folders_with_a_manifest_in_the_order_of_their_numbers(tmp_path):
    for name in ("v10000", "v0002", "v9999", "v1", "vx", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").touch()
    (tmp_path / "v0003").mkdir()
    (tmp_path / "v0004").symlink_to("v0002")
    assert [path.name for path in store.versions(tmp_path)] == ["v0002", "v9999", "v10000"]
    assert store.versions(tmp_path / "nowhere") == []


def test_find_gives_the_newest_version_of_an_id_past_broken_manifests(tmp_path):
    for id in ("a", "b", "a", "c"):
        publish(tmp_path, id)
    (tmp_path / "v0004" / "manifest.json").write_bytes(b'{"id": \xff')
    assert store.find(tmp_path, "a") == tmp_path / "v0003"
    assert store.find(tmp_path, "b") == tmp_path / "v0002"
    assert store.find(tmp_path, "c") is None


def test_a_version_is_found_by_path_number_tag_or_recipe(tmp_path, monkeypatch):
    folder = store.recipe_folder(tmp_path, "dpo")
    first, second = publish(folder), publish(folder)
    store.tag(folder, first, "v1.0")
    (folder / "latest").unlink()
    (folder / "latest").symlink_to("v0001")
    for reference in ("dpo", "dpo/", "dpo/latest", "dpo/v0002", str(second), str(folder)):
        assert store.resolve(reference, tmp_path) == second, reference
    for reference in ("dpo/v1.0", "dpo/v0001", str(folder / "v1.0")):
        assert store.resolve(reference, tmp_path) == first, reference
    monkeypatch.chdir(first)
    assert store.resolve(".", tmp_path) == first


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("dpo/v0009", r"no such version\. .*dpo has v0001, v0002, v1\.0\. Did you mean 'v0002'\?"),
        ("dpo/v1.1", r"has v0001, v0002, v1\.0\. Did you mean 'v1\.0'\?"),
        ("dop/v0001", r"has versions of dpo\. Did you mean 'dpo'\?"),
        ("other", r"has versions of dpo\."),
        ("", r"no such version"),
        ("/", r"no such version"),
        ("a\0b", r"no such version"),
        ("x" * 5000, r"no such version"),
    ],
)
def test_an_unknown_reference_names_what_there_is(tmp_path, reference, message):
    folder = store.recipe_folder(tmp_path, "dpo")
    store.tag(folder, publish(folder), "v1.0")
    publish(folder)
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match=message):
        store.resolve(reference, tmp_path)


def test_an_output_folder_without_versions_says_so(tmp_path):
    with pytest.raises(InputError, match="has no versions yet"):
        store.resolve("dpo", tmp_path / "nowhere")


def test_a_tag_stays_with_its_version(tmp_path):
    first, second = publish(tmp_path), publish(tmp_path)
    store.check_tag(tmp_path, "v1.0")
    store.tag(tmp_path, first, "v1.0")
    store.tag(tmp_path, first, "v1.0")
    assert os.readlink(tmp_path / "v1.0") == "v0001"
    assert store.tags(tmp_path) == {"v1.0": "v0001"}
    store.check_tag(tmp_path, "v1.0", first)
    with pytest.raises(RecipeError, match=r"v1\.0: stands for v0001 already"):
        store.check_tag(tmp_path, "v1.0")
    with pytest.raises(RecipeError, match=r"v1\.0: stands for v0001 already"):
        store.tag(tmp_path, second, "v1.0")


@pytest.mark.parametrize("name", ["latest", "Latest", "v0001", "v7", "V12345", "versions.jsonl"])
def test_names_that_gymrecipe_uses_are_no_tags(tmp_path, name):
    with pytest.raises(RecipeError, match="kept for gymrecipe itself"):
        store.check_tag(tmp_path, name)


def test_a_file_is_not_taken_for_a_tag(tmp_path):
    version = publish(tmp_path)
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(RecipeError, match="exists and is not a tag"):
        store.tag(tmp_path, version, "notes")
    assert (tmp_path / "notes").read_text() == "mine"


def test_the_trap_of_the_plain_rename_is_real(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    os.rename(tmp_path / "old", tmp_path / "new")
    (tmp_path / "old").mkdir()
    with pytest.raises(FileExistsError):
        store._rename_new(tmp_path / "old", tmp_path / "new")
