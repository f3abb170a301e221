"""The models of a chat line: what they accept, and how each fault is told."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gymrecipe.checking.faults import faults as told
from gymrecipe.formats.models.chat import Answered, Pair, Prompted, Whole
from gymrecipe.formats.models.parts import EitherMessage, Message, TextMessage, Tools, ToolsText
from tests.formats.models.conftest import ADD, ASK, RULE, SAY, Turn, call, output


def whole(*turns: Turn, form: Any = Whole[Message]) -> list[str]:
    return list(told({"messages": list(turns)}, form))


@pytest.mark.parametrize(
    "turns",
    [
        (ASK, SAY),
        (RULE, ASK, SAY),
        ({**RULE, "role": "developer"}, ASK, SAY),
        (RULE, {**RULE, "role": "developer"}, ASK, SAY),  # `developer: keep` writes both
        (ASK, call("a"), output("a"), SAY),
        (ASK, call("a", "b"), output("b"), output("a"), SAY),
        (ASK, call("a"), output("a"), call("b"), output("b"), SAY),
        (ASK, call("a")),
        (ASK, SAY, ASK, SAY),
        (ASK, {**SAY, "reasoning_content": "6 * 7 = 42"}),
        (ASK, {**SAY, "token_ids": [1, 2], "name": "agent"}),
        (ASK, call("", ""), {**output(""), "content": "1"}, output(""), SAY),
    ],
)
def test_a_conversation_that_is_right_has_no_fault(turns: tuple[Turn, ...]) -> None:
    assert whole(*turns) == []


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        ((), "messages: should have a message, got an empty list"),
        ((ASK,), "messages: should end on the assistant, ends on 'user'"),
        ((ASK, call("a"), output("a")), "messages: should end on the assistant, ends on 'tool'"),
        ((ASK, RULE, SAY), "messages.1: a 'system' message can only be the first"),
        ((RULE, RULE, ASK, SAY), "messages.1: a 'system' message can only be the first"),
        (
            (ASK, {**RULE, "role": "developer"}, SAY),
            "messages.1: a 'developer' message can only be at the head",
        ),
        ((RULE, SAY), "messages.0: nothing is asked: no user or tool message"),
        ((ASK, call("a"), SAY), "messages.1.tool_calls: call 'a' has no tool message"),
        ((ASK, call("a", "b"), output("a"), SAY), "messages.1.tool_calls: call 'b' has no tool"),
        (
            (ASK, call("a"), output("a"), output("a"), SAY),
            "messages.3: call 'a' is answered twice or too late",
        ),
        (
            (ASK, call("a1"), output("a2"), SAY),
            "messages.2: answers no call of the assistant message before it, got tool_call_id 'a2'",
        ),
        ((ASK, output("a"), SAY), "messages.1: answers no call"),
        (
            (ASK, call("a"), output("a"), call("a"), output("a"), SAY),
            "messages.3.tool_calls.0: id 'a' is that of another call, too",
        ),
        ((ASK, call("a", "a"), output("a"), output("a"), SAY), "messages.1.tool_calls.1: id 'a'"),
        ((ASK, {"role": "assistant", "content": None}), "messages.1.content: should be a text"),
        ((ASK, {"role": "assistant"}), "messages.1.content: is missing"),
        ((ASK, {**SAY, "tool_calls": None}), "messages.1.tool_calls: should be a list, got 'null'"),
        ((ASK, {**SAY, "reasoning_content": None}), "messages.1.reasoning_content: should be a"),
        (({"role": "user", "content": [{"type": "text"}]}, SAY), "messages.0.content: should be a"),
        (({"content": "?"}, SAY), "messages.0: should have a 'role', got"),
        ((ASK, {**SAY, "role": "asistant"}), "got 'asistant'. Did you mean 'assistant'?"),
        ((ASK, call("a", arguments="{}")), "messages.1.tool_calls.0.function.arguments: should be"),
        ((ASK, call("a", name="")), "messages.1.tool_calls.0.function.name: should not be empty"),
    ],
)
def test_a_fault_is_told_with_its_place(turns: tuple[Turn, ...], said: str) -> None:
    assert any(said in text for text in whole(*turns)), whole(*turns)


def test_all_faults_of_a_line_are_told_at_once() -> None:
    assert len(whole(ASK, RULE, call("a"), ASK)) == 3


def test_arguments_may_have_to_be_text() -> None:
    assert whole(ASK, call("a", arguments='{"a": 1}'), form=Whole[TextMessage]) == []
    for wrong, said in [({}, "a text, got '{}'"), ("[]", "an object, got"), ("{", "JSON text")]:
        assert said in whole(ASK, call("a", arguments=wrong), form=Whole[TextMessage])[0]


def test_arguments_may_be_either() -> None:
    both = ASK, call("a", arguments='{"a": 1}'), output("a"), call("b"), output("b"), SAY
    assert whole(*both, form=Whole[EitherMessage]) == []


def test_a_prompt_ends_on_what_is_answered() -> None:
    form = Prompted[Message]
    assert list(told({"prompt": [ASK]}, form)) == []
    assert list(told({"prompt": [ASK, call("a"), output("a")]}, form)) == []
    (said,) = told({"prompt": [ASK, SAY]}, form)
    assert said.startswith("prompt: should end on a user or tool message")


def test_a_call_of_the_prompt_is_answered_there() -> None:
    record = {"prompt": [ASK, call("a")], "completion": [output("a"), SAY]}
    assert any("prompt: should end" in said for said in told(record, Answered[Message]))
    assert any("completion: should begin" in said for said in told(record, Answered[Message]))


def test_ids_are_unique_over_prompt_and_completion() -> None:
    prompt = [ASK, call("a"), output("a")]
    record = {"prompt": prompt, "completion": [call("a"), output("a"), SAY]}
    (said,) = told(record, Answered[Message])
    assert said == "completion.0.tool_calls.0: id 'a' is that of another call, too"


def test_a_fault_of_the_prompt_of_a_pair_is_told_once() -> None:
    record = {"prompt": [ASK, RULE, ASK], "chosen": [SAY], "rejected": [call("a")]}
    assert list(told(record, Pair[Message])) == [
        "prompt.1: a 'system' message can only be the first"
    ]


class WithList(Whole[Message]):
    tools: Tools = None


class WithText(Whole[Message]):
    tools: ToolsText = None


@pytest.mark.parametrize(
    ("form", "tools", "said"),
    [
        (WithList, [ADD], None),
        (WithList, None, None),
        (WithList, "[]", "tools: should be a list"),
        (WithList, [{"type": "function", "name": "add"}], "tools.0.function: is missing"),
        (WithList, [{"type": "web_search"}], "tools.0.type: should be 'function'"),
        (WithText, '[{"type":"function","function":{"name":"add"}}]', None),
        (WithText, None, None),
        (WithText, [ADD], "tools: should be a text"),
        (WithText, "{}", "tools: should be the JSON text of a list"),
        (WithText, " ", "tools: should be JSON text"),
    ],
)
def test_tools_are_held_against_the_nested_schema(form: Any, tools: Any, said: str | None) -> None:
    found = list(told({"messages": [ASK, SAY], "tools": tools}, form))
    assert found == [] if said is None else found[0].startswith(said)


def test_a_faulty_tool_in_json_text_is_told_like_one_in_a_list() -> None:
    record = {"messages": [ASK, SAY], "tools": '[{"type":"function","name":"add"}]'}
    with pytest.raises(ValidationError):
        WithText.model_validate(record)
    assert list(told(record, WithText)) == ["tools.0.function: is missing"]
