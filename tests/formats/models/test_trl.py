"""Lines of the formats `trl` and `trl_prompt_completion` as `check` reads them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gymrecipe.check import forms
from gymrecipe.formats.models.cautions import Caution
from gymrecipe.formats.models.trl import LINES, traps

ASKED = {"role": "user", "content": "2+2?"}
SAID = {"role": "assistant", "content": "4"}
WRONG = {"role": "assistant", "content": "5"}
RULE = {"role": "system", "content": "Be brief."}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
ACTED = [
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "4", "tool_call_id": "a"},
    SAID,
]
PAIR = {"prompt": [ASKED], "chosen": [SAID], "rejected": [WRONG]}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def accepts(purpose: Any, record: dict[str, Any]) -> bool:
    for form in forms(LINES[purpose]):
        try:
            form.model_validate(record)
        except ValidationError:
            continue
        return True
    return False


def test_a_demonstration_has_either_form() -> None:
    assert accepts("sft", {"messages": [ASKED, SAID]})
    assert accepts("sft", {"prompt": [ASKED], "completion": [SAID]})
    assert not accepts("sft", {"prompt": [ASKED]})


@pytest.mark.parametrize("tools", [None, [TOOL], '[{"type":"function","function":{"name":"f"}}]'])
def test_tools_are_null_a_list_or_its_text(tools: Any) -> None:
    assert accepts("sft", {"messages": [ASKED, SAID], "tools": tools})


@pytest.mark.parametrize("tools", ["f", '{"name": "f"}', [{"name": "f"}]])
def test_other_tools_are_a_fault(tools: Any) -> None:
    assert not accepts("sft", {"messages": [ASKED, SAID], "tools": tools})


def test_arguments_as_text_are_a_fault() -> None:
    call = CALL | {"function": {"name": "f", "arguments": '{"x": 1}'}}
    turn = {"role": "assistant", "content": "", "tool_calls": [call]}
    assert accepts("sft", {"messages": [ASKED, *ACTED]})
    assert not accepts("sft", {"messages": [ASKED, turn, *ACTED[1:]]})


@pytest.mark.parametrize(("label", "right"), [(True, True), (1, True), (2, False), ("true", False)])
def test_a_label_is_a_boolean(label: Any, right: bool) -> None:
    assert accepts("kto", {"prompt": [ASKED], "completion": [SAID], "label": label}) is right


@pytest.mark.parametrize(("margin", "right"), [(0.5, True), (None, False)])
def test_a_margin_is_a_number(margin: Any, right: bool) -> None:
    assert accepts("reward_model", PAIR | {"margin": margin}) is right


def test_a_prompt_for_grpo_is_answered_by_the_model() -> None:
    assert accepts("rl", {"prompt": [ASKED]})
    assert not accepts("rl", {"prompt": [ASKED, SAID]})


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (PAIR | {"rejected": [SAID]}, "nothing to prefer"),
        (PAIR | {"chat_template_kwargs": None}, "null stops TRL"),
        (PAIR | {"messages": [ASKED, SAID]}, "takes 'prompt' instead"),
    ],
)
def test_what_trl_stops_at_or_drops_is_a_trap(record: dict[str, Any], said: str) -> None:
    assert [said in trap for trap in traps(record, "dpo")] == [True]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (PAIR | {"tools": "[]"}, "Llama's templates"),
        (PAIR | {"tools": []}, "Llama's templates"),
        (PAIR | {"chosen": ACTED, "tools": [TOOL]}, "trained on like answers"),
        (PAIR | {"chosen": ACTED[:1]}, "calls 'f', a name that no tool has"),
    ],
)
def test_what_costs_something_with_some_is_a_caution(record: dict[str, Any], said: str) -> None:
    (trap,) = traps(record, "dpo")
    assert said in trap
    assert isinstance(trap, Caution)


@pytest.mark.parametrize(
    ("better", "worse", "said"),
    [
        ([ASKED, SAID], [ASKED, WRONG], "ids of calls included"),
        ([ASKED, SAID, ASKED, SAID], [ASKED, SAID], "ids of calls included"),
        ([RULE, ASKED, SAID], [ASKED, WRONG], "here there are none. Write it"),
        ([RULE, ASKED, SAID], [RULE, WRONG], "here they end on 'system'"),
        ([ASKED, SAID, ASKED, SAID], [ASKED, SAID, RULE, WRONG], "here they end on 'assistant'"),
    ],
)
def test_a_prompt_that_is_implied_is_what_both_sides_begin_with(
    better: Any, worse: Any, said: str
) -> None:
    (trap,) = traps({"chosen": better, "rejected": worse}, "dpo")
    assert said in trap
    assert isinstance(trap, Caution) is ("here" not in said)
    assert not list(traps({"chosen": better, "rejected": worse}, "reward_model"))


def test_a_right_line_has_no_traps() -> None:
    assert list(traps(PAIR, "dpo")) == []


HH = {"chosen": "\n\nHuman: 2+2?\n\nAssistant: 4", "rejected": "\n\nHuman: 2+2?\n\nAssistant: 5"}


def test_a_pair_of_texts_may_have_its_prompt_in_both() -> None:
    assert accepts("dpo", HH)
    assert accepts("reward_model", HH | {"margin": 0.5})
    assert not any(traps(HH, "reward_model"))
    (found,) = traps(HH, "dpo")
    assert isinstance(found, Caution)
    assert "to the letter" in found
    (found,) = traps(HH | {"rejected": "5"}, "dpo")
    assert not isinstance(found, Caution)


@pytest.mark.parametrize("texts", [True, False])
def test_a_label_as_a_number_is_a_matter_of_version(texts: bool) -> None:
    row = (
        {"prompt": "2+2?", "completion": "4"}
        if texts
        else {"prompt": [ASKED], "completion": [SAID]}
    )
    assert accepts("kto", row | {"label": 0})
    (found,) = traps(row | {"label": 0}, "kto")
    assert isinstance(found, Caution)
    assert not any(traps(row | {"label": False}, "kto"))


def test_a_text_of_nothing_is_told() -> None:
    assert [*traps({"text": " "}, "sft")] == ["text: has no text"]
