"""Line shapes: what is decoded of a rollout line.

Three shapes exist (`halves_of` brings them together):

- NeMo Gym's: `responses_create_params.input` and `response.output`;
- the hand-off shape of its documentation: `messages`, `response`, `reward`, `metadata`;
- the tutorial shape: `responses_create_params` and a top-level `output`.

Items are decoded in the one pass over a line. In a scan what they hold stays `Raw`, so that it
pays only for what it looks at; a write decodes all of a line first, and `Line[Any]` holds values.
"""

from __future__ import annotations

from typing import Any, Generic, cast

import msgspec
from msgspec import Raw
from typing_extensions import TypeVar

MAX_LINE_BYTES = 64 * 2**20
"""A longer line is `line_too_long`."""

Part = TypeVar("Part", bound=Raw, default=Raw)
"""What an item holds, by default still undecoded; Any where it is decoded."""

NULL: Any = Raw(b"null")
"""What stands for a part that is absent."""

MASKS = (("mask_sample",), ("instance_config", "mask_sample"))
"""Where anything but null, false, 0 and "" says that a rollout is not to be trained on."""

FAILURES = ("_ng_failure_class", "failure_kind", "agent_error", "judge_error", "verifier_error")
"""Fields that say, where they hold something, that a run broke and its reward is a placeholder."""


class Item(msgspec.Struct, Generic[Part], gc=False):
    """An item of the Responses API, or a chat message: what a conversation is made of."""

    type: str | None = None
    role: str | None = None
    id: str | None = None
    name: str | None = None
    call_id: str | None = None
    content: Part = NULL
    arguments: Part = NULL
    output: Part = NULL
    summary: Part = NULL
    prompt_token_ids: Part = NULL
    generation_token_ids: Part = NULL
    generation_log_probs: Part = NULL
    tool_calls: Part = NULL
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    reasoning: Part = NULL
    thinking: Part = NULL
    refusal: str | None = None
    function_call: Part = NULL


class Request(msgspec.Struct, Generic[Part]):
    """`responses_create_params`: what the model was asked."""

    input: str | list[Item[Part]] | None = None
    instructions: str | None = None
    tools: Part = NULL
    metadata: Part = NULL
    model: str | None = None


class Response(msgspec.Struct, Generic[Part]):
    """`response`: what came back, an OpenAI Response object (or one chat message)."""

    output: str | list[Item[Part] | list[Part]] | None = None
    instructions: Part = NULL
    status: str | None = None
    incomplete_details: Part = NULL
    error: Part = NULL
    usage: Part = NULL
    model: str | None = None
    tools: Part = NULL
    role: str | None = None
    content: Part = NULL
    tool_calls: Part = NULL
    reasoning_content: str | None = None
    reasoning: Part = NULL
    thinking: Part = NULL
    refusal: Part = NULL
    function_call: Part = NULL
    prompt_token_ids: Part = NULL
    generation_token_ids: Part = NULL
    generation_log_probs: Part = NULL


HEAVY = ("responses_create_params", "response", "messages", "output")
"""The parts of a line that hold trajectories; every other top-level field is small."""


class Line(msgspec.Struct, Generic[Part]):
    """The trajectory parts of a line, whatever its shape."""

    responses_create_params: Request[Part] | None = None
    response: Response[Part] | str | list[Part] | None = None
    messages: Part = NULL
    output: Part = NULL
    tools: Part = NULL


class Decoded(Line[Any]):
    """A line that is decoded: as a class of its own it is made faster than by its parameters."""


class Halves(msgspec.Struct, Generic[Part]):
    """The two halves of a rollout: what the model was shown and what came back, as items.

    Where the request is empty the prompt is taken from the head of `output` (system and user
    messages before the first of the model). Where it has instructions only, what is asked is
    `metadata.problem_statement`. `both`: the prompt is `messages`, and came with a response.
    """

    prompt: list[Item[Part]]
    output: list[Item[Part]]
    instructions: str | None
    tools: Part
    metadata: Part
    both: bool = False


class Metadata(msgspec.Struct):
    """The part of the request's metadata that may carry the prompt."""

    problem_statement: str | None = None


_ITEM: Any = (msgspec.json.Decoder(Item), Item[Any])
_OUTPUT: Any = (
    msgspec.json.Decoder(str | list[Item | list[Raw]] | None),
    str | list[Item[Any] | list[Any]] | None,
)
_MESSAGES: Any = (msgspec.json.Decoder(str | list[Item] | None), str | list[Item[Any]] | None)
_REFUSAL: Any = (msgspec.json.Decoder(str | None), str | None)
_METADATA: Any = (msgspec.json.Decoder(Metadata), Metadata)
_line = msgspec.json.Decoder(Line)


def decode(line: bytes) -> Line:
    """The trajectory parts of a line. Raises msgspec's errors; `why_bad` names them."""
    return _line.decode(line)


def whole(value: Any) -> Line[Any]:
    """The trajectory parts of a line that is decoded. Raises msgspec.ValidationError."""
    return msgspec.convert(value, Decoded)


def read(part: Any, kind: Any) -> Any:
    """A part as its kind (a decoder, and the type), whether it is undecoded or a value."""
    decoder, type = kind
    return decoder.decode(part) if isinstance(part, Raw) else msgspec.convert(part, type)


def is_null(part: Any) -> bool:
    """Whether a part is absent or null."""
    if not isinstance(part, Raw):
        return part is None
    return part is NULL or (len(part) == 4 and bytes(part) == b"null")


def is_empty(part: Any) -> bool:
    """Whether a list is absent, null or without items."""
    if not isinstance(part, Raw):
        return part is None or part == []
    return part is NULL or (len(part) <= 4 and bytes(part) in (b"null", b"[]"))


def text_item(role: str, text: str) -> Item[Any]:
    """A message of one text."""
    return Item(type="message", role=role, content=Raw(msgspec.json.encode(text)))


def items_of(output: str | list[Item[Part] | list[Part]]) -> list[Item[Part]]:
    """`response.output` as a flat list.

    Some agents nest it: each inner list repeats the history so far, so the last is the whole.
    """
    if isinstance(output, str):
        return [text_item("assistant", output)]
    if list not in map(type, output):
        items = cast("list[Item[Part]]", output)
        return items[:-1] if items and _is_stand_in(items[-1]) else items
    if isinstance(output[-1], list):
        return [read(part, _ITEM) for part in output[-1]]
    return [item for item in output if isinstance(item, Item)]


def _is_stand_in(item: Item[Any]) -> bool:
    """Whether an item stands for an answer that never came: hermes and the agent of verifiers end
    on one, with the token id 0 and what went wrong as its text, or none.
    """
    ids = (item.generation_token_ids, item.prompt_token_ids)
    return ids[0] is not NULL and all(
        bytes(part) == b"[0]" if isinstance(part, Raw) else part == [0] for part in ids
    )


def halves_of(line: Line[Part], answered: bool = True) -> Halves[Part] | None:
    """Prompt and output of a line of any shape; None if it is not a rollout.

    Unless `answered`, an input row is one without output. Raises msgspec.ValidationError where a
    part has the wrong type.
    """
    request = line.responses_create_params
    prompt = _items(request.input if request else None)
    output = reply(line)
    tools = request.tools if request else NULL
    if is_empty(tools):
        tools = line.tools
    if is_empty(tools) and isinstance(line.response, Response):
        tools = line.response.tools
    both = not prompt and output is not None and not is_null(line.messages)
    if not prompt and not is_null(line.messages):
        prompt = prompt_of(line.messages)
        roles = [item.role for item in prompt]
        # Without a response `messages` is the whole conversation, not what the model was shown; a
        # response of an unknown form is none, but is what answers a last question.
        if output is None and (line.response is None or roles[-1:] == ["assistant"]):
            asked = roles.index("user") if "user" in roles else 0  # it may greet before that
            end = roles.index("assistant", asked) if "assistant" in roles[asked:] else len(roles)
            prompt, output = prompt[:end], prompt[end:] or None
    if output is None:
        if answered or not (request or prompt):
            return None
        output = []
    if not prompt:
        prompt, output = _head(output)
    asks = any(item.role != "system" and item.role != "developer" for item in prompt)
    if not asks and request and (statement := _problem_statement(request.metadata)):
        prompt = [*prompt, text_item("user", statement)]
    return Halves(
        prompt=prompt,
        output=output,
        instructions=request.instructions if request else None,
        tools=tools,
        metadata=request.metadata if request else NULL,
        both=both,
    )


def prompt_of(part: Part) -> list[Item[Part]]:
    """The items of a prompt: a text is a user message. Raises msgspec.ValidationError."""
    return _items(read(part, _MESSAGES))


def _items(shown: str | list[Item[Part]] | None) -> list[Item[Part]]:
    if isinstance(shown, str):
        return [text_item("user", shown)] if shown else []
    return shown or []


def _head(items: list[Item[Part]]) -> tuple[list[Item[Part]], list[Item[Part]]]:
    shown = ("system", "developer", "user")
    length = next((i for i, item in enumerate(items) if item.role not in shown), len(items))
    return items[:length], items[length:]


def _problem_statement(metadata: Any) -> str | None:
    try:
        found: Metadata = read(metadata, _METADATA)
        return found.problem_statement
    except msgspec.ValidationError:
        return None


def reply(line: Line[Part]) -> list[Item[Part]] | None:
    """The items that came back; None where there is no response."""
    response = line.response
    if isinstance(response, str):
        return [text_item("assistant", response)]
    if isinstance(response, list):
        return [read(part, _ITEM) for part in response]
    if response is not None and response.output is not None:
        return items_of(response.output)
    if response is not None and response.role == "assistant":
        return [
            Item(
                role="assistant",
                content=response.content,
                tool_calls=response.tool_calls,
                reasoning_content=response.reasoning_content,
                reasoning=response.reasoning,
                thinking=response.thinking,
                refusal=read(response.refusal, _REFUSAL),
                function_call=response.function_call,
                prompt_token_ids=response.prompt_token_ids,
                generation_token_ids=response.generation_token_ids,
                generation_log_probs=response.generation_log_probs,
            )
        ]
    output = read(line.output, _OUTPUT)
    return None if output is None else items_of(output)
