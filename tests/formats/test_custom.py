"""The format `custom` and the parts of a conversation that its columns may name."""

from __future__ import annotations

from msgspec import Raw

from gymrecipe.formats.custom import PAIR, SINGLE, TASK, custom
from gymrecipe.formats.example import Example
from gymrecipe.rollouts.chat import Message

PROMPT = [Message("system", "s"), Message("user", "a?"), Message("user", "b?")]
CALLED = Message("assistant", "")
SAID = Message("assistant", "4")
WRONG = Message("assistant", "5")


def test_the_record_is_exactly_the_columns() -> None:
    assert custom(Example("sft", (b"",), {"x": 1}, completion=[SAID])) == {"x": 1}


def test_the_parts_of_a_demonstration() -> None:
    example = Example("sft", (b"",), {}, prompt=PROMPT, completion=[CALLED, SAID])
    assert {name: part(example) for name, part in SINGLE.items()} == {
        "prompt": PROMPT,
        "system": "s",
        "user": "b?",
        "tools": [],
        "completion": [CALLED, SAID],
        "messages": [*PROMPT, CALLED, SAID],
        "answer": "4",
    }


def test_the_parts_of_a_pair() -> None:
    example = Example("dpo", (b"", b""), {}, prompt=PROMPT, chosen=[SAID], rejected=[WRONG])
    assert {name: part(example) for name, part in PAIR.items()} == {
        "prompt": PROMPT,
        "system": "s",
        "user": "b?",
        "tools": [],
        "chosen": [SAID],
        "rejected": [WRONG],
        "chosen_answer": "4",
        "rejected_answer": "5",
    }


def test_a_missing_part_is_null() -> None:
    assert SINGLE["system"](Example("sft", (b"",), {}, completion=[SAID])) is None


def test_the_parts_of_a_task() -> None:
    request, verifier = Raw(b'{"input":"a?"}'), {"answer": Raw(b"4")}
    example = Example("rl", (b"",), {}, prompt=PROMPT, request=request, verifier=verifier)
    assert {name: part(example) for name, part in TASK.items()} == {
        "prompt": PROMPT,
        "system": "s",
        "user": "b?",
        "tools": [],
        "request": request,
        "verifier": verifier,
    }
