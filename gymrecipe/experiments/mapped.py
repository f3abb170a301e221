"""Mapped: large frames in files that are mapped into memory, of which the system keeps there what
fits.

Polars 2 copies what it reads, from Arrow files too. What pyarrow shows it stays where it is: so a
column is written as an Arrow file, and Polars is shown the map of that in its place. All else goes
on as with any frame, and comes out the same.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from gymrecipe.experiments.disk import writing
from gymrecipe.lazy_polars import pl
from gymrecipe.rollouts.frames import LARGE_ROWS, Spill, unspilled


def mapping(folder: Path) -> Spill:
    """Gives large frames with their columns in files of this folder; as they are where pyarrow is
    not installed (`gymrecipe[large]`).

    The files have no names, and are gone with the last frame that shows them: nothing is left of a
    run that is killed.
    """
    if find_spec("pyarrow") is None:
        return unspilled
    written: set[int | None] = set()

    def spill(frame: pl.DataFrame) -> pl.DataFrame:
        if frame.height < LARGE_ROWS:
            return frame
        return pl.DataFrame([mapped(column.rechunk()) for column in frame.iter_columns()])

    def mapped(column: pl.Series) -> pl.Series:
        if isinstance(column.dtype, pl.Categorical | pl.Enum):
            return mapped(column.to_physical()).cat.to(column.dtype)
        if _address(column) in written:
            return column
        with writing(folder), TemporaryFile(dir=folder) as file:
            column.to_frame().write_ipc(
                file,
                compression="uncompressed",
                compat_level=pl.CompatLevel.newest(),
                record_batch_size=len(column),
            )
            shown = _shown(file)
        written.add(_address(shown))
        return shown

    return spill


def _shown(file: IO[bytes]) -> pl.Series:
    """The one column of an Arrow file, where the system maps that file."""
    import pyarrow

    file.flush()
    # By Arrow's own map: one of Python's would be let go of by whichever thread of Polars drops the
    # column last, which has to wait for Python.
    with pyarrow.memory_map(f"/dev/fd/{file.fileno()}") as map:
        table = pyarrow.ipc.open_file(map).read_all()
    return pl.DataFrame(pl.from_arrow(table, rechunk=False)).to_series()


def _address(column: pl.Series) -> int | None:
    """Where the values of a column of one chunk are."""
    values = column.to_arrow(compat_level=pl.CompatLevel.newest()).buffers()[1]
    return None if values is None else int(values.address)
