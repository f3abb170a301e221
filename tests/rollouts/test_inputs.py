"""Which input row each task gets, and that it lies where it is said to lie."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import xxhash

from gymrecipe.errors import DataError
from gymrecipe.formats.verifier import is_row_of
from gymrecipe.rollouts.columns import INPUT
from gymrecipe.rollouts.files import open_source
from gymrecipe.rollouts.inputs import Inputs, read_inputs, with_inputs
from tests.rollouts.conftest import read, rollout


def asked(task: Any, rollout: Any = 0, agent: str | None = "a", **more: Any) -> dict[str, Any]:
    """An input row."""
    named = {} if agent is None else {"agent_ref": {"name": agent}}
    return {**more, **named, "_ng_task_index": task, "_ng_rollout_index": rollout}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def inputs_of(path: Path) -> Inputs:
    return read_inputs(open_source(str(path), 0))


def found(rollouts: Path, *inputs: Path) -> list[Any]:
    """The decoded input row of each rollout, None where there is none."""
    table = with_inputs(read(rollouts).rows, [inputs_of(path) for path in inputs], 1)
    rows = []
    for place in table.iter_rows(named=True):
        if place[f"{INPUT}source"] is None:
            rows.append(None)
            continue
        data = inputs[place[f"{INPUT}source"] - 1].read_bytes()
        line = data[place[f"{INPUT}offset"] :][: place[f"{INPUT}bytes"]]
        halves = (place[f"{INPUT}id_hi"] << 64) | place[f"{INPUT}id_lo"]
        assert xxhash.xxh3_128_intdigest(line) == halves
        rows.append(json.loads(line))
    return rows


def scored(folder: Path, *indices: Any, agent: str | None = "a") -> Path:
    more = {} if agent is None else {"agent_ref": {"name": agent}}
    lines = [
        rollout(answer=str(i), _ng_task_index=index, **more) for i, index in enumerate(indices)
    ]
    return write(folder / "rollouts.jsonl", *lines)


def test_rows_that_came_after_the_file_was_opened_are_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "inputs.jsonl", asked(0, 1))
    source = open_source(str(path), 0)
    with path.open("a") as file:
        file.write(json.dumps(asked(0, 0)) + "\n")
    read = read_inputs(source)
    assert (read.lines, read.length, list(read.offset)) == (1, source.size, [0, 0])


def test_each_rollout_gets_the_row_of_its_task(tmp_path: Path) -> None:
    inputs = write(tmp_path / "in.jsonl", asked(0, truth="x"), asked(1, truth="y"))
    assert [row["truth"] for row in found(scored(tmp_path, 1, 0, 1), inputs)] == ["y", "x", "y"]


def test_a_task_gets_the_row_of_its_first_rollout(tmp_path: Path) -> None:
    inputs = write(tmp_path / "in.jsonl", asked(0, 2), asked(0, 0), asked(0, 1))
    assert found(scored(tmp_path, 0), inputs)[0]["_ng_rollout_index"] == 0


def test_the_same_index_of_another_agent_is_another_task(tmp_path: Path) -> None:
    inputs = write(tmp_path / "in.jsonl", asked(0, agent="a", n=1), asked(0, agent="b", n=2))
    assert found(scored(tmp_path, 0, agent="b"), inputs)[0]["n"] == 2


def test_a_rollout_without_its_agent_gets_the_only_row_of_its_index(tmp_path: Path) -> None:
    rows = (asked(0, agent="a"), asked(1, agent="a"), asked(1, agent="b"))
    inputs = write(tmp_path / "in.jsonl", *rows)
    one, two = found(scored(tmp_path, 0, 1, agent=None), inputs)
    assert one["_ng_task_index"] == 0
    assert two is None  # of two agents


def test_a_task_without_a_row_has_none(tmp_path: Path) -> None:
    inputs = write(tmp_path / "in.jsonl", asked(0))
    assert found(scored(tmp_path, 7, None), inputs) == [None, None]


def test_each_run_has_its_own_file(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", rollout(_ng_task_index=0))
    two = write(tmp_path / "two.jsonl", rollout(_ng_task_index=0))
    first = inputs_of(write(tmp_path / "1.jsonl", asked(0, agent=None, n=1)))
    second = inputs_of(write(tmp_path / "2.jsonl", asked(0, agent=None, n="two")))
    rows = read(one, two).rows
    assert with_inputs(rows, [first, second], 5)[f"{INPUT}source"].to_list() == [5, 6]
    assert with_inputs(rows, [first], 5)[f"{INPUT}source"].to_list() == [5, 5]


def test_rows_keep_their_order_and_number(tmp_path: Path) -> None:
    inputs = inputs_of(write(tmp_path / "in.jsonl", asked(0, 0), asked(0, 1), asked(1)))
    rows = read(scored(tmp_path, 1, 0, 5, 0)).rows
    joined = with_inputs(rows, [inputs], 1)
    assert joined.select(rows.columns).equals(rows)


def test_a_compressed_file_is_read_and_named_by_the_bytes_on_disk(tmp_path: Path) -> None:
    plain = write(tmp_path / "in.jsonl", asked(0), asked(1))
    packed = tmp_path / "in.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    one, other = inputs_of(plain), inputs_of(packed)
    assert (one.offset, one.bytes, one.length) == (other.offset, other.bytes, other.length)
    assert one.digest != other.digest


def test_blank_lines_count_as_lines_and_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("\n" + json.dumps(asked(0)) + "\n\n" + json.dumps(asked(1)))
    read = inputs_of(path)
    assert (read.lines, len(read.offset), read.length) == (4, 4, path.stat().st_size)


@pytest.mark.parametrize("line", ["{", "[1]", '{"_ng_rollout_index": "x"}', '{"a": "\xff"}'])
def test_a_line_that_is_no_row_is_an_error_with_its_number(line: str, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(json.dumps(asked(0)).encode() + b"\n" + line.encode("latin-1") + b"\n")
    with pytest.raises(DataError, match=r"in\.jsonl:2: not an input row"):
        inputs_of(path)


def test_input_rows_are_read_as_rollouts_are_behind_a_mark_and_between_blank_lines(
    tmp_path: Path,
) -> None:
    path = tmp_path / "in.jsonl"
    rows = [json.dumps(asked(0, truth="x")), " \t", json.dumps(asked(1, truth="y")), ""]
    path.write_bytes(("\ufeff" + "\r\n".join(rows)).encode())
    assert [row["truth"] for row in found(scored(tmp_path, 1, 0), path)] == ["y", "x"]
    assert (inputs_of(path).lines, inputs_of(path).length) == (3, path.stat().st_size)


def test_a_file_without_indices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no line has `_ng_task_index`"):
        inputs_of(write(tmp_path / "in.jsonl", {"responses_create_params": {"input": "q"}}))


def test_every_real_rollout_with_inputs_beside_it_finds_its_row(real: Path) -> None:
    seen = 0
    for inputs in sorted((real / "sidecars").glob("*_materialized_inputs.jsonl")):
        name = inputs.name.replace("_materialized_inputs", "")
        for row, line in zip(
            found(real / name, inputs), (real / name).read_bytes().splitlines(), strict=True
        ):
            asked_for = json.loads(line)
            assert row["_ng_task_index"] == asked_for["_ng_task_index"]
            assert is_row_of(json.dumps(row).encode(), line)
            seen += 1
    assert seen == 30


def test_reading_imports_no_polars() -> None:
    import subprocess
    import sys

    program = "import sys, gymrecipe.rollouts.inputs; print('polars' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "False"
