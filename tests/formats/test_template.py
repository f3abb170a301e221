"""Which chat templates are read, and what they are given."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from gymrecipe.errors import RecipeError
from gymrecipe.formats.template import Template, read_template, render
from gymrecipe.rollouts.chat import Message
from tests.formats.conversations import ACTED


def saved(folder: Path, text: str) -> str:
    path = folder / "chat.jinja"
    path.write_text(text)
    return str(path)


def shown(folder: Path, text: str, *messages: Message) -> str:
    return render(read_template(None, saved(folder, text)), [*messages], None)


def test_the_digest_is_that_of_the_text_and_not_of_its_place(tmp_path: Path) -> None:
    first = read_template(None, saved(tmp_path, "{{ messages }}"))
    (tmp_path / "other").mkdir()
    assert first == read_template(None, saved(tmp_path / "other", "{{ messages }}"))
    assert first.digest != read_template(None, saved(tmp_path, "{{ tools }}")).digest


def test_a_template_travels_to_workers(tmp_path: Path) -> None:
    template = read_template(None, saved(tmp_path, "{{ messages }}"))
    assert msgspec.json.decode(msgspec.json.encode(template), type=Template) == template


@pytest.mark.parametrize(("tokenizer", "template"), [(None, None), ("folder", "file")])
def test_one_of_the_two_is_needed(tokenizer: str | None, template: str | None) -> None:
    with pytest.raises(RecipeError, match="one of them"):
        read_template(tokenizer, template)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ bos_token }}", "prints bos_token"),
        ("{{ strftime_now('%d') }}", "strftime_now"),
        ("\n{% if %}", "chat.jinja: line 2: "),
    ],
)
def test_a_template_that_cannot_be_right_is_an_error(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        read_template(None, saved(tmp_path, text))


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none: cannot be read as a template: no such file$"):
        read_template(None, str(tmp_path / "none"))


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no folder"):
        read_template(str(tmp_path / "none"), None)


@pytest.mark.skipif(find_spec("transformers") is not None, reason="transformers is here")
def test_without_transformers_a_tokenizer_names_the_extra(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"gymrecipe\[render\]"):
        read_template(str(tmp_path), None)


def test_a_message_has_no_nulls_and_no_token_ids(tmp_path: Path) -> None:
    message = Message("assistant", "4", generation_token_ids=[1])
    assert shown(tmp_path, "{{ messages[0] | tojson }}", message) == (
        '{"role": "assistant", "content": "4"}'
    )


def test_thoughts_stand_under_both_names_that_templates_read(tmp_path: Path) -> None:
    text = "{{ messages[0].reasoning_content + messages[0].thinking }}"
    assert shown(tmp_path, text, *ACTED) == "Hm.Hm."
