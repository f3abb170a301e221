"""Measure where the time of a write goes: CPU microseconds a line, step by step, on one core.

    python benchmarks/make_rollouts.py rollouts.jsonl --size 60MB
    python benchmarks/write_steps.py rollouts.jsonl

Each figure is the least of several runs of the processor's own time, which other programs on the
machine disturb least. The last two are all of it, for `trl`: lines are read again, held against
their hashes, made into messages and written as records. XXH3 is the step to compare machines by.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from array import array
from collections.abc import Callable
from pathlib import Path

import msgspec
import xxhash

import gymrecipe.formats
from gymrecipe.formats.encode import encode
from gymrecipe.formats.job import Side, WriteJob
from gymrecipe.registry import FORMATS, Purpose
from gymrecipe.rollouts.chat import Unusable
from gymrecipe.rollouts.lines import whole
from gymrecipe.rollouts.messages import asked, conversation
from gymrecipe.rollouts.sides import part
from gymrecipe.rollouts.whole_line import check

assert gymrecipe.formats  # which registers them


class Task(msgspec.Struct):
    """What a line answers."""

    index: int = msgspec.field(name="_ng_task_index", default=0)


def least(run: Callable[[], object], repeats: int) -> float:
    """The least CPU seconds of a run."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return min(seconds)


def usable(text: bytes) -> bool:
    """Whether the line becomes messages."""
    try:
        conversation(text)
    except Unusable:
        return False
    return True


def side(lines: list[tuple[int, bytes]]) -> Side:
    """Where lines lie: their offsets and hashes."""
    hashes = [xxhash.xxh3_128_intdigest(line) for _, line in lines]
    return Side(
        source=array("Q", [0] * len(lines)),
        offset=array("Q", [offset for offset, _ in lines]),
        bytes=array("Q", [len(line) for _, line in lines]),
        id_hi=array("Q", [value >> 64 for value in hashes]),
        id_lo=array("Q", [value & (2**64 - 1) for value in hashes]),
    )


def written(path: Path, purpose: Purpose, *sides: Side) -> Callable[[], object]:
    """A run of the worker's function over rows of one or two sides."""
    job = WriteJob(
        target=tempfile.mktemp(),
        format="trl",
        purpose=purpose,
        sources=(str(path),),
        sides=sides,
        has_tools=True,
        pairs_at=FORMATS["trl"].pairs_at[0],
    )

    def run() -> None:
        made = encode(job)
        assert not made.reasons, made.reasons
        Path(job.target).unlink()

    return run


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("path", type=Path)
    parser.add_argument("--megabytes", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    with args.path.open("rb") as file:
        texts = file.read(args.megabytes * 1_000_000).split(b"\n")[:-1]
    ends = itertools.accumulate(len(text) + 1 for text in texts)
    placed = [(end - len(text) - 1, text) for end, text in zip(ends, texts, strict=True)]
    placed = [(place, text) for place, text in placed if usable(text)]
    texts = [text for _, text in placed]
    placed.sort(key=lambda line: msgspec.json.decode(line[1], type=Task).index)
    tasks = [
        list(lines)
        for _, lines in itertools.groupby(
            placed, lambda line: msgspec.json.decode(line[1], type=Task).index
        )
    ]
    pairs = [lines[:2] for lines in tasks if len(lines) > 1]
    chosen, rejected = (side([pair[place] for pair in pairs]) for place in (0, 1))

    def parted() -> None:
        for (_, one), (_, other) in pairs:
            part(conversation(one), conversation(other))

    def each(function: Callable[[bytes], object]) -> Callable[[], object]:
        def run() -> None:
            for text in texts:
                function(text)

        return run

    singles = len(texts), sum(map(len, texts))
    twos = 2 * len(pairs), sum(len(line) for pair in pairs for _, line in pair)
    steps: dict[str, tuple[Callable[[], object], tuple[int, int]]] = {
        "XXH3": (each(xxhash.xxh3_128_intdigest), singles),
        "decode all of the line": (each(check), singles),
        "… and see its parts": (each(lambda text: whole(check(text))), singles),
        "… prompt alone": (each(asked), singles),
        "… conversation": (each(conversation), singles),
        "… two of them parted": (parted, twos),
        "demonstration, written": (written(args.path, "sft", side(placed)), singles),
        "pair, written": (written(args.path, "dpo", chosen, rejected), twos),
    }
    print(f"{len(texts)} lines of {singles[1] / len(texts):.0f} bytes, {len(pairs)} pairs")
    for name, (run, (count, size)) in steps.items():
        seconds = least(run, args.repeats)
        print(f"{name:<26}{seconds / count * 1e6:8.1f} us{size / seconds / 1e6:9.0f} MB/s")


if __name__ == "__main__":
    main()
