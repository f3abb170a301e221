"""Regular expressions of a recipe: no pattern takes long, by the path that a recipe uses."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from gymrecipe.cli import main
from gymrecipe.planning.settings import NamedColumn
from tests.experiments.conftest import rollout, save
from tests.full import often

EVIL = [
    r"(a+)+$", r"(a|a)*b", r"(a|aa)+$", r"(x+x+)+y", r"([a-zA-Z]+)*!", r"(.*a){20}b", r"((a*)*)*b",
    r"(.*)(.*)(.*)(.*)(.*)z", r"^(([a-z])+.)+[A-Z]([a-z])+$", r"(\w+\s?)*!", r"((?:\w*\d*)+x)",
    r"(?:(a{1,100}){1,100})b", r"((?:.{0,50}a){0,90})q", r"(\d{1,500}\D{1,500}x)",
    r"((\w{1,10}){1,10}\W{1,100}!)", r"((?:\w?){200}!)", r"(\pL{1,999}\d)!",
    r"(?x)( \w # {1}" "\n" r" {1,999} ! )", r"((?:a?b?c?d?e?f?g?){1,99}!)", r"(\w+){1,99}{1,99}!",
    r"([^x]{1,200}y)\b!", r"(?i)((?:s{1,100}k{1,100}){9}!)",
    "(?:" + "|".join(rf"{letter}\w*{letter}" for letter in "abcdefghijklmnopqrstuvw" * 5) + ")(!)",
]  # fmt: skip
REFUSED = [
    r"(?=a)(b)", r"(?!a)(b)", r"(?<=a)(b)", r"(a)\1", r"(?>a)(b)", r"(a", r"(" * 200, "a",
    "(" + "a" * 1_000 + ")", r"(a{1000000000})", r"(a{1,9999})", r"((a{999}){999})",
    r"((?:aaaaaaaaaaaaaaaa){1,999})", r"(\p{L}{1,999})", r"((?:a)" "\n" r"{1,999})(?x)",
]  # fmt: skip
USUAL = [
    r"Category: ([A-Z]+)", r"\\boxed\{([^}]{1,40})\}", r"(\d{4}-\d{2}-\d{2})", r"answer:\s*(\w+)",
    r"((?:\d{1,3}\.){3}\d{1,3})", r"(?i)(math|code|science)", r"^level ([1-5])$",
    r"(?<name>[a-z]+)/\w+", r"task_(\d+)", r"(\p{Lu}\w*)", "(" + "|".join(["category"] * 90) + ")",
]  # fmt: skip
AT_THE_BOUND = [
    r"(\w{1,48})\b\B",
    r"([^x]{1,48}y)\b!",
    r"(a\w{1,44}[!?])",
    r"([ab]*a[ab]{44}c)",
    r"(.*a.{40}b.*!)",
]
MEGABYTE = 2**20
TEXTS = ["a", "01", "ab1 ", "\u00e9\u6570", "xyz" * 5 + "!"]


def column(pattern: str) -> NamedColumn:
    return NamedColumn(path="text", regex=pattern)


def test_evil_patterns_over_a_megabyte_take_a_few_seconds_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [
        rollout("p", "a", 1.0, text=(text * MEGABYTE)[: MEGABYTE // len(TEXTS)]) for text in TEXTS
    ]
    save(tmp_path / "a.jsonl", lines)
    recipe = "stages:\n  load: {use: load}\n  write: {use: write, columns: [reward]}\n"
    spent: dict[str, float] = {}
    for pattern in ["(y)", "(z)", *EVIL]:  # the first one only gets everything imported
        named = {"found": {"path": "text", "regex": pattern, "default": "none"}}
        by = "  few: {use: balance, by: found, most: 9}\n  write"
        text = f"columns: {json.dumps(named)}\n{recipe.replace('  write', by)}"
        (tmp_path / "r.yaml").write_text(text)
        started = time.process_time()
        code = main(["+recipe=r.yaml", "input=a.jsonl", "dry_run=true"])
        assert code in (0, 2), pattern
        assert code == 0 or "once its repeats are counted out" in capsys.readouterr().err
        if code == 0:
            spent[pattern] = time.process_time() - started
    ran = [pattern for pattern in EVIL if pattern in spent]
    assert len(ran) >= 10
    # A run takes more than its pattern: as much as one with a plain pattern.
    assert sum(spent[pattern] - spent["(z)"] for pattern in ran) < 8


def test_the_patterns_that_are_allowed_take_a_few_seconds_together() -> None:
    texts = pl.Series([(text * MEGABYTE)[: MEGABYTE // len(TEXTS)] for text in TEXTS])
    allowed = []
    for pattern in EVIL:
        try:
            allowed.append(str(column(pattern).regex))
        except ValidationError:
            continue
    started = time.process_time()
    for pattern in allowed:
        texts.str.extract(pattern, 1)
    assert time.process_time() - started < 8  # 0.1 in peace
    assert len(allowed) >= 10


def test_a_pattern_at_the_bound_takes_a_few_seconds_a_megabyte_of_the_worst() -> None:
    parts = often(4, 1)
    chance = random.Random(1)
    texts = [
        "".join(chance.choices("ab", k=MEGABYTE // parts)),
        "a\u00e9" * (MEGABYTE // 3 // parts),
        "".join(chance.choices("ab\u00e9\u6570 ", k=MEGABYTE // 2 // parts)),
    ]
    for pattern in AT_THE_BOUND:
        assert column(pattern).regex == pattern
        for text in texts:
            started = time.process_time()
            pl.Series([text]).str.extract(pattern, 1)
            assert parts * (time.process_time() - started) < 8, pattern  # 0.75 at most in peace


def test_without_this_a_pattern_of_twenty_characters_takes_longer_than_all_others() -> None:
    started = time.process_time()
    pl.Series(["a" * (MEGABYTE // 1024)]).str.extract(r"((a{1,100}){1,100})b", 1)
    assert 1024 * (time.process_time() - started) > 16


@pytest.mark.parametrize("pattern", REFUSED)
def test_what_the_engine_does_not_have_or_would_take_long_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match=r"regular expression|once its|at most|needs a"):
        column(pattern)


@pytest.mark.parametrize("pattern", USUAL)
def test_usual_patterns_are_allowed(pattern: str) -> None:
    assert column(pattern).regex == pattern
