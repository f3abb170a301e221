"""Retold: what of `messages` a response tells again, of however many turns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymrecipe.rollouts import retold
from gymrecipe.rollouts.chat import Function, Message, ToolCall

TEXTS = st.text("ab ", max_size=4)
IDS = st.lists(st.sampled_from("123"), max_size=1)


def message(role: str, text: str, ids: list[str]) -> Message:
    calls = [ToolCall(id=id, function=Function("f", {})) for id in ids] or None
    return Message(role, text, tool_calls=calls)


TALK = st.lists(st.builds(message, st.sampled_from(["assistant", "user"]), TEXTS, IDS), min_size=1)


@given(known=TALK, again=TALK)
def test_the_longest_end_that_is_told_again_is_found(
    known: list[Message], again: list[Message]
) -> None:
    def is_told(length: int) -> bool:
        return all(map(retold._alike, known[len(known) - length :], again[:length]))

    lengths = range(min(len(known), len(again)), 0, -1)
    assert retold._overlap(known, again) == next(filter(is_told, lengths), 0)


@given(known=TALK, again=TALK)
def test_an_answer_is_told_in_part_if_a_text_begins_or_ends_with_another_or_a_call_is_in_both(
    known: list[Message], again: list[Message]
) -> None:
    def shares(a: Message, b: Message) -> bool:
        if {call.id for call in a.tool_calls or ()} & {call.id for call in b.tool_calls or ()}:
            return True
        short, long = sorted((a.content.strip(), b.content.strip()), key=len)
        return bool(short) and (long.startswith(short) or long.endswith(short))

    roles = "".join(message.role[0] for message in known)
    since = known[roles.rfind("u") + 1 :]
    told = [message for message in again if message.role == "assistant"]
    assert retold._in_part(known, again) == any(shares(a, b) for a in since for b in told)


def test_many_turns_are_each_held_against_few_others(monkeypatch: pytest.MonkeyPatch) -> None:
    times, own = 0, retold._alike

    def counting(a: Message, b: Message) -> bool:
        nonlocal times
        times += 1
        return own(a, b)

    monkeypatch.setattr(retold, "_alike", counting)
    turn = [Message("user", "go on"), Message("assistant", "done")]
    known = [*turn * 500, Message("user", "stop"), Message("assistant", "stopped")]
    assert retold._overlap(known, turn * 501) == 0
    assert times < 5 * len(known)
