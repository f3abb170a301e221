"""A chat template of a stranger reaches nothing and ends, whatever it says."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from gymrecipe.errors import RecipeError
from gymrecipe.formats import template_bounds
from gymrecipe.formats.template import Template, read_template, render
from gymrecipe.rollouts.chat import Message, Unusable
from tests.full import often

REACHING = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ cycler.__init__.__globals__.os }}",
    "{{ lipsum.__globals__['os'].popen('id') }}", "{{ messages.__class__ }}x{{ 1/0 }}",
    "{{ self._TemplateReference__context.__class__() }}", "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}", "{% extends '/etc/passwd' %}", "{{ joiner.__init__.__globals__['x'] }}",
    "{{ raise_exception.__globals__['json'] }}", "{{ namespace.__init__.__globals__['_raise'] }}",
    "{{ messages.append(1) }}", "{{ messages|attr('__class__')|attr('__mro__') }}{{ x.y }}",
    "{{ '{0.__class__.__mro__}'.format(1) }}", "{{ '%s'|format(messages.__class__.__mro__.x) }}",
    "{{ dict.__init__.__globals__.x }}", "{{ open('/etc/passwd') }}", "{{ request.application.x }}",
    "{{ (messages|map('__class__')|list).x.y }}", "{{ messages[0].pop('role') }}",
]  # fmt: skip
SHARED = "{% set ns = namespace(x=[]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
ENDLESS = {
    "loops within loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
    "a macro that calls itself": "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "a loop that goes deeper": "{% for x in [[1]] recursive %}{{ loop([x]) }}{% endfor %}",
    "doubling texts": "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "doubling by adding": "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "doubling lists": "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "squared numbers": "{% set n = namespace(x=7) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "a text many times": "{{ 'x' * 9999999999 }}",
    "a list many times": "{{ [1] * 9999999999 }}",
    "a power": "{{ 9 ** 9 ** 9 ** 9 }}",
    "a width by percent": "{{ '%9999999999d' % 1 }}",
    "a width by a filter": "{{ '%9999999999d'|format(1) }}",
    "a width from outside": "{{ '%*d'|format(9999999999, 1) }}",
    "a width by format": "{{ '{:>9999999999}'.format(1) }}",
    "a width out of a value": "{{ '{:{}}'.format('x', 9999999999) }}",
    "a width out of a dict": "{{ '{:{w}}'.format_map({'w': 9999999999}) }}",
    "a width with flags": "{{ '%(x)-9999999999d' % {'x': 1} }}",
    "a precision": "{{ '%.9999999999f' % 1.5 }}",
    "a precision by format": "{{ '{0:.9999999999f}'.format(1.5) }}",
    "rounded": "{{ 1.5 | round(9999999999) }}",
    "center": "{{ 'x'.center(9999999999) }}",
    "the filter center": "{{ 'x'|center(9999999999) }}",
    "ljust": "{{ 'x'.ljust(9999999999) }}",
    "zfill": "{{ 'x'.zfill(9999999999) }}",
    "expandtabs": "{{ '\t'.expandtabs(9999999999) }}",
    "indent": "{{ 'x\ny'|indent(9999999999) }}",
    "an indent of JSON": "{{ [1]|tojson(indent=9999999999) }}",
    "replace": "{% set x = 'aaaaaaaaaa' * 1000000 %}{{ x.replace('a', x) }}",
    "the filter replace": "{% set x = 'aaaaaaaaaa' * 1000000 %}{{ x|replace('a', x) }}",
    "join": "{% set x = 'a' * 10000000 %}{{ x.join([x] * 10000) }}",
    "the filter join": "{% set x = 'a' * 10000000 %}{{ ([x] * 10000)|join }}",
    "a range": "{{ range(999999999)|list }}",
    "batches": "{{ [1]|batch(9999999999, 'x')|list }}",
    "a list twice in itself, printed": f"{SHARED}{{{{ ns.x }}}}",
    "a list twice in itself, as text": f"{SHARED}{{{{ ns.x|string|length }}}}",
    "a list twice in itself, as JSON": f"{SHARED}{{{{ ns.x|tojson|length }}}}",
    "a list twice in itself, joined": f"{SHARED}{{% set y = ns.x ~ '' %}}",
    "a list twice in itself, by percent": f"{SHARED}{{{{ '%s' % (ns.x,) }}}}",
    "a list twice in itself, by format": f"{SHARED}{{{{ '{{}}'.format(ns.x) }}}}",
    "lists twice in themselves, compared": f"{SHARED}{{% set a = ns.x %}}{SHARED}{{{{ a == ns.x }}}}",
    "lists twice in themselves, tested": f"{SHARED}{{% set a = ns.x %}}{SHARED}{{{{ a is eq(ns.x) }}}}",
    "dicts twice in themselves": SHARED.replace("[ns.x, ns.x]", "{1: ns.x, 2: ns.x}")
    + "{{ ns.x }}",
    "lists as deep as that": "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
    "what comes one by one, joined": "{% set x = 'a' * 10000000 %}{{ ([x] * 10000)|map('upper')|join }}",
    "a text joined": "{{ ('a' * 9000000)|join('x' * 900000) }}",
    "a text of the template, often": "{% for i in range(900000) %}" + "x" * 1000 + "{% endfor %}",
    "a constant, often": "{% for i in range(900000) %}{{ 'x' * 1000 }}{% endfor %}",
    "a filter of a long text, often": "{% set x = 'a' * 60000000 %}{% for i in range(99999) %}{% set y = x|upper %}{% endfor %}",
    "a method of a long text, often": "{% set x = 'a' * 60000000 %}{% for i in range(99999) %}{% set y = x.upper() %}{% endfor %}",
    "a search in a long text, often": "{% set x = 'a' * 60000000 %}{% for i in range(99999) %}{% if 'b' in x %}{% endif %}{% endfor %}",
    "a part of a long text, often": "{% set x = 'a' * 60000000 %}{% for i in range(99999) %}{% set y = x[1:] %}{% endfor %}",
    "a count in a long list, often": "{% set x = range(900000)|list %}{% for i in range(99999) %}{% set y = x.count(1) %}{% endfor %}",
    "indents of many lines": "{{ ('\n' * 1000000)|indent(10000, blank=true) }}",
    "many tabs": "{{ ('\t' * 1000000).expandtabs(10000) }}",
    "long texts that are all kept": "".join(
        f"{{% set a{i} = '\U0001f600' * 15000000 %}}" for i in range(99)
    ),
    "a sort, often": "{% set x = range(90000)|list %}{% for i in range(90000) %}{% set y = x|sort(reverse=true) %}{% endfor %}",
    "a text item by item, often": "{% set x = 'abc' * 300000 %}{% for i in range(90000) %}{% set y = x|unique|list %}{% endfor %}",
    "many arguments, often": "{% for i in range(90000) %}{{ loop.cycle(*range(9000)) }}{% endfor %}",
    "bytes": "{{ 'a'.encode().center(9999999999) }}",
    "bytes, joined": "{% set x = ('a' * 10000000).encode() %}{{ x.join([x] * 10000) }}",
    "bytes of a number": "{{ (5).to_bytes(99999999999, 'big') }}",
    "a translation": "{{ ('a' * 6000000).translate('a'.maketrans({'a': 'b' * 6000000})) }}",
    "a title": "{{ ('ab ' * 20000000)|title }}",
    "quotes for an address": "{% set x = '\U0001f600' * 1000000 %}{% for i in range(90000) %}{% set y = x|urlencode %}{% endfor %}",
    "words, often": "{% set x = 'a b ' * 10000000 %}{% for i in range(90000) %}{% set y = x|wordcount %}{% endfor %}",
    "indents of long JSON": "{{ (range(900000)|list)|tojson(indent=10000) }}",
}
MODELS = [
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}",
    "{% for m in messages %}{{ '[' + m['role'].upper() + '] ' ~ m['content'].replace('a', 'b') }}{% if not loop.last %}\n{% endif %}{% endfor %}",
    "{% set ns = namespace(i=0) %}{% for m in messages[::-1] %}{% set ns.i = ns.i + 1 %}{{ loop.index0 * 2 }}{{ '%s: %5d' % (m.role, ns.i) }}{{ loop.length }}{% endfor %}",
    "{% macro show(m) %}{{ m.role ~ ': ' ~ m.content }}{% endmacro %}{{ messages | map(attribute='content') | join(', ') }}{{ show(messages[0]) }}",
    "{% for k, v in messages[0].items() %}{{ k }}={{ v | tojson(indent=2) }}{% endfor %}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}",
    "{{ ', '.join(messages | map(attribute='content')) }}{{ messages | map(attribute='role') | join('-') }}{% for m in messages | reverse %}{% if loop is defined and m.role in ['user'] %}{{ loop.index }}{% endif %}{% endfor %}",
    "{{ '**{}** 123456 {{x}} {:,}'.format(messages[0].role, 1234567) }}{{ '* %s 128256 %d%% * %5.2f' % (1, 234567, 2.5) }}{{ '%s'|format(345678) }}{{ nothing | default(32768) }}",
    "{% macro show(ns, x) %}{% set ns.n = ns.n + x | length %}{% endmacro %}{% set ns = namespace(n=0) %}{% for m in messages %}{{ show(ns, m.content.split('n')) }}{{ m.content[1:] }}{% endfor %}{{ ns.n }}{{ messages[0] == messages[0] }}{{ 5 is lt(99999) }}{{ [7, 100000] | select('gt', 50000) | list }}{{ messages | sum(attribute='x', start=0) if false }}",
]
# ruff: noqa: E501 (a template reads best on one line)


def rendered(text: str) -> str:
    template = Template(text, None, text[:50])
    return render(template, [Message("user", "banana"), Message("assistant", "2")], None)


@pytest.mark.parametrize("text", REACHING)
def test_a_template_that_reaches_for_more_refuses_the_rollout(text: str) -> None:
    with pytest.raises(Unusable, match="template_refused"):
        rendered(text)


@pytest.mark.parametrize("name", ENDLESS)
def test_a_template_that_would_not_end_refuses_the_rollout_soon(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template_bounds, "STEPS", template_bounds.STEPS // often(30, 1))
    monkeypatch.setattr(template_bounds, "KEPT", template_bounds.KEPT // often(16, 1))
    started = time.process_time()
    with pytest.raises(Unusable, match="template_refused"):
        rendered(ENDLESS[name])
    assert time.process_time() - started < often(5, 20)


@pytest.mark.parametrize("text", MODELS)
def test_what_models_have_is_rendered_as_without_bounds(text: str) -> None:
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    from gymrecipe.formats.template_sandbox import environment

    free = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    free.filters["tojson"] = environment().filters["tojson"]
    messages = [{"role": "user", "content": "banana"}, {"role": "assistant", "content": "2"}]
    assert rendered(text) == free.from_string(text).render(messages=messages, tools=None)


def test_without_this_a_text_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_bounds, "MOST", 2**40)
    monkeypatch.setattr(template_bounds, "WIDTH", 2**40)
    assert len(rendered("{{ 'x' * 99999999 }}{{ 'x'.center(99999999) }}")) > 10**8


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/stdin", "PIPE", "FOLDER", "LARGE", "/nowhere"])
def test_what_is_no_template_file_is_refused_and_not_waited_for(path: str, tmp_path: Path) -> None:
    places: dict[str, Any] = {name: tmp_path / name for name in ("PIPE", "FOLDER", "LARGE")}
    os.mkfifo(places["PIPE"])
    places["FOLDER"].mkdir()
    places["LARGE"].write_text("x" * (2**20 + 1))
    with pytest.raises(RecipeError, match=r"cannot be read as a template|more than 1 MiB"):
        read_template(None, str(places.get(path, path)))


@pytest.mark.parametrize("name", ["urlize", "wordwrap(1)"])
def test_a_filter_that_is_slow_on_a_long_text_is_refused_one(name: str) -> None:
    from jinja2 import TemplateRuntimeError

    from gymrecipe.formats.template_sandbox import environment

    made = environment()
    made.begin()
    with pytest.raises(TemplateRuntimeError, match="characters are refused"):
        made.from_string(f"{{{{ ('a@b.c ' * 10000) | {name} }}}}").render()
    assert made.from_string(f"{{{{ 'a b' | {name} }}}}").render()
