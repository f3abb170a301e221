"""Lines of the format `nemo_rl` as `check` reads them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gymrecipe.formats.models.cautions import Caution
from gymrecipe.formats.models.nemo_rl import LINES, traps
from tests.formats.models.conftest import validate

ASKED = {"role": "user", "content": "2+2?"}
SAID = {"role": "assistant", "content": "4"}
WRONG = {"role": "assistant", "content": "5"}


def pair(
    better: list[Any], worse: list[Any], ranks: tuple[int, int] = (0, 1), **more: Any
) -> dict[str, Any]:
    completions = [
        {"rank": rank, "completion": said}
        for rank, said in zip(ranks, (better, worse), strict=True)
    ]
    return {"context": [ASKED], "completions": completions, **more}


def test_a_pair_has_two_ranked_completions() -> None:
    record = pair([SAID], [WRONG])
    validate(LINES["dpo"], record)
    with pytest.raises(ValidationError, match="at least 2"):
        validate(LINES["dpo"], record | {"completions": record["completions"][:1]})


def test_a_completion_that_does_not_end_on_the_assistant_is_a_fault() -> None:
    with pytest.raises(ValidationError, match=r"completions\.1\.completion: should end on"):
        validate(LINES["dpo"], pair([SAID], [WRONG, ASKED]))


def test_tools_as_text_are_a_fault() -> None:
    with pytest.raises(ValidationError, match="tools"):
        validate(LINES["sft"], {"messages": [ASKED, SAID], "tools": "[]"})


@pytest.mark.parametrize(
    "line",
    [
        {"responses_create_params": {"input": "2+2?"}},
        {"responses_create_params": {"input": "2+2?"}, "agent_ref": {}},
        {"responses_create_params": {}, "agent_ref": {"name": "a"}},
    ],
)
def test_a_task_that_nobody_can_ask_is_a_fault(line: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="Field required"):
        validate(LINES["rl"], line)


@pytest.mark.parametrize(
    ("tool", "right"),
    [
        ({"type": "function", "name": "f", "parameters": {}, "strict": True}, True),
        ({"type": "web_search"}, True),
        ({"type": "function", "function": {"name": "f", "parameters": {}}}, False),
        ({"name": "f"}, False),
        ({"type": "function", "name": "f", "parameters": None, "strict": None}, True),
        ({"type": "function", "name": "f", "parameters": {}}, False),
    ],
)
def test_the_tools_of_a_task_are_flat(tool: Any, right: bool) -> None:
    request = {"input": "2+2?", "tools": [tool]}
    line = {"responses_create_params": request, "agent_ref": {"name": "a"}}
    if right:
        validate(LINES["rl"], line)
        return
    with pytest.raises(
        ValidationError, match=r"should be flat|should have 'strict'|Field required"
    ):
        validate(LINES["rl"], line)


def test_a_task_has_a_request_and_an_agent() -> None:
    line = {"responses_create_params": {"input": [ASKED]}, "agent_ref": {"name": "a"}, "id": 1}
    validate(LINES["rl"], line)
    assert list(traps(line, "rl")) == []


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (pair([SAID], [WRONG], tools=[{}]), "do not reach the model"),
        (pair([SAID], [WRONG], ranks=(1, 1)), "the same rank"),
        (pair([SAID], [SAID]), "nothing to prefer"),
    ],
)
def test_what_nemo_rl_stops_at_or_drops_is_a_trap(record: dict[str, Any], said: str) -> None:
    assert [said in trap for trap in traps(record, "dpo")] == [True]


def test_a_longer_completion_is_a_caution() -> None:
    (trap,) = traps(pair([SAID, ASKED, SAID], [WRONG]), "reward_model")
    assert "only its last message" in trap
    assert isinstance(trap, Caution)
