"""Verifier: what the verifier of a task needs, out of its input row or one of its rollouts."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from gymrecipe.formats.ground_truth import NAMES
from gymrecipe.rollouts.columns import Path, find, parse_path
from gymrecipe.rollouts.lines import NULL, is_null, prompt_of
from gymrecipe.rollouts.response_counts import raw_text

SHARED = (
    "expected_answer", "ground_truth", "answer", "options", "grading_mode", "template_metadata",
    "verifier_metadata", "question", "problem", "difficulty", "category", "task_id", "task_idx",
    "problem_id", "uuid", "id",
)  # fmt: skip
"""Fields of a rollout line that say what was asked, not how it went. A rollout line has many more
that its verifier found out, so without an input row these are what is carried over."""

_ANSWERS = frozenset({*NAMES, "verifier_metadata", "task_idx"})
"""The SHARED fields by which an answer can be verified (by an index some environments set up the
state that they look at); the others ask or name a task.
"""

_OTHER = ("responses_create_params", "agent_ref", "response", "reward", "messages", "output")
_object = msgspec.json.Decoder(dict[str, Raw])


def fields_of(line: bytes, is_input: bool, asked: tuple[str, ...] | None) -> dict[str, Raw]:
    """The fields for the verifier.

    `asked` are their paths, and each is known by its last key (a missing one is NULL). Else they
    are all fields of an input row that are not the request or the collector's own, or the SHARED
    ones of a rollout line.
    """
    if asked is not None:
        return {str(path[-1]): _at(line, path) for path in map(parse_path, asked)}
    fields = _object.decode(line)
    if not is_input:
        return {name: fields[name] for name in SHARED if name in fields}
    return {
        name: value
        for name, value in fields.items()
        if name not in _OTHER and not name.startswith(("_", "ng_"))
    }


def verifies(fields: dict[str, Raw], is_whole: bool) -> bool:
    """Whether an answer can be verified by the fields: `is_whole` if they are more than SHARED."""
    told = with_value(fields)
    return bool(told if is_whole else told & _ANSWERS)


def with_value(fields: dict[str, Raw]) -> set[str]:
    """The fields that are there and not null."""
    return {name for name, value in fields.items() if not is_null(value)}


def is_row_of(row: bytes, line: bytes) -> bool:
    """Whether an input row asks what a rollout was asked; its environment may have added to it.

    By what is said alone; a rollout whose request is empty does not tell.
    """
    try:
        asks, shown = _said(row), _said(line)
    except msgspec.ValidationError:
        return False
    return not shown or shown[: len(asks)] == asks


def _said(line: bytes) -> list[tuple[str | None, ...]]:
    items = prompt_of(_at(line, ("responses_create_params", "input")))
    return [
        (item.type or "message", item.role, item.name, raw_text(item.content)) for item in items
    ]


def request_of(line: bytes) -> Raw:
    """The `responses_create_params` as they stand; null where there are none."""
    return _at(line, ("responses_create_params",))


def agent_of(line: bytes) -> str | None:
    """The name of the agent that ran it."""
    name = find(line, ("agent_ref", "name"))
    try:
        return None if name is None else msgspec.json.decode(name, type=str | None)
    except msgspec.ValidationError:
        return None


def _at(line: bytes, path: Path) -> Raw:
    found = find(line, path)
    return NULL if found is None else Raw(bytes(found))
