"""The names a recipe may use, and what a path finds in a line."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gymrecipe.errors import RecipeError
from gymrecipe.rollouts.columns import (
    BUILT_IN,
    OWN,
    Column,
    Kind,
    find,
    merge,
    name_of,
    parse_path,
    split_side,
    typed,
)
from gymrecipe.rollouts.frames import empty_rows
from gymrecipe.rollouts.wanted import Wanted

KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["a", "b_c", "x-y", "0", "01", "٣", "pass@1", 'q"', "back\\", "a.b", "reward", "row", "]", "\n"]
)
PATHS = st.tuples(KEYS | st.integers(0, 99), *[st.none() | KEYS | st.integers(0, 99)] * 3).map(
    lambda parts: tuple(part for part in parts if part is not None)
)


@given(PATHS)
@example(("reward",))
@example(("a", "3"))
@example(("a", 3))
def test_the_name_of_a_path_parses_to_that_path(path: tuple[Any, ...]) -> None:
    assert parse_path(name_of(path)) == path


@given(PATHS)
def test_the_name_of_a_path_is_never_a_column_of_our_own(path: tuple[Any, ...]) -> None:
    assert name_of(path) not in {*BUILT_IN, *OWN}


@given(PATHS, PATHS)
def test_two_paths_never_share_a_name(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    assert (name_of(one) == name_of(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("accuracy", ("accuracy",)),
        ("metadata.category", ("metadata", "category")),
        ("a.0.b-c", ("a", 0, "b-c")),
        ("a.-1.b", ("a", -1, "b")),
        ('field["a"][-2]', ("a", -2)),
        ('field["pass@1"]["mean"]', ("pass@1", "mean")),
        ("field['it']", ("it",)),
        ('field["a"][3]', ("a", 3)),
        (r'field["a\"b\\c"]', ('a"b\\c',)),
        ('field["reward"]', ("reward",)),
    ],
)
def test_a_name_is_a_path(name: str, path: tuple[Any, ...]) -> None:
    assert parse_path(name) == path


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "0.a",
        "-1.a",
        "a.--1",
        "a b",
        "pass@1",
        "field[",
        "field[]",
        'field["a"]b',
        "-a",
    ],
)
def test_what_is_no_path_is_an_error_that_says_how_to_write_one(name: str) -> None:
    with pytest.raises(ValueError, match="is not a path; write it as"):
        parse_path(name)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("pass@1", 'field["pass@1"]'),
        ("scores.pass@1", 'field["scores"]["pass@1"]'),
        ("a b", 'field["a b"]'),
        ('a"b', 'field["an odd key"]'),
    ],
)
def test_an_odd_key_is_told_as_it_is_written(name: str, written: str) -> None:
    said = f"'{name}' is not a path; write it as a.b or {written}"
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        parse_path(name)


def test_an_index_in_brackets_is_told_how_it_is_written() -> None:
    with pytest.raises(
        ValueError, match=r"'a\[-1\]\.b\[0\]' is not a path; write it as a\.-1\.b\.0,"
    ):
        parse_path("a[-1].b[0]")


LINE = b'{"a": {"b": [1, {"c": null}]}, "t": "x", "n": 7, "b": true, "1": 2}'


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (("a", "b", 0), b"1"),
        (("a", "b", 1, "c"), b"null"),
        (("a", "b", 2), None),
        (("a", "b", -1, "c"), b"null"),
        (("a", "b", -2), b"1"),
        (("a", "b", -3), None),
        (("a", "b", "0"), None),
        (("a", 0), None),
        (("t", "x"), None),
        (("z",), None),
        ((1,), None),
        (("1",), b"2"),
        (("a", "b", 10**30), None),
    ],
)
def test_a_path_finds_what_lies_there_or_nothing(
    path: tuple[Any, ...], found: bytes | None
) -> None:
    raw = find(LINE, path)
    assert (None if raw is None else bytes(raw)) == found


@pytest.mark.parametrize(
    ("text", "number", "word", "truth"),
    [
        (b"0.0", 0.0, None, None),
        (b"7", 7.0, None, None),
        (b'"0.5"', None, "0.5", None),
        (b"true", None, None, True),
        (b"false", None, None, False),
        (b"null", None, None, None),
        (b"[1]", None, None, None),
        (b'{"a": 1}', None, None, None),
    ],
)
def test_a_value_of_another_kind_is_missing(
    text: bytes, number: Any, word: Any, truth: Any
) -> None:
    found = [typed(text, kind) for kind in ("number", "text", "boolean")]
    assert found == [number, word, truth]
    assert [type(value) for value in found] == [type(number), type(word), type(truth)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('"a b"', "a b"),
        ('["a", 1, null, "b"]', "a\n1\nb"),
        ("[]", ""),
        ("3.0", "3"),
        ("true", "true"),
        ('{"a": "b"}', "b"),
        ('{"role": "user", "content": [{"text": "a", "n": 1}, [true]]}', "user\na\n1\ntrue"),
        ("{}", ""),
        ("null", None),
    ],
)
def test_the_texts_of_a_list_or_an_object_are_a_line_each(text: str, found: str | None) -> None:
    assert typed(text.encode(), "texts") == found


@pytest.mark.parametrize(
    ("text", "there"),
    [("1", True), ('"x"', True), ("false", True), ("[]", True), ("{}", True), ("null", False)],
)
def test_of_any_kind_is_whatever_stands_there(text: str, there: bool) -> None:
    assert typed(text.encode(), "any") is (True if there else None)


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ('"math"', "math"), ("3", "3"), ("3.0", "3"), ("-0.5", "-0.5"), ("true", "true"),
        ("9007199254740993", "9007199254740993"), ("null", None), ("[1]", None), ("{}", None),
    ],
)  # fmt: skip
def test_a_category_is_a_text_or_what_a_number_or_boolean_is_called(
    text: str, called: str | None
) -> None:
    assert typed(text.encode(), "category") == called


@pytest.mark.parametrize("kind", ["number", "text", "boolean"])
def test_a_category_has_the_kind_of_another_use(kind: Kind) -> None:
    column, other = Column("a", (("a",),), "category"), Column("a", (("a",),), kind)
    assert merge([column, other]) == merge([other, column]) == [other]


def test_a_column_of_any_kind_is_the_category_of_its_other_use() -> None:
    asked, column = Column("a", (("a",),), "any"), Column("a", (("a",),), "category")
    assert merge([asked, column]) == merge([column, asked]) == [column]


def test_an_absent_value_is_missing() -> None:
    assert typed(None, "number") is None


def test_a_name_asked_for_twice_is_one_column() -> None:
    one = Column("a", (("a",),), "number", optional=True)
    assert merge([one, one]) == [one]


def test_a_column_that_one_use_needs_is_not_optional() -> None:
    loose = Column("a", (("a",),), "number", optional=True)
    firm = Column("a", (("a",),), "number")
    assert merge([loose, firm]) == merge([firm, loose]) == [firm]


@pytest.mark.parametrize("kind", ["number", "text", "boolean"])
def test_a_column_of_any_kind_has_the_kind_of_its_other_use(kind: Kind) -> None:
    asked = Column("a", (("a",),), "any")
    known = Column("a", (("a",),), kind)
    optional = msgspec.structs.replace(known, optional=True)
    assert merge([asked, known]) == merge([known, asked]) == [known]
    assert merge([asked, optional]) == merge([optional, asked]) == [known]


def test_a_column_of_two_kinds_is_a_conflict_and_all_conflicts_are_told() -> None:
    kinds = [Column(name, ((name,),), kind) for name in "ab" for kind in ("number", "text")]
    with pytest.raises(RecipeError) as caught:
        merge(kinds)
    assert [line.split(";")[0] for line in caught.value.problems] == [
        "columns: 'a' is used as a number and as a text",
        "columns: 'b' is used as a number and as a text",
    ]


@pytest.mark.parametrize("name", [*OWN, "line"])
def test_a_column_may_not_take_the_name_of_one_of_ours(name: str) -> None:
    wanted = Wanted(columns=(Column(name, ((name,),), "text"),), reward=("reward",))
    with pytest.raises(RecipeError, match=rf"'{name}' is a column of gymrecipe's own; write field"):
        empty_rows(wanted)


def test_no_column_of_the_table_has_a_name_that_a_recipe_can_take() -> None:
    names = empty_rows(Wanted(reward=("reward",))).columns
    assert not {*names} - {*BUILT_IN, *OWN}


@pytest.mark.parametrize(
    ("name", "side", "rest"),
    [
        ("chosen_reward", "chosen", "reward"),
        ("chosen_rejected_count", "chosen", "rejected_count"),
        ("reward", "", "reward"),
        ("chosen", "", "chosen"),
        ("chosenness_x", "", "chosenness_x"),
    ],
)
def test_a_column_of_a_pair_has_one_side(name: str, side: str, rest: str) -> None:
    assert split_side(name) == (side, rest)
