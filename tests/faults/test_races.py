"""Runs at once on one folder get versions of their own, without gaps, past what is in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gymrecipe.experiments import folders, ledger, publishing, references
from gymrecipe.experiments.verify import verify
from tests.experiments.conftest import graded, save
from tests.faults.conftest import figure
from tests.forked import python
from tests.full import often

RUNS = """
import sys
from multiprocessing import get_context
import gymrecipe

def run(who):
    gymrecipe.run("dpo_same_prompt", input=folder + "/a.jsonl", dry_run=True)
    together.wait()
    for seed in range(rounds * who, rounds * (who + 1)):
        made = gymrecipe.run(
            "dpo_same_prompt", input=folder + "/a.jsonl", output_dir=folder + "/out", seed=seed,
            **{"engine.workers": 1},
        )
        print(made.path.name, made.manifest.parameters["seed"], flush=True)

folder, rounds, context = sys.argv[1], int(sys.argv[2]), get_context("fork")
together = context.Barrier(8)
processes = [context.Process(target=run, args=[who]) for who in range(8)]
for process in processes:
    process.start()
for process in processes:
    process.join()
sys.exit(any(process.exitcode for process in processes))
"""


def plant_traps(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "v0007").mkdir()
    (folder / "v0008").write_text("a file")
    (folder / "v0009").symlink_to("nowhere")


def traps_untouched(folder: Path) -> bool:
    return (
        os.listdir(folder / "v0007") == []
        and (folder / "v0008").read_text() == "a file"
        and os.readlink(folder / "v0009") == "nowhere"
    )


def test_eight_processes_get_versions_of_their_own_without_gaps(root: Path) -> None:
    save(root / "a.jsonl", graded())
    folder = root / "out" / "dpo_same_prompt"
    plant_traps(folder)
    rounds = often(1, 25)
    done = python("-c", RUNS, str(root), str(rounds))
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stdout.splitlines()]
    names = [f"v{number:04d}" for number in range(10, 10 + 8 * rounds)]
    assert sorted(name for name, _ in told) == names
    assert sorted(int(seed) for _, seed in told) == list(range(8 * rounds))
    assert traps_untouched(folder)
    (folder / "v0009").unlink()
    assert [path.name for path in references.versions(folder)] == names
    assert sorted(line["version"] for line in ledger.read(folder)) == names
    assert [verify(path).differences for path in references.versions(folder)] == [[]] * len(names)
    hidden = [name for name in os.listdir(folder) if name.startswith(".")]
    assert hidden == []
    figure("never overwritten, never shared", "versions by 8 processes at once", 8 * rounds,
           "distinct, no gap, traps untouched")  # fmt: skip


@pytest.mark.parametrize("protected", [True, False])
def test_control_a_plain_rename_replaces_what_appears_at_the_last_moment(
    protected: bool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not protected:
        monkeypatch.setattr(publishing, "rename_new", os.rename)

    def manifest_for(name: str) -> bytes:
        if name == "v0001":
            (root / name).mkdir()  # another process, which is about to use it
        return b"{}"

    with folders.staging(root) as staged:
        version = publishing.publish(staged, root, manifest_for)
    assert (version.name == "v0002") == protected
    assert (os.listdir(root / "v0001") == []) == protected
