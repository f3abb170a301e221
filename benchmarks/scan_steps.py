"""Measure where the time of a scan goes: CPU microseconds a line, step by step, on one core.

    python benchmarks/make_rollouts.py rollouts.jsonl --size 60MB
    python benchmarks/scan_steps.py rollouts.jsonl

Each figure is the least of several runs of the processor's own time, which other programs on the
machine disturb least. SHA-256 is the step to compare machines by.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import xxhash

from gymrecipe.rollouts.digests import BLOCK_BYTES, Digest
from gymrecipe.rollouts.files import READ_BYTES, Source, blocks, lines
from gymrecipe.rollouts.known_fields import Known
from gymrecipe.rollouts.lines import NULL, Line
from gymrecipe.rollouts.naming import sources
from gymrecipe.rollouts.prompts import Prompts
from gymrecipe.rollouts.response_counts import count_response
from gymrecipe.rollouts.scan import scan
from gymrecipe.rollouts.scanned import Job


def least(run: Callable[[], object], repeats: int) -> float:
    """The least CPU seconds of a run."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return min(seconds)


def each(function: Callable[..., object], values: Iterable[Any]) -> Callable[[], object]:
    """A run of the function over all the values."""

    def run() -> None:
        for value in values:
            function(value)

    return run


def passed(stream: Iterable[object]) -> None:
    """Take everything and keep nothing, as a scan does."""
    deque(stream, maxlen=0)


def steps(source: Source, end: int) -> tuple[int, dict[str, Callable[[], object]]]:
    """How many lines start before `end`, and each step of a scan on all of them."""
    count = -(-end // READ_BYTES)
    known = Known(frozenset())

    def read() -> Iterator[bytes]:
        return islice(blocks(source, 0, end), count)

    def halves() -> list[Any]:
        prompts = Prompts()
        shown = (prompts.halves(p[0], Line(None, p[1], p[2], p[3], NULL)) for p in parts)
        return [items for _, items in filter(None, shown)]

    kept = list(read())
    found = (raw.data or b"" for raw in lines(iter(kept), 0, end, False) if raw.whole)
    texts = [text for text in found if text.endswith(b"}")]
    parts = [known.values(text) for text in texts]
    return len(texts), {
        "read": lambda: passed(read()),
        "SHA-256": each(Digest().update, kept),
        "find the lines": lambda: passed(lines(iter(kept), 0, end, False)),
        "check UTF-8": each(lambda text: text.isascii() or text.decode(), texts),
        "hash the line": each(xxhash.xxh3_128_digest, texts),
        "decode": each(known.values, texts),
        "key of the prompt": halves,
        "count what was said": each(count_response, halves()),
    }


def main() -> None:
    """Print the table of a file's first block, which stays in a processor's cache."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    (source,), _ = sources(arguments.path, False)
    end = min(source.size, BLOCK_BYTES)
    job = Job(source, 0, end, ("reward",), (), (), (), None, False)
    count, runs = steps(source, end)
    micro = {name: least(run, arguments.repeats) / count * 1e6 for name, run in runs.items()}
    whole = least(lambda: scan(job), arguments.repeats) / count * 1e6
    micro["the rest: flags, metrics, columns"] = whole - sum(micro.values())
    print(f"{count} lines of {end / count:.0f} bytes")
    for name, value in micro.items():
        print(f"  {name:36}{value:8.2f} µs")
    print(f"  {'a scan':36}{whole:8.2f} µs  {end / count / whole:.0f} MB/s")


if __name__ == "__main__":
    main()
