"""Expressions of a recipe reach columns and nothing else, and end soon whatever their size."""

# ruff: noqa: E501 (a payload reads best on one line)
from __future__ import annotations

import sys
import time
from typing import Any

import polars as pl
import pytest

from gymrecipe.stages.where import parse, to_polars

INJECTIONS = [
    "__import__('os').system('touch canary')", "open('canary', 'w')", "eval('1')", "exec('1')",
    "().__class__.__bases__[0].__subclasses__()", "''.join(['a'])", "reward.__class__ == 1",
    "reward.__init__.__globals__ == 1", "field['a'].__class__ == 1", "field[__import__('os')] == 1",
    "[x for x in (1,)]", "{x: 1 for x in ()}", "(x := 1) == 1", "(lambda: 1)() == 1", "lambda: 1",
    "f'{reward}' == 'x'", "f'{__import__(\"os\")}' == a", "print(1)", "reward if True else 1",
    "await x", "yield", "*reward", "reward @ 1", "reward ** 2 > 1", "2 ** 9999999999 > reward",
    "9 ** 9 ** 9 > reward", "reward << 99999999 > 1", "reward // 1 == 1", "reward % 2 == 1",
    "'a' * 9999999999 == a", "'%9999999999d' % 1 == a", "reward == b'a'", "reward == 1j",
    "reward == ...", "1 if reward else 2", "reward; reward", "reward\nimport os", "import os",
    "del reward", "reward = 1", "reward == 1 # and more", "a == '\\N{BULLET}' or open('x')",
    "@reward", "pl.read_csv('/etc/passwd') == 1", "a in open('/etc/passwd')", "a in (b, c)",
    "reward.sql('select 1') == 1", "SELECT * FROM read_json('/etc/passwd')", "1=1; ATTACH 'x'",
    "reward > 1 UNION SELECT 1", "reward == \uff11", "\U0001d5c8\U0001d5c9 == 1", "a == '", "a[0:1] == 1",
    "a[-b] == 1", "a[True] == 1", "a[1.5] == 1", "a[None] == 1", "${oc.env:HOME} == 1", "`id` == 1",
]  # fmt: skip
LARGE = {
    "deep": "(" * 2_000 + "reward" + ")" * 2_000 + " > 1",
    "deep not": "not " * 900 + "a",
    "deep minus": "-" * 1_900 + "reward > 1",
    "deep lists": "a in " + "[" * 1_500 + "1" + "]" * 1_500,
    "deep paths": "a" + ".b" * 1_990 + " > 1",
    "deep keys": "a" + "[0]" * 1_300 + " > 1",
    "long": "reward > 1 or " * 10_000 + "a",
    "a large number": "reward > " + "9" * 3_900,
    "a very large number": "reward > " + "9" * 5_000,
    "an infinite number": "reward > 1e999",
    "a million characters": "x" * 1_000_000,
    "NUL": "reward > 1\0",
}
ALLOWED = {
    "many ors": " or ".join(["a == 1"] * 360),
    "many ands": " and ".join(["(a == 1 or b > 2)"] * 180),
    "many members": "a in (" + "1, " * 1_250 + "1)",
    "a long chain": "a" + " < 1 < a" * 480,
    "much arithmetic": "a" + " + 1" * 40 + " > 1",
    "a long name": "a" * 3_900 + " > 1",
    "as deep as can be": "not " * 40 + "a",
}


class Watched:
    """What is opened, run or imported while it is on. An audit hook cannot be taken away again."""

    on = False
    events: list[str] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if Watched.on and event.startswith(("open", "exec", "os.", "subprocess", "socket", "ctypes")):
        Watched.events.append(f"{event} {arguments}")


@pytest.fixture(scope="module", autouse=True)
def _hooked() -> None:
    parse("reward > 1")  # which imports what it needs
    sys.addaudithook(_watch)


def read(text: str) -> list[str]:
    """The events while an expression is read and turned into one of polars."""
    Watched.events, Watched.on = [], True
    try:
        parse(text)
        to_polars(text)
    finally:
        Watched.on = False
    return Watched.events


@pytest.mark.parametrize("text", INJECTIONS, ids=ascii)
def test_an_expression_that_is_none_over_columns_is_refused_and_does_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="Allowed: "):
        read(text)
    assert Watched.events == []


@pytest.mark.parametrize("name", LARGE)
def test_an_expression_without_bounds_is_refused_soon(name: str) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match="Allowed: ") as caught:
        read(LARGE[name])
    assert len(str(caught.value)) < 700
    assert time.process_time() - started < 8


@pytest.mark.parametrize("name", ALLOWED)
def test_the_largest_that_are_allowed_are_worked_out_soon(name: str) -> None:
    from gymrecipe.stages.where import missing

    started = time.process_time()
    names = parse(ALLOWED[name]).names
    row = pl.DataFrame({column: [1.0] if kind == "number" else [True] for column, kind in names.items()})  # fmt: skip
    row.select(to_polars(ALLOWED[name]), why=missing(ALLOWED[name]))
    assert time.process_time() - started < 20


def test_a_dunder_is_a_key_of_the_line_and_never_an_attribute() -> None:
    assert list(parse("a.b > 1").names) == ["a.b"]
    assert list(parse("field['__class__'] > 1").names) == ["__class__"]


def test_the_watch_would_notice(tmp_path: Any) -> None:
    Watched.events, Watched.on = [], True
    eval(f"open({str(tmp_path / 'x')!r}, 'w').close()")
    Watched.on = False
    assert [event.split()[0] for event in Watched.events] == ["exec", "open"]
