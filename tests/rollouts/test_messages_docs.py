"""The manual says of every reason what it means, and of every setting what it does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from gymrecipe.rollouts.bad_reasons import BAD_LINE
from gymrecipe.rollouts.chat import CHANGED_BY, UNUSABLE, Reading
from gymrecipe.rollouts.messages import USUAL
from gymrecipe.stages.write import Write

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "messages.md").read_text()
SETTINGS = {
    cells[0].strip("`"): cells[1:]
    for row in PAGE.partition("## The settings")[2].partition("\n## ")[0].splitlines()
    if row.startswith("| `") and (cells := [cell.strip() for cell in row.strip("|").split(" | ")])
}


@pytest.mark.parametrize("reason", UNUSABLE)
def test_the_manual_says_what_a_reason_means_and_what_changes_it(reason: str) -> None:
    changed = CHANGED_BY.get(reason)
    row = f"| `{reason}` | {UNUSABLE[reason]} | " + (f"`{changed}` |" if changed else "|")
    assert row in PAGE.splitlines()


def test_a_setting_that_lets_something_through_is_one() -> None:
    assert CHANGED_BY.keys() <= UNUSABLE.keys()
    for text in CHANGED_BY.values():
        assert text.partition("=")[0] in Write.model_fields


@pytest.mark.parametrize("setting", Reading.__struct_fields__)
def test_the_manual_names_the_values_of_a_setting_the_default_first(setting: str) -> None:
    values = [f"`{value}`" for value in get_args(get_type_hints(Reading)[setting]) if value]
    shown, _ = (cell.strip() for cell in SETTINGS[setting])
    if setting in ("system", "prompt_from"):
        assert shown.startswith({"system": "`keep`", "prompt_from": "none"}[setting])
        return
    assert sorted(shown.split(", ")) == sorted(values)
    assert shown.startswith(f"`{getattr(USUAL, setting)}`")


@pytest.mark.parametrize("setting", Reading.__struct_fields__)
def test_a_write_has_the_settings_of_a_reading(setting: str) -> None:
    default = Write.model_fields[setting].default
    assert default == (None if setting == "reasoning" else getattr(USUAL, setting))


def test_every_reason_that_is_raised_is_listed() -> None:
    raised = {
        reason
        for file in (ROOT / "gymrecipe").rglob("*.py")
        for reason in re.findall(r'Unusable\(\s*"(\w+)"', file.read_text())
    }
    assert len(raised) > 15
    assert raised <= UNUSABLE.keys() | BAD_LINE.keys()
