"""Inferred: what the JSON loader of Hugging Face's `datasets` makes of a file, row by row.

It infers the columns from the first 10 MiB of the file and casts all that follows to them
(`datasets/packaged_modules/json/json.py`, run at 5.2.0). Objects with different keys in that
first batch become `Json`, which holds anything; where all have the same keys they become a struct
with these keys for good, and so on below. What a row loses by that is told here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec

from gymrecipe.formats.dates import is_date

BATCH_BYTES = 10 * 2**20
"""What the loader reads at once; the line it ends in is finished."""

_FINE_FLOAT = re.compile(rb"\d\.\d{11}|\d[eE]-?\d")
_LONG_NUMBER = re.compile(rb"\d{19}")

Schema = Any
"""`Anything`, `Nothing`, the name of a scalar type, `[Schema]`, or `{key: Schema}`."""

At = tuple[str | int, ...]
"""The keys down to a place, 0 for what a list holds."""


class Anything:
    """A place that became `Json`."""


class Nothing:
    """A place where the first batch has only nulls or empty lists."""


class Loss(msgspec.Struct, frozen=True):
    """What the loader does to a row; `line` is where it shows first."""

    line: int
    text: str
    is_mild: bool = False


class Loader(msgspec.Struct):
    """Where the loader stands after the rows so far, which are handed over in order.

    `rows` are collected until the first batch is full, which then gives the `schema`. Of the batch
    that is read now, `size` counts the bytes, and `dates` has each place where a text was: with the
    first text and its line while all of them were dates, else None. The schema has `places` that
    can hold texts. `fine` is the line and place of the first number with many decimals.
    """

    schema: dict[str, Schema] | None = None
    size: int = 0
    rows: list[tuple[int, dict[str, Any]]] = []
    places: int = 0
    dates: dict[At, tuple[int, str] | None] = {}
    fine: tuple[int, str] | None = None

    def add(self, line: int, data: bytes, record: dict[str, Any]) -> Iterator[Loss]:
        """Read one more row."""
        if self.schema is None:
            self.rows.append((line, record))
        else:
            yield from _cast(self.schema, record, "", line)
        if _LONG_NUMBER.search(data) and (found := next(_wide(record, ""), None)):
            yield Loss(
                line,
                f"{found}: beyond 64 bits, which the loader rounds or refuses, and which stops its"
                " search for keys that differ: they become null",
            )
        if self.fine is None and _FINE_FLOAT.search(data):
            found = next(_fine(record, ""), None)
            self.fine = (line, found) if found else None
        if self.schema is None or len(self.dates) < self.places or any(self.dates.values()):
            self._look_for_dates(record, (), line, self.schema)
        self.size += len(data) + 1
        if self.size > BATCH_BYTES:
            yield from self.end_batch()

    def end_batch(self) -> Iterator[Loss]:
        """End a batch, the last one, too: what could only be told of all its rows."""
        if self.schema is None:
            self.schema = {}
            columns: dict[str, list[tuple[int, Any]]] = defaultdict(list)
            for line, row in self.rows:
                for name, value in row.items():
                    columns[name].append((line, value))
            for name, values in columns.items():
                self.schema[name], lost = _infer(values, name)
                yield from lost
            self.rows, self.places = [], _leaves(self.schema)
        for at, found in self.dates.items():
            if found is not None and _at(self.schema, at) is not Anything:
                (line, text), place = found, _place(at)
                yield Loss(
                    line,
                    f"{place}: texts that are all dates within 10 MB become timestamps, got"
                    f" '{text}'. Leave the column out, or write the date differently",
                )
        self.size, self.dates = 0, {}

    def end(self) -> Iterator[Loss]:
        """End the file."""
        yield from self.end_batch()
        if self.fine and any(_has_json(part) for part in (self.schema or {}).values()):
            line, found = self.fine
            yield Loss(
                line,
                f"{found}: the loader keeps 10 decimals of a number, in files where the keys of"
                " objects differ",
                is_mild=True,
            )

    def _look_for_dates(self, value: Any, at: At, line: int, schema: Schema) -> None:
        """Note for each place with texts whether all of them are dates, and the first one."""
        if schema is Anything or value is None:
            return
        if isinstance(value, dict):
            for key, part in value.items():
                self._look_for_dates(part, (*at, key), line, _below(schema, key))
        elif isinstance(value, list):
            for part in value:
                self._look_for_dates(part, (*at, 0), line, _below(schema, 0))
        else:
            known = self.dates.get(at, (line, value))
            self.dates[at] = known if known is not None and is_date(value) else None


def _infer(values: list[tuple[int, Any]], place: str) -> tuple[Schema, list[Loss]]:
    """What a place becomes by the values of the first batch, and what that does to them."""
    there = [(line, value) for line, value in values if value is not None]
    if not there:
        return Nothing, []
    objects = sum(isinstance(value, dict) for _, value in there)
    lists = sum(isinstance(value, list) for _, value in there)
    if objects == len(there):
        first = there[0][1]
        if not first or any(value.keys() != first.keys() for _, value in there):
            return Anything, []
        parts = {k: _infer([(n, v[k]) for n, v in there], f"{place}.{k}") for k in first}
        return {k: s for k, (s, _) in parts.items()}, [
            x for _, lost in parts.values() for x in lost
        ]
    if lists == len(there):
        schema, lost = _infer([(n, part) for n, value in there for part in value], f"{place}[]")
        return [schema], lost
    if objects or lists:
        return Anything, _misread(there, place)
    types = {_type(value) for _, value in there}
    if types <= {"a whole number", "a number"}:
        return "a number" if "a number" in types else "a whole number", []
    return (types.pop(), []) if len(types) == 1 else (Anything, _misread(there, place))


def _misread(values: list[tuple[int, Any]], place: str) -> list[Loss]:
    """Texts in a place of several types are taken for JSON where they read as such."""
    for line, value in values:
        if isinstance(value, str) and _is_json(value):
            return [
                Loss(
                    line,
                    f"{place}: text on some rows and another type on others: this text becomes"
                    f" the value it reads as, got '{value[:60]}'. Write one type",
                )
            ]
    return []


def _cast(schema: Schema, value: Any, place: str, line: int) -> Iterator[Loss]:
    """What becomes of a value behind the first batch."""
    if schema is Anything or value is None:
        return
    where = place or "the row"
    if schema is Nothing:
        if value != []:
            yield Loss(line, f"{where}: null or empty in the first 10 MB, so the loader fails here")
    elif isinstance(schema, dict):
        if not isinstance(value, dict):
            yield _other(where, "an object", value, line)
            return
        for key, part in value.items():
            inner = f"{place}.{key}" if place else key
            if key not in schema:
                yield Loss(
                    line,
                    f"{inner}: appears after the first 10 MB for the first time, so the loader"
                    " fails. Put a row with it first",
                )
            else:
                yield from _cast(schema[key], part, inner, line)
        for key in schema.keys() - value.keys() if place else ():
            yield Loss(
                line,
                f"{place}.{key}: on all rows of the first 10 MB, so the loader puts a null here."
                " Put a row without it first",
            )
    elif isinstance(schema, list):
        if not isinstance(value, list):
            yield _other(where, "a list", value, line)
            return
        for part in value:
            yield from _cast(schema[0], part, f"{place}[]", line)
    elif _type(value) != schema and not (schema == "a number" and _type(value) == "a whole number"):
        if schema == "a whole number" and isinstance(value, float) and value.is_integer():
            return
        yield _other(where, schema, value, line)


def _other(where: str, wanted: str, value: Any, line: int) -> Loss:
    return Loss(
        line,
        f"{where}: {wanted} in the first 10 MB and {_type(value)} here, so the loader fails or"
        " converts it",
    )


def _type(value: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return names.get(type(value), "a list" if isinstance(value, list) else "an object")


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return True


def _at(schema: Schema, at: At) -> Schema:
    for step in at:
        schema = _below(schema, step)
    return schema


def _below(schema: Schema, step: str | int) -> Schema:
    """What lies under a key, or in a list; None where nothing is known."""
    if schema is Anything:
        return Anything
    if isinstance(schema, list) and step == 0:
        return schema[0]
    return schema.get(step) if isinstance(schema, dict) else None


def _place(at: At) -> str:
    return "".join("[]" if step == 0 else f".{step}" for step in at).removeprefix(".")


def _leaves(schema: Schema) -> int:
    """How many places hold texts, numbers and the like."""
    if isinstance(schema, dict):
        return sum(map(_leaves, schema.values()))
    return _leaves(schema[0]) if isinstance(schema, list) else isinstance(schema, str)


def _has_json(schema: Schema) -> bool:
    if isinstance(schema, dict):
        return any(map(_has_json, schema.values()))
    return schema is Anything or (isinstance(schema, list) and _has_json(schema[0]))


def _wide(value: Any, place: str) -> Iterator[str]:
    for at, number in _numbers(value, place):
        if isinstance(number, int) and not -(2**63) <= number < 2**63:
            yield at


def _fine(value: Any, place: str) -> Iterator[str]:
    for at, number in _numbers(value, place):
        if isinstance(number, float) and round(number, 10) != number:
            yield at


def _numbers(value: Any, place: str) -> Iterator[tuple[str, int | float]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _numbers(part, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for part in value:
            yield from _numbers(part, f"{place}[]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield place, value
