"""Measure gymrecipe against what people would use instead, side by side and in turn.

    make bench                          # 228 MB of 19 kB rollouts, three rounds
    make bench SIZE=1GB ROUNDS=5 SHAPE=short TABLE=table.md

    python benchmarks/run.py --size 228MB --jobs pairs,sft --tools gymrecipe,duckdb

A job begins with a run of each tool that is not timed: its memory is looked at and its rows are
held against those of gymrecipe, and where they differ everything ends. Then come the rounds, in
each of which every tool runs once. A tool that needed longer than `--patience` seconds runs once
in all. Figures are medians. What to compare are the ratios: machines differ and are noisy.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import start
import table
from agree import Figures, figures
from compared import CACHED, JOBS, Job, Tool, reading, tools, writing
from make_rollouts import SHAPES, make, size
from measure import Measured, measure
from table import Line

START = "start"
"""The job that is no comparison: see `start.py`."""

TRUSTED_AFTER_SECONDS = 2.1
"""A file this old may be recognized by its times, so that its table can be kept."""


def once(tool: Tool, job: Job, source: Path, folder: Path, memory: bool = False) -> Measured:
    """One run of a tool, into a folder that is empty before."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    return measure(tool.command(job, source, folder), memory)


def compare(
    job: Job, found: list[Tool], source: Path, folder: Path, rounds: int, patience: float
) -> list[Line]:
    """Every tool that does the job, floors first. Raises SystemExit where their rows differ."""
    lines: list[Line] = []
    expected: Figures | None = None
    copy = folder / "output.jsonl"
    made = folder / "made"
    for tool in [reading(), *(tool for tool in found if job.kind in tool.kinds)]:
        if tool.name == CACHED:
            once(tool, job, source, made)  # which keeps the table
        run = once(tool, job, source, made, memory=True)
        print(f"  {tool.name}: {run.wall:.1f} s", file=sys.stderr, flush=True)
        if not lines:
            lines.append(Line(tool, [], None, None))
            continue
        got = figures(made)
        if expected is None:
            expected = got
            (rows,) = made.rglob("data/*.jsonl")
            shutil.copy(rows, copy)
            lines.insert(1, Line(writing(copy), [], None, None))
        if got != expected:
            raise SystemExit(f"{job.title}: {tool.name} gave {got}, gymrecipe {expected}")
        lines.append(Line(tool, [run] if run.wall > patience else [], run.memory, got))
    timed = [line for line in lines if not line.runs]
    for _ in range(rounds):
        for line in timed:
            line.runs.append(once(line.tool, job, source, made))
    return lines


def main() -> None:
    """Make the rollouts, run everything in turn, print the tables and write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=size, default=size("228MB"))
    parser.add_argument("--shape", choices=SHAPES, default="long")
    parser.add_argument("--rounds", type=int, default=3)
    every = ",".join([*JOBS, START])
    parser.add_argument("--jobs", default=every, help=f"some of {every}")
    parser.add_argument("--tools", default="", help="words of their names; all without")
    parser.add_argument("--patience", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--table", type=Path, help="a file for the tables, in Markdown")
    parser.add_argument("--folder", type=Path, help="where the rollouts are made")
    given = parser.parse_args()
    words = [word.strip().lower() for word in given.tools.split(",")]
    chosen = [tool for tool in tools() if any(word in tool.name.lower() for word in words)]
    for tool in chosen:
        if tool.lacks:
            print(f"skipped: {tool.name}: {tool.lacks}", file=sys.stderr)
    found = [tool for tool in chosen if not tool.lacks]
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        source = folder / "rollouts.jsonl"
        count = make(source, given.size, given.shape)
        if any(tool.name == CACHED for tool in found):
            time.sleep(TRUSTED_AFTER_SECONDS)
        bytes = source.stat().st_size
        texts = [
            f"{bytes / 1e6:,.0f} MB, {count:,} lines of {bytes / count / 1e3:.1f} kB"
            f" ({given.shape}), medians of {given.rounds} rounds. {table.machine()}."
        ]
        for name in given.jobs.split(","):
            if name == START:
                texts.append(start.measured(source, folder, given.rounds))
                continue
            job = JOBS[name]
            print(job.title, file=sys.stderr, flush=True)
            lines = compare(job, found, source, folder, given.rounds, given.patience)
            against = reference(lines)
            texts.append(table.of_job(job, lines, against, bytes))
    if skipped := [f"{tool.name} ({tool.lacks})" for tool in chosen if tool.lacks]:
        texts.append(f"Not measured: {', '.join(skipped)}.")
    text = "\n\n".join(texts) + "\n"
    print(text)
    if given.table is not None:
        table.publish(given.table, text)


def reference(lines: list[Line]) -> Line:
    """gymrecipe by the most workers, without its cache: what the others are compared with."""
    named = [line for line in lines if line.tool.name.startswith("gymrecipe,")]
    return [line for line in named if line.tool.name != CACHED][-1]


if __name__ == "__main__":
    main()
