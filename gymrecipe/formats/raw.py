"""The format `raw`: the source lines themselves, byte for byte."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from gymrecipe.formats.example import Example
from gymrecipe.registry import format


@format(purposes=("sft", "dpo"), version=1, across_prompts=True, parquet=False)
def raw(example: Example) -> dict[str, Any] | bytes:
    """The source lines: one as it stands, or a pair of them as `chosen` and `rejected`."""
    if len(example.lines) == 1:
        return example.lines[0]
    chosen, rejected = example.lines
    return {"chosen": verbatim(chosen), "rejected": verbatim(rejected)} | example.values


def verbatim(text: bytes | Raw) -> Raw:
    """JSON text to embed as it stands.

    A carriage return can only be white space there, but would end the line for some readers.
    """
    return Raw(bytes(text).replace(b"\r", b" ").strip())
