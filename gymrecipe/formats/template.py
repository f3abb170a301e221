"""Template: a model's chat template, applied to messages.

One from a file is rendered by `formats.sandbox`, as transformers renders it; one from a
tokenizer's folder by transformers itself, with the tokenizer's special tokens.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from gymrecipe.errors import RecipeError
from gymrecipe.rollouts.chat import Message, Unusable

TOKENS = {"bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token"}
MAX_BYTES = 2**20
TOKEN_IDS = ("prompt_token_ids", "generation_token_ids", "generation_log_probs")
Tools = list[dict[str, Any]]


class Template(msgspec.Struct, frozen=True):
    """A chat template: the text of a file, or the folder of the tokenizer that has it.

    `digest` stands for all that decides what it renders.
    """

    text: str
    folder: str | None
    digest: str


def read_template(tokenizer: str | None, chat_template: str | None) -> Template:
    """The template of a tokenizer's folder or of a file. Raises RecipeError."""
    if chat_template is not None and tokenizer is None:
        text = _text(chat_template)
        printed = _printed(text, chat_template) & TOKENS
        if printed:
            raise RecipeError(
                f"{chat_template}: the template prints {', '.join(sorted(printed))}, which only the"
                " tokenizer knows; give tokenizer=<folder> instead"
            )
        return Template(text, None, _digest(text))
    if tokenizer is not None and chat_template is None:
        loaded = _tokenizer(tokenizer)
        texts = loaded.chat_template
        if not texts:
            raise RecipeError(f"{tokenizer}: the tokenizer has no chat template")
        for text in [texts] if isinstance(texts, str) else texts.values():
            _printed(text, tokenizer)
        known = json.dumps([texts, loaded.special_tokens_map], sort_keys=True)
        return Template("", tokenizer, _digest(known))
    raise RecipeError(
        "format rendered: give tokenizer=<folder of the model> or chat_template=<file>, one of them"
    )


def render(
    template: Template, messages: list[Message], tools: Tools | None, opens: bool = False
) -> str:
    """The messages as text; `opens` ends on what makes the model begin. Raises Unusable."""
    try:
        return _renderer(template)([_plain(message) for message in messages], tools or None, opens)
    except _refusals():
        raise Unusable("template_refused") from None


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


def _printed(text: str, name: str) -> set[str]:
    """The names that a template takes from outside; refuses the day on which it is used."""
    from jinja2 import TemplateSyntaxError, meta

    from gymrecipe.formats.sandbox import environment

    try:
        names = meta.find_undeclared_variables(environment().parse(text))
    except TemplateSyntaxError as error:
        raise RecipeError(f"{name}: line {error.lineno}: {error.message}") from None
    if "strftime_now" in names:
        raise RecipeError(
            f"{name}: the template prints the day it is used (strftime_now), so the same rollouts"
            " would give other bytes tomorrow; copy it to a file, write a date in its place and"
            " give chat_template=<file>"
        )
    return names


@lru_cache
def _renderer(template: Template) -> Callable[[list[dict[str, Any]], Tools | None, bool], str]:
    if template.folder is not None:
        tokenizer = _tokenizer(template.folder)
        return lambda messages, tools, opens: str(
            tokenizer.apply_chat_template(
                messages, tools=tools, add_generation_prompt=opens, tokenize=False
            )
        )
    from gymrecipe.formats.sandbox import environment

    bounded = environment()
    compiled = bounded.from_string(template.text)

    def rendered(messages: list[dict[str, Any]], tools: Tools | None, opens: bool) -> str:
        bounded.begin()
        return compiled.render(
            messages=messages, tools=tools, documents=None, add_generation_prompt=opens
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
