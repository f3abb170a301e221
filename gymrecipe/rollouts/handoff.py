"""Handoff: `messages` of a hand-off line whose last turns its response tells again.

    messages   user, assistant `4`          messages   user
    response   4                            response   4

Held against each other are roles, texts (an answer's without the white space around it) and calls,
not ids. What both have is told once, by the half that tells more of it: thoughts and token ids may
stand in one of them alone.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gymrecipe.rollouts.chat import Message, Reading, Unusable
from gymrecipe.rollouts.items import Talk
from gymrecipe.rollouts.lines import Halves, Item
from gymrecipe.rollouts.sides import called, equal

_BESIDE = (
    "reasoning_content",
    "prompt_token_ids",
    "generation_token_ids",
    "generation_log_probs",
)
"""What one half may have of an answer that the other has not."""

_encode = msgspec.json.Encoder().encode
_item = msgspec.json.Decoder(Item[Any])


def tell_once(halves: Halves[Any]) -> None:
    """Take what both halves tell out of one of them. Raises Unusable with `told_twice` where they
    tell an answer in part, or turns up to a question, which may have been asked and answered so
    twice: nobody can know.
    """
    shown = halves.prompt
    if not (halves.both and shown and halves.output and _may_tell_again(halves)):
        return
    known = [message for item in shown for message in _messages([item])]
    again = _messages(halves.output)
    length = _overlap(known, again)
    start = len(known) - length
    both = list(zip(known[start:], again, strict=False))
    roles = [message.role for message, _ in both]
    asked = roles.index("assistant") if "assistant" in roles else length
    is_answered = known[-1].role == "assistant"
    if (asked < length and not is_answered) or (not length and _in_part(known, again)):
        raise Unusable("told_twice")
    if asked == length:
        halves.output = halves.output[asked:]
        return
    if all(_has(there, here) for here, there in both):
        halves.output = halves.output[asked:]  # up to there it is a message an item
    elif length == len(again) and all(_has(here, there) for here, there in both):
        halves.output = shown[start + asked :]
    else:
        raise Unusable("told_twice")
    halves.prompt = shown[: start + asked]


def _may_tell_again(halves: Halves[Any]) -> bool:
    """Whether it is worth a closer look: mostly there is one question, and then an answer."""
    roles = [item.role for item in halves.prompt]
    return "assistant" in roles or halves.output[0].role == roles[-1]


def _messages(items: list[Item[Any]]) -> list[Message]:
    talk = Talk(Reading(token_ids="keep", empty_arguments="object"))
    talk.add([_item.decode(_encode(item)) for item in items])
    return talk.messages


def _overlap(known: list[Message], again: list[Message]) -> int:
    """How many of the last messages the first ones of the others tell again."""
    for length in range(min(len(known), len(again)), 0, -1):
        start = len(known) - length
        if all(_alike(known[start + n], again[n]) for n in range(length)):
            return length
    return 0


def _alike(a: Message, b: Message) -> bool:
    if a.role != b.role or not equal(called(a), called(b)):
        return False
    if a.role != "assistant":
        return a.content == b.content
    return a.content.strip() == b.content.strip()


def _has(fuller: Message, message: Message) -> bool:
    """Whether it has all that the other one, which is alike, has beside its text."""
    return all(getattr(message, name) in (None, getattr(fuller, name)) for name in _BESIDE)


def _in_part(known: list[Message], again: list[Message]) -> bool:
    """Whether some answer since the last question is told in part."""
    if known[-1].role != "assistant":
        return False
    asked = next((n for n, each in enumerate(reversed(known)) if each.role == "user"), len(known))
    since = [message for message in known[len(known) - asked :] if message.role == "assistant"]
    answers = [message for message in again if message.role == "assistant"]
    return any(_shares(a, b) for a in since for b in answers)


def _shares(a: Message, b: Message) -> bool:
    """Whether one text begins or ends with the other, or a call is in both."""
    ids = {call.id for call in a.tool_calls or ()}
    if any(call.id in ids for call in b.tool_calls or ()):
        return True
    short, long = sorted((a.content.strip(), b.content.strip()), key=len)
    return bool(short) and (long.startswith(short) or long.endswith(short))
