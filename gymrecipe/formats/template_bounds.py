"""Template bounds: how much a chat template may do, which a stranger may have written.

A template is a program: it can loop within loops, double a text with every turn, or put a list into
itself twice. Each rendering has a number of steps, which turns, calls, and the length of what they
go through take from, and nothing that it makes or prints is larger than MOST.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain
from sys import getsizeof
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gymrecipe.formats.template_work import Counted

MOST = 2**26
"""Characters of a text, items of a list: as many as a line of rollouts may have bytes."""

STEPS = 1_000_000
"""What one rendering may do: a step is a turn of a loop, a call, or PACE characters that are gone
through."""

PACE = 4_000

ITEM = 64
"""The characters that an item of a list, or what is no text, counts as."""

WIDTH = 10_000
"""The most that a number may ask of a filter or a method: a width, an indent, a precision."""

_PERCENT = re.compile(r"%(?:\([^)]*\))?[-#0 +]*(?:\*|\d{5,}|\d*\.(?:\*|\d{5,}))")
_BRACES = re.compile(r"\{[^{}]*(?:\{|\d{5,})")
"""Widths and precisions of five digits, or out of a value, in the two ways to write a format."""

KEPT = 2**31
"""Bytes that the long texts of one rendering take together: a template may hold on to each."""

EACH = 8
"""Items that are gone through one by one, as a filter does, in a step."""

_BY_ITEMS = {"batch", "dictsort", "groupby", "items", "join", "list", "map", "max", "min", "reject",
             "rejectattr", "select", "selectattr", "slice", "sort", "sum", "unique"}  # fmt: skip
"""Filters that go through what they are given item by item, a text too."""

_SLOW = {"striptags", "title", "urlencode", "urlize", "wordcount", "wordwrap"}
"""Filters that take minutes, or a hundred bytes a character, for a long text."""

_NEVER = {"encode", "maketrans", "to_bytes", "translate"}
"""Methods that make what nothing here bounds, bytes and tables; no model's template calls them."""

_SIZED = {"center", "expandtabs", "join", "ljust", "replace", "rjust", "zfill"}
"""Methods and filters whose result can be much larger than what they are given."""

_WIDE = {"batch", "center", "expandtabs", "indent", "ljust", "rjust", "round", "slice", "tojson",
         "truncate", "wordwrap", "zfill"}  # fmt: skip
"""Those to which a number is a width, a precision or a count of parts."""

_WIDENED = {"expandtabs": "\t", "indent": "\n"}
"""What of a text becomes as wide as they are told."""

_SEARCHES = {"copy", "count", "index"}
"""Methods of lists that go through all of it."""

_VIEWS: Any = (type({}.keys()), type({}.values()), type({}.items()))

_OF_JINJA = {"_block_vars", "_loop_vars"}
"""What jinja gives to each call beside what the template gives."""


class Bounded(ImmutableSandboxedEnvironment):
    """A sandboxed environment whose templates end."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        filters: dict[str, Any] = {**self.filters}
        tests: dict[str, Any] = {**self.tests}
        self.filters = {name: self.watched(name, made) for name, made in filters.items()}
        self.tests = {name: self.watched("", made) for name, made in tests.items()}
        self.filters |= {"_turns": self._turns, "_through": self._through,
                         "_joined": self._joined, "_printed": self._printed}  # fmt: skip
        self.begin()

    def begin(self) -> None:
        """Before a rendering: it has all its steps."""
        self.left, self.printed, self.kept = STEPS, 0, 0
        self.weights: dict[int, tuple[int, Any]] = {}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parsed: nodes.Template = Counted().visit(super()._parse(source, name, filename))
        return parsed

    def _spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise jinja2.TemplateRuntimeError(f"takes more than {STEPS:,} steps")

    def _weight(self, value: Any) -> int:
        """How many characters, about, a value takes to print or to compare: a part that stands in
        it several times counts each time. Nothing in a template can change a list or a dict.
        """
        if isinstance(value, str):
            return ITEM + len(value)
        if isinstance(value, _VIEWS):
            return ITEM + sum(map(self._weight, value))
        if not isinstance(value, list | tuple | dict):
            return ITEM
        if (known := self.weights.get(id(value))) is None:
            parts = chain(value, value.values()) if isinstance(value, dict) else value
            known = ITEM + sum(map(self._weight, parts)), value
            self.weights[id(value)] = known  # with the value, so that the id stays its own
        return known[0]

    def _seen(self, value: Any) -> Any:
        """The value, paid for by its length, because all of it is about to be gone through."""
        if isinstance(value, str) and len(value) < PACE:
            return value  # most are
        weight = self._weight(value)
        _check(weight)
        self._spend(weight // PACE)
        return value

    def _made(self, value: Any) -> Any:
        """A result, held against MOST and paid for; an iterator item by item, as they are taken."""
        if _comes(value):
            return self._coming(value)
        _check(_size(value))
        if isinstance(value, str) and len(value) >= PACE:
            self.kept += getsizeof(value)
            if self.kept > KEPT:
                raise jinja2.TemplateRuntimeError(f"makes texts of more than {KEPT:,} bytes")
        return self._seen(value)

    def _coming(self, values: Iterator[Any]) -> Iterator[Any]:
        whole = 0
        for value in values:
            whole += self._weight(value)
            _check(whole)
            self._spend(1 + self._weight(value) // PACE)
            yield value

    # With the context, which is not known when a template is parsed, they are called each time, for
    # what is constant, too.

    @jinja2.pass_context
    def _through(self, _: Context, value: Any) -> Any:
        return self._seen(value)

    @jinja2.pass_context
    def _joined(self, _: Context, value: Any) -> Any:
        return self._made(value)

    @jinja2.pass_context
    def _printed(self, _: Context, value: Any) -> Any:
        self.printed += self._weight(value)
        _check(self.printed)
        return value

    def _turns(self, value: Any) -> Any:
        """What a loop goes over, each item paid for before the first turn."""
        items = value if isinstance(value, list | tuple | dict | str | range) else list(value)
        self._spend(len(items) + 1)
        return items

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and not (_is_small(left) and _is_small(right)):
            raise jinja2.TemplateRuntimeError("powers of numbers beyond 100 are refused")
        if operator == "*":
            _check(_size(left) * _size(right))
        if operator == "+":
            _check(_size(left) + _size(right))
        if operator == "%" and isinstance(left, str):
            _check_format(_PERCENT, left.replace("%%", ""))
            self._seen(right)
        return self._made(super().call_binop(context, operator, left, right))

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        if isinstance(obj, Macro):  # what it does with them is paid for as it does it
            self._spend(1)
            return super().call(context, obj, *args, **kwargs)
        named = {name: value for name, value in kwargs.items() if name not in _OF_JINJA}
        args = self._given(args, named)
        name = getattr(obj, "__name__", "")
        method = getattr(obj, "__wrapped__", obj)  # jinja has a wrapper of its own around `format`
        owner = getattr(method, "__self__", None)
        if name in _NEVER and isinstance(owner, str | int | type):
            raise jinja2.TemplateRuntimeError(f"{name} is refused")
        if isinstance(owner, str) or name in _SEARCHES:
            self._seen(owner)
        if isinstance(owner, str) and name in ("format", "format_map"):
            _check_format(_BRACES, owner.replace("{{", "").replace("}}", ""))
        elif isinstance(owner, str) and name in _SIZED:
            _check_call(name, owner, args, named)
        return self._made(super().call(context, obj, *args, **kwargs))

    def watched(self, name: str, made: Callable[..., Any]) -> Callable[..., Any]:
        """The filter of this name, or a test (without one), that refuses whatever could make it run
        long.
        """
        ours = 1 if hasattr(made, "jinja_pass_arg") else 0

        def run(*args: Any, **kwargs: Any) -> Any:
            own = self._given(args[ours:], kwargs)
            if name in _BY_ITEMS and own and hasattr(own[0], "__len__"):
                self._spend(len(own[0]) // EACH)
            if name:  # a number that is compared may be any
                _check_call(name, own[0] if own else "", own[1:], kwargs)
            if name == "tojson" and own:
                wide = max(_numbers(own[1:], kwargs), default=0)
                _check(self._weight(own[0]) // ITEM * _levels(own[0], {}) * wide)
            return self._made(made(*args[:ours], *own, **kwargs))

        run.__dict__.update(getattr(made, "__dict__", {}))
        return run

    def _given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """The arguments of a call, paid for. Iterators among them become lists, because to look at
        one would use it up.
        """
        self._spend(1 + len(args))
        if any(map(_comes, args)):
            args = tuple(list(arg) if _comes(arg) else arg for arg in args)
        for value in args:
            self._seen(value)
        for value in kwargs.values():
            self._seen(value)
        return args


def _check_call(name: str, first: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if name in _WIDE and any(abs(number) > WIDTH for number in _numbers(args, kwargs)):
        raise jinja2.TemplateRuntimeError(f"{name}: a number beyond {WIDTH:,} is refused")
    if name in _SLOW and _size(first) > WIDTH:
        raise jinja2.TemplateRuntimeError(f"{name}: more than {WIDTH:,} characters are refused")
    if name == "format" and isinstance(first, str):
        _check_format(_PERCENT, first.replace("%%", ""))
    if name == "replace" and len(args) > 1 and isinstance(first, str):
        old, new = str(args[0]), str(args[1])
        _check(len(first) + (len(first) // max(1, len(old)) + 1) * len(new))
    if name in _WIDENED and isinstance(first, str):
        wide = max(_numbers(args, kwargs), default=8)
        _check(len(first) + (first.count(_WIDENED[name]) + 1) * wide)
    if name == "join" and (args or kwargs):  # of a text that joins, or of what is joined
        _check(_size(first) * max(_size(value) for value in (*args[:1], *kwargs.values())))


def _numbers(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int]:
    return [value for value in (*args, *kwargs.values()) if isinstance(value, int)]


def _levels(value: Any, known: dict[int, int]) -> int:
    """How deep lists and dicts lie in each other."""
    if not isinstance(value, list | tuple | dict):
        return 1
    if id(value) not in known:
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + max((_levels(part, known) for part in parts), default=0)
    return known[id(value)]


def _comes(value: Any) -> bool:
    """Whether it is an iterator; the `loop` of a template is one too, and left alone."""
    return hasattr(value, "__next__") and not isinstance(value, LoopContext)


def _check_format(wide: re.Pattern[str], text: str) -> None:
    if wide.search(text):
        raise jinja2.TemplateRuntimeError("a width of more than four digits is refused")


def _check(size: int) -> None:
    if size > MOST:
        raise jinja2.TemplateRuntimeError(f"makes more than {MOST:,} characters or items")


def _size(value: Any) -> int:
    """Characters, items, or for a number what it multiplies a text by."""
    if isinstance(value, str | bytes | list | tuple | dict):
        return len(value)
    return abs(value) if isinstance(value, int) and not isinstance(value, bool) else 1


def _is_small(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) <= 100
