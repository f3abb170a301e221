"""How much memory a run takes for each rollout, by the operating system's account."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.full import FULL, often

SMALL, LARGE = often(20_000, 40_000), often(80_000, 160_000)
CODE = """
import sys, threading, time, gymrecipe
from gymrecipe.running import stepping, writing
from gymrecipe.experiments import fates, mapped, slices
from gymrecipe.rollouts import hashes, table
# Small slices, for a few of them are in memory however many rollouts there are.
slices.SLICE_ROWS = slices.LAP_ROWS = fates.GROUP_ROWS = hashes.SLICE_ROWS = 2**12
table.SLICE_BYTES = slices.SLICE_BYTES = 2**19
if sys.argv[3] == "files":
    mapped.LARGE_ROWS = table.LARGE_ROWS = stepping.LARGE_ROWS = writing.LARGE_ROWS = 2**14
    hashes.PART_ROWS = fates.PART_ROWS = 2**14

most = 0
def look():
    # But for pages that the system takes when it needs them: those of files, and what was freed.
    global most
    while True:
        with open("/proc/self/smaps_rollup") as file:
            kb = {words[0]: int(words[1]) for words in map(str.split, file) if len(words) == 3}
        most = max(most, kb["Anonymous:"] - kb["LazyFree:"])
        time.sleep(0.01)
if sys.argv[3] == "files":
    threading.Thread(target=look, daemon=True).start()
gymrecipe.run("dpo_same_prompt", input=sys.argv[1], output_dir=sys.argv[2],
              **{"engine.workers": 1})
# Not getrusage: its figure is no less than the memory of the process that started this one.
whole = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(most if sys.argv[3] == "files" else whole)
"""
LINE = (
    '{{"messages":[{{"role":"user","content":"{task}"}}],"response":"{answer}",'
    '"reward":0.{reward},"_ng_task_index":{task}}}\n'
)


def peak(folder: Path, rollouts: int, table: str) -> int:
    """The most memory in bytes of a run over so many rollouts whose table is there."""
    path = folder / f"{rollouts}.jsonl"
    with path.open("w") as file:
        for number in range(rollouts):
            repeat, task = divmod(number, rollouts // 4)
            file.write(LINE.format(task=task, answer=number, reward=repeat))
    command = [sys.executable, "-c", CODE, str(path), str(folder / table), table]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(said.stdout) * 1024


def cost(folder: Path, table: str) -> float:
    """The bytes that a further rollout takes."""
    return (peak(folder, LARGE, table) - peak(folder, SMALL, table)) / (LARGE - SMALL)


def test_a_rollout_costs_few_bytes(tmp_path: Path) -> None:
    # 123 to 172 in one and the same state: malloc may hold on to a part more or less, which is
    # more for each of fewer.
    assert cost(tmp_path, "memory") < often(230, 200)


@pytest.mark.skipif(not FULL, reason="the full set does this: make test-faults")
def test_with_its_table_in_files_a_rollout_costs_fewer(tmp_path: Path) -> None:
    assert cost(tmp_path, "files") < 120
