"""Which chat templates are read, and what they are given."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from gymrecipe.errors import RecipeError
from gymrecipe.formats.template import Template, read_template, render
from gymrecipe.rollouts.chat import CAUSE, Message, Unusable
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


def test_arguments_reach_the_template_beside_the_messages(tmp_path: Path) -> None:
    text = "{{ enable_thinking }} {{ documents[0].title }} {{ messages | length }} {{ tools }}"
    given = {"enable_thinking": False, "documents": [{"title": "a"}]}
    template = read_template(None, saved(tmp_path, text), given)
    assert render(template, [*ACTED], None) == "False a 4 None"
    assert template.takes == ("documents", "enable_thinking")


def test_the_order_of_arguments_is_none_but_that_below_them_counts(tmp_path: Path) -> None:
    path = saved(tmp_path, "{{ a }}{{ b | tojson }}")
    made = [
        read_template(None, path, given)
        for given in ({"a": 1, "b": {"x": 1, "y": 2}}, {"b": {"x": 1, "y": 2}, "a": 1})
    ]
    assert made[0] == made[1]
    assert made[0] != read_template(None, path, {"a": 1, "b": {"y": 2, "x": 1}})
    assert made[0].digest == read_template(None, path).digest


def cause(folder: Path, text: str) -> str:
    with pytest.raises(Unusable, match="template_refused") as caught:
        shown(folder, text, *ACTED)
    return caught.value.cause


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ raise_exception('Roles must\n  alternate.') }}", "Roles must alternate."),
        ("{{ raise_exception(5) }}", "5"),
        ("{{ nothing.there }}", "'nothing' is undefined"),
        ("{{ messages[0].there.at }}", "'dict object' has no attribute 'there'"),
        ("{{ 1 + 'a' }}", "TypeError: unsupported operand type(s) for +: 'int' and 'str'"),
        ("{{ {}['a'] + 1 }}", "'dict object' has no attribute 'a'"),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
         "takes more than 1,000,000 steps"),
        ("{{ 'x' * 99999999 }}", "makes more than 67,108,864 characters or items"),
        ("{{ ''.__class__ }}{{ ''.__class__.x }}",
         "access to attribute '__class__' of 'str' object is unsafe."),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "goes too deep"),
        ("{{ raise_exception(messages[0].get) }}", "<built-in method get of dict object>"),
        ("{{ raise_exception('\\ud800') }}", "\\ud800"),
        ("{{ raise_exception() }}",
         "TypeError: _raise() missing 1 required positional argument: 'message'"),
    ],
)  # fmt: skip
def test_a_refusal_has_what_the_template_raised_as_its_cause(
    text: str, said: str, tmp_path: Path
) -> None:
    assert cause(tmp_path, text) == said


def test_a_cause_is_short_however_long_the_message(tmp_path: Path) -> None:
    assert cause(tmp_path, "{{ raise_exception('ab ' * 9999) }}") == ("ab " * 99)[: CAUSE - 1] + "…"


@pytest.mark.parametrize(
    "text", ["{{ '\\ud800' }}", "{{ '%c' % 55296 }}", "{{ '{:c}'.format(55296) }}"]
)
def test_half_a_surrogate_pair_out_of_a_template_is_refused(text: str, tmp_path: Path) -> None:
    assert "surrogates not allowed" in cause(tmp_path, text)
