"""What a format is given: one example, made of a rollout, of a pair of them, or of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from gymrecipe.registry import Purpose
from gymrecipe.rollouts.chat import Message

if TYPE_CHECKING:
    from gymrecipe.formats.template import Template


class Example(msgspec.Struct):
    """One training example in the canonical form.

    A demonstration, a labelled completion (`label`) and a scored trajectory (`reward`) have
    `prompt` and `completion`; a pair has `prompt`, `chosen`, `rejected` and `margin`, how much
    better the chosen side is; a task has `prompt` and what its verifier needs: `request`, which
    is the `responses_create_params` as they stand, `agent` and the fields of `verifier`. `tools`
    is None where no example of the dataset has tools, so that every row has the same columns.
    `lines` are the source lines: one, or the chosen and the rejected one. `values` are the
    columns that stand beside the messages (`reward`, `task_type`; `reward_chosen`,
    `reward_rejected`, `reward_gap`), under the names that the recipe gives them. `index` counts
    the rows of the write from 0, `split` is train or validation. `template` is what `rendered`
    makes text with. `refused`: the model's API marked a part of an answer as a refusal. `joined`:
    an answer is several messages of the response in a row. `unverifiable`: no field of `verifier`
    says what is right.
    """

    purpose: Purpose
    lines: tuple[bytes, ...]
    values: dict[str, Any]
    prompt: list[Message] = []
    completion: list[Message] = []
    chosen: list[Message] = []
    rejected: list[Message] = []
    tools: list[dict[str, Any]] | None = None
    label: bool | None = None
    reward: float | None = None
    margin: float | None = None
    request: Raw = Raw(b"null")
    agent: str | None = None
    verifier: dict[str, Raw] = {}
    index: int = 0
    split: str = "train"
    template: Template | None = None
    refused: bool = False
    joined: bool = False
    unverifiable: bool = False
