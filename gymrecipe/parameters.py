"""Parameters: what a stage is told: their model, and the marks that say what they mean."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from textwrap import dedent
from typing import Annotated, Any, Literal

import msgspec
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

TOLERANCE = 1e-9
"""Absolute, towards keeping, for every threshold, gap, tier and check: 0.7 - 0.5 meets 0.2."""


class Params(BaseModel):
    """What every model of parameters shares: unknown names, NaN and loose types are errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        defer_build=True,
    )


class Reads(msgspec.Struct, frozen=True):
    """Marks a parameter whose text is the name of a column, and as what kind it is used.

    `other_than` lists texts that the parameter understands itself.
    """

    kind: Literal["number", "text", "boolean", "category"]
    other_than: tuple[str, ...] = ()


class ReadsWhere(msgspec.Struct, frozen=True):
    """Marks a parameter whose text is an expression over columns (see `stages.where`)."""


class Of(msgspec.Struct, frozen=True):
    """Marks a numeric threshold: the column it is held against, or whose differences are, which
    resolves `p90`.

    `parameter` says that the column's name is the value of another parameter.
    """

    column: str = ""
    parameter: str = ""


class Optional(msgspec.Struct, frozen=True):
    """Marks a switch that reads a column which no line needs to have."""

    column: str
    kind: Literal["number", "text", "boolean"]


def marked(params: Params, mark: type[Any]) -> Iterator[tuple[str, Any, Any]]:
    """The parameters that carry a mark of this type, as (name, value, mark)."""
    for name, field in type(params).model_fields.items():
        for item in field.metadata:
            if isinstance(item, mark):
                yield name, getattr(params, name), item


def changed(params: Params) -> list[str]:
    """The parameters that are not what they are by default."""
    return [
        name
        for name, field in type(params).model_fields.items()
        if field.is_required()
        or getattr(params, name) != field.get_default(call_default_factory=True, validated_data={})
    ]


def documentation(params: type[Params]) -> dict[str, str]:
    """What each parameter of a model sets: the text under it in the source.

    It is read when somebody asks, for reading it costs every run a tenth of a second.
    """
    (model,) = ast.parse(dedent(inspect.getsource(params))).body
    assert isinstance(model, ast.ClassDef)
    found = {}
    for field, text in pairwise(model.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match text:
                case ast.Expr(ast.Constant(str(said))):
                    found[field.target.id] = " ".join(said.split())
    return found


QUANTILE = re.compile(r"p(100|\d{1,2}(\.\d+)?)")
"""A threshold given as a quantile."""


LIKE_QUANTILE = re.compile(r"([pP])?(\d+(?:\.\d+)?)(?(1)|%)")
"""What was meant to be one: `p101`, `P90`, `90%`."""


def registered(entries: Mapping[str, Any]) -> AfterValidator:
    """For a parameter: it is a name of the registry, as that is when the parameter is read."""

    def check(name: str) -> str:
        if name not in entries:
            raise ValueError(f"should be one of {', '.join(sorted(entries))}")
        return name

    return AfterValidator(check)


def check_quantile(text: Any) -> str:
    """The text of a quantile; ValueError for anything else."""
    if not isinstance(text, str) or not QUANTILE.fullmatch(text):
        raise ValueError("should be a quantile such as p90 (p0 to p100)")
    return text


def near_quantile(text: Any) -> str:
    """` Did you mean 'p90'?` for a text such as `90%`, or nothing."""
    meant = LIKE_QUANTILE.fullmatch(text) if isinstance(text, str) else None
    return f" Did you mean 'p{meant[2] if float(meant[2]) <= 100 else 100}'?" if meant else ""


Quantile = Annotated[str, BeforeValidator(check_quantile)]
"""`p90`: the nearest-rank quantile of the values that enter the stage."""


def as_number(limit: float | str | None) -> float | None:
    """A limit that is a number, and no quantile or expression."""
    return None if isinstance(limit, str) else limit


def is_above(one: float | str, other: float | str) -> bool:
    """Whether a threshold is above another in any data: two numbers, or two quantiles."""
    if isinstance(one, str) and isinstance(other, str):
        both = QUANTILE.fullmatch(one) and QUANTILE.fullmatch(other)
        return bool(both) and float(one[1:]) > float(other[1:])
    return not isinstance(one, str) and not isinstance(other, str) and one > other
