"""Rows: the rows of a file of JSON lines or of parquet, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from gymrecipe.errors import InputError
from gymrecipe.lazy_polars import pl
from gymrecipe.rollouts.bad_reasons import why_bad
from gymrecipe.rollouts.engine import Advance
from gymrecipe.rollouts.files import Source, blocks, check_unchanged, lines
from gymrecipe.rollouts.json_members import without_nulls
from gymrecipe.rollouts.regular_files import regular

PARQUET_ROWS = 2_000
"""So many rows of a parquet file are held at a time."""


class Row(msgspec.Struct, frozen=True):
    """A row: the bytes it is, of parquet some that no other row has, and the object they are, or
    why (see BAD_LINE) they are none.
    """

    line: int
    data: bytes
    record: dict[str, Any] | None
    reason: str = ""
    filled: str = ""
    """Where in a parquet row a call or a tool has a null that stands for a key of other rows."""


def is_parquet(source: Source) -> bool:
    """Whether a file is one of parquet."""
    with open(source.path, "rb", opener=regular) as file:
        return file.read(4) == b"PAR1"


def rows(source: Source, advance: Advance) -> Iterator[Row]:
    """The rows of a file, counted from 1.

    Raises InputError for a broken parquet file, and what `files.blocks` raises.
    """
    yield from _of_parquet(source) if is_parquet(source) else _of_lines(source, advance)
    check_unchanged(source)


def watched(source: Source, advance: Advance) -> Iterator[bytes]:
    """The blocks of a file; `advance` is told of each."""
    for block in blocks(source):
        yield block
        advance(len(block))


def _of_lines(source: Source, advance: Advance) -> Iterator[Row]:
    for number, raw in enumerate(lines(watched(source, advance)), 1):
        if raw.data is None:
            yield Row(number, b"", None, "line_too_long")
        elif not raw.data.strip():
            yield Row(number, raw.data, None, "blank")
        else:
            yield _decoded(number, raw.data, raw.whole)


def _decoded(number: int, data: bytes, is_whole: bool) -> Row:
    try:
        record = msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        reason = why_bad(data, error)
        is_cut = not is_whole and reason in ("bad_json", "not_utf8")
        return Row(number, data, None, "truncated_tail" if is_cut else reason)
    if not isinstance(record, dict):
        return Row(number, data, None, "not_object")
    return Row(number, data, record)


def _of_parquet(source: Source) -> Iterator[Row]:
    try:
        frame = pl.scan_parquet(source.path, glob=False)
        count = frame.select(pl.len()).collect().item()
        for start in range(0, count, PARQUET_ROWS):
            part = frame.slice(start, PARQUET_ROWS).collect()
            for number, record in enumerate(part.iter_rows(named=True), start + 1):
                # A struct has all keys of all rows: a null is one that this row does not have.
                whole = {name: without_nulls(value) for name, value in record.items()}
                data = repr(record).encode()  # in JSON infinity and NaN would be null
                yield Row(number, data, whole, filled=next(_filled(record, "", False), ""))
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{source.name}: not a parquet file that can be read: {error}") from None


def _filled(value: Any, place: str, is_open: bool) -> Iterator[str]:
    """The places of nulls where keys are free: in arguments, and in the parameters of a tool."""
    if isinstance(value, dict):
        for key, part in value.items():
            inner = f"{place}.{key}" if place else key
            if part is None and is_open:
                yield inner
            yield from _filled(part, inner, is_open or key in ("arguments", "parameters"))
    elif isinstance(value, list):
        for i, part in enumerate(value):
            yield from _filled(part, f"{place}.{i}", is_open)


def from_texts(record: dict[str, Any]) -> dict[str, Any]:
    """The record with its JSON texts decoded: as such a parquet file may hold what is nested."""
    return {name: _from_text(value) for name, value in record.items()}


def _from_text(value: Any) -> Any:
    if not isinstance(value, str) or value[:1] not in ("[", "{"):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value
