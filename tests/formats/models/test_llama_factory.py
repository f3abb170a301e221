"""The models of a line of `llama_factory`."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gymrecipe.formats.models.llama_factory import LINES, traps

ASK, SAY = {"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}
SEE = {"from": "observation", "value": "x"}
CALL = {"from": "function_call", "value": '[{"name": "f", "arguments": {"x": 1}}]'}
THOUGHT = {**CALL, "value": '[{"name": "f", "arguments": {"x": "<think>a</think>"}}]'}
TWICE = f"<tool_call>{CALL['value']}</tool_call>" * 2
TOOLS = '[{"name": "f", "parameters": {}}]'


def row(*turns: Any, **more: Any) -> dict[str, Any]:
    return {"conversations": list(turns), "system": "", **more}


@pytest.mark.parametrize(
    "turns",
    [
        (ASK, SAY),
        (ASK, CALL),
        (ASK, CALL, SEE, SAY),
        (ASK, {**CALL, "value": f"So:\n<tool_call>{CALL['value']}</tool_call>"}, SEE, SAY),
        (ASK, {**CALL, "value": f"<think>\nHm.\n</think>\n\n{CALL['value']}"}, SEE, SAY),
    ],
)
def test_what_alternates_is_accepted(turns: Any) -> None:
    LINES["sft"].model_validate(row(*turns))


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        ((ASK, ASK, SAY), "leaves the row out"),
        ((SAY, ASK), "leaves the row out"),
        ((ASK,), "should end on"),
        ((), "should end on"),
        ((ASK, {**CALL, "value": "f(x)"}), "JSON text"),
        ((ASK, {**CALL, "value": "[]"}), "should have a call"),
        ((ASK, {**CALL, "value": '[{"name": "f"}]'}), "'arguments'"),
        ((ASK, {**CALL, "value": '[{"name": 1, "arguments": {}}]'}), "'name' should be a text"),
        ((ASK, {**CALL, "value": f"So:\n<tool_call>{CALL['value']}"}), "JSON text"),
        ((ASK, {**CALL, "value": '[{"name": "f", "arguments": "{}"}]'}), "encoded twice"),
    ],
)
def test_what_would_be_left_out_is_refused(turns: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        LINES["sft"].model_validate(row(*turns))


@pytest.mark.parametrize("more", [{"tools": " "}, {"tools": "{}"}, {"tools": []}, {"system": 1}])
def test_tools_and_system_are_texts(more: Any) -> None:
    LINES["sft"].model_validate(row(ASK, SAY, tools="[]"))
    LINES["sft"].model_validate(row(ASK, SAY, tools=None) | {"system": None})
    with pytest.raises(ValidationError):
        LINES["sft"].model_validate(row(ASK, SAY) | more)


def test_a_label_is_a_boolean() -> None:
    LINES["kto"].model_validate(row(ASK, SAY, kto_tag=True))
    with pytest.raises(ValidationError, match="kto_tag"):
        LINES["kto"].model_validate(row(ASK, SAY, kto_tag=1))


def test_a_pair_ends_on_the_question_and_has_one_message_a_side() -> None:
    LINES["dpo"].model_validate(row(ASK, chosen=SAY, rejected=CALL))
    with pytest.raises(ValidationError, match="chosen"):
        LINES["dpo"].model_validate(row(ASK, chosen=[SAY], rejected=SAY))
    with pytest.raises(ValidationError, match="should end on"):
        LINES["dpo"].model_validate(row(ASK, SAY, chosen=SAY, rejected=CALL))


@pytest.mark.parametrize(
    ("line", "purpose", "said"),
    [
        (row({**ASK, "value": "{{idx}}"}, SAY), "sft", "number of the turn"),
        (row(ASK, {**CALL, "value": '[{"name": "<think></think>"}]'}), "sft", "taken out"),
        (row(ASK, {**CALL, "value": TWICE}), "sft", "only the first"),
        (row(ASK, CALL), "sft", "conversations.1: calls 'f', a name that no tool has"),
        (row(ASK, chosen=SAY, rejected=CALL), "dpo", "rejected: calls 'f'"),
        (
            row(ASK, {**CALL, "value": f"<tool_call>{CALL['value']}</tool_call>So."}),
            "sft",
            "before",
        ),
        (row(ASK, chosen=SAY, rejected=THOUGHT), "dpo", "taken"),
        (row({"from": "system", "value": "a"}, ASK, SAY) | {"system": "b"}, "sft", "is not read"),
        (row(ASK, {**SAY, "value": ""}, kto_tag=True), "kto", "unwanted"),
        (row({**ASK, "value": "<image>"}, SAY), "sft", "model that sees"),
        (row(ASK, chosen=SAY, rejected=SAY), "dpo", "say the same"),
    ],
)
def test_each_trap_is_told(line: Any, purpose: Any, said: str) -> None:
    assert said in " ".join(traps(line, purpose))


def test_thoughts_are_not_looked_for_in_calls_between_marks() -> None:
    marked = {**CALL, "value": f"So:\n<tool_call>{THOUGHT['value']}</tool_call>"}
    assert list(traps(row(ASK, marked, tools=TOOLS), "sft")) == []
    half = {**CALL, "value": THOUGHT["value"].replace("</think>", "")}
    assert list(traps(row(ASK, half, tools=TOOLS), "sft")) == []
