"""Frames: what was scanned as rows of the rollout table."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable
from typing import Any

import msgspec

from gymrecipe.errors import RecipeError
from gymrecipe.lazy_polars import pl
from gymrecipe.rollouts.columns import BUILT_IN, OWN, TASK_FIELD, Column
from gymrecipe.rollouts.files import Source
from gymrecipe.rollouts.scanned import Scanned, array_types, text_columns
from gymrecipe.rollouts.wanted import Wanted

FRAME_ROWS = 2**14
"""Slices are put together to so many rows before they become a frame, which costs some 2 ms."""

FRAME_SLICES = 2**10
"""Or so many slices, of small files: each takes some kB while it is held."""

_NULL_AT_ZERO = ("prompt_key", "index_key", "repeat_key", "group_value")


LARGE_ROWS = 2**20
"""A frame of fewer rows stays in memory: a million rows of the rollout table are 90 MB."""

Spill = Callable[["pl.DataFrame"], "pl.DataFrame"]
"""Gives a frame as it is, or where it is large the same one in a file, without memory of its own.
"""


def unspilled(frame: pl.DataFrame) -> pl.DataFrame:
    """Leaves every frame in memory."""
    return frame


class Held(msgspec.Struct, frozen=True):
    """A slice, its rows, its source, and how many lines and places the file had before it."""

    scanned: Scanned
    rows: int
    source: int
    lines: int
    places: int


def empty_rows(wanted: Wanted) -> pl.DataFrame:
    """The table without a row: what a plan is made on before anything is read.

    Raises RecipeError for a column whose name the table uses itself.
    """
    if taken := [column.name for column in wanted.columns if column.name in {*BUILT_IN, *OWN}]:
        raise RecipeError(
            *(
                f"columns: '{name}' is a column of gymrecipe's own; write field[\"{name}\"] for"
                " that field of the lines."
                for name in taken
            )
        )
    types = array_types(wanted.columns, len(wanted.task_fields))
    none = {name: array(code) for name, code in types.items()}
    texts: dict[str, list[str]] = {name: [] for name in text_columns(wanted.columns)}
    return frame(none, texts, 0, 0, 0, 0, wanted.columns, wanted.unread)


def no_metrics() -> pl.DataFrame:
    """The numbers of lines without one: long-form, 16 bytes each."""
    schema = {"row": pl.UInt32(), "metric": pl.Categorical(), "value": pl.Float64()}
    return pl.DataFrame(schema=schema)


def give_back() -> None:
    """Hand the memory of arrays that are gone back to the system, which takes 1 ms; glibc would
    keep 60 bytes for each of their rows.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def joined(
    held: list[Held], sources: list[Source], named: tuple[Column, ...], unread: frozenset[str]
) -> pl.DataFrame:
    """The rows of slices that follow each other as a frame."""
    columns: dict[str, Any] = {
        name: array(values.typecode) for name, values in held[0].scanned.columns.items()
    }
    codes: dict[str, dict[str, int]] = {name: {} for name in held[0].scanned.texts}
    own = {"source": array("I"), "run": array("I"), "line": array("Q"), "place": array("Q")}
    for slice in held:
        for name, values in slice.scanned.columns.items():
            if name in codes:
                values = _recoded(values, slice.scanned.texts[name], codes[name])
            columns[name].extend(values)
        told = (slice.source, sources[slice.source].run, slice.lines, slice.places)
        for values, value in zip(own.values(), told, strict=True):
            values.extend(array(values.typecode, [value]) * slice.rows)
    texts = {name: list(known) for name, known in codes.items()}
    source, run, lines, places = map(_series, own.values())
    return frame(columns, texts, source, run, lines, places, named, unread)


def _recoded(values: Any, texts: list[str], codes: dict[str, int]) -> Any:
    """Codes of these texts as codes of all texts so far."""
    new = [codes.setdefault(text, len(codes)) for text in texts]
    if new == list(range(len(new))):
        return values
    new.append(-1)  # at place -1: what stands for none
    return array("i", [new[code] for code in values])


def frame(
    arrays: dict[str, Any],
    texts: dict[str, list[str]],
    source: int | pl.Series,
    run: int | pl.Series,
    lines: int | pl.Series,
    places: int | pl.Series,
    named: tuple[Column, ...],
    unread: frozenset[str],
) -> pl.DataFrame:
    """Rows as a frame: sentinels become nulls, codes become texts.

    `source` and `run` are those of each row, `lines` and `places` how many the file had before its
    slice. A task field is a column where it says something: on a row without an index, by which its
    task is known. The `unread` columns are left out.
    """
    none = array("Q", bytes(8 * len(arrays["line"])))
    fields = {name for name in arrays if name.startswith(TASK_FIELD)}
    left_out = {*texts, *unread, *(name for name in fields if arrays[name] == none)}
    columns = {name: _series(values) for name, values in arrays.items() if name not in left_out}
    without_index = columns["index_key"] == 0
    for name in [name for name in columns if name in fields]:
        columns[name] *= without_index.cast(pl.UInt64)
        if not columns[name].max():
            del columns[name]
    by_name = {column.name: column for column in named}
    for name, known in texts.items():
        if name not in unread:
            columns[name] = _texts(arrays[name], known, by_name.get(name))
    own = {
        "source": pl.lit(source, pl.UInt32),
        "run": pl.lit(run, pl.UInt32),
        "line": pl.col("line") + lines,
        "place": pl.col("place") + places,
        "model": pl.col("model").cast(pl.Categorical()),
        "agent": pl.col("agent").cast(pl.Categorical()),
    }
    own = {name: column for name, column in own.items() if name not in unread}
    present = {name: _present(name, values.dtype) for name, values in columns.items()}
    return pl.DataFrame(columns).select(**own | {n: e for n, e in present.items() if n not in own})


def _series(values: array[Any]) -> pl.Series:
    types = {"Q": pl.UInt64, "I": pl.UInt32, "d": pl.Float64, "b": pl.Int8, "q": pl.Int64}
    return pl.Series(values, dtype=types[values.typecode])


def _present(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column with nulls in place of what stands for a missing value in its array."""
    column = pl.col(name)
    if dtype == pl.Float64:
        return column.fill_nan(None)
    if dtype == pl.Int8:
        return column.replace(-1, None).cast(pl.Boolean)
    if name == "output_tokens":
        return column.replace(-1, None)
    if name in _NULL_AT_ZERO or name.startswith(TASK_FIELD):
        return column.replace(0, None)
    return column


def _texts(codes: Any, texts: list[str], column: Column | None) -> pl.Series:
    """What the codes mean, after a named column's pattern and default."""
    known = pl.Series([None, *texts], dtype=pl.String)
    if column and column.pattern:
        groups = known.str.extract_groups(column.pattern).struct.unnest()
        known = groups.select(pl.coalesce(pl.all())).to_series()
    values = known[(pl.Series(codes, dtype=pl.Int32) + 1).cast(pl.UInt32)]  # -1 is none
    return values.fill_null(column.default) if column and column.default is not None else values
