"""Made again, byte for byte: whatever the machine is set to, and from the manifest alone."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import gymrecipe
from gymrecipe.errors import GymrecipeError
from gymrecipe.reproduce import reproduce
from tests.experiments.conftest import graded, save
from tests.faults.conftest import HERE, PYTHON, figure, often

COMMAND = [*PYTHON, str(HERE / "command.py"), "+recipe=dpo_same_prompt", "again=true",
           "shard_rows=7", "order=shuffled", "validation_fraction=0.3"]  # fmt: skip

SETTINGS: dict[str, list[str]] = {
    "engine.workers": ["1", "2", "3"],
    "PYTHONHASHSEED": ["0", "1", "random"],
    "TZ": ["UTC", "Asia/Kathmandu", "America/St_Johns"],
    "LC_ALL": ["C", "tr_TR.UTF-8"],
    "folder": ["here", "a b"],
    "umask": ["022", "077"],
}


def digests(version: Path) -> dict[str, str]:
    """What the data and the records of a version hash to."""
    files = [*(version / "data").rglob("*"), version / "rejects.parquet", version / "used.parquet"]
    return {
        str(path.relative_to(version)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.is_file()
    }


def made(root: Path, files: dict[str, bytes], number: int, setting: dict[str, str]) -> Path:
    """A version made in a folder of its own, its inputs written in an order of their own."""
    folder = root / f"{number} {setting['folder']}"
    folder.mkdir()
    names = sorted(files, key=lambda name: hashlib.sha256(f"{number}{name}".encode()).digest())
    for name in names:
        (folder / name).write_bytes(files[name])
    words = [*COMMAND, "input=*.jsonl", "output_dir=out",
             f"engine.workers={setting['engine.workers']}"]  # fmt: skip
    named = {name: value for name, value in setting.items() if name.isupper()}
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, **named, "WORTH_BYTES": "0"},
        umask=int(setting["umask"], 8), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return folder / done.stdout.strip()


def test_runs_under_other_settings_make_the_same_bytes(root: Path) -> None:
    first = save(root / "first", [*graded(20, 4), b"no json"]).read_bytes()
    second = save(root / "second", graded(30, 3)).read_bytes()
    files = {"b.jsonl": second, "a.jsonl": first, "C.jsonl": b""}
    every = [
        dict(zip(SETTINGS, values, strict=True)) for values in itertools.product(*SETTINGS.values())
    ]
    times = often(4, 100)
    chosen = every[:: len(every) // times][:times]
    found = []
    for number, setting in enumerate(chosen):
        version = made(root, files, number, setting)
        found.append(digests(version))
        if number:
            shutil.rmtree(version.parents[2])
    assert len(found[0]) > 4
    assert found == [found[0]] * times
    figure("made again, byte for byte", "runs under other settings", times, "identical")


@pytest.mark.parametrize("change", ["a byte of the input", "the seed", "a threshold"])
def test_control_what_should_change_the_bytes_does(change: str, root: Path) -> None:
    lines = graded(20, 4)
    knobs: dict[str, Any] = {"order": "shuffled", "min_gap": 1 / 3}
    before = gymrecipe.run("dpo_same_prompt", input=str(save(root / "a.jsonl", lines)),
                           output_dir=str(root / "out"), **knobs)  # fmt: skip
    if change == "a byte of the input":
        lines[40]["response"] = lines[40]["response"].replace("answer", "Answer")
    elif change == "the seed":
        knobs["seed"] = 1
    else:
        knobs["min_gap"] = 1 / 3 + 2e-9  # a gap is met to within 1e-9
    after = gymrecipe.run("dpo_same_prompt", input=str(save(root / "a.jsonl", lines)),
                          output_dir=str(root / "out"), **knobs)  # fmt: skip
    assert before.path is not None
    assert after.path is not None
    assert before.manifest.id != after.manifest.id
    assert digests(before.path) != digests(after.path)


NEEDED = ["parameters", "stages", "inputs", "outputs", "environment.folder", "name", "lines"]


@pytest.mark.parametrize("field", NEEDED)
def test_a_manifest_without_one_of_its_fields_reproduces_nothing(field: str, root: Path) -> None:
    rollouts = save(root / "in" / "a.jsonl", graded())
    here = os.getcwd()
    os.chdir(root / "in")
    try:
        version = gymrecipe.run("dpo_same_prompt", input=rollouts.name, output_dir=str(root / "o"))
    finally:
        os.chdir(here)
    assert version.path is not None
    reproduce(version.path)
    record = json.loads((version.path / "manifest.json").read_bytes())
    *outer, last = field.split(".")
    inner = record
    for name in outer:
        inner = inner[name]
    del inner[last]
    (version.path / "manifest.json").write_text(json.dumps(record))
    with pytest.raises(GymrecipeError):
        reproduce(version.path)
