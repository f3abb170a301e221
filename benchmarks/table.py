"""The tables of a comparison, as Markdown."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agree import Figures
from compared import Job, Tool
from measure import Measured

from gymrecipe.engines.local import default_workers

BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"


@dataclass
class Line:
    """What a tool took for a job: the runs that count, its memory, and its rows."""

    tool: Tool
    runs: list[Measured]
    memory: int | None
    figures: Figures | None
    """None for a floor, whose rows are nobody's work."""

    @property
    def wall(self) -> float:
        return statistics.median(run.wall for run in self.runs)

    @property
    def cpu(self) -> float:
        return statistics.median(run.cpu for run in self.runs)


COLUMNS = [
    "tool",
    "wall s",
    "CPU s",
    "peak MB",
    "rows",
    "input MB/s",
    "times gymrecipe",
    "rows hold",
]


def of_job(job: Job, lines: Sequence[Line], against: Line, size: int) -> str:
    """The table of a job; the wall times as multiples of those of `against`."""
    rows = [
        [
            line.tool.name + (" (1 run)" if len(line.runs) < len(against.runs) else ""),
            f"{line.wall:.2f}",
            f"{line.cpu:.2f}",
            f"{line.memory / 1e6:,.0f}" if line.memory else "",
            f"{line.figures.rows:,}" if line.figures else "",
            f"{size / line.wall / 1e6:,.0f}",
            f"{line.wall / against.wall:.2f}",
            "figures" if job.kind == "aggregate" and line.figures else line.tool.makes,
        ]
        for line in lines
    ]
    return f"### {job.title}\n\n{markdown(COLUMNS, rows)}"


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """The machine in a line."""
    about = {"model name": platform.processor() or platform.machine(), "MemTotal": ""}
    for file in ("/proc/cpuinfo", "/proc/meminfo"):
        text = Path(file).read_text() if Path(file).exists() else ""
        pairs = (line.partition(":") for line in text.splitlines())
        about |= {key.strip(): value.strip() for key, _, value in pairs if key.strip() in about}
    memory = f", {int(about['MemTotal'].split()[0]) / 1e6:.0f} GB" if about["MemTotal"] else ""
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    python = f"Python {platform.python_version()}"
    return f"{default_workers()} cores of {about['model name']}{memory}, {system}, {python}"


def publish(path: Path, text: str) -> None:
    """Write the tables to a file; where it has the two marks, only between these."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    if BEGIN in old and END in old:
        before, after = old.split(BEGIN)[0], old.split(END)[1]
        text = f"{before}{BEGIN}\n\n{text}\n{END}{after}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
