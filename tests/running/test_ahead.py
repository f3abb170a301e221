"""Ahead: the workers of a run start before it is planned where it will have work for several."""

from __future__ import annotations

from multiprocessing import active_children
from pathlib import Path

import pytest

from gymrecipe.engines.local import WORTH_BYTES
from gymrecipe.engines.workers import Workers
from gymrecipe.recipe.composing import compose
from gymrecipe.recipe.finding import locate
from gymrecipe.running import ahead


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gets how many workers are asked for, with each start."""
    starts: list[int] = []
    begin = Workers.__init__

    def init(self: Workers, workers: int, most: int, mishaps: list[str]) -> None:
        starts.append(workers)
        begin(self, workers, most, mishaps)

    monkeypatch.setattr(Workers, "__init__", init)
    return starts


def begin(path: Path, *words: str) -> None:
    with ahead.engine(compose(locate("ppo"), [f"input='{path}'", *words])):
        pass
    assert not active_children()


@pytest.mark.parametrize(
    ("size", "word", "workers"),
    [
        (WORTH_BYTES, "engine.workers=2", [2]),
        (WORTH_BYTES - 1, "engine.workers=2", []),
        (WORTH_BYTES, "engine.workers=1", []),
        (WORTH_BYTES, "engine.workers=2000", []),
        (WORTH_BYTES, "engine.workers=two", []),
    ],
)
def test_workers_start_where_there_is_work_for_several(
    size: int, word: str, workers: list[int], started: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.truncate(size)
    begin(path, word)
    assert started == workers


@pytest.mark.parametrize("word", ["input=[1]", "input={a: b}", "input=null"])
def test_a_value_that_is_wrong_is_left_to_the_plan(word: str, started: list[int]) -> None:
    with ahead.engine(compose(locate("ppo"), [word])):
        pass
    assert not started


def test_a_file_that_is_missing_is_left_to_the_run(started: list[int], tmp_path: Path) -> None:
    begin(tmp_path / "none.jsonl")
    assert not started
