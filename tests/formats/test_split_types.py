"""Which columns a loader cannot have of both splits at once."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from gymrecipe.formats.shapes import Shapes
from gymrecipe.formats.split_types import apart
from gymrecipe.rollouts.chat import Function, Message, ToolCall

ASK = Message("user", "hi")
THINK = Message("assistant", "hi", reasoning_content="hm")


def call(**arguments: Any) -> Message:
    return Message(
        "assistant", "", tool_calls=[ToolCall(id="c", function=Function("f", arguments))]
    )


def shown(*values: Any) -> set[str]:
    shapes = Shapes()
    for value in values:
        shapes.add({"a": value})
    return set().union(*shapes.known)


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        (None, "text"),
        ("text", 1),
        (1, 0.5),
        ([ASK], [ASK, THINK]),
        ([call(x=1)], [call(y=1)]),
        ([call(x=1, y=1)], [call(x=1)]),
        ([call(x="1")], [call(x=1)]),
        ([call(x=1)], [ASK]),
        ([{"p": {"a": 1}}], [{"p": {"b": 1}}]),
    ],
)
def test_other_keys_or_types_are_apart(train: Any, validation: Any) -> None:
    assert apart(shown(train), shown(validation)) == ["a"]


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        (["text"], ["text", None]),
        ([Raw(b"1")], [Raw(b"9007199254740993")]),
        ([[ASK, THINK]], [[ASK, call(x=1)]]),
        ([[call(x=1)], [call(y=1)]], [[call(z=1)]]),
        ([[call()]], [[call(z=1)]]),
        ([[call(x={"y": 1})], [call(x={"z": 1})]], [[call(x={"u": 1})]]),
        ([[call(x=1)]], [[call(x=2)]]),
        ([Raw(b'{"x":1}')], [Raw(b'{"x":null}')]),
    ],
)
def test_what_the_loader_keeps_as_it_is_or_knows_is_not(train: Any, validation: Any) -> None:
    assert apart(shown(*train), shown(*validation)) == []
