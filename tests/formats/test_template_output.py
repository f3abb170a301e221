"""What a template leaves out is found in its text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gymrecipe.formats.template_output import check
from gymrecipe.rollouts.chat import Function, Message, ToolCall, Unusable

ASKED = Message("user", "What is 2+2?")
SAID = Message("assistant", "It is 4.")
OUTPUT = Message("tool", '{"value": 4}', tool_call_id="a", name="calc")
TOOLS = [{"type": "function", "function": {"name": "calc"}}]


def calling(*names: str, text: str = "", **arguments: Any) -> Message:
    calls = [ToolCall(id=name, function=Function(name, arguments)) for name in names]
    return Message("assistant", text, tool_calls=calls)


def printed(*messages: Message, tools: Any = None, calls: int = 9, beside: bool = True) -> str:
    """What a template prints that prints so many of the calls of a message, and texts beside."""
    text = json.dumps(tools) if tools else ""
    for message in messages:
        said = message.tool_calls or []
        text += f"<{message.role}>{message.content if beside or not said else ''}\n"
        for call in said[:calls]:
            text += f"{call.function.name} {json.dumps(call.function.arguments)}\n"
    return text


ALL = (
    ASKED,
    calling("calc", "find", text="Let me see.", q='"é"\n', deep=[{"k": "v"}]),
    OUTPUT,
    SAID,
)


def missing(text: str, *messages: Message, tools: Any = None) -> bool:
    try:
        check(text, list(messages), tools)
    except Unusable:
        return True
    return False


def test_what_is_all_printed_lacks_nothing() -> None:
    assert not missing(printed(*ALL, tools=TOOLS), *ALL, tools=TOOLS)


@pytest.mark.parametrize("calls", [0, 1])
def test_a_call_that_is_not_printed_is_missed(calls: int) -> None:
    assert missing(printed(*ALL, calls=calls), *ALL)


def test_the_second_of_two_equal_calls_is_missed() -> None:
    twice = (ASKED, calling("calc", "calc"))
    assert not missing(printed(*twice), *twice)
    assert missing(printed(*twice, calls=1), *twice)


def test_a_text_beside_a_call_that_is_not_printed_is_missed() -> None:
    assert missing(printed(*ALL, beside=False), *ALL)


@pytest.mark.parametrize("place", range(len(ALL)))
def test_a_turn_that_is_not_printed_is_missed(place: int) -> None:
    assert missing(printed(*ALL[:place], *ALL[place + 1 :]), *ALL)


def test_an_answer_that_only_the_question_has_is_missed() -> None:
    asked = Message("user", "Is it 4?")
    assert missing(printed(asked), asked, Message("assistant", "4"))


def test_arguments_that_are_not_printed_are_missed() -> None:
    call = calling("calc", x="2+2")
    assert missing("<user>What is 2+2?\n<assistant>calc\n", ASKED, call)


def test_tools_that_are_not_printed_are_missed() -> None:
    assert missing(printed(ASKED), ASKED, tools=TOOLS)


def test_thoughts_and_the_white_space_around_a_text_may_be_left_out() -> None:
    said = Message("assistant", "<think>\nHm.\n</think>\n\n 4\n", reasoning_content="So.")
    assert not missing("<user>What is 2+2?<assistant>4</s>", ASKED, said)


def test_a_system_message_and_a_text_beside_a_call_may_be_printed_later_than_they_stand() -> None:
    call = calling("calc", text="Let me see.")
    text = "<user>Be brief. What is 2+2?<assistant>calc {}<tool>4</tool>Let me see."
    output = Message("tool", "4", tool_call_id="calc", name="calc")
    assert not missing(text, Message("system", "Be brief."), ASKED, call, output)


def test_a_text_may_be_printed_as_json_has_it() -> None:
    text = '<user>"What is \\"2\\"?\\n\\u00e9"'
    assert not missing(text, Message("user", 'What is "2"?\né'))


def test_the_missing_part_is_told() -> None:
    with pytest.raises(Unusable, match="not_rendered") as caught:
        check(printed(ASKED), [ASKED, SAID])
    assert caught.value.cause == "the template does not print 'It is 4.' where it belongs"
