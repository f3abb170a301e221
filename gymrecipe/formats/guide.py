"""Guide: how a trainer loads what a format wrote, for the card of a version."""

from __future__ import annotations

import msgspec

from gymrecipe.registry import Purpose


class Written(msgspec.Struct, frozen=True):
    """What one write made, as a guide is told it.

    `files` are the data files of each split (`train`, `validation`), as paths below the version's
    folder; `inside` is the folder they lie in (`data` or `data/<stage>`). `name` is the dataset's
    name, fit for a key or a command line. `longest` is how many bytes the longest record
    has; a token is about 3 to 4 of them. `arguments` names what its chat template was given.
    """

    purpose: Purpose
    name: str
    inside: str
    files: dict[str, list[str]]
    has_tools: bool
    has_reasoning: bool
    longest: int
    arguments: tuple[str, ...] = ()


class Guide(msgspec.Struct, frozen=True):
    """The lines that load the data, in the version's folder, and what to know of them.

    `load` are fenced blocks of the card, as (language, text); `notes` its sentences: the settings
    that matter and what will be trained on. `files` are further files to write beside the data,
    by name (`dataset_info.json`).
    """

    load: list[tuple[str, str]]
    notes: list[str]
    files: dict[str, str] = {}


MUST_KEEP = (
    "The chat template must print the beginning of a conversation the same whatever follows, or"
    " what is trained on is cut in the wrong places. Those of Qwen 3 and 3.5 do not, with thoughts"
    " or without, for the last answer has some in any case; TRL has some that do"
    " (`qwen3_training.jinja`)"
)
"""For trainers that find an answer by what each further message adds to the text."""


def tokens(written: Written) -> int:
    """A maximum length that cuts no record: 3 bytes a token, in steps of 1024."""
    return -(-written.longest // 3072) * 1024 or 1024
