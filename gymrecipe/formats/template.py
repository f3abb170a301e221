"""Template: a model's chat template, applied to messages.

One from a file is rendered by `formats.sandbox`, as transformers renders it; one from a
tokenizer's folder by transformers itself, with the tokenizer's special tokens. Both are given the
same arguments beside the messages (`chat_template_kwargs`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from gymrecipe.errors import RecipeError
from gymrecipe.formats.template_arguments import TOKENS, check, taken
from gymrecipe.rollouts.chat import Message, Unusable, on_a_line

MAX_BYTES = 2**20
TOKEN_IDS = ("prompt_token_ids", "generation_token_ids", "generation_log_probs")
Tools = list[dict[str, Any]]

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
"""Where an object lies in memory, which is another place in each process."""


class Template(msgspec.Struct, frozen=True):
    """A chat template: the text of a file, or the folder of the tokenizer that has it.

    `digest` stands for its own text and tokens, `arguments` is what else it is given, as JSON text:
    both together decide what it renders. `takes` names the arguments that it looks at.
    """

    text: str
    folder: str | None
    digest: str
    arguments: str = "{}"
    takes: tuple[str, ...] = ()


def read_template(
    tokenizer: str | None, chat_template: str | None, arguments: dict[str, Any] | None = None
) -> Template:
    """The template of a tokenizer's folder or of a file, with its arguments. Raises RecipeError."""
    given = arguments or {}
    spelled = json.dumps(dict(sorted(given.items())))  # below the names the order may be printed
    if chat_template is not None and tokenizer is None:
        text = _text(chat_template)
        names, asked = taken(text, chat_template, given)
        if printed := names & TOKENS:
            raise RecipeError(
                f"{chat_template}: the template prints {', '.join(sorted(printed))}, which only the"
                " tokenizer knows; give tokenizer=<folder> instead"
            )
        return Template(text, None, _digest(text), spelled, check(given, names, asked))
    if tokenizer is not None and chat_template is None:
        loaded = _tokenizer(tokenizer)
        texts = loaded.chat_template
        if not texts:
            raise RecipeError(f"{tokenizer}: the tokenizer has no chat template")
        tokens = loaded.special_tokens_map
        several = [texts] if isinstance(texts, str) else texts.values()
        names, asked = (
            set[str]().union(*found) - tokens.keys()
            for found in zip(*(taken(each, tokenizer, given) for each in several), strict=True)
        )
        known = json.dumps([texts, tokens], sort_keys=True)
        return Template("", tokenizer, _digest(known), spelled, check(given, names, asked))
    raise RecipeError(
        "format rendered: give tokenizer=<folder of the model> or chat_template=<file>, one of them"
    )


def render(
    template: Template, messages: list[Message], tools: Tools | None, opens: bool = False
) -> str:
    """The messages as text; `opens` ends on what makes the model begin. Raises Unusable."""
    try:
        text = _renderer(template)([_plain(message) for message in messages], tools or None, opens)
        text.encode()  # half a surrogate pair is no text
        return text
    except _refusals() as error:
        raise Unusable("template_refused", cause=_cause(error)) from None


def _cause(error: Exception) -> str:
    """What a template raised, in its own words, or what became of it."""
    from jinja2 import TemplateError

    if isinstance(error, RecursionError):
        return "goes too deep"  # Python says where, which depends on how deep it was before
    try:
        said = str(error)
    except _refusals():  # of what it raised no text can be made
        said = ""
    if not isinstance(error, TemplateError):
        said = f"{type(error).__name__}: {said}"
    return on_a_line(_ADDRESS.sub("", said))


def _plain(message: Message) -> dict[str, Any]:
    """A message as transformers hands it to a template: no nulls, thoughts under both names."""
    made: dict[str, Any] = msgspec.to_builtins(message)
    if message.reasoning_content is not None:
        made = {"thinking": message.reasoning_content} | made
    return {key: value for key, value in made.items() if key not in TOKEN_IDS}


def _text(path: str) -> str:
    if not Path(path).is_file():
        what = "not a file" if os.path.lexists(path) else "no such file"
        raise RecipeError(f"{path}: cannot be read as a template: {what}")
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise RecipeError(
                f"{path}: a template of more than {MAX_BYTES // 2**20} MiB is refused"
            )
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read as a template: {error}") from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache
def _renderer(template: Template) -> Callable[[list[dict[str, Any]], Tools | None, bool], str]:
    arguments = json.loads(template.arguments)
    if template.folder is not None:
        tokenizer = _tokenizer(template.folder)
        return lambda messages, tools, opens: str(
            tokenizer.apply_chat_template(
                messages,
                tools=tools,
                add_generation_prompt=opens,
                tokenize=False,
                strftime_now=None,  # there is no clock: who calls it is refused
                **arguments,
            )
        )
    from gymrecipe.formats.template_sandbox import environment

    bounded = environment()
    compiled = bounded.from_string(template.text)

    def rendered(messages: list[dict[str, Any]], tools: Tools | None, opens: bool) -> str:
        bounded.begin()
        return compiled.render(
            {"documents": None} | arguments,
            messages=messages,
            tools=tools,
            add_generation_prompt=opens,
        )

    return rendered


@lru_cache
def _refusals() -> tuple[type[Exception], ...]:
    """What a template raises on messages that it was not written for."""
    from jinja2 import TemplateError

    return (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError,
            RecursionError)  # fmt: skip


@lru_cache
def _tokenizer(folder: str) -> Any:
    if not Path(folder).is_dir():
        raise RecipeError(f"tokenizer: there is no folder {folder}")
    try:
        from transformers import AutoTokenizer  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise RecipeError(
            "tokenizer: needs transformers: pip install 'gymrecipe[render]'; chat_template=<file>"
            " does without"
        ) from None
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise RecipeError(f"tokenizer: {folder}: {error}") from None
