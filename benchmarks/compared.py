"""The jobs and the tools that do them: commands that write rows into a folder's `data/`."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple

from gymrecipe.engines.local import default_workers

HERE = Path(__file__).parent / "tools"

CACHED = "gymrecipe, cached"

Kind = Literal["pairs", "sft", "aggregate"]
ALL: tuple[Kind, ...] = ("pairs", "sft", "aggregate")


class Job(NamedTuple):
    """What every tool is asked for."""

    title: str
    kind: Kind
    threshold: float = 0.0


JOBS = {
    "pairs": Job("Same-prompt pairs with a gap of 0.3", "pairs", 0.3),
    "sft": Job("SFT threshold, 5% kept", "sft", 0.95),
    "aggregate": Job("Aggregate: figures of every metric", "aggregate"),
    "second": Job("Second threshold, 30% kept", "sft", 0.7),
    "second-few": Job("Second threshold, under 1% kept", "sft", 0.995),
}


class Tool(NamedTuple):
    """A way to do a job.

    `command` takes the job, the rollouts and the folder for the rows; `makes` says what the rows
    hold; `lacks` is why it cannot run here.
    """

    name: str
    makes: str
    command: Callable[[Job, Path, Path], list[str]]
    kinds: tuple[Kind, ...] = ALL
    lacks: str = ""


def recipe(job: Job, source: Path, folder: Path) -> list[str]:
    """The command line of gymrecipe."""
    words = {
        "pairs": ["+recipe=dpo_same_prompt", f"min_gap={job.threshold}", "format=trl"],
        "sft": ["+recipe=sft_threshold", f"min_reward={job.threshold}", "format=trl"],
        "aggregate": ["+recipe=aggregate"],
    }[job.kind]
    command = [sys.executable, "-m", "gymrecipe", *words, f"input={source}"]
    return [*command, f"output_dir={folder}"]


def gymrecipe(workers: int) -> Tool:
    """gymrecipe without its cache, by this many workers."""

    def command(job: Job, source: Path, folder: Path) -> list[str]:
        return [*recipe(job, source, folder), f"engine.workers={workers}", "cache=false"]

    return Tool(f"gymrecipe, {workers} worker{'s' * (workers > 1)}", "messages, tools", command)


def cached() -> Tool:
    """gymrecipe where the table of the rollouts has been kept by a run before."""

    def command(job: Job, source: Path, folder: Path) -> list[str]:
        return [*recipe(job, source, folder), f"cache_dir={source.parent / 'cache'}"]

    return Tool(CACHED, "messages, tools", command)


def script(name: str, file: str, makes: str, kinds: tuple[Kind, ...], *needs: str) -> Tool:
    """One of the programs in `tools/`, which needs these packages."""

    def command(job: Job, source: Path, folder: Path) -> list[str]:
        words = [job.kind, str(source), str(rows_in(folder)), str(job.threshold)]
        return [sys.executable, str(HERE / file), *words]

    missing = [need for need in needs if importlib.util.find_spec(need) is None]
    lacks = f"no {', no '.join(missing)}" if missing else ""
    return Tool(name, makes, command, kinds, lacks)


def jq() -> Tool:
    """jq, the program."""

    def command(job: Job, source: Path, folder: Path) -> list[str]:
        program = HERE / f"jq_{job.kind}.jq"
        threshold = str(job.threshold)
        line = 'exec jq -ncR --argjson threshold "$0" -f "$1" "$2" > "$3"'
        return ["sh", "-c", line, threshold, str(program), str(source), str(rows_in(folder))]

    if shutil.which("jq") is None:
        return Tool("jq", "items", command, lacks="no jq")
    said = subprocess.run(["jq", "--version"], check=True, capture_output=True, text=True).stdout
    return Tool(said.strip().replace("-", " "), "items", command)


def reading() -> Tool:
    """The floor: every byte of the input is read."""

    def command(job: Job, source: Path, folder: Path) -> list[str]:
        return ["sh", "-c", 'exec cat "$0" > /dev/null', str(source)]

    return Tool("floor: read the input (cat)", "nothing", command)


def writing(rows: Path) -> Tool:
    """The floor: every byte of the output is written."""

    def command(job: Job, source: Path, folder: Path) -> list[str]:
        return ["sh", "-c", 'exec cat "$0" > "$1"', str(rows), str(rows_in(folder))]

    return Tool("floor: write the output (cat)", "a copy", command)


def rows_in(folder: Path) -> Path:
    """The file in a folder that a tool other than gymrecipe writes."""
    return folder / "data" / "rows.jsonl"


def tools() -> list[Tool]:
    """All, gymrecipe first; its run on all cores is what the others are compared with."""
    cores = default_workers()
    released = {
        package: f"{title} {version(package)}" if importlib.util.find_spec(package) else title
        for package, title in (
            ("duckdb", "DuckDB"), ("polars", "Polars"),
            ("datasets", "datasets"), ("datatrove", "datatrove"),
        )
    }  # fmt: skip
    return [
        *(gymrecipe(workers) for workers in sorted({1, 2, cores})),
        cached(),
        script("bare msgspec, all cores", "bare.py", "items", ("pairs", "sft")),
        script("documented script", "script.py", "items", ALL),
        jq(),
        script(released["duckdb"], "duckdb_query.py", "items", ALL, "duckdb"),
        script(released["polars"], "polars_pipeline.py", "items with nulls", ALL),
        script(released["datasets"], "datasets_map.py", "items", ALL, "datasets"),
        script(
            released["datatrove"], "datatrove_pipeline.py", "items", ("sft",), "datatrove", "orjson"
        ),
        script(
            "data-juicer", "juicer.py", "items", ("sft",), "data_juicer", "aiohttp", "ray", "torch"
        ),
    ]
