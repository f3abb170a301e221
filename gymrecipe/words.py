"""Words: a command line, sorted into a verb, overrides and options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gymrecipe.errors import RecipeError, hint

VERBS = (
    "recipes",
    "stages",
    "formats",
    "columns",
    "versions",
    "show",
    "explain",
    "verify",
    "reproduce",
    "diff",
)


@dataclass
class Words:
    """A command line, sorted: a verb with its arguments, overrides, options."""

    verb: str | None = None
    arguments: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    help: bool = False
    multirun: bool = False
    cfg: str | None = None
    resolve: bool = False
    version: bool = False
    completion: str | None = None
    config_dirs: list[Path] = field(default_factory=list)
    plugins: list[str] = field(default_factory=list)


def parse(arguments: Sequence[str]) -> Words:
    """Sort a command line. Raises RecipeError for a word that fits nowhere."""
    words = Words()
    values = {"--cfg": "", "-c": "", "--config-dir": "", "-cd": "", "--plugin": "",
              "--shell-completion": "", "-sc": ""}  # fmt: skip
    rest = iter(arguments)
    for word in rest:
        name, separator, value = word.partition("=")
        if name in values and (name.startswith("--") or not separator):
            if not separator and (value := next(rest, "")) == "":
                raise RecipeError(f"command line: {name} needs a value.")
            _set_option(words, name, value)
        elif word in ("-h", "--help"):
            words.help = True
        elif word in ("-m", "--multirun"):
            words.multirun = True
        elif word == "--resolve":
            words.resolve = True
        elif word == "--version":
            words.version = True
        elif word.startswith("-"):
            known = [*values, "--help", "--multirun", "--resolve", "--version"]
            raise RecipeError(f"command line: unknown option '{word}'.{hint(word, known)}")
        elif words.verb is not None and ("=" not in word or Path(word).exists()):
            words.arguments.append(word)
        elif "=" in word or word.startswith("~"):
            words.overrides.append(word)
        elif word in VERBS:
            words.verb = word
        else:
            raise RecipeError(
                f"command line: '{word}' is neither a verb nor name=value."
                f" Verbs: {', '.join(VERBS)}.{hint(word, VERBS)}"
            )
    return words


def _set_option(words: Words, name: str, value: str) -> None:
    if name in ("--cfg", "-c"):
        if value != "job":
            raise RecipeError(f"command line: --cfg shows only 'job', got '{value}'.")
        words.cfg = value
    elif name in ("--config-dir", "-cd"):
        words.config_dirs.append(Path(value))
    elif name == "--plugin":
        words.plugins.append(value)
    else:
        words.completion = value
