"""Made again, byte for byte: whatever the machine is set to, and from the manifest alone."""

from __future__ import annotations

import contextlib
import hashlib
import json
import locale
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gymrecipe
from gymrecipe.errors import GymrecipeError
from gymrecipe.experiments import manifest
from gymrecipe.running.reproduce import reproduce
from tests.experiments.conftest import graded, save
from tests.faults.conftest import HERE, figure
from tests.full import FULL, often

COMMAND = [sys.executable, str(HERE / "command.py")]
RUN = ["+recipe=dpo_same_prompt", "again=true", "shard_rows=7", "order=shuffled",
       "validation_fraction=0.3", "input=*.jsonl", "output_dir=out"]  # fmt: skip


def there_is(name: str) -> bool:
    """Whether the system has a locale; one that it has not is read as C."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, name)
    except locale.Error:
        return False
    finally:
        locale.setlocale(locale.LC_ALL, before)
    return True


LOCALES = filter(there_is, ["C", "POSIX", "C.UTF-8", "en_US.UTF-8", "tr_TR.UTF-8"])

SETTINGS: dict[str, list[str]] = {
    "engine.workers": ["1", "2", "3"],
    "PYTHONHASHSEED": ["0", "1", "random"],
    "TZ": ["UTC", "Asia/Kathmandu", "America/St_Johns"],
    "LC_ALL": list(LOCALES),
    "PYTHONUTF8": ["0", "1"],
    "PYTHONCOERCECLOCALE": ["0", "1"],
    "POLARS_MAX_THREADS": ["1", "4"],
    "TMPDIR": ["tmp", "a b/tmp"],
    "DAY": ["0", "1", "-9000", "9000"],
    "cache": ["true", "false"],
    "order of the folder": ["0", "1", "2"],
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


def called(folder: Path, setting: dict[str, str], *words: str) -> str:
    """What the command says on stdout when it is called there under a setting."""
    named = {name: value for name, value in setting.items() if name.isupper()}
    named |= {"WORTH_BYTES": "0", "KEPT_BYTES": "0", "TMPDIR": str(folder / setting["TMPDIR"])}
    Path(named["TMPDIR"]).mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [*COMMAND, *words], cwd=folder, env=os.environ | named,
        umask=int(setting["umask"], 8), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, (setting, done.stderr)
    return done.stdout.strip()


def made(root: Path, files: dict[str, bytes], number: int, setting: dict[str, str]) -> Path:
    """A version made in a folder of its own, its inputs written in an order of their own."""
    folder = root / f"{number} {setting['folder']}"
    folder.mkdir()
    order = setting["order of the folder"]
    names = sorted(files, key=lambda name: hashlib.sha256(f"{order}{name}".encode()).digest())
    for name in names:
        (folder / name).write_bytes(files[name])
        os.utime(folder / name, (10**9 + number, 10**9 - number))
    words = [*RUN, f"engine.workers={setting['engine.workers']}", f"cache={setting['cache']}"]
    if setting["cache"] == "true":  # a first run leaves what the second one takes
        called(folder, setting, *words, "min_gap=0.9")
    version = folder / called(folder, setting, *words)
    kept = {file.digest_from for file in manifest.read(version).inputs if file.bytes}
    assert kept == ({"cache"} if setting["cache"] == "true" else {"file"})
    return version


def test_runs_and_reproductions_under_other_settings_make_the_same_bytes(root: Path) -> None:
    first = save(root / "first", [*graded(20, 4), b"no json"]).read_bytes()
    second = save(root / "second", graded(30, 3)).read_bytes()
    files = {"b.jsonl": second, "a.jsonl": first, "i.jsonl": b"", "I.jsonl": b""}
    chance, times = random.Random(17), often(2, 50)

    def drawn() -> dict[str, str]:
        return {name: chance.choice(values) for name, values in SETTINGS.items()}

    found, settings = [], []
    for number in range(times):
        settings += [drawn(), drawn()]
        version = made(root, files, number, settings[-2])
        found.append(digests(version))
        said = called(version.parents[2], settings[-1], "reproduce", str(version))
        assert "made again" in said
        shutil.rmtree(version.parents[2])
    assert len(found[0]) > 4
    assert found == [found[0]] * times
    if FULL:
        for name, values in SETTINGS.items():
            assert {setting[name] for setting in settings} == set(values)
    figure("made again, byte for byte", "runs under other settings", times, "identical")
    figure("made again, byte for byte", "reproductions under other settings", times, "identical")


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


def make(folder: Path) -> None:
    """A version that is made again as it is."""
    rollouts = save(folder / "in" / "a.jsonl", graded())
    with contextlib.chdir(rollouts.parent):
        gymrecipe.run("dpo_same_prompt", input=rollouts.name, output_dir=str(folder / "out"))
    reproduce(folder / "out/dpo_same_prompt/v0001")


NEEDED = ["parameters", "stages", "inputs", "outputs", "environment.folder", "name", "lines"]


@pytest.mark.parametrize("field", NEEDED)
def test_a_manifest_without_one_of_its_fields_reproduces_nothing(field: str, as_made: Any) -> None:
    version = as_made(make) / "out/dpo_same_prompt/v0001"
    record = json.loads((version / "manifest.json").read_bytes())
    *outer, last = field.split(".")
    inner = record
    for name in outer:
        inner = inner[name]
    del inner[last]
    (version / "manifest.json").write_text(json.dumps(record))
    with pytest.raises(GymrecipeError):
        reproduce(version)
