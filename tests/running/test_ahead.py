"""Ahead: the server of workers starts where a run will have work for several, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gymrecipe.engines import local, server
from gymrecipe.recipe.composing import compose
from gymrecipe.recipe.finding import locate
from gymrecipe.running import ahead


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Gets an entry for each start."""
    starts: list[str] = []
    monkeypatch.setattr(server, "start", lambda: starts.append("started"))
    return starts


def start(path: Path, *words: str) -> None:
    ahead.start_server(compose(locate("ppo"), [f"input='{path}'", *words]))


@pytest.mark.parametrize(
    ("size", "word", "is_started"),
    [
        (local.WORTH_BYTES, "engine.workers=2", True),
        (local.WORTH_BYTES - 1, "engine.workers=2", False),
        (local.WORTH_BYTES, "engine.workers=1", False),
    ],
)
def test_it_starts_where_there_is_work_for_several(
    size: int, word: str, is_started: bool, started: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.truncate(size)
    start(path, word)
    assert bool(started) == is_started


@pytest.mark.parametrize("word", ["input=[1]", "input={a: b}", "engine.workers=two", "input=null"])
def test_a_value_that_is_wrong_is_left_to_the_run(word: str, started: list[str]) -> None:
    ahead.start_server(compose(locate("ppo"), [word]))
    assert not started


def test_a_file_that_is_missing_is_left_to_the_run(started: list[str], tmp_path: Path) -> None:
    start(tmp_path / "none.jsonl")
    assert not started


def test_a_server_that_cannot_start_is_left_to_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse() -> Any:
        raise OSError("no more processes")

    monkeypatch.setattr(server, "start", refuse)
    monkeypatch.setattr(local, "WORTH_BYTES", 0)
    (tmp_path / "a.jsonl").touch()
    start(tmp_path / "a.jsonl", "engine.workers=2")
