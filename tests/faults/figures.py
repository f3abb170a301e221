"""Draws the table of `docs/guarantees.md` from the figures of a full run.

GYMRECIPE_TESTS=full GYMRECIPE_FIGURES=figures.jsonl python -m pytest tests/faults tests/corpus
python tests/faults/figures.py figures.jsonl
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

PROMISES = [
    "whole or absent",
    "never overwritten, never shared",
    "the input is what the manifest says",
    "made again, byte for byte",
    "tampering is seen",
    "every line has a fate",
    "bad input",
    "bounded",
]


def table(lines: Iterable[str]) -> str:
    """The figures as a table of Markdown, by promise; the times of equal rows are added up."""
    times: Counter[tuple[str, str, str]] = Counter()
    for line in lines:
        row = json.loads(line)
        times[row["promise"], row["tried"], row["found"]] += row["times"]
    rows = sorted(times, key=lambda row: (PROMISES.index(row[0]), row[1]))
    drawn = [f"| {row[0]} | {row[1]} | {times[row]:,} | {row[2]} |" for row in rows]
    return "\n".join(["| promise | tried | times | found |", "|---|---|---|---|", *drawn])


if __name__ == "__main__":
    print(table(Path(sys.argv[1]).read_text().splitlines()))
