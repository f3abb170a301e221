"""Rollout lines for the tests of the reading side: files of them, and the table read from files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from gymrecipe.rollouts.columns import Column, parse_path
from gymrecipe.rollouts.naming import sources
from gymrecipe.rollouts.table import Map, Table, read_table
from gymrecipe.rollouts.wanted import Wanted
from gymrecipe.stages.load import TASK_FIELDS, Load, load

Write = Callable[..., str]

GOOD = (b'{"responses_create_params": {"input": "a"}, "response": {"output": "b"}}' + b"\n") * 50
"""A file of 50 rollouts."""


def rollout(
    prompt: Any = "2+2?", answer: str = "4", reward: Any = 1.0, **more: Any
) -> dict[str, Any]:
    """A line of NeMo Gym's shape."""
    content = [{"type": "output_text", "text": answer}]
    return {
        "responses_create_params": {"input": prompt},
        "response": {"output": [{"type": "message", "role": "assistant", "content": content}]},
        "reward": reward,
        **more,
    }


def one_by_one(function: Callable[[Any], Any], jobs: Iterable[Any], count: int) -> Any:
    """The simplest engine."""
    return map(function, jobs)


def read(
    *paths: Any,
    columns: Iterable[Column] = (),
    engine: Map = one_by_one,
    cache: Path | None = None,
    **wanted: Any,
) -> Table:
    """The table of some files, as a plain `load` asks for it unless said otherwise."""
    usual = {"reward": "reward", "task_fields": TASK_FIELDS, "group_by": "", "max_bad_rows": "100%"}
    wanted = usual | wanted
    wanted["reward"] = parse_path(wanted["reward"])
    wanted["task_fields"] = tuple(map(parse_path, wanted["task_fields"]))
    wanted["group_by"] = parse_path(wanted["group_by"]) if wanted["group_by"] else None
    asked = Wanted(columns=tuple(columns), **wanted)
    files, _ = sources([str(path) for path in paths], False)
    return read_table(files, asked, engine, lambda _: None, cache)


def keyed(*paths: Any, **load_params: Any) -> pl.DataFrame:
    """The rows as the stage `load` leaves them, with `task_key` and `draw`."""
    params = Load(**load_params)
    path = None if params.group_by in ("auto", "consecutive") else params.group_by
    table = read(*paths, group_by=path, task_fields=params.task_fields)
    return load(table.rows.lazy(), params)[0].collect()


@pytest.fixture
def jsonl(tmp_path: Path) -> Write:
    """Writes lines to a file: bytes as they are, anything else as JSON."""

    def write(*lines: Any, name: str = "a.jsonl", end: bytes = b"\n") -> str:
        raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
        path = tmp_path / name
        path.write_bytes(b"\n".join(raw) + (end if raw else b""))
        return str(path)

    return write


def slow_digest(data: bytes, size: int) -> str:
    """The digest of a file, of which a block has this size."""
    parts = [data[i : i + size] for i in range(0, len(data), size)]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
