"""The expression language: what it decides, how it types names, and what it refuses."""

from __future__ import annotations

import builtins
import os
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gymrecipe.stages.where import missing as missing_in
from gymrecipe.stages.where import parse, texts, to_polars
from tests.full import often

ODD = 'field["pass@1"]["mean"]'


def decide(text: str, **rows: list[Any]) -> list[bool | None]:
    frame = pl.DataFrame(rows, strict=False)
    return frame.with_columns(result=to_polars(text))["result"].to_list()


def why(text: str, **rows: list[Any]) -> list[str | None]:
    frame = pl.DataFrame(rows, strict=False)
    return frame.with_columns(result=missing_in(text))["result"].to_list()


def kinds(text: str) -> dict[str, str]:
    return dict(parse(text).names)


# --- what it decides


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a >= 0.8", [False, True, True, True, True]),
        ("a > 0.8", [False, False, False, False, True]),
        ("a <= 0.8", [True, True, True, True, False]),
        ("a < 0.8", [True, False, False, False, False]),
        ("a == 0.8", [False, True, True, True, False]),
        ("a != 0.8", [True, False, False, False, True]),
        ("a in (0.8, 5)", [False, True, True, True, False]),
        ("a not in (0.8, 5)", [True, False, False, False, True]),
    ],
)
def test_numbers_within_the_tolerance_are_equal(text: str, expected: list[bool]) -> None:
    assert decide(text, a=[0.79, 0.7999999999999999, 0.8, 0.8000000005, 0.81]) == expected


def test_a_difference_that_floats_miss_meets_its_threshold() -> None:
    assert decide("a - b >= 0.2", a=[0.7], b=[0.5]) == [True]


def test_a_chain_holds_where_every_link_holds() -> None:
    assert decide("0.2 < a < 0.8 != b", a=[0.5, 0.9, 0.5], b=[1, 1, 0.8]) == [True, False, False]


def test_text_is_equal_character_by_character() -> None:
    assert decide("a == 'x'", a=["x", "X", None]) == [True, False, None]
    assert decide("a not in ['x', 'y']", a=["x", "z", None]) == [False, True, None]


def test_a_bare_name_is_a_boolean() -> None:
    assert decide("not a", a=[True, False, None]) == [False, True, None]
    assert decide("a == False", a=[True, False, None]) == [False, True, None]


def test_or_is_decided_by_one_true_side() -> None:
    rows: dict[str, list[Any]] = {"a": [None, None, None], "b": [True, False, None]}
    assert decide("a or b", **rows) == [True, None, None]


def test_and_is_decided_by_one_false_side() -> None:
    rows: dict[str, list[Any]] = {"a": [None, None, None], "b": [True, False, None]}
    assert decide("a and b", **rows) == [None, False, None]


def test_is_none_is_decided_for_every_value() -> None:
    assert decide("a is None", a=[1.0, None]) == [False, True]
    assert decide("a is not None", a=[1.0, None]) == [True, False]


def test_presence_does_not_depend_on_the_type_in_the_table() -> None:
    assert decide("a is None", a=["text", None]) == [False, True]


def test_a_column_without_any_value_leaves_all_undecided() -> None:
    assert decide("a > 1 and b == 'x' and c", a=[None], b=[None], c=[None]) == [None]


def test_a_division_by_zero_is_undecided() -> None:
    assert decide("a / b > 2", a=[1.0, 0.0, 9.0], b=[0.0, 0.0, 2.0]) == [None, None, True]
    assert decide("1 / (a / b) < 1", a=[1.0], b=[0.0]) == [None]


def test_infinity_less_infinity_is_undecided() -> None:
    assert decide("a * 1e308 - a * 1e308 > 0", a=[1e10]) == [None]


def test_unsigned_integers_do_not_wrap_around() -> None:
    frame = pl.DataFrame({"a": pl.Series([0, 1], dtype=pl.UInt64)})
    got = frame.select(low=to_polars("a - 1 < 0"), same=to_polars("a == 1"))
    assert got.rows() == [(True, False), (False, True)]


def test_arithmetic_binds_as_in_python() -> None:
    assert decide("a - 1 - 2 * -b == 3 - (1 - 2)", a=[3.0], b=[1.0]) == [True]


def test_two_booleans_and_two_texts_that_are_built_in_compare() -> None:
    assert decide("truncated == empty", truncated=[True], empty=[False]) == [False]
    assert decide("model != agent", model=["x"], agent=["y"]) == [True]


def test_a_whole_number_beyond_64_bits_is_compared() -> None:
    assert decide("a < 1" + "0" * 300, a=[1.0]) == [True]


def test_a_list_of_many_values_is_read() -> None:
    assert decide(f"a in {tuple(range(700))}", a=[699, 700]) == [True, False]


def test_arithmetic_at_the_depth_limit_stays_small() -> None:
    text = "a / (" * 22 + "a" + ")" * 22 + " > 0"
    assert decide(text, a=[1.0, 0.0]) == [True, None]
    assert why(text, a=[1.0, 0.0]) == [None, "undecided"]


# --- why a row is undecided


def test_the_first_missing_name_is_told() -> None:
    rows: dict[str, list[Any]] = {"a": [None, None, 1.0], "b": [None, 1.0, None]}
    assert why("a > 0 and b > 0", **rows) == ["missing_a", "missing_a", "missing_b"]


def test_a_decided_row_has_no_missing_name() -> None:
    assert why("a > 0 or b > 0", a=[None, None], b=[1.0, 0.0]) == [None, "missing_a"]


def test_a_missing_value_that_was_asked_for_is_not_blamed() -> None:
    rows: dict[str, list[Any]] = {"error": [None], "reward": [None], "turns": [1.0]}
    assert why("error is None and reward > 0", **rows) == ["missing_reward"]
    assert why("not ((error is None or error > 3) and reward > 0)", **rows) == ["missing_reward"]


def test_undecided_is_told_where_nothing_is_missing() -> None:
    assert why("a / b > 0", a=[1.0, None], b=[0.0, 0.0]) == ["undecided", "missing_a"]


# --- names and kinds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a > 1", {"a": "number"}),
        ("a == 'x'", {"a": "text"}),
        ("'x' != a", {"a": "text"}),
        ("a in {'x', 'y'}", {"a": "text"}),
        ("a in [1, -2.5]", {"a": "number"}),
        ("a in (True,)", {"a": "boolean"}),
        ("a or not b and c == True", {"a": "boolean", "b": "boolean", "c": "boolean"}),
        ("a == b", {"a": "number", "b": "number"}),
        ("a + b > c * 2", {"a": "number", "b": "number", "c": "number"}),
        ("a is None", {"a": "any"}),
        ("a is None and a > 1", {"a": "number"}),
        ("a is None or b > 1 or a == 'x'", {"a": "text", "b": "number"}),
        ("truncated is None", {"truncated": "boolean"}),
        ("a == model", {"a": "text", "model": "text"}),
        ("chosen_model != rejected_x", {"chosen_model": "text", "rejected_x": "text"}),
        ("gap > 0.1 and chosen_reward > 0.5", {"gap": "number", "chosen_reward": "number"}),
    ],
)
def test_a_name_has_the_kind_of_its_use(text: str, expected: dict[str, str]) -> None:
    assert list(kinds(text).items()) == list(expected.items())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("reward", "reward"),
        ("metadata.category", "metadata.category"),
        ('metadata["category"]', "metadata.category"),
        ('metadata["odd key"]', 'field["metadata"]["odd key"]'),
        ('field["a"][0]', "a.0"),
        ("response.output[-1].type", "response.output.-1.type"),
        ('field["a"].b[0]', "a.b.0"),
        ("rejected_a[0].b", "rejected_a.0.b"),
        ('field["pass@1"]["mean"]', 'field["pass@1"]["mean"]'),
        ('field["reward"]', 'field["reward"]'),
        ("field", "field"),
        ("field.a", "field.a"),
        ("chosen_reward", "chosen_reward"),
        ("chosen_metadata.category", "chosen_metadata.category"),
        ('rejected_metadata["odd key"]', 'rejected_field["metadata"]["odd key"]'),
        ('chosen_field["pass@1"]', 'chosen_field["pass@1"]'),
        ('field["chosen_x"]["odd key"]', 'field["chosen_x"]["odd key"]'),
    ],
)
def test_a_column_has_one_name(text: str, name: str) -> None:
    assert list(parse(f"{text} == 1").names) == [name]


def test_two_spellings_of_a_column_are_one_name() -> None:
    assert kinds('a.b == "x" and a["b"] != "y"') == {"a.b": "text"}


def test_white_space_around_an_expression_is_nothing() -> None:
    assert kinds("  a > 1\n") == {"a": "number"}


# --- what it refuses


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a > 1 and a == 'x'", "'a' is used as number and as text"),
        ("a and a > 1", "'a' is used as boolean and as number"),
        ("a == b and b == 'x'", "'b' is used as number and as text"),
        ("reward", "'reward' is of the kind number, used here as boolean"),
        ("truncated > 0", "'0' is of the kind number, used here as boolean"),
        ("model == 1", "'1' is of the kind number, used here as text"),
        ("1 == model", "'model' is of the kind text, used here as number"),
        ("chosen_truncated + 1 > 0", "'chosen_truncated' is of the kind boolean"),
        ("not gap", "'gap' is of the kind number"),
        ("model in (1, 2)", "kind"),
        ("a > 'x'", "compared as text, which has no order"),
        ("a <= True", "compared as boolean, which has no order"),
        ("a in (1, 'x')", "'a' is used as number and as text"),
        ("a + 'x' > 1", "\"'x'\" is of the kind text, used here as number"),
        ("-True < a", "'True' is of the kind boolean"),
    ],
)
def test_a_kind_that_does_not_fit_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("text", "bit"),
    [
        ('__import__("os").system("x")', "__import__"),
        ("__import__('os')", "__import__"),
        ("open('/tmp/x')", r"open\('/tmp/x'\)"),
        ("len(a) > 1", r"len\(a\)"),
        ("a.lower() == 'x'", r"a.lower\(\)"),
        ("reward.__class__ == 1", "__class__"),
        ("'x'.upper == 'X'", "'x'.upper"),
        ("(a > 1).b", r"\(a > 1\).b"),
        ("lambda: 1", "lambda"),
        ("(lambda: a)() > 1", "lambda"),
        ("f'{a}' == 'x'", "f'"),
        ("[a for a in b]", "for a in b"),
        ("{a: 1}", "{a: 1}"),
        ("(a := 1) > 0", "a := 1"),
        ("a if b else c", "a if b else c"),
        ("a ** 2 > 1", r"a \*\* 2"),
        ("a % 2 == 0", "a % 2"),
        ("a // 2 == 0", "a // 2"),
        ("a @ b > 0", "a @ b"),
        ("a & b", "a & b"),
        ("a | b > 1", r"a \| b"),
        ("~a", "~a"),
        ("+a > 1", r"\+a"),
        ("a + b", r"a \+ b"),
        ("a[b] > 1", "'b' cannot be a key"),
        ("a[-1.5] > 1", "'-1.5' cannot be a key"),
        ("a[b].c > 1", "'b' cannot be a key"),
        ("a[1:2] > 1", "'1:2' cannot be a key"),
        ("a[True] > 1", "'True' cannot be a key"),
        ("a['x', 'y'] > 1", "cannot be a key"),
        ("(yield) > 1", "yield"),
        ("(await a) > 1", "await a"),
        ("a in b", "'b' cannot follow `in`"),
        ("'x' not in tags", "'tags' cannot follow `in`.* is found by a named column, .*regex: "),
        ("a in ()", r"'\(\)' cannot follow `in`"),
        ("a in (b, 1)", r"'\(b, 1\)' cannot follow `in`"),
        ("a in (1 + 1, 2)", "cannot follow `in`"),
        ("a in (*b, 1)", "cannot follow `in`"),
        ("a in 'abc'", "\"'abc'\" cannot follow `in`"),
        ("a in (None, 1)", "'None' cannot be compared with; write `column is None`"),
        ("a is True", "write `column is None`"),
        ("a is (yield)", "write `column is None`"),
        ("(a + 1) is None", r"a \+ 1"),
        ("None is None", "None"),
        ("a == None", "'None' cannot be compared with; write `column is None`"),
        ("(a > 1) == True", "'a > 1' cannot be used"),
        ("a == b'x'", "b'x'"),
        ("a == 1j", "1j"),
        ("a == ...", r"'\.\.\.'"),
        ("a > 1e999", "'1e999' is not a finite number"),
        ("a > -1e999", "'1e999' is not a finite number"),
        ("a > 1" + "0" * 400, "is not a finite number"),
        ("a == 9007199254740993", "'9007199254740993' is an integer that no column can hold"),
        ("-9007199254740993 != a", "'-9007199254740993' is an integer that no column can hold"),
        ("a in (1, 9007199254740993)", "'9007199254740993' is an integer that no column can hold"),
        ("a == true", "'true' is no name here"),
        ("a is null", "'null' is no name here"),
        ("é > 1", "'é' is no name here"),
        ("\ufb01eld > 1", "is no name here"),
        ("a > 1 # b", "'# b' is a comment"),
        ("1 < 2", "'1 < 2' names no column"),
        ("True", "'True' names no column"),
        ("'x'", "is of the kind text"),
        ("", "cannot be read"),
        ("a >", "cannot be read"),
        ("a = 1", "cannot be read"),
        ("a > 1; b", "cannot be read"),
        ("a > 1\nb > 1", "cannot be read"),
        ("import os", "cannot be read"),
        ("a > 0.5 AND b", "cannot be read"),
        ("a == '\\d'", "cannot be read"),
        ("a\0 > 1", "cannot be read"),
        ("a == '\ud800'", "cannot be read"),
        ("a == '\\ud800'", "surrogates"),
        ("a['\\ud800'] == 1", "surrogates"),
        ("(" * 10_000 + "a" + ")" * 10_000, "is longer than 4000"),
        ("(" * 1_900 + "a" + ")" * 1_900, "cannot be read"),
        ("-" * 3_900 + "a > 1", "cannot be read|nested deeper"),
        ("not " * 900 + "a", "cannot be read|nested deeper"),
        ("not " * 50 + "a", "nested deeper than 50"),
        ("a" + ".b" * 1_900, "cannot be read|nested deeper"),
        ("a" + "[0]" * 1_300 + " > 1", "cannot be read|nested deeper"),
        ("a > 1" + " + 1" * 60, "nested deeper than 50"),
    ],
)
def test_everything_else_is_refused_and_nothing_is_evaluated(
    text: str, bit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluated(*_: object) -> None:
        raise AssertionError("evaluated")

    monkeypatch.setattr(os, "system", evaluated)
    monkeypatch.setattr(builtins, "eval", evaluated)
    monkeypatch.setattr(builtins, "exec", evaluated)
    with pytest.raises(ValueError, match=bit):
        parse(text)


def test_what_is_refused_is_told_with_what_is_allowed() -> None:
    with pytest.raises(ValueError, match=r"^'len\(a\)' cannot be used here\. Allowed: columns"):
        parse("len(a) > 1")


def test_fifty_levels_are_allowed() -> None:
    assert kinds("not " * 49 + "a") == {"a": "boolean"}


def test_a_refusal_of_a_long_text_is_short() -> None:
    with pytest.raises(ValueError, match="…") as error:
        parse("f(" + "a, " * 1_000 + "a)")
    assert len(str(error.value)) < 400


def test_missing_refuses_what_parse_refuses() -> None:
    with pytest.raises(ValueError, match="-a"):
        missing_in("-a")


# --- an oracle: three-valued logic in plain Python

Node = tuple[Any, ...]
NUMBERS = st.sampled_from([-1, 0, 0.2, 0.5, 0.7, 0.7999999999999999, 0.8, 1, 2])
COLUMNS = {
    "number": (("x", "y.z", ODD), NUMBERS),
    "text": (("s", "model"), st.sampled_from(["", "a", 'quote"\\', "é"])),
    "boolean": (("p", "truncated"), st.booleans()),
}


def column(kind: str) -> st.SearchStrategy[Node]:
    return st.sampled_from(COLUMNS[kind][0]).map(lambda name: ("column", name))


def constant(kind: str) -> st.SearchStrategy[Node]:
    return COLUMNS[kind][1].map(lambda value: ("constant", value))


number = st.recursive(
    column("number") | constant("number"),
    lambda inner: (
        st.tuples(st.just("arithmetic"), inner, st.sampled_from("+-*/"), inner)
        | st.tuples(st.just("minus"), inner)
    ),
    max_leaves=4,
)
ORDER = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
SAME = st.sampled_from(["==", "!="])
IN = st.sampled_from(["in", "not in"])


def in_list(value: st.SearchStrategy[Node], kind: str) -> st.SearchStrategy[Node]:
    return st.tuples(st.just("in"), value, IN, st.lists(constant(kind), min_size=1, max_size=3))


leaf = st.one_of(
    st.tuples(st.just("chain"), number, ORDER, number),
    st.tuples(st.just("chain"), number, ORDER, number, ORDER, number),
    st.tuples(st.just("chain"), column("text"), SAME, constant("text")),
    st.tuples(st.just("chain"), constant("boolean"), SAME, column("boolean")),
    in_list(number, "number"),
    in_list(column("text"), "text"),
    in_list(column("boolean"), "boolean"),
    st.tuples(
        st.just("is"),
        st.one_of(*map(column, COLUMNS)),
        st.sampled_from(["is None", "is not None"]),
    ),
    column("boolean"),
)
expression = st.recursive(
    leaf,
    lambda inner: (
        st.tuples(st.just("not"), inner)
        | st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3))
    ),
    max_leaves=6,
)
row = st.fixed_dictionaries(
    {name: st.none() | values for names, values in COLUMNS.values() for name in names}
)


def written(node: Node) -> str:
    match node:
        case "column", name:
            return str(name)
        case "constant", value:
            return repr(value)
        case ("minus", inner):
            return f"(-{written(inner)})"
        case "not", inner:
            return f"(not {written(inner)})"
        case ("and" | "or") as word, parts:
            return "(" + f" {word} ".join(map(written, parts)) + ")"
        case "is", inner, word:
            return f"({written(inner)} {word})"
        case "in", inner, word, items:
            return f"({written(inner)} {word} [{', '.join(map(written, items))}])"
    parts = [part if isinstance(part, str) else written(part) for part in node[1:]]
    return f"({' '.join(parts)})"


def compared(a: Any, word: str, b: Any) -> bool | None:
    if a is None or b is None:
        return None
    if isinstance(a, str | bool):
        return bool(a == b) == (word == "==")
    equal = abs(a - b) <= 1e-9
    table: dict[str, bool] = {
        "==": equal,
        "!=": not equal,
        "<": a < b and not equal,
        "<=": a < b or equal,
        ">": a > b and not equal,
        ">=": a > b or equal,
    }
    return table[word]


def flipped(value: bool | None) -> bool | None:
    return None if value is None else not value


def all_of(values: list[bool | None]) -> bool | None:
    return False if False in values else None if None in values else True


def any_of(values: list[bool | None]) -> bool | None:
    return True if True in values else None if None in values else False


def evaluated(node: Node, values: dict[str, Any]) -> Any:
    match node:
        case "column", name:
            return values[name]
        case "constant", value:
            return value
        case "minus", inner:
            value = evaluated(inner, values)
            return None if value is None else -value
        case "arithmetic", left, sign, right:
            a, b = evaluated(left, values), evaluated(right, values)
            if a is None or b is None or (sign == "/" and b == 0):
                return None
            return (
                a + b if sign == "+" else a - b if sign == "-" else a * b if sign == "*" else a / b
            )
        case "not", inner:
            return flipped(evaluated(inner, values))
        case "and", parts:
            return all_of([evaluated(part, values) for part in parts])
        case "or", parts:
            return any_of([evaluated(part, values) for part in parts])
        case "is", inner, word:
            return (evaluated(inner, values) is None) == (word == "is None")
        case "in", inner, word, items:
            value = evaluated(inner, values)
            found = any_of([compared(value, "==", evaluated(item, values)) for item in items])
            return found if word == "in" else flipped(found)
    _, *chain = node
    links = zip(chain[::2], chain[1::2], chain[2::2], strict=False)
    return all_of(
        [compared(evaluated(a, values), word, evaluated(b, values)) for a, word, b in links]
    )


def names_in(node: Any) -> list[str]:
    if isinstance(node, tuple) and node[0] == "column":
        return [node[1]]
    parts = node if isinstance(node, tuple | list) else []
    return list(dict.fromkeys(name for part in parts for name in names_in(part)))


def cause(node: Node, values: dict[str, Any]) -> str | None:
    if evaluated(node, values) is not None:
        return None
    if node[0] in ("and", "or"):
        return next(filter(None, (cause(part, values) for part in node[1])))
    if node[0] == "not":
        return cause(node[1], values)
    absent = [name for name in names_in(node) if values[name] is None]
    return f"missing_{absent[0]}" if absent else "undecided"


SCHEMA = {
    name: {"number": pl.Float64, "text": pl.String, "boolean": pl.Boolean}[kind]
    for kind, (names, _) in COLUMNS.items()
    for name in names
}


@settings(deadline=None, max_examples=often(40, 400))
@given(expression.filter(names_in), st.lists(row, min_size=1, max_size=8))
def test_every_expression_decides_as_the_slow_interpreter(
    node: Node, rows: list[dict[str, Any]]
) -> None:
    text = written(node)
    frame = pl.DataFrame(rows, schema=SCHEMA, strict=False)
    got = frame.lazy().with_columns(result=to_polars(text), why=missing_in(text)).collect()
    assert got["result"].to_list() == [evaluated(node, values) for values in rows]
    assert got["why"].to_list() == [cause(node, values) for values in rows]
    assert list(parse(text).names) == names_in(node)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('model == "a"', [("model", ("a",), True)]),
        ('"a" != model', [("model", ("a",), False)]),
        ('metadata.kind in ("a", "b") or x > 1', [("metadata.kind", ("a", "b"), True)]),
        ('x > 1 and not (chosen_kind not in ["a"])', [("chosen_kind", ("a",), False)]),
        ("x == 1 and model == agent and x in (1, 2)", []),
    ],
)
def test_the_texts_that_a_column_is_compared_with_are_known(text: str, found: list[Any]) -> None:
    assert [(each.column, each.texts, each.asked) for each in texts(text)] == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "invalid syntax; `==` is written for =. Allowed"),
        ("x => 1", "invalid syntax; `>=` is written for =>. Allowed"),
        ("x =< 1 AND y", "`<=` is written for =<; `and` is written for AND. Allowed"),
        ("x <> 1 OR y", "`!=` is written for <>; `or` is written for OR. Allowed"),
        ("NOT y", "`not` is written for NOT. Allowed"),
        ("x > 1 && not y", "`and` is written for &&. Allowed"),
        ("!x || y != 1", "`or` is written for ||; `not` is written for !. Allowed"),
    ],
)
def test_signs_of_other_languages_are_told_as_ours(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be read") as caught:
        parse(text)
    assert said in str(caught.value)
