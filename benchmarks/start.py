"""What is no comparison with other tools: the start of a run, and two workers against one."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from compared import JOBS, gymrecipe
from make_rollouts import make
from measure import measure
from table import markdown

SMALL_LINES = 1_000
IMPORTS = "import hydra, polars, pydantic"


def measured(source: Path, folder: Path, rounds: int) -> str:
    """The table of it, of pairs made of the rollouts and of a small file."""
    small = folder / "small.jsonl"
    make(small, 0, "long", count=SMALL_LINES)
    walls: dict[str, list[float]] = {}
    for _ in range(rounds):
        shutil.rmtree(folder / "made", ignore_errors=True)
        run = gymrecipe(2).command(JOBS["pairs"], small, folder / "made")
        walls.setdefault("run", []).append(measure(run).wall)
        walls.setdefault("imports", []).append(measure([sys.executable, "-c", IMPORTS]).wall)
        for workers in (1, 2):
            for name, seconds in steps(source, workers).items():
                walls.setdefault(f"{name} {workers}", []).append(seconds)
    took = {name: statistics.median(values) for name, values in walls.items()}
    times = took["run"] / took["imports"]
    rows = [
        [f"python -c '{IMPORTS}'", f"{took['imports']:.2f}", ""],
        [f"pairs of {SMALL_LINES:,} rollouts", f"{took['run']:.2f}", f"{times:.2f} times that"],
    ]
    size = source.stat().st_size / 1e6
    for step in ("scan", "write"):
        one, two = took[f"{step} 1"], took[f"{step} 2"]
        rows += [
            [f"{step}, 1 worker", f"{one:.2f}", f"{size / one:,.0f} MB/s"],
            [
                f"{step}, 2 workers",
                f"{two:.2f}",
                f"{size / two:,.0f} MB/s, {one / two:.2f} times as fast",
            ],
        ]
    return "### Start-up, scan and write\n\n" + markdown(["", "wall s", ""], rows)


def steps(source: Path, workers: int) -> dict[str, float]:
    """The steps of a run that makes pairs."""
    program = Path(__file__).parent / "run_steps.py"
    words = [sys.executable, str(program), str(source), "--json", "--workers", str(workers)]
    done = subprocess.run([*words, "min_gap=0.3", "cache=false"], check=True, capture_output=True)
    seconds: dict[str, float] = json.loads(done.stdout)
    return seconds
