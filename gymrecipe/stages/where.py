"""Where: the expressions over columns of `filter.where`, of `pair`'s tiers and of `label`.

Python's own syntax, read by `ast` against a white list and turned into polars, never evaluated.

Numbers are 64-bit floats and are equal within the tolerance T (1e-9), so that of two numbers
exactly one of `<`, `==`, `>` holds, and 0.7999999999999999 counts as 0.8:

    a >= 0.8  is  a >= 0.8 - T      a < 0.8  is  a < 0.8 - T
    a <= 0.8  is  a <= 0.8 + T      a > 0.8  is  a > 0.8 + T      a == 0.8  is  |a - 0.8| <= T

A missing value leaves its comparison undecided (null), and so does a division by zero. `and` and
`or` are decided where one side is enough (Kleene's logic); `is None` is always decided.
"""

from __future__ import annotations

import ast
import io
import operator
import re
import sys
import tokenize
import warnings
from collections.abc import Callable, Iterator

import msgspec

from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import TOLERANCE
from gymrecipe.rollouts.columns import BUILT_IN, PAIR_COLUMNS, Kind, name_of, split_side

MAX_LENGTH, MAX_DEPTH = 4_000, 50
ALLOWED = (
    'Allowed: columns (a, a.b, a[0]["odd key"], field["pass@1"]), numbers, \'text\', True, False,'
    " == != < <= > >=, in and not in (1, 2), is None, is not None, + - * /, and, or, not, ( )"
)
NO_LIST = (
    "cannot follow `in`; write `in (1, 2)`, with constants. What a text or a list holds is found by"
    " a named column, columns={found: {path: …, regex: '(…)'}}, and `found is not None`"
)
Binary = Callable[["pl.Expr", "pl.Expr"], "pl.Expr"]
_ARITHMETIC: dict[type[ast.operator], Binary] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: a / b.replace(0.0, None),
}
_COMPARED: dict[type[ast.cmpop], Binary] = {
    ast.Eq: lambda a, b: a.is_between(b - TOLERANCE, b + TOLERANCE),
    ast.GtE: lambda a, b: a >= b - TOLERANCE,
    ast.LtE: lambda a, b: a <= b + TOLERANCE,
    ast.Gt: lambda a, b: a > b + TOLERANCE,
    ast.Lt: lambda a, b: a < b - TOLERANCE,
}
_ELSEWHERE = {
    "&&": "`and` is written for &&",
    r"\|\|": "`or` is written for ||",
    "!(?!=)": "`not` is written for !",
    "(?<![=!<>])=(?![=<>])": "`==` is written for =",
    "=>": "`>=` is written for =>",
    "=<": "`<=` is written for =<",
    "<>": "`!=` is written for <>",
    r"\bAND\b": "`and` is written for AND",
    r"\bOR\b": "`or` is written for OR",
    r"\bNOT\b": "`not` is written for NOT",
}
"""Signs of other languages, and what stands for them in this one."""
_POSITIVE = {ast.NotEq: ast.Eq, ast.NotIn: ast.In, ast.IsNot: ast.Is}
_KINDS: dict[type, Kind] = {bool: "boolean", int: "number", float: "number", str: "text"}


class Where(msgspec.Struct, frozen=True):
    """An expression that was read, and its names in order of appearance, each with its kind."""

    text: str
    names: dict[str, Kind]


def parse(text: str) -> Where:
    """Read an expression and give each name a kind by its use; ValueError for what is not allowed.

    Columns compared with each other are numbers, unless one is built in and of another kind. A
    name that is only asked `is None` may be of any kind.
    """
    reader = _Reader(text)
    reader.boolean(reader.tree)
    if not reader.names:
        raise reader.refused(reader.tree, "names no column")
    return Where(text, {name: kind or "any" for name, kind in reader.names.items()})


def to_polars(text: str) -> pl.Expr:
    """True, false, or null where missing values leave a row undecided."""
    reader = _Reader(text)
    return reader.boolean(reader.tree)


def missing(text: str) -> pl.Expr:
    """Why a row is undecided, null if it is not: `missing_<name>` of the first missing value in
    a part that is undecided, or `undecided` where none is missing (a division by zero).

        (error is None or turns > 3) and reward > 0.5     error, reward null  →  missing_reward
    """
    reader = _Reader(text)
    return reader.cause(reader.tree)


class Named(msgspec.Struct, frozen=True):
    """The texts that an expression names of a column, and whether it asks for them (`==`, `in`) or
    for all others.
    """

    column: str
    texts: tuple[str, ...]
    asked: bool


def texts(text: str) -> Iterator[Named]:
    """The texts that an expression which can be read compares columns with, in order."""
    reader = _Reader(text)
    compared = [node for node in ast.walk(reader.tree) if isinstance(node, ast.Compare)]
    for node in compared:
        lefts = [node.left, *node.comparators]
        for left, op, right in zip(lefts, node.ops, node.comparators, strict=False):
            if not isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn):
                continue
            items = right.elts if isinstance(right, ast.Tuple | ast.List | ast.Set) else [right]
            sides = [left, *items]
            values = [side.value for side in sides if isinstance(side, ast.Constant)]
            if said := tuple(value for value in values if isinstance(value, str)):
                for column in filter(None, map(reader.name, sides)):
                    yield Named(column, said, isinstance(op, ast.Eq | ast.In))


class _Reader:
    """One reading of one text: its syntax tree, and the names met on the way."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        self.tree = _tree(self.text)
        self.names: dict[str, Kind | None] = {}

    def refused(self, node: ast.expr, why: str = "cannot be used here") -> ValueError:
        return _refused(ast.get_source_segment(self.text, node) or self.text, why)

    def boolean(self, node: ast.expr) -> pl.Expr:
        match node:
            case ast.BoolOp(op=op, values=parts):
                join = pl.all_horizontal if isinstance(op, ast.And) else pl.any_horizontal
                return join([self.boolean(part) for part in parts])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return ~self.boolean(operand)
            case ast.Compare(left=left, ops=ops, comparators=rights):
                links = zip([left, *rights], ops, rights, strict=False)
                return pl.all_horizontal([self.compared(*link) for link in links])
        return self.value(node, "boolean")

    def compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> pl.Expr:
        if positive := _POSITIVE.get(type(op)):
            return ~self.compared(left, positive(), right)
        if isinstance(op, ast.Is):
            name = self.name(left)
            if name is None or not (isinstance(right, ast.Constant) and right.value is None):
                raise self.refused(left, "cannot stand before this `is`; write `column is None`")
            self.names.setdefault(name, self.kind(left))
            return pl.col(name).is_null()
        if isinstance(op, ast.In):
            items = right.elts if isinstance(right, ast.Tuple | ast.List | ast.Set) else []
            if not items or not all(map(_is_constant, items)):
                raise self.refused(right, NO_LIST)
            return pl.any_horizontal([self.compared(left, ast.Eq(), item) for item in items])
        for side in (left, right):
            if isinstance(op, ast.Eq) and _is_between_floats(side):
                raise self.refused(side, "is an integer that no column can hold")
            if isinstance(side, ast.Constant) and side.value is None:
                raise self.refused(side, "cannot be compared with; write `column is None`")
        kind = self.kind(left) or self.kind(right) or "number"
        a, b = self.value(left, kind), self.value(right, kind)
        if kind == "number":
            return _COMPARED[type(op)](a.fill_nan(None), b.fill_nan(None))
        if not isinstance(op, ast.Eq):
            raise self.refused(left, f"is compared as {kind}, which has no order")
        return a == b

    def value(self, node: ast.expr, kind: Kind) -> pl.Expr:
        """A column, a constant or arithmetic, as the kind that its place asks for."""
        if (known := self.kind(node)) not in (None, kind):
            raise self.refused(node, f"is of the kind {known}, used here as {kind}")
        if (name := self.name(node)) is not None:
            if (other := self.names.get(name) or kind) != kind:
                raise self.refused(node, f"is used as {other} and as {kind}; a column has one kind")
            self.names[name] = kind
            return pl.col(name).cast(_type(kind))
        match node:
            case ast.Constant(value=int() | float() as number) if kind == "number":
                if abs(number) > sys.float_info.max:
                    raise self.refused(node, "is not a finite number")
                return pl.lit(float(number), dtype=pl.Float64)
            case ast.Constant(value=str() | bool() as value):
                return pl.lit(value, dtype=_type(kind))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.value(operand, kind)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return _ARITHMETIC[type(op)](self.value(left, kind), self.value(right, kind))
        raise self.refused(node)

    def kind(self, node: ast.expr) -> Kind | None:
        """The kind that a node has in any place; None for a column that is not built in."""
        if isinstance(node, ast.Constant):
            return _KINDS.get(type(node.value))
        name = self.name(node) or ""
        if isinstance(node, ast.BinOp | ast.UnaryOp) or name in PAIR_COLUMNS:
            return "number"
        built_in = BUILT_IN.get(split_side(name)[1])
        return built_in and built_in[0]

    def name(self, node: ast.expr) -> str | None:
        """The one name of a column, the side of a pair in front; None for what is no column."""
        path: tuple[str | int, ...] = ()
        hidden = False
        while isinstance(node, ast.Subscript | ast.Attribute):
            hidden = isinstance(node, ast.Subscript)
            key = node.attr if isinstance(node, ast.Attribute) else self.key(node.slice)
            path, node = (key, *path), node.value
        if not isinstance(node, ast.Name):
            return None
        if path == ():
            return node.id
        _, root = split_side(node.id)
        return node.id.removesuffix(root) + name_of(
            path if hidden and root == "field" else (root, *path)
        )

    def key(self, node: ast.expr) -> str | int:
        match node:
            case ast.Constant(value=str() | int() as key) if not isinstance(key, bool):
                return key
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as from_end)):
                return -from_end
        raise self.refused(node, "cannot be a key; a text or a whole number can")

    def cause(self, node: ast.expr) -> pl.Expr:
        """Of an undecided part, the first cause: in its parts, or else a missing value."""
        self.names = {}
        undecided = self.boolean(node).is_null()
        while isinstance(node, ast.UnaryOp):
            node = node.operand
        if isinstance(node, ast.BoolOp):
            causes = [self.cause(part) for part in node.values]
        else:
            causes = [
                pl.when(pl.col(name).is_null()).then(pl.lit(f"missing_{name}"))
                for name in self.names
            ]
        return pl.when(undecided).then(pl.coalesce([*causes, pl.lit("undecided")]))


def _type(kind: Kind) -> type[pl.DataType]:
    return {"number": pl.Float64, "text": pl.String, "boolean": pl.Boolean}[kind]


def _tree(text: str) -> ast.expr:
    if len(text) > MAX_LENGTH:
        raise _refused(text, f"is longer than {MAX_LENGTH} characters")
    try:
        with warnings.catch_warnings(action="error"):
            tree = ast.parse(text, mode="eval").body
            tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError) as error:
        why = getattr(error, "msg", "") or str(error) or "nested too deeply"
        meant = [said for sign, said in _ELSEWHERE.items() if re.search(sign, text)]
        raise _refused(text, f"cannot be read: {'; '.join([why, *meant])}") from None
    for kind, word, *_ in tokens:
        if kind == tokenize.COMMENT:
            raise _refused(word, "is a comment, and would hide the rest of a folded line")
        odd = kind != tokenize.STRING and not word.isascii()  # Python would normalise it
        if odd or word.startswith("__") or word in ("true", "false", "null", "none"):
            raise _refused(word, f"is no name here; write True, False, None or field['{word}']")
    depth, level = 1, [tree]
    while level := [c for n in level for c in ast.iter_child_nodes(n) if isinstance(c, ast.expr)]:
        if (depth := depth + 1) > MAX_DEPTH:
            raise _refused(text, f"is nested deeper than {MAX_DEPTH}")
    return tree


def _is_constant(node: ast.expr) -> bool:
    return isinstance(node.operand if isinstance(node, ast.UnaryOp) else node, ast.Constant)


def _is_between_floats(node: ast.expr) -> bool:
    """Whether it is an integer that would be read as another one."""
    value = node.operand if isinstance(node, ast.UnaryOp) else node
    if not isinstance(value, ast.Constant) or type(value.value) is not int:
        return False
    return value.value <= sys.float_info.max and float(value.value) != value.value


def _refused(bit: str, why: str) -> ValueError:
    return ValueError(f"{bit if len(bit) <= 80 else bit[:79] + '…'!r} {why}. {ALLOWED}")
