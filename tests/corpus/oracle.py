"""Oracle: what may be read of any bytes, by the decoder of the standard library made strict.

What was read of a line has to be what is read of the same value as the standard library writes it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gymrecipe.rollouts.bad_reasons import BAD_LINE
from gymrecipe.rollouts.chat import UNUSABLE, Unusable
from gymrecipe.rollouts.columns import Column
from gymrecipe.rollouts.lines import HEAVY
from gymrecipe.rollouts.messages import conversation
from tests.rollouts.conftest import read

COLUMNS = (
    Column("task_type", (("metadata", "task_type"), ("metadata", "category")), "text", None, ""),
    Column("accuracy", (("accuracy",),), "number", optional=True),
    Column("kind", (("response", "object"),), "text", optional=True),
    Column("marked", (("flag",), ("instance_config", "mask_sample")), "boolean", optional=True),
)
"""What is asked of the lines: one at the top, one below, one in the response, one anywhere."""

NOT_COMPARED = {"row", "source", "run", "offset", "bytes", "id_hi", "id_lo", "place", "line"} | {
    "answer_key"
}
"""What tells where a line is and which bytes it has, not what it says; the key of the answer counts
the spelling of arguments."""


class Refused(Exception):
    """No strict decoder takes it."""


class Strict:
    """A line as a strict decoder takes it, of equal keys the `first` or the last one.

    `twice` are the keys that stand twice in an object of a trajectory, `beside` whether one does
    anywhere else.
    """

    def __init__(self, data: bytes) -> None:
        self.twice: list[str] = []
        self.beside = False
        try:
            whole = json.loads(
                data.decode(),
                object_pairs_hook=_Object,
                parse_constant=_refuse,
                parse_float=_finite,
            )
            json.dumps(whole, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise Refused(str(error)) from None
        self.last, self.first = whole, _first(whole)
        if isinstance(whole, _Object):
            for key, value in whole.pairs:
                inner = key in (*HEAVY, "tools")
                found = [*_twice(value)]
                self.twice += found if inner else []
                self.beside |= bool(found) and not inner
            self.beside |= whole.repeated != []


class _Object(dict[str, Any]):
    """An object that knows all its members."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs
        keys = [key for key, _ in pairs]
        self.repeated = [key for key in self if keys.count(key) > 1]


def _refuse(text: str) -> Any:
    raise ValueError(text)


def _finite(text: str) -> float:
    if math.isinf(value := float(text)):
        raise ValueError(text)
    return value


def _twice(value: Any) -> Iterable[str]:
    if isinstance(value, _Object):
        yield from value.repeated
        for _, part in value.pairs:
            yield from _twice(part)
    elif isinstance(value, list):
        for part in value:
            yield from _twice(part)


def _first(value: Any) -> Any:
    if isinstance(value, _Object):
        return {key: _first(part) for key, part in reversed(value.pairs)}
    return [_first(part) for part in value] if isinstance(value, list) else value


def faults(lines: list[bytes], folder: Path) -> list[tuple[bytes, str]]:
    """The lines of which something was read that is not there, or that were refused wrongly."""
    lines = [part for line in lines for part in line.split(b"\n") if not part.isspace() and part]
    if lines and lines[0].startswith(b"\xef\xbb\xbf"):
        lines.insert(0, b"{}")
    known: list[Strict | None] = []
    for line in lines:
        try:
            known.append(Strict(line))
        except Refused:
            known.append(None)
    seen = _read(lines, folder / "lines.jsonl")
    last = _read([_written(k and k.last) for k in known], folder / "last.jsonl")
    first = _read([_written(k and k.first) for k in known], folder / "first.jsonl")
    found = []
    for line, strict, *fates in zip(lines, known, seen, last, first, strict=True):
        if (fault := _fault(line, strict, *fates)) is not None:
            found.append((line, fault))
    return found


def _written(value: Any) -> bytes:
    return json.dumps(value).encode()


def _read(lines: list[bytes], path: Path) -> list[Any]:
    """Of each line why it is bad, or what was read of it."""
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    table = read(path, columns=COLUMNS)
    fates: dict[int, Any] = dict(table.bad.select("line", "reason").iter_rows())
    for row in table.rows.iter_rows(named=True):
        assert row["line"] not in fates
        fates[row["line"]] = {
            name: value
            for name, value in row.items()
            if name not in NOT_COMPARED and value is not None
        }
    return [fates[number] for number in range(1, len(lines) + 1)]


def _fault(line: bytes, strict: Strict | None, seen: Any, last: Any, first: Any) -> str | None:
    if isinstance(seen, str):
        if seen not in BAD_LINE:
            return f"'{seen}' is no reason"
        if strict is None or strict.twice or strict.beside:
            return None
        return None if seen == last else f"rejected as {seen}, otherwise written {last}"
    try:
        spoken: Any = conversation(line)
    except Unusable as error:
        spoken = error.reason
        if spoken not in UNUSABLE | BAD_LINE:
            return f"'{spoken}' is no reason"
    if strict is None:
        return None if isinstance(spoken, str) else "written, though no strict decoder takes it"
    for name, there in _numbers(strict.last).items():
        if seen.get(name) != there:
            return f"{name}: {seen.get(name)} is not {there}"
    if strict.twice and isinstance(last, dict):
        # Where the first of equal keys has another type, nothing is read of the two.
        last = {name: value for name, value in last.items() if name in seen}
    if seen != last:
        return f"{_apart(seen, last)}, as otherwise written"
    if strict.beside and not strict.twice and first != last:
        return f"{_apart(last, first)}, as read from the left"
    if strict.twice and spoken == "duplicate_key":
        return None
    try:
        expected: Any = conversation(_written(strict.last))
    except Unusable as error:
        expected = error.reason
    return None if spoken == expected else f"{spoken} is made, of the same otherwise {expected}"


def _numbers(line: dict[str, Any]) -> dict[str, int | float | None]:
    """The columns that are numbers at the top of a line, exactly."""
    values = {name: line.get(name) for name in ("reward", "accuracy")}
    return {
        name: value if isinstance(value, int | float) and not isinstance(value, bool) else None
        for name, value in values.items()
    }


def _apart(one: Any, other: Any) -> str:
    if isinstance(one, str) or isinstance(other, str):
        return f"{one} is not {other}"
    return ", ".join(
        f"{name}: {one.get(name)} is not {other.get(name)}"
        for name in one | other
        if one.get(name) != other.get(name)
    )
