"""Template sandbox: the jinja2 environment that renders a chat template from a file.

The same settings, filters and names as `transformers.utils.chat_template_utils` (5.23) has, which
nobody can import without transformers; `tests/trainers` holds the two against each other. Only
`strftime_now` raises: what it prints depends on the day. And a template is bounded
(`formats.bounds`), which no model's own comes near.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.utils import Namespace

from gymrecipe.formats.template_bounds import Bounded


@lru_cache
def environment() -> Bounded:
    """The environment that a chat template is parsed and rendered in."""
    made = Bounded(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    made.filters["tojson"] = made.watched("tojson", _tojson)
    made.globals["raise_exception"] = _raise
    made.globals["strftime_now"] = _no_clock
    made.globals["dict"] = _Dict()
    made.globals["namespace"] = _Namespace
    return made


class _Generation(Extension):
    """`{% generation %} … {% endgeneration %}` marks what may be trained on; the text stays."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_body", [], [])
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _body(self, caller: Callable[[], str]) -> str:
        return caller()


class _Dict:
    """`dict` for templates: only what makes one."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args, **kwargs)


class _Namespace(Namespace):
    """`namespace` for templates: no names that begin with an underscore, and printed without what
    it holds, which can be itself.
    """

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, rest = args[0], args[1:]  # so that a template can have a value named self
        values = dict(*rest, **kwargs)
        for name in values:
            _check_name(name)
        Namespace.__init__(self, values)

    def __repr__(self) -> str:
        return "<Namespace>"

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.TemplateRuntimeError(f"a namespace cannot hold {name!r}")


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _no_clock(format: str) -> NoReturn:
    raise jinja2.TemplateError("prints the day it is used (strftime_now)")


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
