"""Shapes: the keys and types that a loader has to see first."""

import json
from array import array
from typing import Any

import pytest
from msgspec import Raw

from gymrecipe.formats.shapes import SORTS, Shapes, as_floats, leaders, mixed
from gymrecipe.rollouts.chat import Function, Message, ToolCall


def lead(*records: dict[str, Any]) -> list[int]:
    shapes = Shapes()
    for record in records:
        shapes.add(record)
    return leaders(shapes.known, shapes.of_rows)


def call(**arguments: Any) -> Message:
    return Message(
        "assistant", "", tool_calls=[ToolCall(id="c", function=Function("f", arguments))]
    )


ASK = Message("user", "hi")
SAY = Message("assistant", "hi")
THINK = Message("assistant", "hi", reasoning_content="hm")


def test_rows_of_one_shape_need_one_leader_and_it_is_the_first() -> None:
    assert lead({"messages": [ASK, SAY]}, {"messages": [ASK, SAY]}) == [0]


def test_a_row_with_more_keys_leads_alone_where_it_shows_all() -> None:
    assert lead({"messages": [ASK, SAY]}, {"messages": [ASK, THINK]}) == [1]


def test_rows_that_show_different_keys_lead_together_the_one_that_shows_most_first() -> None:
    assert lead({"m": [ASK, SAY]}, {"m": [ASK, THINK]}, {"m": [ASK, call(x=1), THINK]}) == [2]
    assert lead({"m": [ASK, THINK]}, {"m": [ASK, call(x=1)]}) == [0, 1]


def test_arguments_do_not_matter_where_messages_differ_in_their_keys() -> None:
    assert lead({"m": [ASK, call(x=1)]}, {"m": [ASK, call(y="a")]}) == [0]


def test_arguments_matter_where_every_message_is_a_call() -> None:
    assert lead({"m": [call(x=1)]}, {"m": [call(x=2)]}, {"m": [call(y=1)]}) == [0, 2]
    assert lead({"m": [call(x=1)]}, {"m": [call(x="a")]}) == [0, 1]


def test_a_column_has_to_be_seen_with_a_value() -> None:
    assert lead({"tools": None, "r": 0.5}, {"tools": "[]", "r": 0.5}) == [1]
    assert lead({"r": 1}, {"r": 0.5}) == [0, 1]


def test_tools_as_objects_show_their_keys_all_the_way_down() -> None:
    one = {"tools": [{"function": {"parameters": {"a": {"type": "string"}}}}]}
    other = {"tools": [{"function": {"parameters": {"b": {"type": "string"}}}}]}
    assert lead(one, one, other) == [0, 2]


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (b"[]", b'["a"]'),
        (b"[1]", b"[0.5]"),
        (b'{"a":1}', b'{"b":1}'),
        (b'{"a":[]}', b'{"a":[{"b":null}]}'),
        (b"{}", b'{"a":1}'),
    ],
)
def test_what_stands_as_in_its_line_shows_its_keys_and_types(first: bytes, later: bytes) -> None:
    rows = [{"c": Raw(first)}, {"c": Raw(first)}, {"c": Raw(later)}]
    assert sorted(lead(*rows)) == [0, 2]
    shapes = Shapes(inferred=False)  # a loader of lines infers nothing
    for row in rows:
        shapes.add(row)
    assert len(shapes.known) == 1


def test_objects_whose_keys_are_data_have_few_leaders() -> None:
    rows = [{"c": Raw(b'{"id_%d":1}' % n)} for n in range(2000)]
    assert len(lead(*rows)) <= SORTS


class Looked(frozenset[str]):
    """A shape that counts how often it is held against what is still missing."""

    times = 0

    def __and__(self, other: Any) -> frozenset[str]:
        Looked.times += 1
        return super().__and__(other)


def test_rows_that_each_show_something_new_are_looked_at_a_few_times_each() -> None:
    rows = 2000
    shapes: list[frozenset[str]] = [
        Looked({f"tools>{n}:str", f"b>{n // 2}:str"}) for n in range(rows)
    ]
    places = array("I", range(rows))
    assert leaders(shapes, places) == [*range(0, rows, 2), *range(1, rows, 2)]
    assert Looked.times <= 4 * rows


def test_no_rows_need_no_leader() -> None:
    assert leaders([], array("I")) == []


def shown(*numbers: str) -> set[str]:
    shapes = Shapes()
    for number in numbers:
        shapes.add({"n": Raw(number.encode())})
    return set().union(*shapes.known)


@pytest.mark.parametrize("whole", ["3", "-3", "0", "-0", str(2**53), str(-(2**53))])
@pytest.mark.parametrize("broken", ["0.5", "1e3", "-1E2"])
def test_whole_numbers_beside_fractions_are_made_floats_equal_to_them(
    whole: str, broken: str
) -> None:
    assert mixed(shown(whole, broken), ["n"]) == ({"n"}, set())
    record = as_floats(b'{"a":3,"n":%s}\n' % whole.encode(), {"n"})
    assert record == b'{"a":3,"n":%s.0}\n' % whole.encode()
    assert json.loads(record)["n"] == int(whole)


def test_numbers_too_wide_for_a_float_stay_and_are_told_of() -> None:
    for wide in (2**53 + 1, -(2**53) - 1, 2**70):
        assert mixed(shown("0.5", str(wide)), ["n"]) == (set(), {"n"})
        assert mixed(shown("0.5", "3", str(wide)), ["n"]) == (set(), {"n"})
        assert mixed(shown("3", str(wide)), ["n"]) == (set(), set())


def test_what_is_no_whole_number_stays_as_it_is() -> None:
    for value in ("0.5", "null", "true", '"3"', "[3]", '{"n":3}'):
        record = b'{"n":%s}\n' % value.encode()
        assert as_floats(record, {"n", "gone"}) == record
