"""Ground truth: the one text that trainers hand to a reward function beside the answer."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from gymrecipe.formats.text import json_text
from gymrecipe.rollouts.lines import NULL, is_null

NAMES = ("ground_truth", "expected_answer", "answer")
"""The fields of a verifier that hold the right answer, the surest name first."""


def ground_truth(verifier: dict[str, Raw]) -> str:
    """The right answer as text, or all that the verifier needs as JSON text."""
    for name in NAMES:
        if not is_null(raw := verifier.get(name, NULL)):
            return text(raw)
    return json_text(verifier)


def text(raw: Raw) -> str:
    """A JSON text as it is, any other JSON value as it is written."""
    written = bytes(raw).decode()
    return msgspec.json.decode(written, type=str) if written.startswith('"') else written
