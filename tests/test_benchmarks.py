"""The benchmarks run: rollouts are made, tools are compared, and rows that differ are found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from gymrecipe.rollouts.files import sample_path
from tests.forked import python

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def found(monkeypatch):
    """The benchmarks are programs, whose folder is where they find each other."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def made(path: Path, shape: str, count: int = 200) -> list[bytes]:
    from make_rollouts import make

    make(path, 0, shape, count=count)
    return path.read_bytes().splitlines()


@pytest.mark.parametrize(("shape", "least", "most"), [("long", 17, 21), ("short", 1.2, 1.8)])
def test_lines_are_of_their_size_and_the_same_each_time(tmp_path, shape, least, most):
    lines = made(tmp_path / "a.jsonl", shape)
    assert lines == made(tmp_path / "b.jsonl", shape)
    assert least <= sum(map(len, lines)) / 200 / 1000 <= most


def test_the_sample_that_ships_is_what_its_maker_makes():
    from make_sample import sample

    assert sample().encode() == sample_path().read_bytes()


def test_what_a_command_leaves_behind_is_counted(tmp_path):
    from measure import measure

    work = "sum(i * i for i in range(3_000_000))"
    alone = measure([sys.executable, "-c", work])
    left = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', '{work}'])"
    assert measure([sys.executable, "-c", left]).cpu > alone.cpu / 2
    assert measure([sys.executable, "-c", ""]).cpu < alone.cpu / 2


def kind(line: bytes) -> object:
    """What is wrong with a line, or its task."""
    try:
        rollout = json.loads(line)
    except ValueError:
        return "no JSON"
    if "response" not in rollout:
        return "no rollout"
    if rollout["reward"] is None:
        return "no reward"
    return rollout["response"]["incomplete_details"] or rollout["_ng_task_index"]


def test_five_lines_are_bad_and_repeats_are_not_in_a_row(tmp_path):
    kinds = [str(kind(line)) for line in made(tmp_path / "a.jsonl", "short")]
    tasks = [name for name in kinds if name.isdigit()]
    assert Counter(kinds) - Counter(tasks) == {
        "no JSON": 2,
        "no rollout": 1,
        "no reward": 1,
        "{'reason': 'max_output_tokens'}": 1,
    }
    assert len(set(tasks)) == 50
    assert sum(a == b for a, b in pairwise(tasks)) < 50


def test_a_comparison_gives_a_table_between_its_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "before\n<!-- benchmark: begin -->\nof before\n<!-- benchmark: end -->\nafter\n"
    )
    knobs = {
        "size": "300kB", "shape": "short", "rounds": "1", "jobs": "pairs",
        "tools": "1 worker,bare,documented script", "table": str(page),
    }  # fmt: skip
    command = [sys.executable, str(BENCHMARKS / "run.py")]
    words = [f"--{name}={value}" for name, value in knobs.items()]
    subprocess.run([*command, *words], check=True, cwd=BENCHMARKS.parent)
    text = page.read_text()
    cells = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    rows = {row[1]: row[5] for row in cells if len(row) > 5}
    counts = {rows[tool] for tool in ("bare msgspec, all cores", "documented script")}
    assert counts == {rows["gymrecipe, 1 worker"]} != {""}
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "of before" not in text


def test_rows_that_differ_end_a_comparison(tmp_path):
    from compared import JOBS, Tool, rows_in
    from run import compare

    def pretending(reward: float) -> Tool:
        row = json.dumps({"messages": [{"content": "yes"}], "reward": reward})
        return Tool(
            f"{reward}",
            "messages",
            lambda job, source, folder: ["sh", "-c", f"echo '{row}' > '{rows_in(folder)}'"],
        )

    source = tmp_path / "rollouts.jsonl"
    made(source, "short", 20)
    with pytest.raises(SystemExit, match=r"threshold.*0\.5 gave .*total=0\.5.*total=1\.0"):
        compare(JOBS["sft"], [pretending(1.0), pretending(0.5)], source, tmp_path, 1, 60)


@pytest.mark.parametrize("program", ["run_steps.py", "scan_steps.py", "write_steps.py"])
def test_the_programs_that_time_steps_run(program, tmp_path):
    rollouts = tmp_path / "a.jsonl"
    made(rollouts, "long", 20)
    done = python(str(BENCHMARKS / program), str(rollouts), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout
