"""What is half made is for nobody else to see; what is made has the modes that umask asks for."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.experiments.conftest import graded, save
from tests.forked import python
from tests.full import often

WATCHED = """
import json, os, stat, sys
from gymrecipe.experiments import folders, shards
from gymrecipe.cli import main

seen = set()
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        above, hidden, below = arguments[0].partition("/.staging-")
        name, _, inside = below.partition("/")
        if inside:
            seen.add(stat.S_IMODE(os.stat(above + hidden + name).st_mode))
os.umask(int(sys.argv[1], 8))
sys.addaudithook(watch)
code = main(sys.argv[2:])
print(json.dumps([code, sorted(seen)]))
"""


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o027][:: often(2, 1)])
def test_staging_is_private_and_a_version_has_the_usual_modes(umask: int, tmp_path: Path) -> None:
    save(tmp_path / "a.jsonl", graded(3))
    words = ["+recipe=dpo_same_prompt", "input=a.jsonl", "output_jsonl_fpath=out.jsonl", "tag=t"]
    done = python("-c", WATCHED, f"{umask:o}", *words, cwd=tmp_path)
    code, modes = json.loads(done.stdout.splitlines()[-1])
    assert (code, modes) == (0, [0o700])
    made = [tmp_path / "experiments", *(tmp_path / "experiments").rglob("*")]
    for path in [*made, tmp_path / "out.jsonl"]:
        if not path.is_symlink():
            usual = 0o777 if path.is_dir() else 0o666
            assert stat.S_IMODE(path.stat().st_mode) == usual & ~umask, path
    assert len(made) > 8


def test_without_this_what_is_half_made_can_be_read(tmp_path: Path) -> None:
    save(tmp_path / "a.jsonl", graded(3))
    public = "make = os.mkdir\nos.mkdir = lambda path, mode=0o777: make(path)\n"
    program = WATCHED.replace("seen =", f"{public}seen =")
    line = ["-c", program, "022", "+recipe=dpo_same_prompt", "input=a.jsonl"]
    done = python(*line, cwd=tmp_path)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, [0o755]]


def test_a_dry_run_is_private_too(tmp_path: Path) -> None:
    save(tmp_path / "a.jsonl", graded(3))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    line = ["-m", "gymrecipe", "+recipe=dpo_same_prompt", "input=a.jsonl", "dry_run=true"]
    done = python(*line, cwd=tmp_path, TMPDIR=str(scratch))
    assert done.returncode == 0, done.stderr
    assert list(scratch.iterdir()) == []
