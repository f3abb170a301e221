"""Lines of the format `rendered` as `check` reads them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gymrecipe.formats.models.rendered import LINES, traps

PAIR = {"prompt": "2+2?\n", "chosen": "4", "rejected": "5"}


@pytest.mark.parametrize(
    ("purpose", "record"),
    [
        ("sft", {"prompt": "2+2?\n", "completion": ""}),
        ("dpo", PAIR | {"chosen": [{"role": "assistant", "content": "4"}]}),
        ("reward_model", PAIR),
        ("kto", {"prompt": "2+2?\n", "completion": "4", "label": 1}),
        ("rl", {"prompt": "2+2?\n"}),
    ],
)
def test_a_line_of_another_shape_is_a_fault(purpose: Any, record: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LINES[purpose].model_validate(record)


@pytest.mark.parametrize(
    ("purpose", "record"),
    [
        ("sft", {"prompt": "2+2?\n", "completion": "4"}),
        ("dpo", PAIR),
        ("reward_model", PAIR | {"margin": 0.5}),
        ("kto", {"prompt": "2+2?\n", "completion": "4", "label": False}),
        ("rl", {"prompt": "2+2?\n", "verifier": "{}"}),
    ],
)
def test_a_right_line_has_no_faults_and_no_traps(purpose: Any, record: dict[str, Any]) -> None:
    LINES[purpose].model_validate(record)
    assert list(traps(record, purpose)) == []


@pytest.mark.parametrize(
    ("side", "said"),
    [
        ({"chosen": "2+2?\n4"}, "the whole prompt"),
        ({"chosen": " "}, "has no text"),
        ({"chosen": "4\n"}, "ends on a line end"),
        ({"chosen": "5"}, "nothing to prefer"),
    ],
)
def test_what_readers_trip_over_is_a_trap(side: dict[str, Any], said: str) -> None:
    assert [said in trap for trap in traps(PAIR | side, "dpo")] == [True]
