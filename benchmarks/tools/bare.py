"""The way of gymrecipe and nothing else: scan, choose from a small table, read again what is kept.

    python benchmarks/tools/bare.py pairs|sft ROLLOUTS OUTPUT THRESHOLD

By msgspec, Polars and a process a core, as the prototype that the aims were set by. What it leaves
out is what gymrecipe takes beyond it: no line is checked beyond what is decoded, nothing is hashed
or recorded, no message is made, no fault told. The rows hold the response's items, byte by byte.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path

import msgspec
import polars as pl
import xxhash
from msgspec import Raw

SLICE_BYTES = 8 * 2**20
SLICE_ROWS = 200


class Item(msgspec.Struct):
    type: str | None = None


class Response(msgspec.Struct):
    output: list[Item]
    incomplete_details: dict[str, str] | None = None


class Params(msgspec.Struct):
    input: Raw


class Rollout(msgspec.Struct):
    """What the scan asks of a line."""

    responses_create_params: Params
    response: Response
    reward: float | None


class Output(msgspec.Struct):
    output: Raw


class Metadata(msgspec.Struct):
    task_type: str = "general"


class Kept(msgspec.Struct):
    """What the write asks of a line."""

    responses_create_params: Params
    response: Output
    reward: float
    metadata: Metadata = msgspec.field(default_factory=Metadata)


Found = list[tuple[int, int, int, float]]
"""Offset, bytes, key of the prompt and reward of each line."""

rollout, kept = msgspec.json.Decoder(Rollout), msgspec.json.Decoder(Kept)


def scan(job: tuple[str, int, int]) -> Found:
    path, start, end = job
    found: Found = []
    with open(path, "rb") as file:
        file.seek(max(start - 1, 0))
        if start:
            file.readline()  # of the slice before, unless it ends there
        while (offset := file.tell()) < end and (line := file.readline()):
            try:
                one = rollout.decode(line)
            except msgspec.MsgspecError:
                continue
            if one.reward is not None and not one.response.incomplete_details:
                key = xxhash.xxh3_64_intdigest(one.responses_create_params.input)
                found.append((offset, len(line), key, one.reward))
    return found


def pairs(job: tuple[str, list[tuple[int, int, int, int]]]) -> bytes:
    path, rows = job
    with open(path, "rb", buffering=0) as file:
        return b"".join(_pair(file.fileno(), *row) for row in rows)


def _pair(file: int, chosen: int, length: int, rejected: int, other: int) -> bytes:
    best = kept.decode(os.pread(file, length, chosen))
    worst = kept.decode(os.pread(file, other, rejected))
    return b'{"prompt":%s,"chosen":%s,"rejected":%s,"reward_chosen":%r,"reward_rejected":%r}\n' % (
        bytes(best.responses_create_params.input),
        bytes(best.response.output),
        bytes(worst.response.output),
        best.reward,
        worst.reward,
    )


def sft(job: tuple[str, list[tuple[int, int]]]) -> bytes:
    path, rows = job
    with open(path, "rb", buffering=0) as file:
        return b"".join(_row(file.fileno(), *row) for row in rows)


def _row(file: int, offset: int, length: int) -> bytes:
    one = kept.decode(os.pread(file, length, offset))
    task = msgspec.json.encode(one.metadata.task_type)
    return b'{"messages":%s,"reward":%r,"task_type":%s}\n' % (
        bytes(one.response.output),
        one.reward,
        task,
    )


def table(pool: Pool, path: str) -> pl.DataFrame:
    size = os.path.getsize(path)
    jobs = [(path, at, min(at + SLICE_BYTES, size)) for at in range(0, size, SLICE_BYTES)]
    names = {"offset": pl.Int64, "bytes": pl.Int64, "key": pl.UInt64, "reward": pl.Float64}
    parts = [pl.DataFrame(found, names, orient="row") for found in pool.imap(scan, jobs)]
    return pl.concat(parts)


def best_with_worst(rollouts: pl.DataFrame, min_gap: float) -> pl.DataFrame:
    """The i-th best of a prompt with its i-th worst."""
    place = pl.col("reward").rank("ordinal", descending=True).over("key")
    ranked = rollouts.with_columns(place=place, n=pl.len().over("key"))
    worst = ranked.with_columns(place=pl.col("n") + 1 - pl.col("place"))
    gap = pl.col("reward") - pl.col("reward_right")
    return (
        ranked.filter(pl.col("place") <= pl.col("n") // 2)
        .join(worst, on=["key", "place"])
        .filter(gap >= min_gap - 1e-9)
        .sort("offset")
        .select("offset", "bytes", "offset_right", "bytes_right")
    )


def chosen(job: str, rollouts: pl.DataFrame, threshold: float) -> pl.DataFrame:
    if job == "pairs":
        return best_with_worst(rollouts, threshold)
    return rollouts.filter(pl.col("reward") >= threshold).select("offset", "bytes")


def slices(path: str, rows: pl.DataFrame) -> Iterator[tuple[str, list[tuple[int, ...]]]]:
    for part in rows.iter_slices(SLICE_ROWS):
        yield path, part.rows()


if __name__ == "__main__":
    job, source, target, threshold = sys.argv[1:]
    with get_context("fork").Pool() as pool, Path(target).open("wb") as out:
        rows = chosen(job, table(pool, source), float(threshold))
        for records in pool.imap({"pairs": pairs, "sft": sft}[job], slices(source, rows)):
            out.write(records)
