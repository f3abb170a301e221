"""Halves: the two halves of a line as a write reads it, which decodes it whole."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

from gymrecipe.rollouts import lines
from gymrecipe.rollouts.chat import Reading, Unusable
from gymrecipe.rollouts.columns import Path, parse_path
from gymrecipe.rollouts.items import text_of, with_more, without_media
from gymrecipe.rollouts.lines import Halves, Item, Line, Response, text_item
from gymrecipe.rollouts.why import why_bad

SYSTEM = frozenset({"system", "developer"})
"""Roles of what the model was told before anybody asked."""

_whole = msgspec.json.Decoder()
_DATA_URLS = ("data:audio/", "data:image/", "data:video/")


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
        if path[0] in value and _at(value, path) is True:
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
    if reading.prompt_from and all(item.role in SYSTEM for item in halves.prompt):
        try:
            halves.prompt += lines.prompt_of(_at(value, _path(reading.prompt_from)))
        except msgspec.ValidationError:
            raise Unusable("bad_item") from None
    if media:
        halves.prompt, halves.output = without_media(halves.prompt), without_media(halves.output)
    if _is_nested(parts):
        told = next((head for head in _heads(halves) if _begins(halves.output, head)), [])
        halves.output = halves.output[len(told) :]
    if isinstance(parts.response, Response):
        halves.tools = with_more(halves.tools, parts.response.tools)
    about = None if media else halves.metadata
    if isinstance(about, dict) and any(_is_media(key, value) for key, value in about.items()):
        raise Unusable("not_text")
    return halves


def _is_nested(parts: Line[Any]) -> bool:
    """Whether the response is transcripts, each of which may tell the prompt again."""
    response = parts.response
    output = response.output if isinstance(response, Response) else None
    return isinstance(output, list) and bool(output) and isinstance(output[-1], list)


def _heads(halves: Halves[Any]) -> Iterator[list[Item[Any]]]:
    """What a transcript may begin with that tells the prompt again."""
    if halves.instructions:
        yield [text_item("system", halves.instructions), *halves.prompt]
    yield halves.prompt


def _begins(output: list[Item[Any]], head: list[Item[Any]]) -> bool:
    return _told(output[: len(head)]) == _told(head)


def _told(items: list[Item[Any]]) -> list[tuple[str | None, str | None, str]]:
    return [(item.role, item.call_id, text_of(item.content)) for item in items]


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
        key in ("audio_url", "image_url", "video_url")
        or (isinstance(value, str) and value.startswith(_DATA_URLS))
    )
