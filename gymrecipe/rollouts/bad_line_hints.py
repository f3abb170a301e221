"""Bad line hints: what stands in a line that is no rollout, and what stands in one."""

from __future__ import annotations

from typing import Any

import msgspec

from gymrecipe.rollouts.chat import on_a_line
from gymrecipe.rollouts.files import Source, blocks, lines, without_mark
from gymrecipe.rollouts.lines import Item, Request, Response, decode, halves_of
from gymrecipe.rollouts.response_counts import count_response

NEAR = 64 * 2**20
"""A compressed file is unpacked again so far to find a line."""

NAMED = 8
"""So many keys are named."""

SHAPES = (
    "a rollout has `responses_create_params` and `response`, or `responses_create_params` and"
    " `output`, or `messages` with the answer among them or in `response`"
)
ANSWERS = (
    "one that is read is a text, a list of items, an object with a list `output`, or a message of"
    " the assistant (`role`, `content`)"
)


class _Typed(msgspec.Struct):
    """The parts of a line with all their types, so that an error says where it is."""

    responses_create_params: Request | None = None
    response: Response | str | list[Item] | None = None
    messages: str | list[Item] | None = None
    output: str | list[Item | list[Item]] | None = None


def found_instead(source: Source, offset: int, reason: str) -> str:
    """What the line at an offset has in place of what a rollout has, as a sentence with a space
    before it; nothing where its reason says enough.
    """
    if reason not in ("not_a_rollout", "no_response", "wrong_type"):
        return ""
    line = _line_at(source, offset)
    if line is None:
        return ""
    try:
        return _type_error(line) if reason == "wrong_type" else _instead(line, reason)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # in a part that nobody read
        return ""


def _instead(line: bytes, reason: str) -> str:
    value = msgspec.json.decode(line)
    response = value.get("response")
    if reason == "no_response" and response is not None:
        return f" Its `response` has {_keys(response)}; {ANSWERS}."
    return f" It has {_keys(value)}; {SHAPES}."


def _line_at(source: Source, offset: int) -> bytes | None:
    if not source.compression:
        return next(lines(blocks(source, offset), offset)).data
    if offset > NEAR:
        return None
    found = map(without_mark, lines(blocks(source)))
    return next(line.data for line in found if line.offset == offset)


def _type_error(line: bytes) -> str:
    try:
        msgspec.json.decode(line, type=_Typed)
    except msgspec.ValidationError as error:
        return f" {on_a_line(str(error))}."
    try:
        if halves := halves_of(decode(line)):
            count_response(halves.output)
    except msgspec.ValidationError as error:
        return f" In an item of what came back: {on_a_line(str(error))}."
    return ""


def _keys(value: Any) -> str:
    if not isinstance(value, dict) or not value:
        return "no keys"
    named = ", ".join(f"`{key}`" for key in list(value)[:NAMED])
    more = len(value) - NAMED
    return on_a_line(f"{named} and {more} more" if more > 0 else named)
