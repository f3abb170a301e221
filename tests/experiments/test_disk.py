"""The disk: its errors, and a rename that never replaces."""

import os

import polars as pl
import pytest

from gymrecipe.errors import MachineError
from gymrecipe.experiments import disk


def test_an_error_of_the_disk_that_polars_tells_is_one_of_the_machine(tmp_path):
    rows = pl.LazyFrame({"a": [1]})
    missing = tmp_path / "nowhere"
    said = "nowhere: cannot be written: No such file"
    with pytest.raises(MachineError, match=said), disk.writing(missing):
        rows.sink_parquet(missing / "file")
    with pytest.raises(pl.exceptions.ColumnNotFoundError), disk.writing(tmp_path):
        rows.select("b").sink_parquet(tmp_path / "file")
    full = "underlying IO error: No space left on device (os error 28)"
    with pytest.raises(MachineError, match="disk is full"), disk.writing(tmp_path):
        raise pl.exceptions.ComputeError(full)


def test_the_trap_of_the_plain_rename_is_real(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    os.rename(tmp_path / "old", tmp_path / "new")
    (tmp_path / "old").mkdir()
    with pytest.raises(FileExistsError):
        disk.rename_new(tmp_path / "old", tmp_path / "new")
