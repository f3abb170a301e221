"""The models of a line of `ms_swift`."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gymrecipe.formats.models.ms_swift import LINES, traps
from gymrecipe.formats.ms_swift import REACT
from tests.formats.models.conftest import validate

ASK, SAY = {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}
CALL = {"role": "tool_call", "content": '{"name": "f", "arguments": {}}'}
SEE = {"role": "tool_response", "content": "x"}


def named(tool: str) -> str:
    return f'{{"name": "{tool}", "arguments": {{}}}}'


TOLD = {"id": "", "type": "function", "function": {"name": "f", "arguments": {}}}


@pytest.mark.parametrize("turns", [(ASK, SAY), (ASK, SAY, CALL, CALL, SEE, SEE, SAY), (ASK, CALL)])
def test_its_own_roles_in_order_are_accepted(turns: Any) -> None:
    validate(LINES["sft"], {"messages": list(turns)})


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        ((ASK,), "should end on the model"),
        ((), "should end on the model"),
        ((ASK, ASK, SAY), "glues or drops"),
        ((ASK, CALL, SEE, ASK, SAY), "glues or drops"),
        ((SAY, ASK, SAY), "begins with the model"),
        ((ASK, SAY, SAY), "a second message"),
        ((ASK, SEE, SAY), "answers no call"),
        ((ASK, CALL, SEE, SEE, SAY), "messages.3: answers no call"),
        ((ASK, CALL, CALL, SEE, SAY), "messages.1: a call has no output that answers it"),
        ((ASK, CALL, ASK, SAY), "messages.1: a call has no output that answers it"),
        ((ASK, CALL, CALL, SEE, CALL, SEE, SAY), "messages.1: a call has no output"),
        ((ASK, {**SAY, "tool_calls": [TOLD, TOLD]}, SEE, SAY), "messages.1: a call has no output"),
        ((ASK, SAY, {"role": "system", "content": ""}, SAY), "only be the first"),
        ((ASK, {**CALL, "content": "f()"}), "JSON text of a call"),
        ((ASK, {**CALL, "content": '{"name": "f", "arguments": "{}"}'}), "as an object"),
        ((ASK, {**CALL, "content": '{"arguments": {}}'}), "an object with 'name'"),
        ((ASK, {**SAY, "role": "developer"}, SAY), "role"),
    ],
)
def test_other_orders_and_roles_are_refused(turns: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        validate(LINES["sft"], {"messages": list(turns)})


def test_a_prompt_ends_on_what_is_asked() -> None:
    validate(LINES["rl"], {"messages": [ASK]})
    validate(LINES["rl"], {"messages": [ASK, CALL, CALL, SEE, SEE]})
    with pytest.raises(ValidationError, match=r"messages.1: a call has no output"):
        validate(LINES["rl"], {"messages": [ASK, CALL, CALL, SEE]})
    with pytest.raises(ValidationError, match="should end on the user"):
        validate(LINES["rl"], {"messages": [ASK, SAY]})


def test_a_margin_is_a_number_where_there_is_one() -> None:
    row: dict[str, Any] = {"messages": [ASK, SAY], "rejected_messages": [ASK, CALL]}
    validate(LINES["dpo"], row)
    validate(LINES["reward_model"], row | {"margin": 0.5})
    validate(LINES["reward_model"], row)
    with pytest.raises(ValidationError, match="margin"):
        validate(LINES["reward_model"], row | {"margin": "0.5"})
    with pytest.raises(ValidationError, match="rejected_messages"):
        validate(LINES["dpo"], row | {"rejected_messages": [ASK]})


def test_a_label_is_a_boolean_or_its_number() -> None:
    validate(LINES["kto"], {"messages": [ASK, SAY], "label": 1})
    with pytest.raises(ValidationError, match="label"):
        validate(LINES["kto"], {"messages": [ASK, SAY], "label": 2})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"messages": [ASK, SAY | {"reasoning_content": "Hm."}]}, "taken away"),
        ({"messages": [ASK | {"content": "{{QUERY}}"}, SAY]}, "is replaced"),
        ({"messages": [ASK, SAY], "rejected_messages": [ASK, SAY]}, "say the same"),
        (
            {
                "messages": [ASK, SAY | {"tool_calls": [TOLD | {"id": "a"}]}],
                "rejected_messages": [ASK, SAY | {"tool_calls": [TOLD | {"id": "b"}]}],
            },
            "say the same",
        ),
        (
            {"messages": [ASK, *(CALL | {"content": named(mark)} for mark in REACT)]},
            "messages.1: Action: and Action Input: in a call",
        ),
        ({"messages": [ASK, CALL]}, "messages.1: calls 'f', a name that no tool has"),
        ({"messages": [ASK, SAY | {"tool_calls": [TOLD]}]}, "messages.1: calls 'f'"),
        (
            {"messages": [ASK, SAY], "rejected_messages": [ASK, CALL], "rejected_tools": "[]"},
            "rejected_messages.1: calls 'f'",
        ),
        (
            {"messages": [ASK, SAY], "rejected_messages": [ASK, CALL], "tools": "[1]"},
            "shown no tools",
        ),
    ],
)
def test_each_trap_is_told(row: Any, said: str) -> None:
    assert said in " ".join(traps(row, "sft"))
