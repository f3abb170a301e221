"""Fields: which paths the lines of a file have, and what stands there."""

from __future__ import annotations

from pathlib import Path

from gymrecipe.rollouts.fields import Field, fields
from gymrecipe.rollouts.files import open_source


def test_the_first_line_counts_behind_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n{"b": "x"}\n')
    assert fields([open_source(str(path), 0)], 10) == (
        [Field("a", 1, {"number"}, ["1"]), Field("b", 1, {"text"}, ["x"])],
        2,
    )
