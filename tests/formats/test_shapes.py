"""Shapes: the keys and types that a loader has to see first."""

from array import array
from typing import Any

from gymrecipe.formats.shapes import Shapes, leaders
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


def test_no_rows_need_no_leader() -> None:
    assert leaders([], array("I")) == []
