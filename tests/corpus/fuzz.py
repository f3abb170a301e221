"""Fuzz: mutate good lines for a while and hold what is read of them against the oracle.

python -m tests.corpus.fuzz --seconds 300 [--seed 17] [--rollouts ../shared/rollouts]
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from gymrecipe.rollouts import response_span
from gymrecipe.rollouts.files import sample_path
from tests.corpus.mutations import mutated
from tests.corpus.oracle import faults

LINES = 200
"""So many are in a file."""

MOST_BYTES = 60_000
"""Longer lines are left out: few mutations hit what counts."""


def good_lines(folder: Path | None) -> list[bytes]:
    """The lines to begin with: those of the sample, and of rollout files in a folder."""
    paths = [sample_path(), *(sorted(folder.glob("*.jsonl")) if folder else [])]
    lines = [line for path in paths for line in path.read_bytes().split(b"\n")]
    return [line for line in lines if line.endswith(b"}") and len(line) <= MOST_BYTES]


def tried(lines: list[bytes], seed: int, folder: Path) -> list[tuple[bytes, str]]:
    """Mutate some of the lines, and what was wrong with what was read of them."""
    chance = Random(seed)
    several = [mutated(chance, chance.choice(lines), chance.choice(lines)) for _ in range(LINES)]
    least = response_span.LEAST_BYTES
    response_span.LEAST_BYTES = chance.choice([10, least])
    try:
        return faults([*chance.sample(lines, 3), *several], folder)
    finally:
        response_span.LEAST_BYTES = least


def seeds(first: int, seconds: float) -> Iterator[int]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield first
        first += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--rollouts", type=Path)
    arguments = parser.parse_args()
    lines = good_lines(arguments.rollouts)
    print(f"{len(lines)} good lines, seed {arguments.seed}, {arguments.seconds:.0f} s", flush=True)
    count = found = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds(arguments.seed, arguments.seconds):
            for line, fault in tried(lines, seed, Path(folder)):
                found += 1
                print(f"seed {seed}: {fault}\n  {line!r}", flush=True)
            count += LINES
    print(f"{count:,} mutated lines, {found} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
