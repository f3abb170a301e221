"""The format `raw`: the source lines themselves, byte for byte."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from gymrecipe.formats.example import Example
from gymrecipe.registry import format


@format(
    purposes=("sft", "dpo", "kto", "reward_model", "rl", "buffer"),
    version=1,
    across_prompts=True,
    files=("jsonl",),
)
def raw(example: Example) -> dict[str, Any] | bytes:
    """The source lines: one as it stands, with a `label` as `rollout`, or as a pair of them."""
    if example.purpose == "kto":
        line = verbatim(example.lines[0])
        return {"rollout": line, "label": example.label} | example.values
    if len(example.lines) == 1:
        return example.lines[0]
    chosen, rejected = example.lines
    record: dict[str, Any] = {"chosen": verbatim(chosen), "rejected": verbatim(rejected)}
    if example.purpose == "reward_model":
        record["margin"] = example.margin
    return record | example.values


def verbatim(text: bytes | Raw) -> Raw:
    """JSON text to embed as it stands.

    A carriage return can only be white space there, but would end the line for some readers.
    """
    return Raw(bytes(text).replace(b"\r", b" ").strip())
