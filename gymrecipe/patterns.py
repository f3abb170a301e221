"""Patterns: how much a regular expression of a recipe may ask of the engine.

They are run by Rust's engine, which never backtracks: its time is the length of the text times the
size of the pattern. Counted repeats such as `{1,100}` are written out, and nested ones multiply, so
that a pattern of twenty characters can be a program of megabytes. Their product is bounded here.
"""

from __future__ import annotations

import re

MOST = 50
"""The most classes that a pattern may come to once its repeats are written out. A megabyte of text
on which the engine has to hold all of them open takes up to a second: where `\\b` meets what is not
ASCII, or a repeat behind its own beginning has too many states to be kept."""

LITERALS = 4
"""So many literal characters are as much work as a class such as `\\w`."""

_COUNTED = re.compile(r"\{\s*(\d+)?\s*(?:,\s*(\d+)?\s*)?\}")


def check_effort(pattern: str) -> None:
    """Raise ValueError for a pattern whose counted repeats come to too much."""
    if (effort := _effort(pattern)) > MOST:
        raise ValueError(
            f"comes to {effort:,.0f} parts once its repeats are counted out, and {MOST} are"
            " allowed; write + or * for a repeat such as {1,100}"
        )


def _effort(pattern: str) -> float:
    """How many classes the pattern comes to at most: it is not parsed, and nothing is missed.

    What looks like a count behind anything but a letter, a digit, a class or a point is held for
    that of a group, which multiplies all that there is.
    """
    added, times = 0, 1
    for found in _COUNTED.finditer(pattern):
        count = max(int(found[1] or 0), int(found[2] or 0), 1)
        before = pattern[found.start() - 1 : found.start()]
        if before.isalnum() or before in ("]", "."):
            added += count - 1
        else:
            times *= count
    classes = len(re.findall(r"[\\.\[]", pattern)) + added
    return (classes + len(pattern) / LITERALS * (times > 1)) * times
