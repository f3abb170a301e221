"""Template arguments: what a chat template takes from outside, by its text, and what is given.

Templates look at variables beside the messages (`enable_thinking`, `date_string`, `documents`), as
transformers' `apply_chat_template` hands them on. One that a template does not look at would change
nothing, and one that it has of others would change what the rows say.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gymrecipe.errors import RecipeError, hint

TOKENS = {"bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token"}

GIVEN = {
    "messages", "tools", "custom_tools", "add_generation_prompt", "strftime_now", *TOKENS,
    "conversation", "conversations", "chat_template", "continue_final_message", "tokenize",
    "sanitize_control_tokens", "padding", "truncation", "max_length", "return_tensors",
    "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs",
}  # fmt: skip
"""What a template has of the format or a tokenizer (`custom_tools` is what Llama's take in place of
the row's tools), and the parameters of `apply_chat_template` (transformers 5.24): no arguments.
"""

_DATES = {"date_string", "current_date"}
"""How templates call a date that they are given."""


class Taken(NamedTuple):
    """The names that a template takes from outside: all that there may be, and of those the ones
    that it does not use for values of its own.
    """

    names: set[str]
    asked: set[str]


def taken(text: str, name: str, given: dict[str, Any]) -> Taken:
    """What a template takes. Raises RecipeError where it cannot be compiled, or would print
    something else another time.
    """
    from jinja2 import TemplateSyntaxError, meta, nodes

    from gymrecipe.formats.template_sandbox import environment

    try:
        sandbox = environment()
        parsed = sandbox.parse(text)
        names = meta.find_undeclared_variables(parsed)
        sandbox.from_string(text)
        asked = names - _own(parsed)
        reads_the_clock = _reads_the_clock(parsed, given)
    except TemplateSyntaxError as error:
        raise RecipeError(f"{name}: line {error.lineno}: {error.message}") from None
    except RecursionError:
        raise RecipeError(f"{name}: the template is nested too deeply to be compiled") from None
    except (SyntaxError, ValueError, OverflowError) as error:  # of the Python that jinja makes
        raise RecipeError(f"{name}: the template cannot be compiled: {error}") from None
    if reads_the_clock:
        dates = ", ".join(f"{each}: …" for each in sorted(names & _DATES - given.keys()))
        instead = f", or give it the date: chat_template_kwargs={{{dates}}}" if dates else ""
        raise RecipeError(
            f"{name}: the template prints the day it is used (strftime_now), so the same rollouts"
            " would give other bytes tomorrow; copy it to a file, write a date in its place and"
            f" give chat_template=<file>{instead}"
        )
    if any(each.name == "random" for each in parsed.find_all(nodes.Filter)) or any(
        each.name == "lipsum" for each in parsed.find_all(nodes.Name)
    ):
        raise RecipeError(
            f"{name}: the template draws at random (random, lipsum), so the same rollouts would"
            " give other bytes the next time"
        )
    return Taken(names, asked)


def check(given: dict[str, Any], names: set[str], asked: set[str]) -> tuple[str, ...]:
    """The arguments that can be given to a template, by what it takes. Raises RecipeError for a
    given one that is none of them.
    """
    listed = sorted(asked - GIVEN)
    problems = []
    for name, value in given.items():
        if name in GIVEN:
            said = "has a value already, of the format, the tokenizer or transformers"
        elif name not in names:
            said = f"the template takes no such argument. It takes {', '.join(listed) or 'none'}."
            said += hint(name, listed)
        elif name == "documents" and not _are_documents(value):
            said = "should be a list of mappings, such as [{title: …, text: …}]"
        else:
            continue
        problems.append(f"chat_template_kwargs.{name}: {said}")
    if problems:
        raise RecipeError(*problems)
    return tuple(listed)


def _are_documents(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _own(template: Any) -> set[str]:
    """The names that a template sets itself without looking first whether they are given."""
    from jinja2 import nodes

    looked = [test.node for test in template.find_all(nodes.Test) if test.name == "defined"]
    looked += [each.node for each in template.find_all(nodes.Filter) if each.name == "default"]
    tested = {each.name for each in looked if isinstance(each, nodes.Name)}
    return {each.name for each in template.find_all(nodes.Name) if each.ctx != "load"} - tested


def _reads_the_clock(node: Any, given: dict[str, Any]) -> bool:
    """Whether a template asks for the day where it does not look at an argument first."""
    from jinja2 import nodes

    if isinstance(node, nodes.Name):
        return bool(node.name == "strftime_now")
    if isinstance(node, nodes.If | nodes.CondExpr):
        names = [node.test, *node.test.find_all(nodes.Name)]
        if any(isinstance(each, nodes.Name) and each.name in given for each in names):
            return False
    return any(_reads_the_clock(child, given) for child in node.iter_child_nodes())
