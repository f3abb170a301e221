"""How much memory a run takes for each rollout, by the operating system's account."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SMALL, LARGE = 40_000, 160_000
CODE = """
import sys, gymrecipe
from gymrecipe.experiments import fates, slices
from gymrecipe.rollouts import hashes, table
# Small slices, for a few of them are in memory however many rollouts there are.
slices.SLICE_ROWS = slices.LAP_ROWS = fates.GROUP_ROWS = hashes.SLICE_ROWS = 2**12
table.SLICE_BYTES = slices.SLICE_BYTES = 2**19
gymrecipe.run("dpo_same_prompt", input=sys.argv[1], output_dir=sys.argv[2],
              **{"engine.workers": 1})
# Not getrusage: its figure is no less than the memory of the process that started this one.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
LINE = (
    '{{"messages":[{{"role":"user","content":"{task}"}}],"response":"{answer}",'
    '"reward":0.{reward},"_ng_task_index":{task}}}\n'
)


def peak(folder: Path, rollouts: int) -> int:
    """The most memory in bytes of a run over so many rollouts."""
    path = folder / f"{rollouts}.jsonl"
    with path.open("w") as file:
        for number in range(rollouts):
            repeat, task = divmod(number, rollouts // 4)
            file.write(LINE.format(task=task, answer=number, reward=repeat))
    command = [sys.executable, "-c", CODE, str(path), str(folder / "experiments")]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(said.stdout) * 1024


def test_a_rollout_costs_few_bytes(tmp_path: Path) -> None:
    cost = (peak(tmp_path, LARGE) - peak(tmp_path, SMALL)) / (LARGE - SMALL)
    assert cost < 170
