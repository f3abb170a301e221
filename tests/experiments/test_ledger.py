import errno
import os
import subprocess
import sys

import pytest

from gymrecipe.errors import DurabilityError
from gymrecipe.experiments import ledger
from gymrecipe.experiments.manifest import Lines, Manifest, Output, StageRecord

APPEND = """
import sys
from pathlib import Path
from gymrecipe.experiments import ledger

for round in range(20):
    ledger.append(Path(sys.argv[1]), {"who": sys.argv[2], "round": round, "text": "x" * 20000})
"""


def test_records_come_back_in_order(tmp_path):
    assert ledger.read(tmp_path) == []
    records = [{"version": "v0001", "text": "a\nb\u2028c"}, {"version": "v0002", "gap": 0.2}]
    for record in records:
        ledger.append(tmp_path, record)
    assert ledger.read(tmp_path) == records
    assert (tmp_path / "versions.jsonl").read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("cut", range(1, 24))
def test_a_torn_last_line_costs_no_other_line(tmp_path, cut):
    path = tmp_path / "versions.jsonl"
    ledger.append(tmp_path, {"version": "v0001"})
    ledger.append(tmp_path, {"version": "v0002é"})
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    ledger.append(tmp_path, {"version": "v0003"})
    names = [record["version"] for record in ledger.read(tmp_path)]
    assert names == ["v0001", "v0002é", "v0003"] if cut == 1 else ["v0001", "v0003"]


@pytest.mark.parametrize("line", [b"", b"null", b"7", b"[]", b"\0\0\0", b"\xff", b'{"a":', b"  "])
def test_lines_that_are_no_record_are_passed_over(tmp_path, line):
    ledger.append(tmp_path, {"version": "v0001"})
    with open(tmp_path / "versions.jsonl", "ab") as file:
        file.write(line + b"\n")
    ledger.append(tmp_path, {"version": "v0002"})
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
        ledger.append(tmp_path, {"version": "v0003"})


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
        environment={"created": "2026-01-01T00:00:00Z", "host": "secret"},
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
    assert ledger.entry(manifest, "ef", "v1.0")["tag"] == "v1.0"
