"""What the fault tests share: how much is tried, whole versions told from half ones, strace."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gymrecipe.experiments import ledger, references

FIGURES = os.environ.get("GYMRECIPE_FIGURES")
"""The file that the figures of a full run go to; `python tests/faults/figures.py` draws them."""

HERE = Path(__file__).parent
PYTHON = [sys.executable, "-X", "utf8"]
LAST_STEPS = [*PYTHON, str(HERE / "last_steps.py")]
COMMAND = [*PYTHON, str(HERE / "command.py"), "+recipe=dpo_same_prompt", "again=true"]


def figure(promise: str, tried: str, times: int, found: str) -> None:
    """Note for the table what was tried, how often, and what was found."""
    if FIGURES:
        row = {"promise": promise, "tried": tried, "times": times, "found": found}
        with open(FIGURES, "a") as file:
            file.write(json.dumps(row) + "\n")


def faults_of(version: Path) -> list[str]:
    """What is not whole about a version, without the help of `verify`."""
    try:
        record = json.loads((version / "manifest.json").read_bytes())
    except (OSError, ValueError) as error:
        return [f"{version}: {error}"]
    faults = [] if record["version"] == version.name else [f"{version}: says {record['version']}"]
    expected = {output["path"]: output["sha256"] for output in record["outputs"]}
    found = {
        str(path.relative_to(version)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in version.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    return faults + ([] if found == expected else [f"{version}: {found} is not {expected}"])


def half_versions(folder: Path) -> list[str]:
    """The faults of everything in a recipe's folder that has the name of a version."""
    names = [name for name in os.listdir(folder) if references.VERSION.fullmatch(name)]
    return [fault for name in sorted(names) for fault in faults_of(folder / name)]


def torn(folder: Path) -> int:
    """How many lines of the ledger are no records."""
    path = folder / references.LEDGER
    lines = path.read_bytes().splitlines() if path.exists() else []
    return len([line for line in lines if line]) - len(ledger.read(folder))


@contextmanager
def mounted(folder: Path, *words: str | Path) -> Iterator[Path]:
    """The folder, in which the file system that these words of `mount` name is for the block."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *words, folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def traces(*options: str) -> bool:
    """Whether strace may trace here, with these options."""
    words = ["strace", "-f", *options, "-o", os.devnull, "true"]
    return subprocess.run(words, capture_output=True).returncode == 0


TRACED = shutil.which("strace") is not None and traces()
# The kernel picks the calls that are traced, and the others cost nothing: five times as fast.
# strace cannot strike with a signal there.
PICKED = ["--seccomp-bpf"] if TRACED and traces("--seccomp-bpf") else []
needs_strace = pytest.mark.skipif(not TRACED, reason="strace is missing, or may not trace here")

CALLS = (
    "openat", "write", "pwrite64", "fsync", "mkdir", "rmdir", "unlink", "unlinkat", "rename",
    "renameat2", "symlink", "chmod", "flock", "sendfile", "copy_file_range",
)  # fmt: skip
"""The calls by which a run changes the disk, or gets ready to."""


@dataclass(frozen=True)
class Point:
    """The `number`-th time that a thread makes this call on this path."""

    call: str
    path: str
    number: int


def strace(*options: str, log: Path | None = None) -> list[str]:
    """The words before a command that is to be traced, its threads and children too."""
    picked = [] if any(":signal=" in option for option in options) else PICKED
    return ["strace", "-f", "-y", *picked, "-o", str(log or os.devnull), *options]


def points(command: list[str], root: Path, log: Path) -> list[Point]:
    """Every call that a run of the command makes on something below `root`."""
    traced = strace("-e", f"trace={','.join(CALLS)}", log=log)
    subprocess.run([*traced, *command], capture_output=True, check=True)
    counts: Counter[tuple[str, str, str]] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        called = re.match(r"(\d+) +(\w+)\((.*)", line)
        if called is None:
            continue
        paths = [path for pair in re.findall(r'<(/[^>]*)>|"(/[^"]*)"', called[3]) for path in pair]
        if below := [path for path in paths if path.startswith(f"{root}/")]:
            counts[called[2], below[0], called[1]] += 1
    most: dict[tuple[str, str], int] = {}
    for (call, path, _), count in counts.items():
        most[call, path] = max(most.get((call, path), 0), count)
    return [Point(c, p, n) for (c, p), count in most.items() for n in range(1, count + 1)]


def struck(point: Point, blow: str, command: list[str], persistent: bool = False) -> list[str]:
    """The command with one of its calls struck by `signal=SIGKILL` or `error=ENOSPC`."""
    when = f"{point.number}{'+' if persistent else ''}"
    inject = f"inject={point.call}:{blow}:when={when}"
    return [*strace("-P", point.path, "-e", f"trace={point.call}", "-e", inject), *command]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder whose path is spelled as programs spell it."""
    return tmp_path.resolve()
