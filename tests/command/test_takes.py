"""The knobs of verbs: what `VERB --help` lists is what the verb takes."""

from __future__ import annotations

import re

import pytest

from gymrecipe.cli import main
from gymrecipe.command.help import verb_help
from gymrecipe.command.takes import TAKES, offered
from gymrecipe.command.words import VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_says_how_it_is_written_and_lists_what_it_takes(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "--help"]) == 0
    said, *rest = capsys.readouterr().out.splitlines()
    assert re.match(f"gymrecipe {verb}( [A-Z].*| \\[.*\\])?: [a-z]", said)
    assert [line.partition("=")[0] for line in rest[2:]] == list(TAKES[verb])


def test_a_knob_is_shown_with_its_default() -> None:
    _, rows = verb_help("gc")
    assert [row.knob for row in rows] == [
        "output_dir=experiments", "older_than_minutes=60", "dry_run=false", "output_jsonl_fpath=",
        "json=false",
    ]  # fmt: skip


def test_what_is_on_is_shown_so_and_offered_to_be_put_off() -> None:
    assert "values=true" in [row.knob for row in verb_help("explain")[1]]
    assert {"values=false", "json=true", "output_dir="} <= {*offered("explain")}
