"""The cautions: what is said of a conversation that is right."""

from __future__ import annotations

import pytest

from gymrecipe.formats.models.cautions import Caution, alike, cautions, no_tools
from tests.formats.models.conftest import ADD, ASK, RULE, SAY, Turn, call, output


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        ([{**RULE, "role": "developer"}, ASK, SAY], "messages.0: role 'developer'"),
        ([ASK, ASK, SAY], "messages.1: two 'user' messages in a row"),
        ([ASK, SAY, SAY], "messages.2: two 'assistant' messages in a row"),
        ([ASK, {**SAY, "content": " "}], "messages.1: a message of role 'assistant' without text"),
        ([ASK, {**SAY, "reasoning_contents": "x"}], "Did you mean 'reasoning_content'?"),
        ([ASK, call("a", name="ad")], "calls 'ad', a name that no tool has. Did you mean 'add'?"),
        ([ASK, call("")], "messages.1.tool_calls.0: no id"),
    ],
)
def test_what_some_templates_trip_over_is_a_caution(turns: list[Turn], said: str) -> None:
    found = list(cautions({"messages": turns, "tools": [ADD]}, "messages"))
    assert all(isinstance(text, Caution) for text in found)
    assert [said in text for text in found] == [True]


def test_a_plain_conversation_needs_no_caution() -> None:
    record = {"messages": [RULE, ASK, call("a"), output("a"), SAY], "tools": [ADD]}
    assert list(cautions(record, "messages", "prompt")) == []


def test_sides_are_alike_apart_from_call_ids() -> None:
    assert list(alike({"chosen": [call("a")], "rejected": [call("b")]}))
    assert list(alike({"chosen": "x", "rejected": "x"}))
    assert not list(alike({"chosen": [call("a")], "rejected": [call("a", arguments={})]}))
    assert not list(alike({"chosen": [SAY], "rejected": [{**SAY, "content": "43"}]}))


@pytest.mark.parametrize(("tools", "told"), [([], 1), ("[]", 1), (None, 0), ([ADD], 0)])
def test_an_empty_list_of_tools_is_a_caution(tools: object, told: int) -> None:
    found = list(no_tools({"tools": tools}))
    assert len(found) == told
    assert all("Llama" in text and isinstance(text, Caution) for text in found)
