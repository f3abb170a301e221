"""What a chat template takes beside messages and tools, and what may be given to it."""

from __future__ import annotations

from typing import Any

import pytest

from gymrecipe.errors import RecipeError
from gymrecipe.formats.template_arguments import check, taken

QWEN = """\
{%- for message in messages %}
{%- set content = message.content | trim %}
{{- message.role + ": " + content }}
{%- endfor %}
{%- if add_generation_prompt and enable_thinking is defined and enable_thinking is false %}
{{- "<think></think>" }}
{%- endif %}"""
DAY = "{{ strftime_now('%d %b %Y') }}"
LLAMA = f"{{% if not date_string is defined %}}{{% set date_string = {DAY[3:-3]} %}}{{% endif %}}"


def asked(text: str, **given: Any) -> tuple[str, ...]:
    names, wanted = taken(text, "chat.jinja", given)
    return check(given, names, wanted)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (QWEN, ("enable_thinking",)),
        ("{% set x = x if x is defined else 1 %}{{ x }}", ("x",)),
        ("{% if not x %}{% set x = x | default(1) %}{% endif %}{{ x }}", ("x",)),
        ("{% macro show(a) %}{{ a }}{{ b }}{% endmacro %}{{ show(tools) }}", ("b",)),
        ("{{ messages }}{{ range(3) }}{{ bos_token }}{{ documents }}", ("documents",)),
    ],
)
def test_a_template_takes_what_it_does_not_set_itself(text: str, names: tuple[str, ...]) -> None:
    assert asked(text) == names


def test_what_it_takes_can_be_given() -> None:
    assert asked(QWEN, enable_thinking=False) == ("enable_thinking",)
    assert asked("{{ documents }}", documents=[{"title": "a"}, {}]) == ("documents",)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"enable_thinkin": False}, r"thinkin: the template takes no such argument\. It takes"
         r" enable_thinking\. Did you mean 'enable_thinking'\?"),
        ({"messages": []}, "chat_template_kwargs.messages: has a value already"),
        ({"tools": []}, "tools: has a value already"),
        ({"custom_tools": []}, "custom_tools: has a value already"),
        ({"add_generation_prompt": True}, "add_generation_prompt: has a value already"),
        ({"eos_token": "x"}, "eos_token: has a value already"),
        ({"tokenize": True}, "tokenize: has a value already"),
        ({"range": 1}, "range: the template takes no such argument"),
    ],
)  # fmt: skip
def test_an_argument_that_would_do_nothing_or_harm_is_refused(
    given: dict[str, Any], said: str
) -> None:
    with pytest.raises(RecipeError, match=said):
        asked(QWEN + "{{ range(1) }}{{ custom_tools }}{{ eos_token }}", **given)


@pytest.mark.parametrize("value", [{"title": "a"}, ["a"], "a"])
def test_documents_are_mappings_as_transformers_wants_them(value: Any) -> None:
    with pytest.raises(RecipeError, match="documents: should be a list of mappings"):
        asked("{{ documents }}", documents=value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        asked(QWEN, tools=1, other=2)
    assert len(caught.value.problems) == 2


def test_the_day_is_refused_unless_the_template_is_given_a_date() -> None:
    with pytest.raises(RecipeError, match=r"or give it the date: .*\{date_string: …\}"):
        asked(LLAMA)
    with pytest.raises(RecipeError, match=r"\(strftime_now\).*give chat_template=<file>$"):
        asked(DAY)
    with pytest.raises(RecipeError, match="strftime_now"):
        asked(LLAMA + DAY, date_string="26 Jul 2024")
    assert asked(LLAMA, date_string="26 Jul 2024") == ("date_string",)
    assert asked(f"{{{{ today if today else {DAY[3:-3]} }}}}", today="a day") == ("today",)


@pytest.mark.parametrize("text", ["{{ [1, 2] | random }}", "{{ lipsum() }}"])
def test_a_template_that_draws_at_random_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match=r"chat\.jinja: the template draws at random"):
        asked(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ " + "(" * 3_000 + "1" + ")" * 3_000 + " }}", "nested too deeply"),
        ("{{ " + "+".join(["messages"] * 9_000) + " }}", "nested too deeply"),
        ("{{ messages" + ".a" * 3_000 + " }}", "nested too deeply"),
        ("{% for i in [1] %}" * 25 + "{% endfor %}" * 25, "too many statically nested blocks"),
        ("{% if messages %}" * 150 + "x" + "{% endif %}" * 150, "too many levels of indentation"),
        ("{{ " + "9" * 5_000 + " }}", "cannot be compiled: .*digits"),
    ],
)
def test_a_template_that_cannot_be_compiled_is_an_error_before_anything_is_read(
    text: str, said: str
) -> None:
    with pytest.raises(RecipeError, match=rf"chat\.jinja: the template .*{said}"):
        asked(text)
