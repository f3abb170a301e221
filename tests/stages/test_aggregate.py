"""Aggregate: count, mean, sample std, min and max of every metric."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gymrecipe
from gymrecipe.stages.aggregate import Aggregate, aggregate
from tests.stages.conftest import call

SCHEMA: dict[str, Any] = {"row": pl.UInt32, "metric": pl.Categorical(), "value": pl.Float64}


def aggregated(*values: tuple[int, str, float]) -> dict[str, dict[str, Any]]:
    table, facts = call(pl.LazyFrame(list(values), schema=SCHEMA, orient="row"), Aggregate())
    assert facts["metrics"] == table.drop("reason").to_dicts()
    return {row.pop("metric"): row for row in facts["metrics"]}


def test_a_mean_is_over_the_rollouts_that_have_the_metric() -> None:
    figures = aggregated((0, "a", 1.0), (1, "a", 0.0), (2, "a", 0.5), (1, "b", 4.0))
    assert figures["a"]["mean"] == 0.5
    assert figures["b"] == {"count": 1, "mean": 4.0, "std": None, "min": 4.0, "max": 4.0}


def test_std_is_the_sample_std() -> None:
    figures = aggregated((0, "a", 1.0), (1, "a", 3.0))
    assert figures["a"]["std"] == pytest.approx(math.sqrt(2))


def test_one_value_has_no_std() -> None:
    assert aggregated((0, "a", 1.0))["a"]["std"] is None


def test_equal_values_have_a_std_of_zero() -> None:
    assert aggregated(*((i, "a", 0.1) for i in range(10)))["a"]["std"] == 0.0


def test_metrics_come_in_the_order_of_their_names() -> None:
    assert list(aggregated((0, "b", 1.0), (0, "a", 1.0), (1, "B", 1.0))) == ["B", "a", "b"]


def test_nothing_gives_an_empty_table_with_its_columns() -> None:
    table, _ = call(pl.LazyFrame(schema=SCHEMA), Aggregate())
    assert table.columns == ["metric", "count", "mean", "std", "min", "max", "reason"]
    assert table.is_empty()


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20), st.randoms())
def test_figures_agree_with_the_standard_library_in_any_order(
    values: list[float], random: Any
) -> None:
    figures = aggregated(*((i, "a", value) for i, value in enumerate(values)))["a"]
    assert figures["mean"] == pytest.approx(statistics.mean(values), abs=1e-6)
    assert figures["std"] == pytest.approx(statistics.stdev(values), abs=1e-6)
    assert (figures["min"], figures["max"]) == (min(values), max(values))
    random.shuffle(values)
    assert aggregated(*((i, "a", value) for i, value in enumerate(values)))["a"] == figures


def test_all_values_are_gone_through_a_few_times_however_many_metrics_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = [(row, f"m{row % 100}", float(row)) for row in range(400)]
    passes = 0

    def through(row: pl.Series) -> pl.Series:
        nonlocal passes
        passes += 1
        return row

    frame = pl.LazyFrame(values, schema=SCHEMA, orient="row").with_columns(
        pl.col("row").map_batches(through, pl.UInt32).alias("value").cast(pl.Float64)
    )
    figures = aggregate(frame, Aggregate())[0].collect()
    assert passes < 10
    monkeypatch.setattr("gymrecipe.stages.aggregate.TOGETHER", 1)
    assert aggregate(frame, Aggregate())[0].collect().equals(figures)


def test_booleans_count_as_zero_and_one_and_bookkeeping_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    more = [{"passed": True, "_ng_task_index": 7}, {"passed": False, "note": "3"}, {"cost": None}]
    lines = [
        {"reward": 1, "responses_create_params": {"input": "q"}, "response": {"output": []}} | part
        for part in more
    ]
    Path("in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    version = gymrecipe.run("aggregate", input="in.jsonl")
    table = next(stage for stage in version.manifest.stages if stage.use == "aggregate")
    assert table.facts["metrics"] == [
        {"metric": "passed", "count": 2, "mean": 0.5, "std": 0.5**0.5, "min": 0.0, "max": 1.0},
        {"metric": "reward", "count": 3, "mean": 1.0, "std": 0.0, "min": 1.0, "max": 1.0},
    ]
