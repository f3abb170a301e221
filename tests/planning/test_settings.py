"""Settings: what concerns a run, named columns and examples."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gymrecipe.planning.settings import NamedColumn, Settings, WorkedExample


@pytest.mark.parametrize("name", ["a", "v1.0", "A-b_c.d", "0", "x" * 100])
def test_a_plain_name_is_taken(name: str) -> None:
    assert Settings(name=name, tag=name).tag == name


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", ".a", "-a", "_a", "a/b", "../a", "/a", "a\\b", "a b", "a\n", "a\0", "é",
        "a:b", "~", "x" * 101, "a*", "\uff0e\uff0e", "a/", "\u2028", "%2e%2e",
    ],
)  # fmt: skip
@pytest.mark.parametrize("knob", ["name", "tag"])
def test_a_name_that_is_no_folder_of_ours_is_refused(knob: str, name: str) -> None:
    with pytest.raises(ValidationError, match=r"should be letters, digits, '\.', '_' and '-'"):
        Settings.model_validate({"name": "a", knob: name})


@pytest.mark.parametrize("name", ["latest", "Latest"])
def test_the_name_of_the_newest_version_is_no_name_of_a_folder(name: str) -> None:
    with pytest.raises(ValidationError, match="'latest' means the newest version"):
        Settings(name=name)


@pytest.mark.parametrize(("given", "text"), [(123, "123"), (1.5, "1.5"), (0, "0")])
def test_a_number_in_the_file_is_a_name(given: Any, text: str) -> None:
    assert Settings.model_validate({"name": given, "tag": given}).name == text


@pytest.mark.parametrize("given", [True, [], {}, b"a"])
def test_what_is_no_text_is_no_name(given: Any) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"name": given})


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"name": "a", "sed": 1})


@pytest.mark.parametrize("engine", [{"use": "ray"}, {"workers": 0}, {"workers": True}, "local"])
def test_an_engine_that_there_is_not_is_refused(engine: Any) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"name": "a", "engine": engine})


@pytest.mark.parametrize("path", ["a b", "", [], ["a", "b c"], "1.a", 'field["a"'])
def test_a_column_without_a_path_is_refused(path: Any) -> None:
    with pytest.raises(ValidationError, match="path"):
        NamedColumn.model_validate({"path": path})


@pytest.mark.parametrize(
    ("regex", "why"),
    [
        ("(", "unclosed group"),
        ("(?=a)(b)", "look-around"),
        (r"(a)\1", "backreferences"),
        ("abc", "needs a group in parentheses"),
        ("(?:a)", "needs a group in parentheses"),
        ("(" + "x" * 1_000 + ")", "at most 1,000 characters"),
        ("((((a{100}){100}){100}){100})", "once its repeats are counted out"),
    ],
)
def test_a_pattern_that_gives_no_text_is_refused(regex: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        NamedColumn(path="a", regex=regex)


def test_an_evil_pattern_is_only_a_pattern() -> None:
    assert NamedColumn(path="a", regex="((a+)+)+$").regex == "((a+)+)+$"


def test_an_example_holds_rollouts_and_words() -> None:
    with pytest.raises(ValidationError):
        WorkedExample.model_validate({"rollouts": [{}], "becomes": [1]})
