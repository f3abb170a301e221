"""Retold: `messages` of a hand-off line whose last turns its response tells again.

    messages   user, assistant `4`          messages   user
    response   4                            response   4

Held against each other are roles, texts (an answer's without the white space around it) and calls,
not ids. What both have is told once, by the half that tells more of it: thoughts and token ids may
stand in one of them alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection
from typing import Any

import msgspec

from gymrecipe.rollouts.chat import Message, Unusable
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
    talk = Talk(keep_developer=False, keep_token_ids=True)
    talk.add([_item.decode(_encode(item)) for item in items])
    return talk.messages


def _overlap(known: list[Message], again: list[Message]) -> int:
    """How many of the last messages the first ones of the others tell again."""
    back = [0]
    for message in again[1:]:
        back.append(_goes_on(again, back, back[-1], message))
    length = 0
    for message in known:
        length = _goes_on(again, back, length, message)
    return length


def _goes_on(again: list[Message], back: list[int], length: int, message: Message) -> int:
    """How many messages up to this one, the first `length` of `again` being the last before it, are
    its first ones. `back` says of so many first ones with how many of them they end, but for all
    (Knuth, Morris and Pratt).
    """
    while length and (length == len(again) or not _alike(again[length], message)):
        length = back[length - 1]
    return length + _alike(again[length], message)


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
    ids = [
        {call.id for answer in some for call in answer.tool_calls or ()}
        for some in (since, answers)
    ]
    if not ids[0].isdisjoint(ids[1]):
        return True
    texts = [{answer.content.strip() for answer in some} - {""} for some in (since, answers)]
    from_end = [{text[::-1] for text in some} for some in texts]
    return any(_begins(*both) or _begins(*both[::-1]) for both in (texts, from_end))


def _begins(short: Collection[str], long: Collection[str]) -> bool:
    """Whether a text of the first begins one of the others."""
    ordered = sorted(long)
    places = ((text, bisect_left(ordered, text)) for text in short)
    return any(place < len(ordered) and ordered[place].startswith(text) for text, place in places)
