"""What a format is given: one example, made of one rollout or of a pair of them."""

from __future__ import annotations

from typing import Any

import msgspec

from gymrecipe.registry import Purpose
from gymrecipe.rollouts.messages import Message


class Example(msgspec.Struct):
    """One training example in the canonical form.

    A demonstration has `prompt` and `completion`; a pair has `prompt`, `chosen` and `rejected`.
    `tools` is None where no example of the dataset has tools, so that every row has the same
    columns. `lines` are the source lines: one, or the chosen and the rejected one. `values` are
    the columns that stand beside the messages (`reward`, `task_type`; `reward_chosen`,
    `reward_rejected`, `reward_gap`), under the names that the recipe gives them.
    """

    purpose: Purpose
    lines: tuple[bytes, ...]
    values: dict[str, Any]
    prompt: list[Message] = []
    completion: list[Message] = []
    chosen: list[Message] = []
    rejected: list[Message] = []
    tools: list[dict[str, Any]] | None = None
