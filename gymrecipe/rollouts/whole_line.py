"""Whole line: the two halves of a line as a write reads it, which decodes it whole."""

from __future__ import annotations

from functools import lru_cache
from itertools import takewhile
from typing import Any

import msgspec

from gymrecipe.rollouts import lines
from gymrecipe.rollouts.bad_reasons import why_bad
from gymrecipe.rollouts.chat import Reading, Unusable, on_a_line
from gymrecipe.rollouts.columns import Path, parse_path
from gymrecipe.rollouts.context_elsewhere import refuse_elsewhere
from gymrecipe.rollouts.handoff import tell_once
from gymrecipe.rollouts.items import text_of, without_media
from gymrecipe.rollouts.lines import Halves, Item, Line, Response
from gymrecipe.rollouts.tools import with_more

SYSTEM = frozenset({"system", "developer"})
"""Roles of what the model was told before anybody asked."""

_whole = msgspec.json.Decoder()
_DATA_URLS = ("data:audio/", "data:image/", "data:video/")
_MEDIA_KEYS = ("audio_url", "audio_data", "audio_path", "audio_paths", "image_url", "video_url")
"""Names in a request's metadata under which a model's server looks for what it puts before the
question."""


def check(line: bytes) -> Any:
    """All of a line decoded, also what nobody reads; Unusable with a reason of BAD_LINE."""
    try:
        return _whole.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Unusable(why_bad(line, error)) from None


def parts_of(line: bytes, value: Any) -> Line[Any]:
    """The trajectory parts of a decoded line; raises Unusable."""
    try:
        return lines.whole(value)
    except msgspec.ValidationError as error:
        raise Unusable(why_bad(line, error)) from None


def refuse_masked(value: Any) -> None:
    """Raise Unusable for a decoded line that says it is not to be trained on."""
    for path in lines.MASKS:
        if path[0] in value and _at(value, path):
            raise Unusable("masked")


def halves_as_read(
    line: bytes,
    parts: Line[Any],
    value: Any,
    reading: Reading,
    answered: bool,
    media: bool = False,
) -> Halves[Any]:
    """Both halves of a line, the prompt from where the reading says if it is nowhere else."""
    try:
        halves = lines.halves_of(parts, answered)
        if halves is None:
            raise Unusable("not_a_rollout")
    except msgspec.ValidationError as error:
        raise Unusable(why_bad(line, error)) from None
    if not media:
        refuse_elsewhere(value, answered)
    tell_once(halves)
    if reading.prompt_from and all(item.role in SYSTEM for item in halves.prompt):
        try:
            found = lines.prompt_of(_at(value, _path(reading.prompt_from)))
        except msgspec.ValidationError:
            cause = f"'{reading.prompt_from}' is neither a text nor a list of items"
            raise Unusable("bad_item", cause=on_a_line(cause)) from None
        if found and found[-1].role == "assistant":
            raise Unusable("prompt_answered")  # who can know which of it the output tells again?
        known = _head_of(halves.prompt) == _head_of(found)
        halves.prompt = found if known else halves.prompt + found
    if media:
        halves.prompt, halves.output = without_media(halves.prompt), without_media(halves.output)
    transcripts = _transcripts(parts)
    if transcripts and not isinstance(transcripts[-1], list):
        # Who can know whether it goes on with the last?
        raise Unusable("bad_item", cause="an item behind the lists of `response.output`")
    if transcripts or halves.both:
        halves.output = halves.output[_told_again(halves) :]
    request = parts.responses_create_params
    if request and not request.input and _head_of(halves.prompt) == [halves.instructions]:
        halves.instructions = None  # the prompt is from elsewhere in the line, which has them, too
    if isinstance(parts.response, Response):
        halves.tools = with_more(halves.tools, parts.response.tools)
        if not halves.instructions and not _leading(halves.prompt):
            halves.instructions = _instructions(parts.response)
    about = None if media else halves.metadata
    for key, value in about.items() if isinstance(about, dict) else ():
        if _is_media(key, value):
            raise Unusable("not_text", cause=on_a_line(f"`{key}` in the request's metadata"))
    return halves


def _instructions(response: Response[Any]) -> str | None:
    """What a response says that the model was told, where nothing else in the line does."""
    told = response.instructions
    if told is lines.NULL or not told:
        return None
    if type(told) is not str:
        raise Unusable("bad_item", cause="`response.instructions` that are no text")
    return told


def _transcripts(parts: Line[Any]) -> list[Any]:
    """What the response holds if that is transcripts, each of which may tell the prompt again:
    they are lists in its output. Empty for any other response.
    """
    output = parts.response.output if isinstance(parts.response, Response) else None
    return output if isinstance(output, list) and list in map(type, output) else []


def _told_again(halves: Halves[Any]) -> int:
    """How many items at the head of the output tell the prompt again, in which case a transcript
    begins with them: the same questions, behind the same system messages and instructions or none.
    """
    told, asked = _leading(halves.output), halves.prompt[_leading(halves.prompt) :]
    length = _beginning(halves.output[told:], asked)
    if length is None:
        return 0
    whole = told + length
    texts, said = _head_of(halves.prompt), "\n\n".join(_head_of(halves.output))
    known = ("\n\n".join(texts), "\n\n".join([halves.instructions or "", *texts]))
    return whole if not told or said in known else 0


def _head_of(items: list[Item[Any]]) -> list[str]:
    """The texts of the system messages at the head."""
    return [text_of(item.content) for item in items[: _leading(items)]]


def _leading(items: list[Item[Any]]) -> int:
    """How many system messages there are at the head."""
    return sum(1 for _ in takewhile(lambda item: item.role in SYSTEM, items))


def _beginning(items: list[Item[Any]], asked: list[Item[Any]]) -> int | None:
    """How many of the first items tell the same as others, None where none do so."""
    wanted: list[_Told] = []
    for item in asked:
        _tell(wanted, item)
    known: list[_Told] = []
    length = 0
    while known != wanted:
        if length == len(items) or len(known) > len(wanted):
            return None
        _tell(known, items[length])
        length += 1
    return length


_Told = tuple[str, str | None, str]
"""A role, the id of a call, a text."""


def _tell(known: list[_Told], item: Item[Any]) -> None:
    """Note what an item tells, thoughts aside: the same for all the ways to spell a message."""
    if item.type == "reasoning":
        return
    if item.type == "function_call_output" or item.role == "tool":
        known.append(("tool", item.call_id or item.tool_call_id, ""))
        return
    if item.type == "function_call":
        known.append(("call", item.call_id, ""))
        return
    role, text = item.role or "", text_of(item.content)
    if known and known[-1][:2] == ("assistant", None) and role == "assistant":
        text = known.pop()[2] + text
    if text or role != "assistant":
        known.append((role, None, text))
    calls = item.tool_calls if isinstance(item.tool_calls, list) else ()
    known += [("call", call.get("id"), "") for call in calls if isinstance(call, dict)]


@lru_cache(maxsize=1)
def _path(name: str) -> Path:
    return parse_path(name)


def _at(value: Any, path: Path) -> Any:
    """What stands at a path of a decoded line; None where nothing does."""
    for key in path:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value


def _is_media(key: str, value: Any) -> bool:
    """Whether an entry of the request's metadata is a part of the prompt that is not text."""
    return bool(value) and (
        key in _MEDIA_KEYS or (isinstance(value, str) and value.startswith(_DATA_URLS))
    )
