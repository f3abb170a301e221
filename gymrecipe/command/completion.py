"""Shell completion: what may come next on a command line, for bash, zsh and fish.

eval "$(gymrecipe --shell-completion install=bash)"
gymrecipe --shell-completion install=fish | source
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from gymrecipe.command.takes import offered
from gymrecipe.command.words import VERBS
from gymrecipe.errors import GymrecipeError, RecipeError, hint

if TYPE_CHECKING:  # a tab that asks for a verb need not wait for pydantic
    from gymrecipe.parameters import Params
    from gymrecipe.registry import Stage

OPTIONS = ("--help", "--multirun", "--cfg", "--config-dir", "--plugin", "--version")

OF_VERSIONS = ("versions", "gc", "show", "explain", "verify", "rejects", "reproduce", "diff")
"""The verbs that take a recipe which has versions, or one of them."""

OF_RECIPES = ("versions", "gc")
"""Those of them that take a recipe alone."""

PLACES = (
    "cache_dir", "chat_template", "input", "input_jsonl_fpath", "materialized_inputs", "output_dir",
    "output_jsonl_fpath", "tokenizer",
)  # fmt: skip
"""The knobs whose value is a file or a folder."""

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
    # The buffer may hold other commands, and lacks a quote that is open.
    "zsh": """\
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
_gymrecipe() {
  local -a found
  found=(${(f)"$(COMP_LINE="${(j: :)words[1,CURRENT-1]} $PREFIX" \\
    gymrecipe --shell-completion query 2>/dev/null)"})
  compadd -S '' -- $found
}
compdef _gymrecipe gymrecipe
""",
    "fish": """\
complete -c gymrecipe -f -a '(env COMP_LINE=(commandline -cp | string join " ") \\
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
    from gymrecipe.recipe.finding import recipes

    try:
        words = shlex.split(line)
    except ValueError:
        return []
    begun = "" if not words or line.endswith(" ") else words.pop()
    prefix = begun[: len(begun) - len(begun.lstrip("+~"))]
    stem = begun.removeprefix(prefix)
    knob, separator, _ = stem.partition("=")
    verb = words[1] if len(words) > 1 else ""
    folders = [*folders, *_folders(words)]
    if words[-1:] == ["--config-dir"]:
        found = _files(stem)
    elif knob.rpartition(".")[2] in PLACES and separator:
        found = [f"{knob}={name}" for name in _files(stem.removeprefix(f"{knob}="))]
    elif verb == "check":
        found = [*_of_check(stem), *_files(stem)]
    elif verb in VERBS:
        found = [*_of_verb(verb, words), *offered(verb)]
        if verb == "columns" or (verb in OF_VERSIONS and verb not in OF_RECIPES):
            found += _files(stem)
    elif knob == "recipe" and separator:
        own = [name for name in _files(stem[7:]) if name.endswith(("/", ".yaml"))]
        found = [f"recipe={name}" for name in (*recipes(folders), *own)]
    elif separator:
        found = [f"{knob}={value}" for value in _values(knob, words, folders)]
    else:
        found = ["recipe=", *_knobs(words, folders)]
        if not prefix:
            found += [*VERBS, *OPTIONS]
        if prefix == "~":  # takes out a stage, or a parameter of one, and has no value
            places = [word.removesuffix("=") for word in found if word.startswith("stages.")]
            found = [*places, *{place.rpartition(".")[0] for place in places}]
    words = sorted({f"{prefix}{word}" for word in found if word.startswith(stem)})
    return [word for word in words if word.isprintable()]


def _folders(words: list[str]) -> Iterator[Path]:
    """The folders of recipes that the line names."""
    for option, value in pairwise(words):
        if option == "--config-dir" and Path(value).is_dir():
            yield Path(value)


def _files(begun: str) -> list[str]:
    """The files that a begun path may mean, folders with a slash; those that need quotes are left
    to the shell.
    """
    above, slash, name = begun.rpartition("/")
    try:
        entries = [*os.scandir(f"{above}{slash}" or ".")]
    except OSError:
        return []
    return [
        f"{above}{slash}{entry.name}{'/' if entry.is_dir() else ''}"
        for entry in entries
        if entry.name.startswith(name)
        and (name or not entry.name.startswith("."))
        and shlex.quote(entry.name) == entry.name
    ]


def _of_check(stem: str) -> list[str]:
    """The knobs of `check`, and the values that they take."""
    if not stem.startswith(("format=", "purpose=")):
        return offered("check")
    from gymrecipe.check import ROLLOUTS, formats
    from gymrecipe.registry import Purpose

    names = [*formats(), ROLLOUTS] if stem.startswith("format=") else get_args(Purpose)
    return [f"{stem.partition('=')[0]}={name}" for name in names]


def _of_verb(verb: str, words: list[str]) -> list[str]:
    """What a verb takes: the name of a stage, recipes that have versions, or versions."""
    if verb == "stages":
        return sorted(_stages())
    if verb not in OF_VERSIONS:
        return []
    root = Path(
        next((word[11:] for word in words if word.startswith("output_dir=")), "experiments")
    )
    versions = [f"{path.parent.name}/{path.name}" for path in root.glob("*/v[0-9]*")]
    names = {name.partition("/")[0] for name in versions}
    return sorted(names) if verb in OF_RECIPES else sorted({*names, *versions})


def _values(knob: str, words: list[str], folders: Iterable[Path]) -> list[str]:
    """The values of a knob or a stage's parameter, where they are names."""
    from gymrecipe.planning.settings import Settings
    from gymrecipe.registry import FORMATS, STRATEGIES

    stages = _stages()
    if knob.startswith("stages."):
        _, name, *rest = knob.split(".")
        models = [_model(_composed(words, folders).get("stages"), name)]
        parameter = rest[0] if len(rest) == 1 else ""
    else:
        models, parameter = [Settings, stages["load"].params, stages["write"].params], knob
    named: dict[str, Iterable[str]] = {"format": FORMATS, "strategy": STRATEGIES, "use": stages}
    if parameter in named:
        return sorted(named[parameter])
    parameter = {"json": "json_"}.get(parameter, parameter)
    fields = [model.model_fields[parameter] for model in models
              if model is not None and parameter in model.model_fields]  # fmt: skip
    return [value for field in fields[:1] for value in _named(field.annotation)]


def _named(annotation: Any) -> Iterator[str]:
    """The texts that a value of this type may be."""
    if annotation is bool:
        yield from ("false", "true")
    for part in get_args(annotation):
        yield from [part] if isinstance(part, str) else _named(part)


def _stages() -> Mapping[str, Stage]:
    import_module("gymrecipe.planning.steps")  # which registers them, and the formats
    from gymrecipe.registry import STAGES

    return STAGES


def _model(stages: Any, name: str) -> type[Params] | None:
    """The parameters of a recipe's stage."""
    chosen = stages.get(name) if isinstance(stages, dict) else None
    entry = _stages().get(str(chosen.get("use"))) if isinstance(chosen, dict) else None
    return None if entry is None else entry.params


def _composed(words: list[str], folders: Iterable[Path]) -> dict[str, Any]:
    """The recipe named so far, as its file has it; empty where it cannot be read."""
    from gymrecipe.recipe.composing import compose
    from gymrecipe.recipe.finding import locate
    from gymrecipe.recipe.overrides import split_recipe

    name, _ = split_recipe(words)
    try:
        return compose(locate(name, folders), []).values if name is not None else {}
    except GymrecipeError:
        return {}


def _knobs(words: list[str], folders: Iterable[Path]) -> list[str]:
    """The knobs of the recipe named so far, and its stages' parameters."""
    from gymrecipe.recipe.overrides import split_recipe
    from gymrecipe.recipe.reading import base_knobs

    if split_recipe(words)[0] is None:
        return [f"{knob}=" for knob in base_knobs()]
    values = _composed(words, folders)
    knobs = [f"{knob}=" for knob in values if knob != "stages"]
    stages = values.get("stages")
    for stage, given in stages.items() if isinstance(stages, dict) else ():
        model = _model(stages, stage)
        names = {
            *(given if isinstance(given, dict) else ()),
            *(model.model_fields if model else ()),
        }
        knobs += [f"stages.{stage}.{name}=" for name in names]
    return knobs
