"""Line shapes: what is decoded of a rollout line, and why a line that does not decode is bad.

Three shapes exist (`shape_of` brings them together):

- NeMo Gym's: `responses_create_params.input` and `response.output`;
- the hand-off shape of its documentation: `messages`, `response`, `reward`, `metadata`;
- the tutorial shape: `responses_create_params` and a top-level `output`.

Items are decoded in the one pass over a line; what they hold stays `Raw`, so that a scan pays
only for what it looks at.
"""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
from msgspec import Raw

MAX_LINE_BYTES = 64 * 2**20
"""A longer line is `line_too_long`."""

BAD_LINE = {
    "blank": "an empty line (not counted as a bad row)",
    "not_utf8": "bytes that are not UTF-8",
    "bad_json": "text that is not JSON",
    "trailing_data": "more text after the JSON object",
    "truncated_tail": "the last line has no line feed and is cut off: still being written?",
    "non_finite": "NaN, Infinity, or a number too large to be one",
    "surrogate": "half a surrogate pair in a string",
    "control_char": "an unescaped control character in a string",
    "too_deep": "nested too deeply",
    "line_too_long": f"longer than {MAX_LINE_BYTES // 2**20} MiB",
    "not_object": "JSON, but not an object",
    "wrong_type": "a part of the rollout has the wrong type",
    "not_a_rollout": "an object with neither a response nor messages (an error body?)",
    "no_response": "a task without a response: an input row, not a rollout",
}
"""Why a line is not a rollout; the closed list of `load`'s reasons about single lines."""


NULL = Raw(b"null")
"""What stands for a part that is absent."""


class Item(msgspec.Struct, gc=False):
    """An item of the Responses API, or a chat message: what a conversation is made of."""

    type: str | None = None
    role: str | None = None
    id: str | None = None
    name: str | None = None
    call_id: str | None = None
    content: Raw = NULL
    arguments: Raw = NULL
    output: Raw = NULL
    summary: Raw = NULL
    generation_token_ids: Raw = NULL
    tool_calls: Raw = NULL
    tool_call_id: str | None = None
    reasoning_content: str | None = None


class Request(msgspec.Struct):
    """`responses_create_params`: what the model was asked."""

    input: str | list[Item] | None = None
    instructions: str | None = None
    tools: Raw = NULL
    metadata: Raw = NULL
    model: str | None = None


class Response(msgspec.Struct):
    """`response`: what came back, an OpenAI Response object (or one chat message)."""

    output: str | list[Item | list[Raw]] | None = None
    status: str | None = None
    incomplete_details: Raw = NULL
    error: Raw = NULL
    usage: Raw = NULL
    model: str | None = None
    tools: Raw = NULL
    role: str | None = None
    content: Raw = NULL
    tool_calls: Raw = NULL
    reasoning_content: str | None = None


HEAVY = ("responses_create_params", "response", "messages", "output")
"""The parts of a line that hold trajectories; every other top-level field is small."""


class Line(msgspec.Struct):
    """The trajectory parts of a line, whatever its shape."""

    responses_create_params: Request | None = None
    response: Response | str | list[Raw] | None = None
    messages: Raw = NULL
    output: Raw = NULL
    tools: Raw = NULL


class Shape(msgspec.Struct):
    """The two halves of a rollout: what the model was shown and what came back, as items.

    Where the request is empty the prompt is taken from the head of `output` (system and user
    messages before the first of the model) or from `metadata.problem_statement`.
    """

    prompt: list[Item]
    output: list[Item]
    instructions: str | None
    tools: Raw
    metadata: Raw


class Metadata(msgspec.Struct):
    """The part of the request's metadata that may carry the prompt."""

    problem_statement: str | None = None


_item = msgspec.json.Decoder(Item)
_output = msgspec.json.Decoder(str | list[Item | list[Raw]] | None)
_messages = msgspec.json.Decoder(str | list[Item] | None)
_metadata = msgspec.json.Decoder(Metadata)
_line = msgspec.json.Decoder(Line)


def decode(line: bytes) -> Line:
    """The trajectory parts of a line. Raises msgspec's errors; `why_bad` names them."""
    return _line.decode(line)


def is_null(raw: Raw) -> bool:
    """Whether a part is absent or null."""
    return raw is NULL or (len(raw) == 4 and bytes(raw) == b"null")


def is_empty(raw: Raw) -> bool:
    """Whether a list is absent, null or without items."""
    return raw is NULL or (len(raw) <= 4 and bytes(raw) in (b"null", b"[]"))


def text_item(role: str, text: str) -> Item:
    """A message of one text."""
    return Item(type="message", role=role, content=Raw(msgspec.json.encode(text)))


def items_of(output: str | list[Item | list[Raw]]) -> list[Item]:
    """`response.output` as a flat list.

    Some agents nest it: each inner list repeats the history so far, so the last is the whole.
    """
    if isinstance(output, str):
        return [text_item("assistant", output)]
    if output and isinstance(output[-1], list):
        return [_item.decode(part) for part in output[-1]]
    return [item for item in output if isinstance(item, Item)]


def shape_of(line: Line) -> Shape | None:
    """Prompt and output of a line of any shape; None if it is not a rollout.

    Raises msgspec.ValidationError where a part has the wrong type.
    """
    request = line.responses_create_params
    prompt = _prompt(request.input if request else None)
    output = _reply(line)
    tools = request.tools if request else NULL
    if is_empty(tools):
        tools = line.tools
    if is_empty(tools) and isinstance(line.response, Response):
        tools = line.response.tools
    if not prompt and not is_null(line.messages):
        prompt = _prompt(_messages.decode(line.messages))
        if output is None:  # `messages` is the whole conversation, not what the model was shown
            roles = [item.role for item in prompt]
            answer = roles.index("assistant") if "assistant" in roles else len(roles)
            prompt, output = prompt[:answer], prompt[answer:] or None
    if output is None:
        return None
    if not prompt:
        prompt, output = _head(output)
    if not prompt and request and (statement := _problem_statement(request.metadata)):
        prompt = [text_item("user", statement)]
    return Shape(
        prompt=prompt,
        output=output,
        instructions=request.instructions if request else None,
        tools=tools,
        metadata=request.metadata if request else NULL,
    )


def _prompt(shown: str | list[Item] | None) -> list[Item]:
    if isinstance(shown, str):
        return [text_item("user", shown)] if shown else []
    return shown or []


def _head(items: list[Item]) -> tuple[list[Item], list[Item]]:
    shown = ("system", "developer", "user")
    length = next((i for i, item in enumerate(items) if item.role not in shown), len(items))
    return items[:length], items[length:]


def _problem_statement(metadata: Raw) -> str | None:
    try:
        return _metadata.decode(metadata).problem_statement
    except msgspec.ValidationError:
        return None


def _reply(line: Line) -> list[Item] | None:
    response = line.response
    if isinstance(response, str):
        return [text_item("assistant", response)]
    if isinstance(response, list):
        return [_item.decode(part) for part in response]
    if response is not None and response.output is not None:
        return items_of(response.output)
    if response is not None and response.role == "assistant":
        return [
            Item(
                role="assistant",
                content=response.content,
                tool_calls=response.tool_calls,
                reasoning_content=response.reasoning_content,
            )
        ]
    output = _output.decode(line.output)
    return None if output is None else items_of(output)


def why_bad(line: bytes, error: Exception) -> str:
    """The reason (see BAD_LINE) of a line that did not decode."""
    if isinstance(error, UnicodeDecodeError):
        return "not_utf8"
    if isinstance(error, RecursionError):
        return "too_deep"
    if isinstance(error, OverflowError):
        return "non_finite"
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return "not_utf8"
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except _NonFinite:
        return "non_finite"
    except RecursionError:
        return "too_deep"
    except json.JSONDecodeError as problem:
        if problem.msg.startswith("Extra data"):
            return "trailing_data"
        return "control_char" if problem.msg.startswith("Invalid control") else "bad_json"
    except ValueError:  # an integer of more digits than Python will read
        return "non_finite"
    if not isinstance(value, dict):
        return "not_object"
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "surrogate"
    return "wrong_type"


class _NonFinite(Exception):
    pass


def _refuse(_: str) -> Any:
    raise _NonFinite


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _NonFinite
    return value
