"""Bounded: what was made to exhaust the memory ends in one clear sentence within a limit."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gymrecipe.rollouts import files
from tests.experiments.conftest import rollout
from tests.faults.conftest import figure
from tests.forked import python
from tests.full import FULL

LONG = 500 * 2**20 if FULL else 100 * 2**20
SPACE = 4 * 2**30
"""Bytes of addresses that the run may have; what it really uses is far less."""
MEMORY = 700 * 2**20
"""Bytes that it may really use."""

RUN = """
import resource, sys
from gymrecipe.cli import main

resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), int(sys.argv[1])))
code = main(sys.argv[2:])
# Of this program alone: ru_maxrss begins with what the process was that started it.
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
sys.exit(code)
"""


def one_long_line(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b'{"messages": "')
        for _ in range(LONG // 2**20):
            file.write(b"a" * 2**20)
        file.write(b'"}\n')


def swelling(path: Path) -> None:
    """A small compressed file of which line after line comes."""
    line = json.dumps(rollout("a", "b" * 10_000)).encode() + b"\n"
    path.write_bytes(gzip.compress(line * (2**20 // len(line))) * (300 if FULL else 70))


def nothing_but_a(path: Path) -> None:
    path.write_bytes(gzip.compress(b"a" * 2**20) * 300)


def nested(path: Path) -> None:
    path.write_bytes(b'{"response": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n")


def nested_in_a_skipped_field(path: Path) -> None:
    path.write_bytes(b'{"other": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}\n")


def flood(path: Path) -> None:
    path.write_bytes(b"{}\n" * (8_000_000 if FULL else 1_000_000))


def blank(path: Path) -> None:
    path.write_bytes(b"\n" * (24_000_000 if FULL else 8_000_000))


def blank_and_packed(path: Path) -> None:
    path.write_bytes(gzip.compress(b" \n" * 1_000_000) * 20)


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "long.jsonl": (one_long_line, "line_too_long"),
    "swelling.jsonl.gz": (swelling, "swells to more than 200 times its size"),
    "one_line.jsonl.gz": (nothing_but_a, "swells to more than 200 times its size"),
    "nested.jsonl": (nested, "too_deep"),
    "nested_too.jsonl": (nested_in_a_skipped_field, "too_deep"),
    "flood.jsonl": (flood, "at most, whatever comes behind them"),
    "blank.jsonl": (blank, "10001 of the first 10001 lines are blank, more than all others"),
    "blank.jsonl.gz": (blank_and_packed, "10001 of the first 10001 lines are blank"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_ends_in_one_sentence_within_the_memory(name: str, root: Path) -> None:
    make, said = HOSTILE[name]
    make(root / name)
    words = ["+recipe=sft_threshold", f"input={root / name}", f"output_dir={root / 'out'}"]
    done = python("-c", RUN, str(SPACE), *words)
    assert done.returncode == 3, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    used = 1024 * int(done.stdout.split()[-1])
    assert used < MEMORY
    assert not (root / "out" / "sft_threshold").exists()
    figure("bounded", f"{name}, {(root / name).stat().st_size:,} bytes", 1,
           f"{said}; {used // 2**20} MiB used")  # fmt: skip


def test_control_without_its_limit_a_long_line_is_held_whole(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a").write_bytes(b"a" * 2**20 + b"\n")

    def held() -> list[int | None]:
        source = files.open_source(str(root / "a"), 0)
        found = files.lines(files.blocks(source))
        return [None if line.data is None else len(line.data) for line in found]

    assert held() == [2**20]
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 2**20 - 1)
    assert held() == [None]


def test_control_without_its_limit_a_bomb_swells(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swelling(root / "a.gz")
    source = files.open_source(str(root / "a.gz"), 0)
    monkeypatch.setattr(files, "SWELLING", 2**40)
    assert sum(map(len, files.blocks(source))) > 64 * 2**20


def test_what_swells_less_than_the_limit_is_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"".join(b"%d\n" % number for number in range(100_000))
    (root / "a.gz").write_bytes(gzip.compress(data))
    monkeypatch.setattr(files, "SWELLING_BYTES", 2**10)
    source = files.open_source(str(root / "a.gz"), 0)
    assert b"".join(files.blocks(source)) == data
