"""The format `trl`: what TRL's trainers load, call arguments as objects."""

from __future__ import annotations

from typing import Any

from gymrecipe.formats.example import Example
from gymrecipe.registry import format


@format(purposes=("sft", "dpo"), version=1)
def trl(example: Example) -> dict[str, Any]:
    """TRL: `messages`, or `prompt`, `chosen` and `rejected`; arguments are objects."""
    record: dict[str, Any]
    if example.purpose == "sft":
        record = {"messages": [*example.prompt, *example.completion]}
    else:
        record = {
            "prompt": example.prompt,
            "chosen": example.chosen,
            "rejected": example.rejected,
        }
    if example.tools is not None:
        record["tools"] = example.tools or None  # TRL passes null on as "no tools"
    return record | example.values
