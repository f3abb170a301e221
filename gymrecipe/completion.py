"""Shell completion: what may come next on a command line, for bash, zsh and fish.

eval "$(gymrecipe --shell-completion install=bash)"
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from gymrecipe.errors import GymrecipeError, RecipeError, hint
from gymrecipe.words import VERBS

OPTIONS = ("--help", "--multirun", "--cfg", "--config-dir", "--plugin", "--version")

SCRIPTS = {
    "bash": """\
_gymrecipe() {
  local IFS=$'\\n'
  compopt -o nospace 2>/dev/null
  COMPREPLY=($(COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" \\
    gymrecipe --shell-completion query 2>/dev/null))
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o default -F _gymrecipe gymrecipe
""",
    "zsh": """\
_gymrecipe() {
  local -a found
  found=(${(f)"$(COMP_LINE="$BUFFER" COMP_POINT="$CURSOR" \\
    gymrecipe --shell-completion query 2>/dev/null)"})
  compadd -S '' -- $found
}
compdef _gymrecipe gymrecipe
""",
    "fish": """\
complete -c gymrecipe -f -a '(env COMP_LINE=(commandline -cp) \\
    gymrecipe --shell-completion query 2>/dev/null)'
""",
}


def completion(what: str, environment: Mapping[str, str], folders: Iterable[Path]) -> str:
    """The script that `install=SHELL` asks for, or the candidates of a `query`, one a line.

    A query reads the line from COMP_LINE and COMP_POINT, as shells set them.
    """
    if what == "query":
        line = environment.get("COMP_LINE", "")
        line = line[: int(environment.get("COMP_POINT", len(line)))]
        return "".join(f"{word}\n" for word in candidates(line, folders))
    kind, _, shell = what.partition("=")
    if kind != "install" or shell not in SCRIPTS:
        raise RecipeError(
            f"--shell-completion: write install={'|'.join(SCRIPTS)}, got '{what}'."
            f"{hint(shell, SCRIPTS)}"
        )
    return SCRIPTS[shell]


def candidates(line: str, folders: Iterable[Path]) -> list[str]:
    """The words that may stand where the line ends."""
    from gymrecipe.recipe import recipes

    try:
        words = shlex.split(line)
    except ValueError:
        return []
    begun = "" if not words or line.endswith(" ") else words.pop()
    prefix = begun[: len(begun) - len(begun.lstrip("+~"))]
    stem = begun.removeprefix(prefix)
    if words[1:2] == ["check"]:
        found = _of_check(stem)
    elif stem.startswith("recipe="):
        found = [f"recipe={name}" for name in recipes(folders)]
    else:
        found = ["recipe=", *_knobs(words, folders)]
        if not prefix:
            found += [*VERBS, *OPTIONS]
        if prefix == "~":  # takes out a stage, or a parameter of one, and has no value
            places = [word.removesuffix("=") for word in found if word.startswith("stages.")]
            found = [*places, *{place.rpartition(".")[0] for place in places}]
    words = sorted(f"{prefix}{word}" for word in found if word.startswith(stem))
    return [word for word in words if word.isprintable()]


def _of_check(stem: str) -> list[str]:
    """The knobs of `check`, and the values that they take."""
    if not stem.startswith(("format=", "purpose=")):
        return ["format=", "purpose=", "json=true"]
    from typing import get_args

    from gymrecipe.check import ROLLOUTS, formats
    from gymrecipe.registry import Purpose

    names = [*formats(), ROLLOUTS] if stem.startswith("format=") else get_args(Purpose)
    return [f"{stem.partition('=')[0]}={name}" for name in names]


def _knobs(words: list[str], folders: Iterable[Path]) -> list[str]:
    """The knobs of the recipe named so far, and its stages' parameters."""
    from gymrecipe.recipe import base_knobs, compose, locate, split_recipe

    name, _ = split_recipe(words)
    if name is None:
        return [f"{knob}=" for knob in base_knobs()]
    try:
        values = compose(locate(name, folders), []).values
    except GymrecipeError:
        return []
    knobs = [f"{knob}=" for knob in values if knob != "stages"]
    stages = values.get("stages")
    for stage, parameters in stages.items() if isinstance(stages, dict) else ():
        names = parameters if isinstance(parameters, dict) else ()
        knobs += [f"stages.{stage}.{name}=" for name in names]
    return knobs
