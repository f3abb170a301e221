"""The environment of chat templates; `tests/trainers` holds it against transformers."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest

from gymrecipe.formats.template_sandbox import environment


def rendered(text: str, **values: Any) -> str:
    return environment().from_string(text).render(**values)


def test_json_is_not_escaped_for_html() -> None:
    assert rendered("{{ x | tojson }}", x={"a": "<é>"}) == '{"a": "<é>"}'
    assert rendered("{{ x | tojson(indent=1) }}", x=[1]) == "[\n 1\n]"


def test_what_may_be_trained_on_is_marked_without_a_trace() -> None:
    assert rendered("a{% generation %}{{ x }}{% endgeneration %}c", x="b") == "abc"


def test_blocks_leave_no_line_ends() -> None:
    assert rendered("{% if true %}\n  a\n{% endif %}\nb") == "  a\nb"


def test_loops_can_be_left() -> None:
    assert rendered("{% for i in [1, 2] %}{{ i }}{% break %}{% endfor %}") == "1"


def test_namespaces_and_dicts_can_be_made() -> None:
    text = "{% set ns = namespace(self=1) %}{% set ns.a = 2 %}{{ ns.self + ns.a }}{{ dict(a=1) }}"
    assert rendered(text) == "3{'a': 1}"
    assert rendered("{{ dict.fromkeys(['a'], 1) }}") == "{'a': 1}"


@pytest.mark.parametrize(
    "text",
    [
        "{{ raise_exception('no') }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ namespace(_a=1) }}",
        "{% set ns = namespace() %}{% set ns._a = 1 %}",
        "{{ missing.part }}",
        "{{ strftime_now('%d') }}",
    ],
)
def test_what_a_template_may_not_do_is_a_template_error(text: str) -> None:
    with pytest.raises(jinja2.TemplateError):
        rendered(text, messages=[])


def test_a_template_that_looks_for_a_clock_finds_the_one_of_transformers() -> None:
    assert rendered("{{ strftime_now is defined }}") == "True"
