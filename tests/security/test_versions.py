"""A version's folder that somebody else made: each verb says what is wrong with it, and ends."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from gymrecipe.errors import DataError
from gymrecipe.experiments import manifest
from gymrecipe.experiments.explain import Rejected, explain
from gymrecipe.experiments.rejects import begun, originals, rejects
from gymrecipe.report import rows
from gymrecipe.running import retrace
from gymrecipe.running.reproduce import reproduce
from tests.experiments.conftest import graded, run, save
from tests.forked import python


def make(folder: Path) -> None:
    save(folder / "a.jsonl", [b"no json", *graded(), b"[]", b"x"])
    with contextlib.chdir(folder):
        run(folder, input="a.jsonl")


@pytest.fixture
def version(as_made: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder: Path = as_made(make)
    monkeypatch.chdir(folder)
    return folder / "experiments/dpo_same_prompt/v0001"


@pytest.mark.parametrize("name", ["data/train.jsonl", "used.parquet"])
def test_a_pipe_in_the_place_of_a_data_file_is_not_waited_for(name: str, version: Path) -> None:
    (version / name).unlink()
    os.mkfifo(version / name)
    done = python("-m", "gymrecipe", "reproduce", str(version))
    assert done.returncode == DataError.exit_code, done.stderr
    assert f"{name}: not the file that was written" in done.stderr


def test_what_a_link_in_the_place_of_a_data_file_leads_to_is_not_shown(
    version: Path, tmp_path: Path
) -> None:
    (tmp_path / "private").write_text("canary\n")
    (version / "data/train.jsonl").unlink()
    (version / "data/train.jsonl").symlink_to(tmp_path / "private")
    with pytest.raises(DataError, match="not the file that was written") as raised:
        reproduce(version)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("overrides", None), ("overrides", [["a"]]), ("packages", 5), ("packages", {"polars": 5})],
)
def test_an_environment_of_other_types_is_no_manifest(key: str, value: Any, version: Path) -> None:
    record = json.loads((version / manifest.FILE).read_bytes())
    record["environment"][key] = value
    (version / manifest.FILE).write_text(json.dumps(record))
    with pytest.raises(DataError, match=rf"not a manifest: .*environment\.{key}"):
        manifest.read(version)
    (row,) = rows.versions(version.parents[1], [])
    assert "not a manifest" in row.error


@pytest.mark.parametrize(
    "row", [{}, {"parameter": ["a"], "resolved": 1}, {"parameter": "min_gap", "resolved": "x"}]
)
def test_a_resolved_threshold_of_other_types_is_no_manifest(row: Any, version: Path) -> None:
    record = json.loads((version / manifest.FILE).read_bytes())
    record["stages"][-2]["facts"]["resolved"] = [row]
    (version / manifest.FILE).write_text(json.dumps(record))
    with pytest.raises(DataError, match=r"not a manifest: .*resolved"):
        manifest.read(version)


def test_a_stage_that_the_manifest_does_not_have_is_a_sentence(version: Path) -> None:
    table = pl.read_parquet(version / manifest.REJECTS)
    table.with_columns(stage=pl.lit("other")).write_parquet(version / manifest.REJECTS)
    with pytest.raises(DataError, match="names a stage 'other'"):
        explain(version, "a.jsonl:1")


def test_a_line_that_its_stage_did_not_reject_is_told_without_values(version: Path) -> None:
    stage, told = "pair", []
    for reason, line in (("gap_too_small", 1), ("all_equal", 2)):
        table = pl.read_parquet(version / manifest.REJECTS).head(1)
        changed = {"stage": stage, "reason": reason, "line": line}
        literals = {name: pl.lit(value) for name, value in changed.items()}
        table.with_columns(**literals).write_parquet(version / manifest.REJECTS)
        (found,) = retrace.explain(version, f"a.jsonl:{line}")
        assert isinstance(found, Rejected)
        assert found.evidence == []
        told.append(found.untold)
    assert told == [
        "a.jsonl:1: no rollout now, as it was then.",
        "stages.pair: does not reject it now as it did then.",
    ]


@pytest.mark.parametrize(
    ("name", "line", "changed"),
    [
        (manifest.REJECTS, 1, {"reason": pl.lit(5)}),
        (manifest.REJECTS, 1, {"stage": pl.lit([1])}),
        (manifest.USED, 2, {"row": pl.lit("x")}),
        (manifest.USED, 2, {"side": pl.lit(None)}),
    ],
)
def test_a_table_of_other_types_explains_nothing(
    name: str, line: int, changed: Any, version: Path
) -> None:
    pl.read_parquet(version / name).with_columns(**changed).write_parquet(version / name)
    with pytest.raises(DataError, match="not the table that was written"):
        explain(version, f"a.jsonl:{line}")


@pytest.mark.parametrize(
    "changed",
    [
        {"bytes": pl.lit(-5)},
        {"offset": pl.lit(None, pl.Int64)},
        {"offset": pl.lit("x")},
        {"reason": pl.lit(None, pl.String)},
        {"source": pl.lit("b.jsonl")},
        {"offset": pl.lit(3)},
        {"offset": pl.col("offset").reverse()},
    ],
)
@pytest.mark.parametrize("fetch", [begun, lambda *args: list(originals(*args))])
def test_lines_that_lie_nowhere_are_a_sentence(fetch: Any, changed: Any, version: Path) -> None:
    table = pl.read_parquet(version / manifest.REJECTS).with_columns(**changed)
    table.write_parquet(version / manifest.REJECTS)
    with pytest.raises(DataError, match=r"rejects\.parquet: "):
        fetch(version, rejects(version))
