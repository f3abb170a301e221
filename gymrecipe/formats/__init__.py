"""The formats: one file per form that a trainer reads. This list is the table of contents."""

from gymrecipe.formats import (
    axolotl,
    custom,
    llama_factory,
    messages,
    ms_swift,
    nemo_rl,
    openrlhf,
    raw,
    rendered,
    trl,
    verl,
)

__all__ = [
    "axolotl",
    "custom",
    "llama_factory",
    "messages",
    "ms_swift",
    "nemo_rl",
    "openrlhf",
    "raw",
    "rendered",
    "trl",
    "verl",
]
