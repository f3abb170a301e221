"""Which shapes of line are rollouts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gymrecipe.rollouts.lines import Halves, decode, halves_of
from gymrecipe.rollouts.response_counts import raw_text

ASKED = {"role": "user", "content": "2+2?"}
SAID = {"role": "assistant", "content": "4"}
ITEM = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "4"}]}


def shape(line: dict[str, Any]) -> Halves | None:
    return halves_of(decode(json.dumps(line).encode()))


def told(line: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Prompt and output as (role, text) pairs."""
    found = shape(line)
    assert found is not None
    halves = (found.prompt, found.output)
    prompt, output = ([(i.role, raw_text(i.content)) for i in half] for half in halves)
    return prompt, output


# Shapes


@pytest.mark.parametrize(
    "line",
    [
        {"responses_create_params": {"input": [ASKED]}, "response": {"output": [ITEM]}},
        {"responses_create_params": {"input": "2+2?"}, "response": {"output": [ITEM]}},
        {"responses_create_params": {"input": "2+2?"}, "response": {"output": "4"}},
        {"responses_create_params": {"input": [ASKED]}, "output": [ITEM], "success": True},
        {"responses_create_params": {"input": [ASKED]}, "response": None, "output": "4"},
        {"messages": [ASKED], "response": "4"},
        {"messages": [ASKED], "response": SAID},
        {"messages": [ASKED], "response": [SAID]},
        {"messages": [ASKED], "response": [ITEM]},
        {"messages": [ASKED], "response": {"output": [ITEM]}},
        {"messages": "2+2?", "response": "4"},
        {"messages": [ASKED, SAID]},
        {"messages": [ASKED, SAID], "response": None},
        {"responses_create_params": {"input": []}, "response": {"output": [ASKED, ITEM]}},
        {"responses_create_params": None, "messages": [ASKED], "response": "4"},
    ],
    ids=str,
)
def test_every_shape_says_the_same(line: dict[str, Any]) -> None:
    assert told(line) == ([("user", "2+2?")], [("assistant", "4")])


def test_a_conversation_in_messages_is_split_at_its_first_answer() -> None:
    line = {"messages": [{"role": "system", "content": "s"}, ASKED, SAID, ASKED, SAID]}
    prompt, output = told(line)
    assert [role for role, _ in prompt] == ["system", "user"]
    assert [role for role, _ in output] == ["assistant", "user", "assistant"]


def test_a_greeting_before_the_first_question_of_messages_is_shown() -> None:
    greeting = {"role": "assistant", "content": "hello"}
    found = shape({"messages": [greeting, ASKED, SAID, ASKED, SAID]})
    assert found is not None
    assert [item.role for item in found.prompt] == ["assistant", "user"]
    assert [item.role for item in found.output] == ["assistant", "user", "assistant"]
    assert shape({"messages": [greeting, ASKED]}) is None


def test_messages_beside_a_response_are_all_what_the_model_was_shown() -> None:
    prompt, output = told({"messages": [ASKED, SAID, ASKED], "response": "5"})
    assert (len(prompt), output) == (3, [("assistant", "5")])


def test_messages_that_end_on_an_answer_are_whole_beside_what_a_server_says_of_it() -> None:
    line = {"messages": [ASKED, SAID], "response": {"usage": {"output_tokens": 1}}}
    assert told(line) == ([("user", "2+2?")], [("assistant", "4")])


@pytest.mark.parametrize("response", [{"output": []}, []])
def test_an_empty_response_is_a_rollout_with_nothing_said(response: Any) -> None:
    assert told({"messages": [ASKED], "response": response}) == ([("user", "2+2?")], [])
    request = {"responses_create_params": {"input": [ASKED]}, "response": {"output": []}}
    assert told(request) == ([("user", "2+2?")], [])


def test_the_last_of_nested_outputs_is_the_whole_transcript() -> None:
    output = [[ASKED, ITEM], [ASKED, ITEM, ASKED, ITEM]]
    prompt, said = told({"responses_create_params": {"input": []}, "response": {"output": output}})
    assert prompt == [("user", "2+2?")]
    assert said == [("assistant", "4"), ("user", "2+2?"), ("assistant", "4")]


def test_without_any_input_the_problem_statement_is_the_prompt() -> None:
    request = {"input": [], "metadata": {"problem_statement": "fix it"}}
    line = {"responses_create_params": request, "response": {"output": [ITEM]}}
    assert told(line)[0] == [("user", "fix it")]


@pytest.mark.parametrize("metadata", ["a text", None, [1], {"problem_statement": 7}])
def test_metadata_of_any_kind_is_no_error(metadata: Any) -> None:
    request = {"input": [], "metadata": metadata}
    assert told({"responses_create_params": request, "response": {"output": [ITEM]}})[0] == []


@pytest.mark.parametrize("where", ["request", "response", "line"])
def test_tools_are_found_wherever_they_are(where: str) -> None:
    tools = [{"type": "function", "name": "f"}]
    line: dict[str, Any] = {
        "responses_create_params": {"input": [ASKED], "tools": []},
        "response": {"output": [ITEM]},
    }
    {"request": line["responses_create_params"], "response": line["response"], "line": line}[where][
        "tools"
    ] = tools
    found = shape(line)
    assert found is not None
    assert json.loads(bytes(found.tools)) == tools


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"detail": "boom"},
        {"reward": 1.0},
        {"messages": [ASKED]},
        {"messages": []},
        {"messages": [ASKED, SAID, ASKED], "response": {"content": "5"}},
        {"messages": [ASKED, SAID, ASKED], "response": {"choices": [{"message": SAID}]}},
        {"response": None},
        {"response": {}},
        {"responses_create_params": {"input": [ASKED]}},
        {"responses_create_params": {"input": [ASKED]}, "response": {"role": "user"}},
    ],
    ids=str,
)
def test_a_line_without_a_response_is_no_rollout(line: dict[str, Any]) -> None:
    assert shape(line) is None


@pytest.mark.parametrize(
    "extra", [{"messages": 5}, {"messages": {"a": 1}}, {"output": {"stdout": "x"}}, {"output": 3}]
)
def test_fields_of_a_server_may_have_the_names_of_other_shapes(extra: dict[str, Any]) -> None:
    line = {"responses_create_params": {"input": "2+2?"}, "response": {"output": "4"}, **extra}
    assert told(line) == ([("user", "2+2?")], [("assistant", "4")])
