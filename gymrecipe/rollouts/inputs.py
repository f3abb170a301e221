"""Inputs: the rows that a run was started from, `<stem>_materialized_inputs.jsonl`.

NeMo Gym writes one for each task and rollout: the input row with its agent and both indices. They
hold what the verifier needs (ground truth, options, a game's seed), which the rollouts often drop.
The reading part imports no polars.
"""

from __future__ import annotations

import math
from array import array

import msgspec
import xxhash
from msgspec import Raw

from gymrecipe.errors import DataError
from gymrecipe.lazy_polars import pl
from gymrecipe.rollouts.columns import INPUT
from gymrecipe.rollouts.digests import digest_prefix
from gymrecipe.rollouts.files import Source, blocks, check_unchanged, lines, without_mark
from gymrecipe.rollouts.lines import NULL
from gymrecipe.rollouts.prompts import index_key, value_key


class _Agent(msgspec.Struct):
    name: str | None = None


class _Row(msgspec.Struct):
    task: Raw = msgspec.field(name="_ng_task_index", default=NULL)
    rollout: float | None = msgspec.field(name="_ng_rollout_index", default=None)
    agent: _Agent | None = msgspec.field(name="agent_ref", default=None)


class Inputs(msgspec.Struct, frozen=True):
    """Where the input row of each task lies, a place a task in each column, and the file's digest.

    `index_key` is that of the scan. `id_hi` and `id_lo` are the halves of the line's xxh3-128.
    """

    index_key: array[int]
    offset: array[int]
    bytes: array[int]
    id_hi: array[int]
    id_lo: array[int]
    lines: int
    length: int
    digest: str


_decoder = msgspec.json.Decoder(_Row)


def read_inputs(source: Source) -> Inputs:
    """The first rollout's row of each task.

    Rollouts may lack the agent that their inputs have (ether0), so an index that only one agent
    has is found without the agent too. Raises DataError for a file that is no such file.
    """
    best: dict[int, tuple[float, int, int, int]] = {}
    agents: dict[int, set[int]] = {}
    number = length = 0
    for number, line in enumerate(map(without_mark, lines(blocks(source))), start=1):
        length = line.offset + line.length + line.whole
        if line.data is not None and not line.data.strip():
            continue
        row = _row(line.data, f"{source.name}:{number}")
        task = value_key(row.task)
        if not task:
            continue
        assert line.data is not None
        key = index_key(task, row.agent.name if row.agent else None)
        agents.setdefault(task, set()).add(key)
        order = math.inf if row.rollout is None else row.rollout
        if key not in best or order < best[key][0]:
            best[key] = (order, line.offset, line.length, xxhash.xxh3_128_intdigest(line.data))
    if not best:
        raise DataError(
            f"{source.name}: no line has `_ng_task_index`, by which input rows are found. Name the"
            " file <stem>_materialized_inputs.jsonl that NeMo Gym wrote beside the rollouts."
        )
    for task, keys in agents.items():
        if len(keys) == 1:
            best.setdefault(index_key(task, None), best[next(iter(keys))])
    digest = digest_prefix(source.path, source.size)
    check_unchanged(source)
    return Inputs(
        index_key=array("Q", best),
        offset=array("Q", (row[1] for row in best.values())),
        bytes=array("Q", (row[2] for row in best.values())),
        id_hi=array("Q", (row[3] >> 64 for row in best.values())),
        id_lo=array("Q", (row[3] & 2**64 - 1 for row in best.values())),
        lines=number,
        length=length,
        digest=digest,
    )


def _row(data: bytes | None, at: str) -> _Row:
    try:
        if data is not None:
            data.decode()  # msgspec does not look at the texts that it skips
            return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    raise DataError(f"{at}: not an input row. Name a <stem>_materialized_inputs.jsonl.")


def with_inputs(rows: pl.DataFrame, inputs: list[Inputs], first_source: int) -> pl.DataFrame:
    """The rows (`run`, `index_key`) with the place of their input rows: `source`, `offset`,
    `bytes`, `id_hi` and `id_lo`, each behind INPUT, null where there is none.

    One file is of all runs; else the n-th is of the n-th run, for an index means something only
    inside a run. The source counts on from `first_source`.
    """
    schema = {"run": pl.UInt32, "index_key": pl.UInt64, f"{INPUT}source": pl.UInt32}
    places = ("offset", "bytes", "id_hi", "id_lo")
    tables = [
        pl.DataFrame(
            {
                "run": pl.repeat(run, len(read.index_key), eager=True),
                "index_key": pl.Series(read.index_key, dtype=pl.UInt64),
                f"{INPUT}source": pl.repeat(first_source + run, len(read.index_key), eager=True),
            }
            | {f"{INPUT}{at}": pl.Series(getattr(read, at), dtype=pl.UInt64) for at in places},
            schema_overrides=schema,
        )
        for run, read in enumerate(inputs)
    ]
    found = pl.concat(tables)
    on = ["index_key"] if len(inputs) == 1 else ["run", "index_key"]
    if len(inputs) == 1:
        found = found.drop("run")
    return rows.join(found, on=on, how="left", maintain_order="left")
