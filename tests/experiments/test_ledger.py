import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from gymrecipe.cli import main
from gymrecipe.errors import DurabilityError, MachineError
from gymrecipe.experiments import disk, ledger
from gymrecipe.experiments.manifest import (
    FILE,
    Environment,
    Lines,
    Manifest,
    Output,
    StageRecord,
    encode,
)
from gymrecipe.experiments.verify import verify
from tests.experiments.conftest import graded, run, save
from tests.full import often

APPEND = """
import sys
from pathlib import Path
from gymrecipe.experiments import ledger

for round in range(20):
    record = {"version": "v0001", "who": sys.argv[2], "round": round, "text": "x" * 20000}
    with ledger.adding(Path(sys.argv[1])) as add:
        add(record)
"""


def append(folder: Path, record: dict[str, object]) -> None:
    with ledger.adding(folder) as add:
        add(record)


def test_records_come_back_in_order(tmp_path):
    assert ledger.read(tmp_path) == []
    records = [{"version": "v0001", "text": "a\nb\u2028c"}, {"version": "v0002", "gap": 0.2}]
    for record in records:
        append(tmp_path, record)
    assert ledger.read(tmp_path) == records
    assert (tmp_path / "versions.jsonl").read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("cut", range(1, 36))
def test_a_torn_last_line_costs_no_other_line(tmp_path, cut):
    path = tmp_path / "versions.jsonl"
    append(tmp_path, {"version": "v0001"})
    append(tmp_path, {"version": "v0002", "text": "é"})
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    append(tmp_path, {"version": "v0003"})
    names = [record["version"] for record in ledger.read(tmp_path)]
    assert names == ["v0001", "v0002", "v0003"] if cut == 1 else ["v0001", "v0003"]


NO_RECORDS = [
    b"null", b"7", b"[]", b"\0\0\0", b"\xff", b'{"a":', b"{}", b'{"version": ["v0001"]}',
    b'{"version": null}', b'{"version": "other"}', b'{"version": "v' + b"1" * 5_000 + b'"}',
    b'{"version": "v0001", "a": ' + b"[" * 2_000 + b"]" * 2_000 + b"}",
    b'\xef\xbb\xbf{"version": "v0001"}',
]  # fmt: skip


@pytest.mark.parametrize("line", NO_RECORDS, ids=range(len(NO_RECORDS)))
def test_a_line_that_is_no_record_stops_no_run_and_goes_with_a_rebuild(tmp_path, line):
    version = published(tmp_path, "v0001")
    path = tmp_path / "versions.jsonl"
    path.write_bytes(line + b"\n")
    ledger.complete(version)
    assert ledger.highest(tmp_path) == 1
    assert told(tmp_path) == ["v0001"]
    assert ledger.rebuild(tmp_path) == ledger.Rebuilt(str(path), ["v0001"], [], [1], [], [])
    assert path.read_bytes().count(b"\n") == 1


@pytest.mark.parametrize("line", [b"", b"  ", *NO_RECORDS])
def test_lines_that_are_no_record_are_passed_over(tmp_path, line):
    append(tmp_path, {"version": "v0001"})
    with open(tmp_path / "versions.jsonl", "ab") as file:
        file.write(line + b"\n")
    append(tmp_path, {"version": "v0002"})
    assert [record["version"] for record in ledger.read(tmp_path)] == ["v0001", "v0002"]


def test_processes_do_not_tear_each_others_lines(tmp_path):
    processes = [
        subprocess.Popen([sys.executable, "-c", APPEND, tmp_path, str(who)]) for who in range(4)
    ]
    assert [process.wait() for process in processes] == [0] * 4
    records = ledger.read(tmp_path)
    assert len(records) == 80
    for who in "0123":
        assert [r["round"] for r in records if r["who"] == who] == list(range(20))


def test_a_line_that_cannot_be_written_does_not_unpublish_the_version(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ledger.os, "fsync", full)
    with pytest.raises(DurabilityError, match=r"v0003 is published, but .*No space left"):
        ledger.complete(published(tmp_path, "v0003"))


def test_an_entry_tells_what_was_set_and_what_came_of_it():
    asked = {"resolved": [{"parameter": "min_gap", "asked": "p50", "resolved": 0.25}]}

    def stage(name: str, use: str, takes: str, makes: str, **parameters: object) -> StageRecord:
        facts = asked if use == "pair" else {}
        return StageRecord(name, use, 1, takes, makes, "", parameters, 4, 2, {}, facts)

    manifest = Manifest(
        schema=1,
        name="dpo",
        version="v0002",
        id="ab",
        parameters={"min_gap": "p50"},
        stages=[
            stage("usable", "filter", "rollouts", "rollouts", completed=True),
            stage("pair", "pair", "rollouts", "pairs", min_gap="p50", most=8, strategy="best"),
            stage("write", "write", "pairs", "nothing", format="trl"),
        ],
        lines=Lines(4, 2, 2),
        inputs=[],
        outputs=[Output("data/train.jsonl", 1, 10, "cd")],
        statistics={"write": {"gap": {"p50": 0.5}}, "usable": {"tasks": 3}},
        warnings=["few"],
        environment=Environment(created="2026-01-01T00:00:00Z", folder="secret"),
    )
    entry = ledger.entry(manifest, "ef")
    assert entry == {
        "version": "v0002",
        "id": "ab",
        "created": "2026-01-01T00:00:00Z",
        "parameters": {"min_gap": "p50"},
        "thresholds": {"pair": {"min_gap": 0.25, "most": 8}},
        "statistics": {"write": {"gap": {"p50": 0.5}}},
        "lines": {"read": 4, "used": 2, "rejected": 2},
        "rows": {"data/train.jsonl": 1},
        "warnings": ["few"],
        "manifest_sha256": "ef",
    }
    tagged = msgspec.structs.replace(manifest, parameters={"tag": "v1.0"})
    assert ledger.entry(tagged, "ef")["tag"] == "v1.0"


def published(folder: Path, name: str, **parameters: object) -> Path:
    """A version with nothing in it."""
    none = Lines(0, 0, 0)
    record = Manifest(
        1, "dpo", name, "ab", dict(parameters), [], none, [], [], {}, [], Environment()
    )
    (folder / name).mkdir(parents=True)
    (folder / name / FILE).write_bytes(encode(record))
    return folder / name


def told(folder: Path) -> list[str]:
    return [record["version"] for record in ledger.read(folder)]


def test_a_run_adds_the_lines_of_runs_that_died_before_they_could(tmp_path):
    first, second = published(tmp_path, "v0001", tag="v1.0"), published(tmp_path, "v0002")
    ledger.complete(second)
    assert told(tmp_path) == ["v0001", "v0002"]
    assert ledger.read(tmp_path)[0]["tag"] == "v1.0"
    assert ledger.read(tmp_path)[1]["manifest_sha256"] == disk.sha256(second / FILE)
    data = (tmp_path / "versions.jsonl").read_bytes()
    ledger.complete(first)
    assert (tmp_path / "versions.jsonl").read_bytes() == data


def test_a_line_that_was_torn_is_written_again(tmp_path):
    ledger.complete(published(tmp_path, "v0001"))
    path = tmp_path / "versions.jsonl"
    path.write_bytes(path.read_bytes()[:40])
    ledger.complete(published(tmp_path, "v0002"))
    assert told(tmp_path) == ["v0001", "v0002"]


def test_a_version_whose_manifest_is_another_ones_gets_no_line(tmp_path):
    version = published(tmp_path, "v0001")
    shutil.copytree(version, tmp_path / "v0002")
    (published(tmp_path, "v0003") / FILE).write_text("{")
    ledger.complete(version)
    assert told(tmp_path) == ["v0001"]


def test_the_number_of_a_deleted_version_is_not_given_again(tmp_path):
    path = str(save(tmp_path / "a.jsonl", graded()))
    run(tmp_path, input=path)
    deleted = run(tmp_path, input=path, seed=5).path
    assert deleted is not None
    shutil.rmtree(deleted)
    (deleted.parent / "latest").unlink()
    made = run(tmp_path, input=path, seed=7).path
    assert made is not None
    assert told(made.parent) == ["v0001", "v0002", "v0003"]
    assert verify(made).differences == []


def test_a_run_that_finds_its_version_there_mends_what_another_left_undone(tmp_path):
    path = save(tmp_path / "a.jsonl", graded())
    made = run(tmp_path, input=str(path)).path
    assert made is not None
    (made.parent / "latest").unlink()
    (made.parent / "versions.jsonl").unlink()
    again = run(tmp_path, input=str(path))
    assert again.existed
    assert told(made.parent) == ["v0001"]
    assert os.readlink(made.parent / "latest") == "v0001"


def test_a_rebuilt_ledger_has_every_version_once_and_no_torn_line(tmp_path):
    for number in (3, 1, 2):
        append(tmp_path, {"version": f"v000{number}", "manifest_sha256": "?"})
    path = tmp_path / "versions.jsonl"
    for number in (1, 2, 4, 10_000):
        published(tmp_path, f"v{number:04d}")
    append(
        tmp_path, {"version": "v0002", "manifest_sha256": disk.sha256(tmp_path / "v0002" / FILE)}
    )
    path.write_bytes(b"\xff\n" + path.read_bytes() + b"\n[1]\n" + b'{"version": "v00')
    done = ledger.rebuild(tmp_path)
    assert done == ledger.Rebuilt(
        ledger=str(path),
        kept=["v0001", "v0002"],
        added=["v0004", "v10000"],
        torn=[1, 7, 8],
        changed=["v0001"],
        gone=["v0003"],
    )
    assert told(tmp_path) == ["v0001", "v0002", "v0003", "v0004", "v10000"]
    data = path.read_bytes()
    assert data.count(b"\n") == 5
    assert ledger.rebuild(tmp_path).torn == []
    assert path.read_bytes() == data
    assert sorted(os.listdir(tmp_path)) == ["v0001", "v0002", "v0004", "v10000", "versions.jsonl"]


def test_a_lost_ledger_is_made_from_the_manifests(tmp_path):
    path = save(tmp_path / "a.jsonl", graded())
    for seed in range(3):
        version = run(tmp_path, input=str(path), seed=seed).path
    assert version is not None
    whole = (version.parent / "versions.jsonl").read_bytes()
    (version.parent / "versions.jsonl").unlink()
    ledger.rebuild(version.parent)
    assert (version.parent / "versions.jsonl").read_bytes() == whole


def test_a_changed_manifest_is_not_made_right_by_a_rebuilt_ledger(tmp_path):
    version = published(tmp_path, "v0001")
    ledger.complete(version)
    (version / FILE).write_bytes((version / FILE).read_bytes() + b"\n")
    assert ledger.rebuild(tmp_path).changed == ["v0001"]
    assert "changed since the ledger's line" in " ".join(verify(version).differences)


def test_a_rebuilt_ledger_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    ledger.complete(published(tmp_path, "v0001"))
    published(tmp_path, "v0002")
    whole = (tmp_path / "versions.jsonl").read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ledger.os, "fsync", full)
    with pytest.raises(MachineError, match="disk is full"):
        ledger.rebuild(tmp_path)
    assert (tmp_path / "versions.jsonl").read_bytes() == whole
    assert sorted(os.listdir(tmp_path)) == ["v0001", "v0002", "versions.jsonl"]


REBUILD = """
import sys
from pathlib import Path
from gymrecipe.experiments import ledger

for round in range(int(sys.argv[2])):
    ledger.rebuild(Path(sys.argv[1]))
"""


def test_lines_that_are_added_while_the_ledger_is_rebuilt_are_not_lost(tmp_path):
    append(tmp_path, {"version": "v0001"})
    rebuilding = subprocess.Popen([sys.executable, "-c", REBUILD, tmp_path, str(often(40, 200))])
    number = 1
    while rebuilding.poll() is None:
        number += 1
        append(tmp_path, {"version": f"v{number:04d}"})
    assert rebuilding.returncode == 0
    assert number > 10
    # Where nothing waits for a disk there may be more than ten thousand.
    assert sorted(int(name[1:]) for name in told(tmp_path)) == list(range(1, number + 1))


def test_the_verb_rebuilds_and_says_what_it_found(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    version = published(tmp_path / "experiments" / "dpo", "v0001")
    (version.parent / "versions.jsonl").write_bytes(b'{"ver')
    assert main(["versions", "--rebuild"]) == 0
    said = capsys.readouterr()
    assert said.out == "experiments/dpo/versions.jsonl: 0 lines kept, 1 added\n"
    assert "versions.jsonl:1: torn, left out." in said.err
    (version / FILE).write_bytes((version / FILE).read_bytes() + b"\n")
    assert main(["versions", "dpo", "rebuild=true"]) == 3
    assert "its manifest changed since its line was written" in capsys.readouterr().err
    assert main(["versions", "nowhere", "--rebuild"]) == 2
