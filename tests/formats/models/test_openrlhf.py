"""Lines of the format `openrlhf` as `check` reads them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gymrecipe.formats.models.openrlhf import LINES, traps
from tests.formats.models.conftest import validate

ASKED = {"role": "user", "content": "2+2?"}
SAID = {"role": "assistant", "content": "4"}
WRONG = {"role": "assistant", "content": "5"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": {}}}
PAIR = {"prompt": [ASKED], "chosen": [SAID], "rejected": [WRONG]}


@pytest.mark.parametrize(
    ("purpose", "record"),
    [
        ("sft", {"input": [ASKED]}),
        ("dpo", PAIR | {"chosen": "4"}),
        ("reward_model", PAIR | {"margin": "0.5"}),
        ("rl", {"input": [ASKED, SAID], "label": "4"}),
    ],
)
def test_a_line_of_another_shape_is_a_fault(purpose: Any, record: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        validate(LINES[purpose], record)


@pytest.mark.parametrize(
    ("purpose", "record"),
    [
        ("sft", {"input": [ASKED, SAID]}),
        ("dpo", PAIR),
        ("reward_model", PAIR | {"margin": 0.5}),
        ("reward_model", PAIR | {"margin": None}),
        ("rl", {"input": [ASKED], "label": 4}),
        ("rl", {"input": [ASKED], "label": "4"}),
    ],
)
def test_a_right_line_has_no_faults_and_no_traps(purpose: Any, record: dict[str, Any]) -> None:
    validate(LINES[purpose], record)
    assert list(traps(record, purpose)) == []


@pytest.mark.parametrize(
    ("purpose", "record", "said"),
    [
        ("dpo", PAIR | {"rejected": [SAID]}, "nothing to prefer"),
        ("dpo", PAIR | {"tools": [{"function": {"name": "f"}}]}, "do not reach the model"),
        ("dpo", PAIR | {"chosen": [SAID, ASKED, SAID]}, "a turn of the environment"),
        ("sft", {"input": [ASKED, SAID | {"tool_calls": [CALL]}]}, "whose tools do not reach"),
        ("rl", {"input": [{"role": "user", "content": "<image>?"}], "label": ""}, "a picture"),
    ],
)
def test_what_openrlhf_drops_or_changes_is_a_trap(
    purpose: Any, record: dict[str, Any], said: str
) -> None:
    assert [said in trap for trap in traps(record, purpose)] == [True]
