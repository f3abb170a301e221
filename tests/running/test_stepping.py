"""Steps that read, make and take figures: which rollouts these are of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import gymrecipe
from gymrecipe.experiments import fates
from gymrecipe.parameters import Params
from gymrecipe.registry import STAGES, Stage


class Named(Params):
    use: str = "named"


def named(figures: pl.LazyFrame, params: Named) -> pl.LazyFrame:
    """The figures of the reward alone."""
    other = pl.col("metric") != "reward"
    return figures.with_columns(reason=pl.when(other).then(pl.lit("another_metric")))


def test_the_rollouts_that_figures_are_of_are_listed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[int] = []
    rollouts_of = fates.rollouts_of

    def noted(rows: pl.DataFrame) -> pl.Series:
        listed.append(rows.height)
        return rollouts_of(rows)

    monkeypatch.setattr(fates, "rollouts_of", noted)
    version = gymrecipe.run("aggregate", output_dir=str(tmp_path))
    assert listed == [version.manifest.lines.used]


def test_figures_that_went_through_a_further_stage_are_of_the_same_rollouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage("named", named, Named, ("metrics",), None, 1, "rows")
    monkeypatch.setitem(STAGES, "named", stage)
    more: dict[str, Any] = {"stages.named": {"use": "named", "after": "figures"}}
    version = gymrecipe.run("aggregate", output_dir=str(tmp_path), **more)
    assert version.manifest.lines.used == 200
    assert version.manifest.stages[2].rejected == {"another_metric": 5}
