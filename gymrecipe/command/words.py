"""Words: a command line, sorted into a verb, overrides and options."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import yaml

from gymrecipe.command.takes import TAKES
from gymrecipe.errors import RecipeError, hint

USAGE = """\
gymrecipe turns scored rollouts into versioned training datasets.

  python -m gymrecipe +recipe=NAME [knob=value …]  run a recipe
  python -m gymrecipe -m +recipe=NAME knob=a,b     run it for each value
  python -m gymrecipe +recipe=NAME dry_run=true    see what would come out
  python -m gymrecipe +recipe=NAME --help          the knobs of a recipe

  recipes                    the recipes there are
  stages [NAME]              the stages, or the parameters of one
  formats                    what trainers read
  columns [FILE …]           the fields of a file that a recipe can use
  check FILE format=NAME     what a trainer would make of a file
  versions [NAME …]          the versions that were made
  show VERSION               the summary of a version
  explain VERSION FILE:LINE  what became of a line, and why
  verify VERSION             whether a version is as it was written
  rejects VERSION            the lines that were not used, and why
  reproduce VERSION          make it again, and compare every byte
  diff VERSION VERSION       what differs between two, and why
  gc [NAME …]                take away what killed runs left behind
  cache [clear=true]         what is kept of inputs, so that they need no scan

A VERSION is a folder, RECIPE/v0001, or RECIPE for its newest.
With json=true each verb prints JSON.
Options: --cfg job [--resolve], --config-dir DIR, --plugin MODULE,
--shell-completion install=bash|zsh|fish, --version, --help (also of a verb).
"""

VERBS = tuple(TAKES)

_FLAGS = {
    "-h": "help", "--help": "help", "-m": "multirun", "--multirun": "multirun",
    "--resolve": "resolve", "--version": "version",
}  # fmt: skip
"""Options without a value, and what of `Words` each sets."""

_VALUED = (
    "--cfg", "-c", "--config-dir", "-cd", "--plugin", "--shell-completion", "-sc", "--reason",
)  # fmt: skip
"""Options with a value."""

_KNOB = re.compile(r"[A-Za-z_][\w.]*=")
_FLAG = re.compile(r"[a-z]{2,}(?:[-_][a-z]+)*")
_LINE = re.compile(r":\d+$")
_KINDS = {bool: "true or false", int: "a whole number from 1 on", str: "a text"}


class Words(msgspec.Struct):
    """A command line, sorted: a verb with its arguments, overrides, options; `line` has it all."""

    line: tuple[str, ...] = ()
    verb: str | None = None
    arguments: list[str] = []
    overrides: list[str] = []
    help: bool = False
    multirun: bool = False
    cfg: str | None = None
    resolve: bool = False
    version: bool = False
    completion: str | None = None
    config_dirs: list[Path] = []
    plugins: list[str] = []


def parse(arguments: Sequence[str]) -> Words:
    """Sort a command line. Raises RecipeError for a word that fits nowhere."""
    words = Words(tuple(arguments))
    rest = iter(arguments)
    for word in rest:
        name, separator, value = word.partition("=")
        if name in _VALUED and (name.startswith("--") or not separator):
            value = value if separator else next(rest, "")
            if not value or value.startswith("-"):
                raise RecipeError(f"command line: {name} needs a value.")
            _set_option(words, name, value)
        elif word in _FLAGS:
            setattr(words, _FLAGS[word], True)
        elif word == "--rebuild":
            words.overrides.append("rebuild=true")
        elif word.startswith("-"):
            raise RecipeError(f"command line: unknown option '{word}'.{_meant_option(word)}")
        elif words.verb is not None and _is_argument(word):
            words.arguments.append(word)
        elif "=" in word or word.startswith("~"):
            words.overrides.append(word)
        elif word in VERBS:
            words.verb = word
        else:
            raise RecipeError(
                f"command line: '{word}' is neither a verb nor name=value."
                f" Verbs: {', '.join(VERBS)}.{_meant(words, word)}"
            )
    return words


def _meant_option(word: str) -> str:
    """What may have been meant by a word with dashes that is no option."""
    name, separator, _ = word.partition("=")
    bare = word.lstrip("-")
    alone = [*(flag for flag in _FLAGS if flag.startswith("--")), "--rebuild"]
    if guess := _as_knob(bare) or hint(name, [*_VALUED, *([] if separator else alone)]):
        return guess
    if _KNOB.match(bare):
        return f" A knob has no dashes: {bare}"
    if _FLAG.fullmatch(bare):
        return f" A knob has no dashes and a value: {bare.replace('-', '_')}=VALUE"
    return ""


def _as_knob(bare: str) -> str:
    """How a knob of a verb is written that has dashes before it, or nothing."""
    name, _, value = bare.replace("-", "_").partition("=")
    defaults = [taken[name][0] for taken in TAKES.values() if name in taken]
    if not defaults:
        return ""
    value = value or ("true" if isinstance(defaults[0], bool) else "VALUE")
    return f" A knob has no dashes: {name}={value}"


def _meant(words: Words, word: str) -> str:
    """What may have been meant by a word that fits nowhere."""
    from gymrecipe.recipe.finding import recipes

    if word in recipes(words.config_dirs):
        return f" The recipe of this name runs as +recipe={word}."
    if word.removesuffix(".gz").removesuffix(".zst").endswith(".jsonl"):
        return f" A file of rollouts is given as input={word}."
    last = words.overrides[-1] if words.overrides else ""
    if last and not last.lstrip("+").startswith("recipe="):
        return f" A value with spaces is written in quotes: '{last} {word}'."
    if last and re.fullmatch(r"[a-z][\w.]*", word):
        return f" A knob is written {word}=VALUE."
    return hint(word, VERBS)


def taken(words: Words) -> dict[str, Any]:
    """What a command line gives the knobs of its verb, read by YAML's rules, and the defaults of
    the rest. Raises RecipeError for another knob.
    """
    found = {name: default for name, (default, _) in TAKES[words.verb or ""].items()}
    for override in words.overrides:
        name, _, text = override.lstrip("+").partition("=")
        name = name if name in found else _alias(name)
        if name not in found:
            raise RecipeError(
                f"{words.verb}: unknown knob '{name}'; it takes {', '.join(found)}."
                f"{hint(name, found)}"
            )
        found[name] = _value(f"{words.verb}: {name}", text, type(found[name]))
    return found


def _alias(name: str) -> str:
    # Which imports Hydra: only for what we do not know.
    from gymrecipe.recipe.overrides import ALIASES

    return ALIASES.get(name, name)


def at_most(words: Words, count: int) -> list[str]:
    """The arguments of a verb. Raises RecipeError for more than it takes."""
    if len(words.arguments) > count:
        takes = f"takes {count} at most" if count else "takes no argument"
        raise RecipeError(f"{words.verb}: {takes}, got '{' '.join(words.arguments)}'.")
    return words.arguments


def _is_argument(word: str) -> bool:
    """Whether a word behind a verb is a path or a name: it may have a `=` in it too."""
    name, separator, _ = word.partition("=")
    knob = re.fullmatch(r"[+~]*\w+", name)
    exists = os.path.exists(word) or bool(_LINE.search(word))
    return not word.startswith("~") and (not separator or not knob or exists)


def _value(what: str, text: str, wanted: type) -> Any:
    if wanted is list:
        return _entries(text)
    if wanted is str:
        if text:
            return text
        raise RecipeError(f"{what} has no value. Write {what.split()[-1]}=VALUE.")
    value: Any = None
    with suppress(yaml.YAMLError, ValueError):  # an impossible date
        value = yaml.safe_load(text)
    if type(value) is not wanted or (type(value) is int and value < 1):
        raise RecipeError(f"{what} should be {_KINDS[wanted]}, got '{text}'.")
    return value


def _entries(text: str) -> list[str]:
    """`a.jsonl`, or `[a.jsonl, runs/*.jsonl]`, as a list."""
    inner = text[1:-1].split(",") if text[:1] == "[" and text[-1:] == "]" else [text]
    return [entry.strip().strip("'\"") for entry in inner if entry.strip()]


def _set_option(words: Words, name: str, value: str) -> None:
    if name in ("--cfg", "-c"):
        if value != "job":
            raise RecipeError(f"command line: --cfg shows only 'job', got '{value}'.")
        words.cfg = value
    elif name in ("--config-dir", "-cd"):
        words.config_dirs.append(Path(value))
    elif name == "--plugin":
        words.plugins.append(value)
    elif name == "--reason":
        words.overrides.append(f"reason={value}")
    else:
        words.completion = value
