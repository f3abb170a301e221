"""Spool: the chosen lines of compressed files as plain files, for the writers to read at random."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gymrecipe.errors import ChangedError
from gymrecipe.experiments.disk import writing
from gymrecipe.lazy_polars import pl
from gymrecipe.rollouts.files import Source, blocks

SPOOLED = "spooled to"
"""Where the line of a row, or of a side of it, is read if some input is compressed; `offset` stays,
for it may be written. No field of a line has a column of such a name (see `columns.TASK_FIELD`)."""

_WENT = "went to"


@contextmanager
def plain(
    sources: list[Source], rows: pl.DataFrame, sides: tuple[str, ...], folder: Path
) -> Iterator[tuple[tuple[str, ...], pl.DataFrame]]:
    """The paths to read the rows' lines from, and the rows with their places there
    (SPOOLED) where these are not their offsets.

    A compressed file is read once, in order: its chosen lines go to a spool in `folder` that is
    gone at the end of the block.
    """
    paths = [source.path for source in sources]
    packed = [index for index, source in enumerate(sources) if source.compression]
    if not packed:
        yield tuple(paths), rows
        return
    chosen = _chosen(rows, packed, sides)
    spools: list[Path] = []
    try:
        for (index,), lines in chosen.group_by("source", maintain_order=True):
            spools.append(folder / f".spool-{index}")
            paths[index] = str(spools[-1])
            _spool(sources[index], lines, spools[-1])
        yield tuple(paths), _moved(rows, chosen, sides)
    finally:
        for spool in spools:
            spool.unlink(missing_ok=True)


def _chosen(rows: pl.DataFrame, packed: list[int], sides: tuple[str, ...]) -> pl.DataFrame:
    """The chosen lines of the compressed files, as they lie, and where each goes in its spool: of
    all files together, for to look through all rows for each file takes long.
    """
    return (
        pl.concat(
            rows.filter(pl.col(f"{side}source").is_in(packed)).select(
                source=f"{side}source",
                offset=f"{side}offset",
                bytes=pl.col(f"{side}bytes").cast(pl.UInt64),
            )
            for side in sides
        )
        .unique(["source", "offset"])
        .sort("source", "offset")
        .with_columns((pl.col("bytes").cum_sum() - pl.col("bytes")).over("source").alias(_WENT))
    )


def _spool(source: Source, lines: pl.DataFrame, spool: Path) -> None:
    """Copy the chosen lines of a compressed file."""
    stream = blocks(source)
    with writing(spool), spool.open("wb") as file:
        held, start = bytearray(), 0
        for offset, length in lines.select("offset", "bytes").iter_rows():
            while start + len(held) < offset + length:
                skipped = min(max(offset - start, 0), len(held))
                del held[:skipped]
                start += skipped
                block = next(stream, b"")
                if not block:
                    raise ChangedError(f"{source.name}: became shorter while it was read.")
                held += block
            file.write(held[offset - start : offset - start + length])


def _moved(rows: pl.DataFrame, chosen: pl.DataFrame, sides: tuple[str, ...]) -> pl.DataFrame:
    """The rows with the places of their lines."""
    for side in sides:
        places = rows.select(source=f"{side}source", offset=f"{side}offset").join(
            chosen, on=["source", "offset"], how="left", maintain_order="left"
        )
        place = places.select(pl.coalesce(_WENT, "offset")).to_series()
        rows = rows.with_columns(place.alias(f"{side}{SPOOLED}"))
    return rows
