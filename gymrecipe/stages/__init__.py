"""The stages: this list is the table of contents."""

from gymrecipe.stages import (
    aggregate,
    balance,
    dedup,
    filter,
    label,
    load,
    pair,
    sample,
    tasks,
    validate,
    write,
)

__all__ = [
    "aggregate",
    "balance",
    "dedup",
    "filter",
    "label",
    "load",
    "pair",
    "sample",
    "tasks",
    "validate",
    "write",
]
