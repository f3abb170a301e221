"""The sandbox renders what transformers renders, for the real templates that TRL ships."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jinja2
import msgspec
import pytest
import trl
from transformers.utils.chat_template_utils import render_jinja_template

from gymrecipe.errors import RecipeError
from gymrecipe.formats.example import Example
from gymrecipe.formats.rendered import rendered
from gymrecipe.formats.template import read_template, render
from gymrecipe.rollouts.chat import Conversation, Unusable

TOKEN = re.compile(r"\b(bos|eos|pad|unk)_token\b")
TEMPLATES = sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))


def told(text: str, messages: list[Any], tools: Any, opens: bool) -> str | None:
    """What transformers makes of it; None where the template refuses."""
    try:
        texts, _ = render_jinja_template(
            [messages],
            tools=tools or None,
            chat_template=text,
            add_generation_prompt=opens,
        )
    except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError):
        return None
    return str(texts[0])


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_the_sandbox_is_that_of_transformers(
    path: Path, spoken: list[Conversation], tmp_path: Path
) -> None:
    text = TOKEN.sub(r"'<\1>'", path.read_text())  # what else a file may not print
    if "strftime_now" in text:
        text = re.sub(r"strftime_now\([^)]*\)", "'26 Jul 2024'", text)
        text = text.replace("strftime_now", "messages")
    (tmp_path / "chat.jinja").write_text(text)
    template = read_template(None, str(tmp_path / "chat.jinja"))
    for one in spoken[::5]:
        for turns, opens in ((one.prompt, True), ([*one.prompt, *one.completion], False)):
            expected = told(text, msgspec.to_builtins(turns), one.tools, opens)
            try:
                found: str | None = render(template, turns, one.tools, opens)
            except Unusable:
                found = None
            assert found == expected


def test_a_folder_and_its_template_in_a_file_render_the_same(
    spoken: list[Conversation], model: Path, tokenizer: Any, tmp_path: Path
) -> None:
    (tmp_path / "chat.jinja").write_text(tokenizer.chat_template)
    folder = read_template(str(model), None)
    file = read_template(None, str(tmp_path / "chat.jinja"))
    for one in spoken:
        made = [
            rendered(
                Example(
                    "sft",
                    (),
                    {},
                    prompt=one.prompt,
                    completion=one.completion,
                    tools=one.tools,
                    template=template,
                )
            )
            for template in (folder, file)
        ]
        assert made[0] == made[1]


def test_the_digest_of_a_folder_is_of_what_decides_the_text(
    model: Path, tokenizer: Any, tmp_path: Path
) -> None:
    first = read_template(str(model), None)
    tokenizer.save_pretrained(tmp_path / "same")
    assert read_template(str(tmp_path / "same"), None).digest == first.digest
    tokenizer.chat_template, before = "{{ messages }}", tokenizer.chat_template
    tokenizer.save_pretrained(tmp_path / "other")
    tokenizer.chat_template = before
    assert read_template(str(tmp_path / "other"), None).digest != first.digest


def test_a_tokenizer_without_a_template_is_an_error(tokenizer: Any, tmp_path: Path) -> None:
    before, tokenizer.chat_template = tokenizer.chat_template, None
    tokenizer.save_pretrained(tmp_path)
    tokenizer.chat_template = before
    with pytest.raises(RecipeError, match="has no chat template"):
        read_template(str(tmp_path), None)
