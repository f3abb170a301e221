"""Measure gymrecipe against what people would do instead, side by side in one run.

    make bench                                   # 200 MB of 19 kB lines
    python benchmarks/run.py --megabytes 1000 --line-bytes 1500

Each figure is the median of several runs in turn; ratios are what to compare, for machines differ
and are noisy. `script` is what the tutorials do: json.loads of every line, grouped by its prompt.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import make_rollouts

SCRIPT = """
import json, sys, collections
groups = collections.defaultdict(list)
for line in open(sys.argv[1]):
    rollout = json.loads(line)
    groups[json.dumps(rollout["responses_create_params"]["input"])].append(rollout)
with open(sys.argv[2], "w") as out:
    for rollouts in groups.values():
        ranked = sorted(rollouts, key=lambda r: -r["reward"])
        for i in range(len(ranked) // 2):
            chosen, rejected = ranked[i], ranked[-1 - i]
            if chosen["reward"] - rejected["reward"] >= 0.3:
                out.write(json.dumps({
                    "prompt": chosen["responses_create_params"]["input"],
                    "chosen": chosen["response"]["output"],
                    "rejected": rejected["response"]["output"],
                }) + "\\n")
"""


def timed(run: Callable[[], object]) -> float:
    """Wall seconds of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def command(*words: str) -> Callable[[], object]:
    """A run of a command whose output is thrown away."""
    return lambda: subprocess.run(words, check=True, capture_output=True)


def scan_alone(path: Path) -> Callable[[], object]:
    """A scan in this process: reward, prompt and counts, on one core."""
    from gymrecipe.engines.local import local
    from gymrecipe.rollouts.files import sources
    from gymrecipe.rollouts.table import Wanted, read_table

    wanted = Wanted((), (), ("reward",), (), None, False, None, None)
    files, _ = sources(str(path), False)

    def run() -> None:
        with local(1) as engine:
            read_table(files, wanted, engine, lambda amount: None)

    return run


def main() -> None:
    """Make the rollouts, run everything in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--line-bytes", type=int, default=19_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    python = sys.executable
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, small = folder / "rollouts.jsonl", folder / "small.jsonl"
        lines = make_rollouts.make(path, arguments.megabytes, arguments.line_bytes)
        make_rollouts.make(small, 19, 19_000)
        size = path.stat().st_size / 1e6
        recipe = [python, "-m", "gymrecipe", "+recipe=dpo_same_prompt", "min_gap=0.3", "again=true"]
        out = f"output_dir={folder / 'experiments'}"
        runs = {
            "read the file (cat)": command("cat", str(path)),
            "scan, one core": scan_alone(path),
            "pairs, one worker": command(*recipe, f"input={path}", out, "engine.workers=1"),
            "pairs, all cores": command(*recipe, f"input={path}", out),
            "pairs, script": command(python, "-c", SCRIPT, str(path), str(folder / "out.jsonl")),
            "pairs of 1,000 rollouts": command(*recipe, f"input={small}", out),
            "import hydra, polars, pydantic": command(
                python, "-c", "import hydra, polars, pydantic"
            ),
        }
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(arguments.repeats):
            for name, run in runs.items():
                seconds[name].append(timed(run))
    print(f"{size:.0f} MB, {lines} lines, median of {arguments.repeats}")
    median = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in median.items():
        speed = "" if "1,000" in name or "import" in name else f"{size / value:8.0f} MB/s"
        print(f"  {name:32}{value:8.2f} s {speed}")
    print(f"  script / all cores: {median['pairs, script'] / median['pairs, all cores']:.1f}")
    start = median["pairs of 1,000 rollouts"] / median["import hydra, polars, pydantic"]
    print(f"  1,000 rollouts / imports: {start:.2f}")


if __name__ == "__main__":
    main()
