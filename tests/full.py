"""How much is tried: what fits into every test run, or all of it (`make test-faults`, …)."""

from __future__ import annotations

import os

from hypothesis import settings

FULL = os.environ.get("GYMRECIPE_TESTS") == "full"


def often(quick: int, full: int) -> int:
    """How often to try: in every test run, and in the full set."""
    return full if FULL else quick


def few(part: int) -> settings:
    """Hypothesis' settings for what takes long: so small a part of the examples."""
    most = settings.default.max_examples  # type: ignore[union-attr]
    return settings(max_examples=most // part)
