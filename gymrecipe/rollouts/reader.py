"""Reader: what the rows of lines hold, a column at a time."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import xxhash
from msgspec import Raw

from gymrecipe.rollouts.bad_reasons import why_bad
from gymrecipe.rollouts.columns import TEXTS, find, name_of, typed
from gymrecipe.rollouts.known_fields import WHOLE, Known, Place, Values
from gymrecipe.rollouts.lines import FAILURES, MASKS, NULL, Item, Line, Response, is_null
from gymrecipe.rollouts.prompts import Prompt, Prompts, index_key, value_key
from gymrecipe.rollouts.response_counts import (
    count_response,
    has_failed,
    is_truncated,
    output_tokens,
)
from gymrecipe.rollouts.scanned import Job, task_field
from gymrecipe.rollouts.sound_lines import SoundLines, Taken, Text


class NoRollout(ValueError):
    """A line is an object but no rollout; the argument is the reason."""


FAULTS = (msgspec.DecodeError, ValueError, RecursionError, OverflowError)
"""What is raised by a line that is bad."""


class Reader:
    """Reads lines for a job: what it asks for is looked up whenever a line has a new field."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.prompts = Prompts()
        asked = [job.reward, job.group_by, *job.task_fields, *job.present]
        asked += [path for column in job.columns for path in column.paths]
        self.known = Known(_NEEDED.union(path[0] for path in asked if path))
        self.last_bad, self.last_reason = b"", ""
        self._look_up()

    def _look_up(self) -> None:
        """Find out where in the parts of a line everything is, as far as it is known."""
        job, places, slots = self.job, self.known.places, self.known.slots
        self.looked_up = len(self.known.names)
        self.reward = places(job.reward)
        self.group_by = places(job.group_by)
        self.task_fields = [places(path) for path in job.task_fields]
        self.asked = [(column, places(*column.paths)) for column in job.columns]
        self.sought = [(name_of(path), places(path)) for path in job.present]
        self.index = places(("_ng_task_index",))
        self.repeat = slots.get("_ng_rollout_index")
        self.masks = places(*MASKS)
        self.failures = places(*((name,) for name in FAILURES))
        self.tools, self.agent = slots.get("tools"), slots.get("agent_ref")
        measured = [name for name in self.known.names if not name.startswith("_")]
        self.measured = [(slots[name], name) for name in measured]

    def sift(self, texts: list[Text]) -> tuple[SoundLines, list[tuple[Text, str]]]:
        """The lines that are rollouts, and those that are none, each with its reason."""
        decoded, bad = self._decoded(texts)
        sound = SoundLines()
        for text, parts in decoded:
            try:
                prompt, output = self._halves(parts)
                answer = count_response(output)
            except FAULTS as error:
                bad.append((text, self.refuse(text, error)))
                continue
            sound.texts.append(text)
            sound.values.append(parts)
            sound.prompts.append(prompt)
            sound.items.append(len(output))
            sound.answers.append(answer)
        return sound, bad

    def read(self, sound: SoundLines) -> Taken:
        """What is asked of the lines, as rows; raises one of FAULTS if a line cannot give that."""
        texts, values, prompts, answers = sound.texts, sound.values, sound.prompts, sound.answers
        responses = [parts[1] if isinstance(parts[1], Response) else None for parts in values]
        agents = self._agents(values)
        high, low = _identities(texts)
        rewards = [typed(raw, "number") for raw in self._found(texts, values, self.reward)]
        columns: dict[str, Sequence[Any]] = {
            "line": [text.number for text in texts],
            "offset": [text.offset for text in texts],
            "bytes": [len(text.data) for text in texts],
            "id_hi": high,
            "id_lo": low,
            "prompt_key": [prompt.key for prompt in prompts],
            "index_key": self._index_keys(values, agents),
            "repeat_key": [
                0 if self.repeat is None else _repeat_key(bytes(parts[self.repeat]))
                for parts in values
            ],
            "group_value": self._keys(texts, values, self.group_by),
            "place": [text.place for text in texts],
            "reward": [math.nan if reward is None else reward for reward in rewards],
            "turns": [answer.turns for answer in answers],
            "output_items": sound.items,
            "tool_calls": [answer.calls for answer in answers],
            "answer_chars": [answer.chars for answer in answers],
            "answer_key": [answer.key for answer in answers],
            "output_tokens": [output_tokens(response) for response in responses],
            "truncated": [is_truncated(response) for response in responses],
            "failed": self._failed(values, responses),
            "masked": self._masked(texts, values),
            "empty": [answer.empty for answer in answers],
            "unanswered_calls": [answer.unanswered for answer in answers],
            "has_tools": [prompt.has_tools for prompt in prompts],
        }
        for number, places in enumerate(self.task_fields):
            columns[task_field(number)] = self._keys(texts, values, places)
        models = [
            (response.model if response else None) or prompt.model
            for response, prompt in zip(responses, prompts, strict=True)
        ]
        taken = Taken(columns, {"model": models, "agent": agents}, self._measures(values), set())
        for column, places in self.asked:
            raws = self._found(texts, values, places)
            known = [typed(raw, column.kind) for raw in raws]
            if column.kind in TEXTS:
                taken.texts[column.name] = known
            else:
                missing = _MISSING[column.kind]
                columns[column.name] = [missing if value is None else value for value in known]
            if any(raw is not None for raw in raws):
                taken.found.add(column.name)
        for name, places in self.sought:
            pairs = zip(texts, values, strict=True)
            if any(_first(text.data, parts, places) is not None for text, parts in pairs):
                taken.found.add(name)
        return taken

    def _decoded(
        self, texts: list[Text]
    ) -> tuple[Iterator[tuple[Text, Values]], list[tuple[Text, str]]]:
        """The lines that can be decoded, with their parts, and those that cannot, with reasons."""
        whole, values, bad = [], [], []
        for text in texts:
            if text.data == self.last_bad:
                bad.append((text, self.last_reason))
                continue
            try:
                if not text.data.isascii():
                    text.data.decode()
                values.append(self.known.values(text.data))
            except FAULTS as error:
                bad.append((text, self.refuse(text, error)))
            else:
                whole.append(text)
        if len(self.known.names) > self.looked_up:  # some before the last new field lack its slot
            self._look_up()
            values = [self.known.values(text.data) for text in whole]
        return zip(whole, values, strict=True), bad

    def refuse(self, text: Text, error: Exception) -> str:
        """The reason of a bad line, which the next one has too if it is the same."""
        self.last_bad, self.last_reason = text.data, why(text, error)
        return self.last_reason

    def _halves(self, values: Values) -> tuple[Prompt, list[Item]]:
        tools = NULL if self.tools is None else values[self.tools]
        line = Line(None, values[1], values[2], values[3], tools)
        halves = self.prompts.halves(values[0], line)
        if halves is None:
            asked = not is_null(values[0]) or not is_null(line.messages)
            raise NoRollout("no_response" if asked else "not_a_rollout")
        return halves

    def _found(
        self, texts: list[Text], values: list[Values], places: list[Place]
    ) -> list[Raw | bytes | None]:
        """What stands in each line at the first of the places where there is a value."""
        if not places:
            return [None] * len(texts)
        return [_first(text.data, parts, places) for text, parts in zip(texts, values, strict=True)]

    def _keys(self, texts: list[Text], values: list[Values], places: list[Place]) -> Sequence[int]:
        if not places:
            return array("Q", bytes(8 * len(texts)))
        return [value_key(raw) for raw in self._found(texts, values, places)]

    def _agents(self, values: list[Values]) -> list[str | None]:
        if (slot := self.agent) is None:
            return [None] * len(values)
        return [_agent(bytes(parts[slot])) for parts in values]

    def _index_keys(self, values: list[Values], agents: list[str | None]) -> Sequence[int]:
        if not self.index:
            return array("Q", bytes(8 * len(values)))
        slot, _ = self.index[0]
        return [
            index_key(value_key(parts[slot]), agent)
            for parts, agent in zip(values, agents, strict=True)
        ]

    def _failed(self, values: list[Values], responses: list[Response | None]) -> list[bool]:
        slots = [slot for slot, _ in self.failures]
        return [
            has_failed(response) or any(_holds(parts[slot]) for slot in slots)
            for parts, response in zip(values, responses, strict=True)
        ]

    def _masked(self, texts: list[Text], values: list[Values]) -> Sequence[bool]:
        by_place = [self._found(texts, values, [place]) for place in self.masks]
        if not by_place:
            return [False] * len(texts)
        return [any(map(_holds, raws)) for raws in zip(*by_place, strict=True)]

    def _measures(self, values: list[Values]) -> dict[str, list[float | None]]:
        """The numbers of each metric, a boolean as 0 and 1 (as NeMo Gym aggregates them)."""
        return {name: _numbers([parts[slot] for parts in values]) for slot, name in self.measured}


_NEEDED = frozenset(
    {
        "tools", "instance_config", "mask_sample", "agent_ref", "_ng_task_index",
        "_ng_rollout_index", *FAILURES,
    }
)  # fmt: skip
_MISSING = {"number": math.nan, "boolean": -1, "any": -1}
_NUMBER_OR_BOOLEAN = frozenset(b"-0123456789tf")
_repeat_key = lru_cache(maxsize=256)(value_key)  # a task has few repeats
_value = msgspec.json.Decoder()
_floats = msgspec.json.Decoder(list[float | None])


def _holds(raw: Raw | bytes | None) -> bool:
    """Whether something stands there: not null, an empty text, false or 0."""
    return raw is not None and not is_null(raw) and bool(_value.decode(raw))


def why(text: Text, error: Exception) -> str:
    """The reason of a bad line."""
    if isinstance(error, NoRollout):
        return str(error)
    return why_bad(text.data, error)


def _identities(texts: list[Text]) -> tuple[array[int], array[int]]:
    """The two halves of each line's hash."""
    halves = array("Q", b"".join([xxhash.xxh3_128_digest(text.data) for text in texts]))
    if sys.byteorder == "little":
        halves.byteswap()
    return halves[::2], halves[1::2]


def _first(data: bytes, values: Values, places: list[Place]) -> Raw | bytes | None:
    """What stands at the first of the places where there is a value; a null if one has that."""
    null = None
    for slot, path in places:
        if slot == WHOLE:
            raw: Raw | bytes | None = find(data, path)
        else:
            raw = values[slot]
            if raw is NULL:
                continue
            if path:
                raw = find(values[slot], path)
        if raw is None:
            continue
        if not is_null(raw):
            return raw
        null = raw
    return null


@lru_cache(maxsize=16)
def _agent(raw: bytes) -> str | None:
    """The name in an `agent_ref`. A run has few agents, each on many lines."""
    name: str | None = typed(find(raw, ("name",)), "text")
    return name


def _numbers(raws: list[Raw]) -> list[float | None]:
    """The numbers that stand there, a boolean as 0 and 1; None for anything else."""
    try:
        numbers = _floats.decode(b"[%b]" % b",".join(raws))
    except msgspec.DecodeError:
        numbers = [_number(raw) for raw in raws]
    return [None if number is None else number + 0.0 for number in numbers]  # no -0.0


def _number(raw: Raw) -> float | None:
    if memoryview(raw)[0] not in _NUMBER_OR_BOOLEAN:
        return None
    try:
        return float(_value.decode(raw))
    except OverflowError:
        return None
