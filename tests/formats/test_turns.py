"""Which conversations alternate."""

from __future__ import annotations

import pytest

from gymrecipe.formats.turns import turns
from gymrecipe.rollouts.chat import Message, Unusable
from tests.formats.conversations import ACTED, PROMPT

USER, SAID = Message("user", "?"), Message("assistant", "!")


def test_outputs_of_parallel_calls_are_one_turn() -> None:
    system, found = turns([*PROMPT, *ACTED])
    assert system == "Be brief."
    assert [len(turn) for turn in found] == [1, 1, 2, 1]


def test_a_conversation_without_a_system_message_has_none() -> None:
    assert turns([USER, SAID]) == (None, [[USER], [SAID]])


@pytest.mark.parametrize(
    "messages",
    [
        [USER, USER, SAID],
        [USER, SAID, SAID],
        [SAID, USER],
        [USER, *ACTED[:3], USER, SAID],
        [Message("developer", "Be brief."), USER, SAID],
    ],
)
def test_what_does_not_alternate_is_refused(messages: list[Message]) -> None:
    with pytest.raises(Unusable, match="turns_do_not_alternate"):
        turns(messages)
