"""Placed: rows read as they lie give the bytes of rows read in the order asked for."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymrecipe.experiments import data, reordered, slices
from gymrecipe.experiments.verify import verify
from gymrecipe.formats.job import Encoded, Fault
from gymrecipe.formats.sources import Sources
from gymrecipe.rollouts.files import sample_path
from tests.experiments.conftest import run
from tests.full import often

SHAPES = [frozenset({f"{n}:int"}) for n in range(3)]


def part(path: Path, rows: list[int | None]) -> Encoded:
    """A slice; None is a row that could not be written."""
    lines = [b"" if row is None else b"%d\n" % row for row in rows]
    path.write_bytes(b"".join(lines))
    there = [row for row in rows if row is not None]
    shapes = list(dict.fromkeys(row % 3 for row in there))
    reasons = {place: Fault("bad", place % 2) for place, row in enumerate(rows) if row is None}
    shape = array("I", (shapes.index(row % 3) for row in there))
    lengths = array("Q", map(len, lines))
    return Encoded(str(path), lengths, reasons, [SHAPES[n] for n in shapes], shape, None)


@given(
    rows=st.lists(st.one_of(st.none(), st.integers(0, 999)), max_size=20),
    cut=st.integers(1, 7),
    chance=st.randoms(use_true_random=False),
    size=st.integers(0, 100),
)
def test_slices_come_in_the_order_of_the_slots(
    rows: list[int | None],
    cut: int,
    chance: Any,
    size: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("placed")
    slots = list(range(len(rows)))
    chance.shuffle(slots)
    parts = (
        part(folder / f"part-{start}", [rows[slot] for slot in slots[start : start + cut]])
        for start in range(0, len(rows), cut)
    )
    found: list[int | None] = []
    shown = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reordered, "BUCKET_BYTES", 10)
        for made in reordered.placed(parts, array("Q", slots), size, folder, "train"):
            path = Path(made.target)
            lines = path.read_bytes().splitlines(keepends=True)
            assert [len(line) for line in lines] == [length for length in made.lengths if length]
            assert made.example == (lines[0].decode().strip() if lines else None)
            assert set(made.reasons) == {n for n, length in enumerate(made.lengths) if not length}
            waiting = iter(lines)
            found += [int(next(waiting)) if length else None for length in made.lengths]
            shown += [made.shapes[place] for place in made.shape]
            path.unlink()
    assert found == rows
    assert shown == [SHAPES[row % 3] for row in rows if row is not None]
    assert list(folder.iterdir()) == []


RUNS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("sft_threshold", {"min_reward": 0.0}),
    ("dpo_same_prompt", {"min_gap": 0.1, "strategy": "all", "shard_rows": 7}),
    ("dpo_same_prompt", {"format": "messages", "stages.write.file": "parquet"}),
    ("verl_rl", {}),
    ("sft_and_dpo", {}),
)


@pytest.mark.parametrize(
    ("recipe", "knobs", "workers"),
    [
        *((*one, 1) for one in RUNS[:: often(2, 1)]),
        *((*one, 2) for one in RUNS[1 : often(2, 3)]),
    ],
)
def test_a_shuffled_write_has_the_same_bytes_whichever_way_it_reads(
    recipe: str,
    knobs: dict[str, Any],
    workers: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if workers == 2:
        monkeypatch.setattr("gymrecipe.engines.local.WORTH_BYTES", 0)
    monkeypatch.setattr(slices, "SLICE_BYTES", 30_000)
    monkeypatch.setattr(slices, "LAP_ROWS", 50)
    monkeypatch.setattr(reordered, "BUCKET_BYTES", 100_000)
    lines = sample_path().read_bytes().splitlines(keepends=True)
    # A line that scans as a rollout and cannot be written.
    odd = b'{"responses_create_params":{"input":"p"},"response":{"output":[]},"reward":1.0}\n'
    (tmp_path / "a.jsonl").write_bytes(b"".join([*lines[:100], odd, *lines[100:]]))
    made = []
    for name, share in (("near", 1.0), ("far", 0.0)):
        monkeypatch.setattr(data, "FAR", share)
        more = {"order": "shuffled", "validation_fraction": 0.3, "engine.workers": workers}
        version = run(tmp_path / name, recipe, input=str(tmp_path / "a.jsonl"), **more, **knobs)
        assert version.path is not None
        assert verify(version.path).differences == []
        made.append(
            {
                str(path.relative_to(version.path)): path.read_bytes()
                for path in version.path.rglob("*")
                if path.is_file() and path.suffix in (".jsonl", ".parquet")
            }
        )
        record = version.manifest
        made[-1]["said"] = str((record.id, record.lines, record.statistics)).encode()
        made[-1]["stages"] = str([(s.name, s.rows_out, s.rejected) for s in record.stages]).encode()
    assert made[0] == made[1]
    assert len(made[0]) >= 5


def read_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The offsets of the lines that a shuffled write reads, in order."""
    offsets: list[int] = []
    read = Sources.read

    def noted(self: Sources, side: Any, row: int) -> bytes:
        offsets.append(side.offset[row])
        return read(self, side, row)

    monkeypatch.setattr(Sources, "read", noted)
    run(tmp_path, "sft_threshold", order="shuffled")
    assert len(offsets) > 50
    return offsets


def test_a_file_larger_than_memory_is_read_as_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "memory", lambda: 1000)
    offsets = read_order(tmp_path, monkeypatch)
    assert offsets == sorted(offsets)


def test_a_file_that_fits_is_read_in_the_order_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offsets = read_order(tmp_path, monkeypatch)
    assert offsets != sorted(offsets)


def test_rows_lie_by_file_and_then_by_offset() -> None:
    rows = pl.DataFrame({"a_source": [1, 0, 1, 0], "a_offset": [5, 9, 0, 2]})
    assert list(reordered.as_they_lie(rows, "a_")) == [3, 1, 2, 0]


def test_the_memory_is_known() -> None:
    assert reordered.memory() > 2**27
