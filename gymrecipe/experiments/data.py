"""The data files of a version: rows through a format into shards, in order, each with its hash."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec
import polars as pl

from gymrecipe.errors import ChangedError, RecipeError
from gymrecipe.experiments.manifest import Output
from gymrecipe.experiments.store import writing
from gymrecipe.formats.custom import PAIR, SINGLE
from gymrecipe.formats.encode import Encoded, Job, Side, encode
from gymrecipe.formats.parquet import kinds_of, to_parquet, widest
from gymrecipe.registry import PLUGINS, Purpose
from gymrecipe.rollouts.columns import BUILT_IN
from gymrecipe.rollouts.files import Source, blocks
from gymrecipe.rollouts.table import Map
from gymrecipe.stages.write import Write

SLICE_BYTES = 8 * 2**20
"""Source bytes that one slice of a write reads."""

SLICE_ROWS = 20_000

STANDARD: dict[str, dict[str, str]] = {
    "sft": {"reward": "reward", "task_type": "task_type"},
    "dpo": {
        "reward_chosen": "reward_chosen",
        "reward_rejected": "reward_rejected",
        "reward_gap": "reward_gap",
    },
}
"""The columns beside the messages that every format but `raw` and `custom` has by itself."""

PAIR_NAMES = {
    "reward_chosen": "chosen_reward",
    "reward_rejected": "rejected_reward",
    "reward_gap": "gap",
}
KEYS = ("task_key", "prompt_key")


@dataclass
class Written:
    """What one write made.

    `used` (`row`, `side`, `output`, `at`) and `rejected` (row, reason) speak of rollouts,
    `reasons` of the rows of the write's own unit; `written` are the rows that were written.
    """

    outputs: list[Output]
    written: pl.DataFrame
    used: list[pl.DataFrame] = field(default_factory=list)
    rejected: list[tuple[int, str]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    example: str | None = None

    @property
    def rows(self) -> int:
        """How many examples there are."""
        return sum(output.rows for output in self.outputs)


def write_data(
    rows: pl.DataFrame,
    params: Write,
    purpose: Purpose,
    sources: list[Source],
    folder: Path,
    inside: str,
    engine: Map,
    across_prompts: bool,
    progress: Callable[[int], None],
) -> Written:
    """Write the rows to `folder / inside`, the rows of each split to its own files.

    Raises ChangedError if a source is not what it was when it was scanned, MachineError where the
    disk fails.
    """
    written = Written([], rows.clear())
    target = folder / inside
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
    sides = ("chosen_", "rejected_") if "gap" in rows.columns else ("",)
    job = _job(rows, params, purpose, sides, across_prompts)
    kept = []
    with _plain(sources, rows, sides, folder) as (paths, rows):
        for split in ("train", "validation"):
            part = rows.filter(pl.col("split") == split)
            shards = _Shards(target, inside, split, params)
            slices = list(_slices(part, sides))
            jobs = [_filled(job, piece, sides, tuple(paths)) for piece in slices]
            results: Iterator[Encoded] = engine(encode, jobs, len(jobs))
            for piece, result in zip(slices, results, strict=True):
                places = shards.add(result)
                if written.example is None and result.data:
                    written.example = result.data.split(b"\n", 1)[0].decode()
                kept.append(_account(written, piece, sides, result, places))
                progress(piece.height)
            written.outputs += shards.close(written.used)
    written.written = pl.concat(kept) if kept else rows.clear()
    return written


def write_metrics(rows: pl.DataFrame, entered: pl.Series, folder: Path, inside: str) -> Written:
    """Write a table of metrics as JSON lines, a metric each; it uses every row that entered."""
    encoder = msgspec.json.Encoder()
    lines = [encoder.encode(row) for row in rows.drop("split").iter_rows(named=True)]
    data = b"".join(line + b"\n" for line in lines)
    target = folder / inside
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
        (target / "metrics.jsonl").write_bytes(data)
    output = Output(
        f"{inside}/metrics.jsonl", rows.height, len(data), hashlib.sha256(data).hexdigest()
    )
    used = pl.DataFrame(
        {"row": entered, "side": "", "output": output.path, "at": None},
        schema={"row": pl.UInt32, "side": pl.String, "output": pl.String, "at": pl.UInt64},
    )
    return Written([output], rows, used=[used], example=lines[0].decode() if lines else None)


def columns_of(params: Write, purpose: Purpose) -> dict[str, str]:
    """What stands beside the messages: the source of each column and its name."""
    standard = STANDARD.get(purpose, {})
    if params.format == "custom" or (params.format == "raw" and purpose != "dpo"):
        standard = {}
    elif params.format == "raw":
        standard = {"reward_gap": "reward_gap"}
    given = params.columns
    asked: dict[str, str | None] = (
        {name: name for name in given} if isinstance(given, list) else given
    )
    return {name: to for name, to in (standard | asked).items() if to is not None}


def _job(
    rows: pl.DataFrame,
    params: Write,
    purpose: Purpose,
    sides: tuple[str, ...],
    across_prompts: bool,
) -> Job:
    columns: dict[str, str] = {}
    values: dict[str, list[Any]] = {}
    canonical = (PAIR if len(sides) == 2 else SINGLE) if params.format == "custom" else {}
    for name, to in columns_of(params, purpose).items():
        column = _table_column(name, rows, sides)
        if name in canonical or column is None:
            bare = len(sides) == 2 and name.split(".")[0] not in ("chosen", "rejected")
            path = f"chosen.{name}" if bare and name not in canonical else name
            columns[path] = to
        else:
            columns[name] = to
            values[name] = []
    if len(set(columns.values())) < len(columns):
        raise RecipeError("columns: two columns have the same name. Rename one of them.")
    has_tools = any(bool(rows[f"{side}has_tools"].any()) for side in sides)
    return Job(
        format=params.format,
        purpose=purpose,
        sources=(),
        sides=(),
        columns=columns,
        values=values,
        plugins=tuple(PLUGINS),
        has_tools=has_tools,
        across_prompts=across_prompts,
    )


def _table_column(name: str, rows: pl.DataFrame, sides: tuple[str, ...]) -> str | None:
    """The column of the table that a name means, None where it means a path in the line."""
    if len(sides) == 1:
        return name if name in rows.columns else None
    if name in PAIR_NAMES:
        return PAIR_NAMES[name]
    if name in rows.columns and (name in KEYS or name.startswith(("chosen_", "rejected_"))):
        return name
    known = f"chosen_{name}"
    return known if known in rows.columns and (name not in BUILT_IN or name in KEYS) else None


def _filled(job: Job, piece: pl.DataFrame, sides: tuple[str, ...], paths: tuple[str, ...]) -> Job:
    values = {}
    for name in job.values:
        series = piece[_table_column(name, piece, sides) or name]
        if series.dtype == pl.UInt64 and name in KEYS:
            values[name] = [None if key is None else f"{key:016x}" for key in series]
        else:
            values[name] = series.to_list()
    filled = {
        name: array(code, piece[name])
        for side in sides
        for name, code in (
            (f"{side}source", "I"),
            (f"{side}offset", "Q"),
            (f"{side}bytes", "Q"),
            (f"{side}id_hi", "Q"),
            (f"{side}id_lo", "Q"),
        )
    }
    return Job(
        format=job.format,
        purpose=job.purpose,
        sources=paths,
        sides=tuple(
            Side(*(filled[f"{side}{n}"] for n in ("source", "offset", "bytes", "id_hi", "id_lo")))
            for side in sides
        ),
        columns=job.columns,
        values=values,
        plugins=job.plugins,
        has_tools=job.has_tools,
        across_prompts=job.across_prompts,
    )


def _slices(rows: pl.DataFrame, sides: tuple[str, ...]) -> Iterator[pl.DataFrame]:
    """The rows in runs of about SLICE_BYTES of source."""
    if not rows.height:
        return
    size = pl.sum_horizontal(pl.col(f"{side}bytes").cast(pl.UInt64) for side in sides)
    number = (size.cum_sum() - size) // SLICE_BYTES + pl.int_range(pl.len()) // SLICE_ROWS
    starts = rows.select(number.rle_id()).to_series().rle().struct.field("len")
    start = 0
    for length in starts:
        yield rows.slice(start, length)
        start += length


def _account(
    written: Written,
    piece: pl.DataFrame,
    sides: tuple[str, ...],
    result: Encoded,
    places: pl.DataFrame,
) -> pl.DataFrame:
    """Note which rollouts the slice used, and why others could not be written; the rows that
    were written.
    """
    usable = pl.Series(result.lengths, dtype=pl.UInt64) > 0
    kept = piece.filter(usable)
    for side in sides:
        rows = kept.select(row=f"{side}row")
        written.used.append(rows.hstack(places).with_columns(side=pl.lit(side.removesuffix("_"))))
    for index, (reason, at) in result.reasons.items():
        written.reasons.append(reason)
        if len(sides) == 1:
            written.rejected.append((piece["row"][index], reason))
            continue
        both = reason in ("prompts_differ", "identical_answers")
        for number, side in enumerate(sides):
            said = reason if both or number == at else "partner_rejected"
            written.rejected.append((piece[f"{side}row"][index], said))
    return kept


class _plain:
    """The sources as plain files: the chosen lines of compressed ones go to a spool first, read
    once in order, for a compressed stream cannot be read at random.
    """

    def __init__(
        self, sources: list[Source], rows: pl.DataFrame, sides: tuple[str, ...], folder: Path
    ) -> None:
        self.sources, self.rows, self.sides = sources, rows, sides
        self.spools = {
            index: folder / f".spool-{index}"
            for index, source in enumerate(sources)
            if source.compression
        }

    def __enter__(self) -> tuple[list[str], pl.DataFrame]:
        paths = [
            str(self.spools.get(index, source.path)) for index, source in enumerate(self.sources)
        ]
        for index, spool in self.spools.items():
            moved = _spool(self.sources[index], index, self.rows, self.sides, spool)
            for side in self.sides:
                self.rows = (
                    self.rows.join(
                        moved.with_columns(here=pl.lit(index, pl.UInt32)),
                        left_on=[f"{side}source", f"{side}offset"],
                        right_on=["here", "offset"],
                        how="left",
                        maintain_order="left",
                    )
                    .with_columns(pl.coalesce("spooled", f"{side}offset").alias(f"{side}offset"))
                    .drop("spooled")
                )
        return paths, self.rows

    def __exit__(self, *_: object) -> None:
        for spool in self.spools.values():
            spool.unlink(missing_ok=True)


def _spool(
    source: Source, index: int, rows: pl.DataFrame, sides: tuple[str, ...], spool: Path
) -> pl.DataFrame:
    """Copy the lines that are wanted of a compressed file; where each went (offset, spooled)."""
    wanted = (
        pl.concat(
            rows.filter(pl.col(f"{side}source") == index).select(
                offset=f"{side}offset", bytes=f"{side}bytes"
            )
            for side in sides
        )
        .unique("offset")
        .sort("offset")
    )
    with writing(spool), spool.open("wb") as file:
        stream = blocks(source, 0, 0)
        held, start = bytearray(), 0
        for offset, length in wanted.iter_rows():
            while start + len(held) < offset + length:
                skipped = min(max(offset - start, 0), len(held))
                del held[:skipped]
                start += skipped
                held += next(stream, b"") or _cut_off(source)
            file.write(held[offset - start : offset - start + length])
    return wanted.select(
        "offset", spooled=pl.col("bytes").cum_sum().cast(pl.UInt64) - pl.col("bytes")
    )


def _cut_off(source: Source) -> bytes:
    raise ChangedError(f"{source.name}: became shorter while it was read.")


class _Shards:
    """The files of one split, filled in order and named when their number is known."""

    def __init__(self, target: Path, inside: str, split: str, params: Write) -> None:
        self.target, self.inside, self.split, self.params = target, inside, split, params
        self.files: list[tuple[Path, int, Any]] = []
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
                    digest = hashlib.sha256(final.read_bytes()).hexdigest()
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
