"""Lines of the format `messages` as `check` reads them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gymrecipe.formats.models.messages import LINES, traps

ASKED = {"role": "user", "content": "2+2?"}
SAID = {"role": "assistant", "content": "4"}
WRONG = {"role": "assistant", "content": "5"}


def calling(arguments: Any) -> dict[str, Any]:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


OUTPUT = {"role": "tool", "content": "4", "tool_call_id": "a"}


def test_a_line_may_have_further_columns() -> None:
    LINES["sft"].model_validate({"messages": [ASKED, SAID], "source": {"page": 1}})


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "should have a message"),
        ([ASKED], "should end on the assistant"),
        ([ASKED, {"role": "assistant", "content": None}], "valid string"),
        ([ASKED, {"role": "model", "content": "4"}], "tag 'model'"),
        ([ASKED, calling('{"x": 1}'), SAID], "has no tool message"),
        ([ASKED, calling("x = 1"), OUTPUT, SAID], "should be JSON text"),
        ([ASKED, calling({"x": 1}), OUTPUT, SAID], "valid string"),
    ],
)
def test_a_conversation_that_is_none_is_a_fault(messages: list[Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        LINES["sft"].model_validate({"messages": messages})


def test_a_scored_trajectory_needs_a_number() -> None:
    with pytest.raises(ValidationError, match="reward"):
        LINES["buffer"].model_validate({"messages": [ASKED, SAID], "reward": "1"})


def test_sides_that_say_the_same_are_a_trap() -> None:
    pair = {"prompt": [ASKED], "chosen": [SAID], "rejected": [SAID]}
    assert any("nothing to prefer" in trap for trap in traps(pair, "dpo"))
    assert list(traps(pair | {"rejected": [WRONG]}, "dpo")) == []
