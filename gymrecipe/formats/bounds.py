"""Bounds: how much a chat template may do, which a stranger may have written.

A template is a program: it can loop within loops and double a text with every turn. Each rendering
has a number of turns and of calls, and no text, list or number that it makes is larger than MOST.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

MOST = 2**26
"""Characters of a text, items of a list: as many as a line of rollouts may have bytes."""

STEPS = 1_000_000
"""Turns of all loops, and calls, of one rendering."""

WIDTH = 10_000
"""The most that a number may ask of a filter or a method: a width, an indent, a precision."""

_PRECISE = re.compile(r"\d{5,}|\*")
_SIZED = {"center", "expandtabs", "format", "format_map", "join", "ljust", "replace", "rjust",
          "translate", "zfill"}  # fmt: skip
"""Methods and filters whose result can be much larger than what they are given."""


class Bounded(ImmutableSandboxedEnvironment):
    """A sandboxed environment whose templates end."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.left = STEPS
        self.filters = {name: self.watched(name, made) for name, made in self.filters.items()}
        self.filters["_turns"] = self._turns
        self.filters["_text"] = _checked

    def begin(self) -> None:
        """Before a rendering: it has all its steps."""
        self.left = STEPS

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parsed: nodes.Template = _Counted().visit(super()._parse(source, name, filename))
        return parsed

    def _spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise jinja2.TemplateRuntimeError(f"takes more than {STEPS:,} steps")

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
            _check_format(left)
        return _checked(super().call_binop(context, operator, left, right))

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        self._spend(1)
        name = getattr(obj, "__name__", "")
        method = getattr(obj, "__wrapped__", obj)  # jinja has a wrapper of its own around `format`
        if name in _SIZED and isinstance(owner := getattr(method, "__self__", None), str):
            _check_call(name, owner, args, kwargs)
        return _checked(super().call(context, obj, *args, **kwargs))

    def watched(self, name: str, made: Callable[..., Any]) -> Callable[..., Any]:
        """A filter that is given nothing which could make it run long."""

        def run(*args: Any, **kwargs: Any) -> Any:
            self._spend(1)
            own = args[1:] if hasattr(made, "jinja_pass_arg") else args
            _check_call(name, own[0] if own else "", own[1:], kwargs)
            return _checked(made(*args, **kwargs))

        run.__dict__.update(getattr(made, "__dict__", {}))
        return run


class _Counted(NodeTransformer):
    """Puts loops and joined texts through the filters that count them."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        self.generic_visit(node)
        node.iter = _through("_turns", node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:
        self.generic_visit(node)
        return _through("_text", node)


def _through(name: str, node: Any) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _check_call(name: str, first: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    for value in (*args, *kwargs.values()):
        if isinstance(value, int) and abs(value) > WIDTH:
            raise jinja2.TemplateRuntimeError(f"{name}: a number beyond {WIDTH:,} is refused")
    if name in ("urlize", "wordwrap") and _size(first) > WIDTH:
        raise jinja2.TemplateRuntimeError(f"{name}: more than {WIDTH:,} characters are refused")
    if name in ("format", "format_map") and isinstance(first, str):
        _check_format(first)
    if name == "replace" and len(args) > 1 and isinstance(first, str):
        old, new = str(args[0]), str(args[1])
        _check(len(first) + (len(first) // max(1, len(old)) + 1) * len(new))
    if name == "join":
        parts = list(args[0]) if isinstance(first, str) and args else first
        between = first if isinstance(first, str) and args else "".join(map(str, args[:1]))
        if isinstance(parts, list | tuple):
            _check(sum(_size(part) + len(between) for part in parts))


def _check_format(text: str) -> None:
    if _PRECISE.search(text):
        raise jinja2.TemplateRuntimeError("a width of more than four digits is refused")


def _checked(value: Any) -> Any:
    _check(_size(value))
    return value


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
