"""Shards: the files of one split, filled in order, each with its hash."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO

import polars as pl

from gymrecipe.experiments.manifest import Output
from gymrecipe.experiments.store import writing
from gymrecipe.formats.encode import Encoded
from gymrecipe.formats.parquet import kinds_of, to_parquet, widest
from gymrecipe.stages.write import Write


class Shards:
    """The files of one split, filled in order and named when their number is known."""

    def __init__(self, target: Path, inside: str, split: str, params: Write) -> None:
        self.target, self.inside, self.split, self.params = target, inside, split, params
        self.files: list[tuple[Path, int, str]] = []
        self.open: IO[bytes] | None = None
        self.hash = hashlib.sha256()
        self.filled = 0

    def add(self, result: Encoded) -> pl.DataFrame:
        """Append a slice; the shard and the row there of each usable row."""
        lengths = [length for length in result.lengths if length]
        shards: list[int] = []
        rows: list[int] = []
        view, done = memoryview(result.data), 0
        most = self.params.shard_rows or len(lengths) + self.filled + 1
        while done < len(lengths):
            if self.open is None or self.filled == most:
                self._next()
            count = min(most - self.filled, len(lengths) - done)
            size = sum(lengths[done : done + count])
            self._write(view[:size])
            view = view[size:]
            shards += [len(self.files)] * count
            rows += range(self.filled, self.filled + count)
            self.filled += count
            done += count
        return pl.DataFrame(
            {"split": [self.split] * done, "shard": shards, "at": rows},
            schema={"split": pl.String, "shard": pl.Int64, "at": pl.UInt64},
        )

    def _write(self, data: memoryview) -> None:
        assert self.open is not None
        with writing(Path(self.open.name)):
            self.open.write(data)
        self.hash.update(data)

    def _next(self) -> None:
        self._finish()
        path = self.target / f".{self.split}-{len(self.files):05d}"
        with writing(path):
            self.open = path.open("wb")
        self.hash, self.filled = hashlib.sha256(), 0

    def _finish(self) -> None:
        if self.open is not None:
            path = Path(self.open.name)
            with writing(path):
                self.open.close()
            self.files.append((path, self.filled, self.hash.hexdigest()))
            self.open = None

    def close(self, used: list[pl.DataFrame]) -> list[Output]:
        """Name the files, turn them into parquet where asked, and put the names into `used`."""
        self._finish()
        names = [self._name(number) for number in range(len(self.files))]
        parquet = self.params.file == "parquet"
        kinds = widest([kinds_of(path) for path, _, _ in self.files]) if parquet else None
        outputs = []
        for name, (path, rows, digest) in zip(names, self.files, strict=True):
            final = self.target / name
            with writing(final):
                if parquet:
                    to_parquet(path, final, kinds)
                    path.unlink()
                    with final.open("rb") as file:
                        digest = hashlib.file_digest(file, "sha256").hexdigest()
                else:
                    path.rename(final)
                size = final.stat().st_size
            outputs.append(Output(f"{self.inside}/{name}", rows, size, digest))
        for place, frame in enumerate(used):
            if "shard" in frame.columns:
                paths = pl.Series([output.path for output in outputs], dtype=pl.String)
                named = paths.gather(frame["shard"])
                used[place] = frame.select("row", "side", output=named, at="at")
        return outputs

    def _name(self, number: int) -> str:
        ending = self.params.file
        if len(self.files) == 1:
            return f"{self.split}.{ending}"
        return f"{self.split}-{number:05d}-of-{len(self.files):05d}.{ending}"
