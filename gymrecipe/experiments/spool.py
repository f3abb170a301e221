"""Spool: the chosen lines of compressed files as plain files, for the writers to read at random."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gymrecipe.errors import ChangedError
from gymrecipe.experiments.disk import writing
from gymrecipe.late import pl
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
    spools: list[Path] = []
    try:
        for index, source in enumerate(sources):
            if source.compression:
                spool = folder / f".spool-{index}"
                spools.append(spool)
                paths[index] = str(spool)
                rows = _moved(rows, sides, index, _spool(source, index, rows, sides, spool))
        yield tuple(paths), rows
    finally:
        for spool in spools:
            spool.unlink(missing_ok=True)


def _spool(
    source: Source, index: int, rows: pl.DataFrame, sides: tuple[str, ...], spool: Path
) -> pl.DataFrame:
    """Copy the chosen lines of a compressed file; where each went (`offset`, _WENT)."""
    wanted = (
        pl.concat(
            rows.filter(pl.col(f"{side}source") == index).select(
                offset=f"{side}offset", bytes=pl.col(f"{side}bytes").cast(pl.UInt64)
            )
            for side in sides
        )
        .unique("offset")
        .sort("offset")
    )
    stream = blocks(source)
    with writing(spool), spool.open("wb") as file:
        held, start = bytearray(), 0
        for offset, length in wanted.iter_rows():
            while start + len(held) < offset + length:
                skipped = min(max(offset - start, 0), len(held))
                del held[:skipped]
                start += skipped
                block = next(stream, b"")
                if not block:
                    raise ChangedError(f"{source.name}: became shorter while it was read.")
                held += block
            file.write(held[offset - start : offset - start + length])
    before = pl.col("bytes").cum_sum() - pl.col("bytes")
    return wanted.select("offset", before.alias(_WENT))


def _moved(
    rows: pl.DataFrame, sides: tuple[str, ...], index: int, places: pl.DataFrame
) -> pl.DataFrame:
    places = places.with_columns(here=pl.lit(index, pl.UInt32))
    for side in sides:
        place = f"{side}{SPOOLED}"
        was = place if place in rows.columns else f"{side}offset"
        rows = (
            rows.join(
                places,
                left_on=[f"{side}source", f"{side}offset"],
                right_on=["here", "offset"],
                how="left",
                maintain_order="left",
            )
            .with_columns(pl.coalesce(_WENT, was).alias(place))
            .drop(_WENT)
        )
    return rows
