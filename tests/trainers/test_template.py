"""The sandbox renders what transformers renders, for the real templates that TRL ships."""

from __future__ import annotations

import re
from collections.abc import Callable
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
from gymrecipe.formats.template import Template, read_template, render
from gymrecipe.formats.template_arguments import taken
from gymrecipe.rollouts.chat import Conversation, Message, Unusable

TOKEN = re.compile(r"\b(bos|eos|pad|unk)_token\b")
TEMPLATES = sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))


GIVEN: dict[str, Any] = {
    "enable_thinking": False, "preserve_thinking": True, "truncate_history_thinking": False,
    "reasoning_effort": "low", "low_effort": True, "medium_effort": True, "reasoning_strength": "x",
    "date_string": "26 Jul 2024", "current_date": "2024-07-26", "knowledge_cutoff": "2024-01",
    "builtin_tools": ["browser"], "tools_in_user_message": False, "add_vision_id": True,
    "tool_namespace_descriptions": {"functions": "What there is."},
}  # fmt: skip
"""Values of the arguments that these templates take."""


def told(text: str, messages: list[Any], tools: Any, opens: bool, **given: Any) -> str | None:
    """What transformers makes of it; None where the template refuses."""
    try:
        texts, _ = render_jinja_template(
            [messages],
            tools=tools or None,
            chat_template=text,
            add_generation_prompt=opens,
            **given,
        )
    except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError):
        return None
    return str(texts[0])


@pytest.mark.parametrize("is_given", [False, True])
@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_the_sandbox_is_that_of_transformers(
    path: Path, is_given: bool, spoken: list[Conversation], tmp_path: Path
) -> None:
    text = TOKEN.sub(r"'<\1>'", path.read_text())  # what else a file may not print
    if ("strftime_now" in text and not is_given) or "gptoss" in path.stem:
        text = re.sub(r"strftime_now\([^)]*\)", "'26 Jul 2024'", text)
        text = text.replace("strftime_now", "messages")
    (tmp_path / "chat.jinja").write_text(text)
    asked = taken(text, "chat.jinja", GIVEN).asked if is_given else ()
    given = {name: value for name, value in GIVEN.items() if name in asked}
    template = read_template(None, str(tmp_path / "chat.jinja"), given)
    for one in spoken[::5]:
        for turns, opens in ((one.prompt, True), ([*one.prompt, *one.completion], False)):
            expected = told(text, msgspec.to_builtins(turns), one.tools, opens, **given)
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


THINKING = (
    "{% if add_generation_prompt and thinking is defined %}{{ thinking | tojson }}{% endif %}"
)


@pytest.fixture
def changed(tokenizer: Any, tmp_path: Path) -> Callable[[str], str]:
    """Saves the tokenizer with another template."""

    def save(text: str) -> str:
        tokenizer.chat_template, before = text, tokenizer.chat_template
        tokenizer.save_pretrained(tmp_path)
        tokenizer.chat_template = before
        return str(tmp_path)

    return save


@pytest.mark.parametrize("value", [False, None, 1.5, "low", ["a"], {"b": [1, None], "a": {}}])
def test_a_folder_is_given_the_arguments_that_a_file_is(
    value: Any, changed: Callable[[str], str], tokenizer: Any, tmp_path: Path
) -> None:
    text = tokenizer.chat_template + THINKING
    (tmp_path / "file.jinja").write_text(text)
    folder = read_template(changed(text), None, {"thinking": value})
    file = read_template(None, str(tmp_path / "file.jinja"), {"thinking": value})
    asked = [Message("user", "2+2?")]
    assert render(folder, asked, None, True) == render(file, asked, None, True)
    assert folder.takes == file.takes == ("thinking",)


@pytest.mark.parametrize("name", ["eos_token", "tokenize", "tools", "thinkin"])
def test_a_folder_takes_no_argument_that_would_do_harm_or_nothing(
    name: str, changed: Callable[[str], str]
) -> None:
    with pytest.raises(RecipeError, match=f"chat_template_kwargs.{name}: "):
        read_template(changed(THINKING + "{{ eos_token }}"), None, {name: "x"})


def test_the_clock_of_a_folder_is_asked_by_nobody(changed: Callable[[str], str]) -> None:
    text = "{{ day if day else strftime_now('%d') }}"
    with pytest.raises(RecipeError, match="strftime_now"):
        read_template(changed(text), None)
    asked = [Message("user", "2+2?")]
    folder = changed(text)
    assert render(read_template(folder, None, {"day": "Monday"}), asked, None) == "Monday"
    with pytest.raises(Unusable, match="template_refused"):
        render(read_template(folder, None, {"day": ""}), asked, None)


def of_trl(name: str, given: dict[str, Any], folder: Path) -> Template:
    (path,) = (path for path in TEMPLATES if path.stem == name)
    (folder / "chat.jinja").write_text(TOKEN.sub(r"'<\1>'", path.read_text()))
    return read_template(None, str(folder / "chat.jinja"), given)


@pytest.mark.parametrize(
    ("name", "given", "completion"),
    [
        ("qwen3", {}, "<think>\n\n</think>\n\n4<|im_end|>"),
        ("qwen3", {"enable_thinking": False}, "4<|im_end|>"),
        ("qwen3_5_think", {}, "\n</think>\n\n4<|im_end|>"),
        ("qwen3_5_think", {"enable_thinking": False}, "4<|im_end|>"),
        ("nemotron_3_nano", {"enable_thinking": False}, "4<|im_end|>"),
    ],
)
def test_an_answer_without_thoughts_goes_on_where_the_prompt_ends(
    name: str, given: dict[str, Any], completion: str, tmp_path: Path
) -> None:
    example = Example("sft", (), {}, prompt=[Message("user", "2+2?")])
    example.completion = [Message("assistant", "4")]
    example.template = of_trl(name, given, tmp_path)
    assert rendered(example)["completion"] == completion


@pytest.mark.parametrize(
    ("name", "thoughts", "cause"),
    [
        ("nemotron_3_nano", None, "; chat_template_kwargs may close them: enable_thinking,"),
        ("deepseek_r1_distill", None, "which opens thoughts; the answer has none"),
        ("deepseek_r1_distill", "Hm.", "and the answer is printed without it"),
    ],
)
def test_where_a_prompt_opens_thoughts_that_the_answer_is_printed_without_that_is_the_cause(
    name: str, thoughts: str | None, cause: str, tmp_path: Path
) -> None:
    example = Example("sft", (), {}, prompt=[Message("user", "2+2?")])
    example.completion = [Message("assistant", "4", thoughts)]
    example.template = of_trl(name, {}, tmp_path)
    with pytest.raises(Unusable, match="not_a_continuation") as caught:
        rendered(example)
    assert cause in caught.value.cause


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
