"""Recipes and their files, for the tests of recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from gymrecipe.guards import look_up
from gymrecipe.recipe.composing import compose
from gymrecipe.recipe.finding import recipes

DPO = recipes()["dpo_same_prompt"]

TAIL = "stages:\n  load: {use: load}\n  write: {use: write}\n"

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0$"), max_size=20)


def value(override: str, at: str | None = None) -> Any:
    """What an override makes of its knob, or of another."""
    key = override.lstrip("+").partition("=")[0]
    return look_up(compose(DPO, [override]).values, at or key)


def write(folder: Path, text: str | bytes, name: str = "r.yaml") -> Path:
    """A recipe file."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path
