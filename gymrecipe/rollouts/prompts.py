"""Prompts: a hash of what a model was shown, however the request spells it."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import Any

import msgspec
import xxhash
from msgspec import Raw

from gymrecipe.rollouts.chat import Unusable
from gymrecipe.rollouts.handoff import tell_once
from gymrecipe.rollouts.json_members import Repeated, members, without_nulls
from gymrecipe.rollouts.lines import (
    Halves,
    Item,
    Line,
    Request,
    Response,
    halves_of,
    is_empty,
    is_null,
    reply,
)
from gymrecipe.rollouts.response_counts import chat_calls

SAMPLING = (
    "extra_body", "seed", "temperature", "top_p", "max_output_tokens", "attempt", "rollout_index",
    "_ng_rollout_index",
)  # fmt: skip
"""Parts of the request's metadata that say how a task is sampled, or which of its rollouts it is,
not what is asked."""

PROMPTS_KEPT = 4_096
"""So many requests are remembered: the repeats of a task are near each other in a file."""

_any = msgspec.json.Decoder()
_request = msgspec.json.Decoder(Request | None)
_sorted = msgspec.json.Encoder(order="sorted")


def value_key(raw: Any) -> int:
    """A hash of a JSON value, 0 where it is missing or null."""
    if raw is None:
        return 0
    if len(raw) < 19 and (digits := bytes(raw)).isdigit():  # it is its own canonical form
        return xxhash.xxh3_64_intdigest(digits) or 1
    value = _any.decode(raw)
    if value is None:
        return 0
    return xxhash.xxh3_64_intdigest(_sorted.encode(value)) or 1


def index_key(index: int, agent: str | None) -> int:
    """A key of a task index, given its `value_key`; 0 without one. The same index of another agent
    is another task.
    """
    return index and (xxhash.xxh3_64_intdigest((agent or "").encode(), seed=index) or 1)


class Prompt(msgspec.Struct, frozen=True, gc=False):
    """What a scan wants to know of a request: the key of the prompt, whether the model had tools,
    which model it was.
    """

    key: int
    has_tools: bool
    model: str | None


class Prompts:
    """The requests of a slice. The repeats of a task have the same one, byte for byte, and only
    the first of them is decoded.
    """

    def __init__(self) -> None:
        self._known: dict[int, Prompt] = {}

    def halves(self, request: Raw, line: Line) -> tuple[Prompt, list[Item]] | None:
        """The prompt and the items that came back, of a line whose `responses_create_params`
        is still to be decoded; None if it is not a rollout.
        """
        digest = xxhash.xxh3_64_intdigest(request)
        prompt = self._known.get(digest)
        if prompt is not None and (prompt.has_tools or not _has_tools(line)):
            output = reply(line)
            return None if output is None else (prompt, output)
        line.responses_create_params = params = _request.decode(request)
        halves = halves_of(line)
        if halves is None:
            return None
        if params and len({*map(str, held := members(request))}) < len(held):
            raise Repeated("a key of the request twice")
        if halves.both and halves.prompt[-1:] and halves.prompt[-1].role == "assistant":
            with suppress(Unusable):  # a write tells why
                tell_once(halves)
        model = params.model if params else None
        prompt = Prompt(prompt_key(halves), not is_empty(halves.tools), model)
        # Else the prompt or the tools came from elsewhere in the line.
        if params and params.input and is_empty(params.tools) != prompt.has_tools:
            if len(self._known) == PROMPTS_KEPT:
                self._known.clear()
            self._known[digest] = prompt
        return prompt, halves.output


def _has_tools(line: Line) -> bool:
    """Whether there are tools outside the request."""
    response = line.response
    return not is_empty(line.tools) or (
        isinstance(response, Response) and not is_empty(response.tools)
    )


def prompt_key(halves: Halves) -> int:
    """A hash of what the model was shown; 0 where nothing of it is recorded.

    The spelling of the request does not count: a string is one user message, a missing `type` is
    a message, text parts are joined, ids and null keys are left out, and so are the sampling
    settings in its metadata.
    """
    items = [_shown(item) for item in halves.prompt]
    metadata = _plain(halves.metadata)
    about = {}
    if isinstance(metadata, dict):
        about = {name: value for name, value in metadata.items() if name not in SAMPLING}
    if not (items or halves.instructions or about):
        return 0
    tools = b"" if is_empty(halves.tools) else _canonical(bytes(halves.tools))
    content = [halves.instructions or "", items, about]
    key = xxhash.xxh3_64_intdigest(_sorted.encode(content) + b"\0" + tools)
    return key or 1


@lru_cache(maxsize=64)
def _canonical(raw: bytes) -> bytes:
    """JSON with sorted keys and without nulls. A run has few sets of tools, each on many lines."""
    return _sorted.encode(without_nulls(_any.decode(raw)))


def _shown(item: Item) -> list[Any]:
    content = _any.decode(item.content)
    if isinstance(content, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) for part in content
    ):
        content = "".join(part["text"] for part in content)
    called = [call.function for call in chat_calls(item)]
    return [
        item.type or "message",
        item.role,
        item.name,
        without_nulls(content) or "",
        item.reasoning_content or _plain(item.reasoning) or _plain(item.thinking),
        _plain(item.arguments),
        _plain(item.output),
        _plain(item.summary),
        [(function.name, _plain(function.arguments)) for function in called],
    ]


def _plain(raw: Raw) -> Any:
    return None if is_null(raw) else without_nulls(_any.decode(raw))
