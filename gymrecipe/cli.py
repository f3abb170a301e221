"""The command: reads its words, runs what they ask, prints, and exits. No other file does."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gymrecipe import __version__
from gymrecipe.errors import DataError, GymrecipeError, MachineError, RecipeError, hint
from gymrecipe.words import Words, parse

if TYPE_CHECKING:
    from rich.console import Console

    from gymrecipe.executor import Version
    from gymrecipe.report.terminal import SweepRow

SAMPLE = "gymrecipe:sample"
USAGE = """\
gymrecipe turns scored rollouts into versioned training datasets, by declared recipes.

  python -m gymrecipe +recipe=NAME [knob=value …]       run a recipe
  python -m gymrecipe -m +recipe=NAME knob=a,b          run it for each value, and compare
  python -m gymrecipe +recipe=NAME --help               the knobs of a recipe

  recipes             the recipes there are
  stages [NAME]       the stages, or the parameters of one
  formats             what trainers read
  columns input=FILE  the fields of a file that a recipe can use
  versions [NAME]     the versions that were made
  show VERSION        the summary of a version
  explain VERSION FILE:LINE    what became of a line, and why
  verify VERSION      whether a version is as it was written
  reproduce VERSION   make it again from its manifest, and compare every byte
  diff VERSION VERSION         what differs between two, and why

A VERSION is a folder or RECIPE/v0001. Options: --cfg job [--resolve], --config-dir DIR,
--plugin MODULE, --shell-completion install=bash|zsh|fish, --version, --help.
"""


def console() -> None:
    """The entry point of `gymrecipe` and `python -m gymrecipe`."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = _dispatch(parse(arguments))
        sys.stdout.flush()
    except GymrecipeError as error:
        _tell(error)
        code = error.exit_code
    except KeyboardInterrupt:
        _error("interrupted; nothing was published.")
        code = 130
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except (OSError, MemoryError) as error:
        _tell(MachineError(f"the machine failed: {error}. Free what is short, and run again."))
        code = MachineError.exit_code
    return code


def _terminate(number: int, frame: Any) -> None:
    _error("terminated; nothing was published.")
    raise SystemExit(128 + number)


def _dispatch(words: Words) -> int:
    if words.version:
        print(f"gymrecipe {__version__}")
        return 0
    if words.completion is not None:
        from gymrecipe.completion import completion

        print(completion(words.completion, os.environ, words.config_dirs), end="")
        return 0
    if words.verb is not None:
        if words.help:
            print(USAGE, end="")
            return 0
        _load_plugins(words.plugins)
        return ACTIONS[words.verb](words)
    from gymrecipe.recipe import locate, split_recipe

    recipe, overrides = split_recipe(words.overrides)
    if recipe is None:
        if words.overrides and not words.help:
            raise RecipeError(
                "command line: no recipe is named. Write +recipe=NAME; `gymrecipe recipes` lists"
                " them."
            )
        print(_overview(words), end="")
        return 0
    _load_plugins(words.plugins)
    if words.multirun:
        return _sweep(words)
    path = locate(recipe, words.config_dirs)
    if words.help:
        print(_recipe_help(path), end="")
        return 0
    return _run(path, overrides, words)


def _load_plugins(names: Sequence[str]) -> None:
    """Import the stages, strategies and formats that others registered."""
    from gymrecipe import registry

    for entry in entry_points(group="gymrecipe.plugins"):
        if entry.module not in registry.PLUGINS:
            entry.load()
            registry.PLUGINS.append(entry.module)
    sys.path.insert(0, os.getcwd())
    for name in names:
        try:
            import_module(name)
        except ImportError as error:
            raise RecipeError(f"--plugin {name}: cannot be imported: {error}.") from None
        registry.PLUGINS.append(name)
    sys.path.pop(0)


def _overview(words: Words) -> str:
    from gymrecipe.recipe import recipes

    names = ", ".join(sorted(recipes(words.config_dirs)))
    return (
        f"{USAGE}\nRecipes: {names}.\n"
        "\nTry this next; it runs on the rollouts that ship with gymrecipe:\n"
        "  python -m gymrecipe +recipe=dpo_same_prompt min_gap=0.3\n"
    )


def _recipe_help(path: Path) -> str:
    from gymrecipe.recipe import base_knobs, description, knobs
    from gymrecipe.report.rows import shown

    base = base_knobs()
    own = {name: value for name, value in knobs(path).items() if name not in base}
    shared = base | {name: value for name, value in knobs(path).items() if name in base}
    lines = [description(path), "", "Its knobs:"]
    lines += [f"  {name}={shown(value)}" for name, value in own.items()] or ["  none of its own"]
    lines += ["", "The knobs that all recipes share:"]
    lines += [f"  {name}={shown(value)}" for name, value in shared.items()]
    lines += [
        "  engine.workers=null",
        "",
        "A stage's parameter is set as stages.NAME.PARAMETER=value; a stage is taken out by",
        "~stages.NAME and added by '+stages.NAME={use: …, after: …}'.",
        "--cfg job shows the whole recipe.",
    ]
    return "\n".join(lines) + "\n"


def _run(path: Path, overrides: list[str], words: Words) -> int:
    from gymrecipe.recipe import as_yaml, compose

    composed = compose(path, overrides)
    if words.cfg:
        print(as_yaml(composed.values if words.resolve else composed.raw), end="")
        return 0
    version = _made(path, overrides)
    _say_version(version)
    return 0


def _made(path: Path, overrides: list[str]) -> Version:
    """Run one recipe, with bars and the summary on stderr."""
    from gymrecipe import api
    from gymrecipe.report import terminal

    errors = _console()
    with terminal.Bars(errors) as bars:
        try:
            version = api.run_file(path, overrides, bars, command=_command())
        except DataError as error:
            if error.manifest is not None:
                bars.close()
                terminal.summary(error.manifest, errors)
            raise
    terminal.summary(version.manifest, errors)
    for name, example in version.examples.items() if version.path is None else ():
        terminal.example(name, example, errors)
    if version.existed:
        _note(f"{version.path} has the same id already; nothing was written (again=true writes).")
    return version


def _say_version(version: Version) -> None:
    import msgspec

    if version.manifest.parameters.get("json"):
        print(msgspec.json.encode(version.manifest).decode())
    elif version.path is not None:
        print(version.path)


def _sweep(words: Words) -> int:
    from gymrecipe.recipe import expand_sweep, locate, split_recipe
    from gymrecipe.report import terminal

    members = expand_sweep(words.overrides)
    varied = [len({member[i] for member in members}) > 1 for i in range(len(words.overrides))]
    rows: list[SweepRow] = []
    for member in members:
        shown = tuple(word for word, varies in zip(member, varied, strict=True) if varies)
        recipe, overrides = split_recipe(member)
        try:
            path = locate(recipe or "", words.config_dirs)
            version = _made(path, overrides)
        except GymrecipeError as error:
            _tell(error)
            found = getattr(error, "manifest", None)
            rows.append(terminal.SweepRow(shown, found, str(error), error.exit_code))
        else:
            _say_version(version)
            rows.append(terminal.SweepRow(shown, version.manifest, None, 0))
    terminal.sweep(rows, _console())
    return max(row.code for row in rows)


def _recipes(words: Words) -> int:
    _list(_rows().recipes(words.config_dirs))
    return 0


def _stages(words: Words) -> int:
    if not words.arguments:
        _list(_rows().stages())
        return 0
    said, parameters, choices = _rows().parameters(words.arguments[0])
    print(f"{words.arguments[0]}: {said}\n")
    _list(parameters)
    if choices:
        print()
        _list(choices)
    return 0


def _formats(words: Words) -> int:
    _list(_rows().formats())
    return 0


def _columns(words: Words) -> int:
    knobs = _verb_knobs(words, input=SAMPLE, limit=1_000, sidecars=False)
    built_in, present, read = _rows().columns(knobs["input"], knobs["limit"], knobs["sidecars"])
    _list(built_in)
    print()
    _list(present)
    _note(f"built-in columns, then the fields of the first {read} lines (limit={knobs['limit']}).")
    return 0


def _versions(words: Words) -> int:
    root = Path(_verb_knobs(words, output_dir="experiments")["output_dir"])
    rows = _rows().versions(root, words.arguments)
    if not rows:
        _note(f"no versions in {root} yet. Run a recipe: `gymrecipe recipes` lists them.")
    _list(rows)
    return 0


def _show(words: Words) -> int:
    import msgspec

    from gymrecipe.experiments import manifest
    from gymrecipe.report import terminal

    (path,), knobs = _version_arguments(words, 1, json=False)
    record = manifest.read(path)
    if knobs["json"]:
        print(msgspec.json.encode(record).decode())
    else:
        terminal.summary(record, _console(stderr=False))
        print(path)
    return 0


def _explain(words: Words) -> int:
    from gymrecipe.experiments.explain import explain

    if len(words.arguments) != 2:
        raise RecipeError("explain: write a version and a line: explain RECIPE/v0001 a.jsonl:17")
    line = words.arguments.pop()
    (path,), _ = _version_arguments(words, 1)
    for sentence in explain(path, line):
        print(_safe(sentence))
    return 0


def _verify(words: Words) -> int:
    from gymrecipe.experiments.verify import verify

    (path,), _ = _version_arguments(words, 1)
    differences = verify(path)
    for difference in differences:
        _error(f"{path}: {difference}")
    if differences:
        return DataError.exit_code
    print(f"{path}: whole, every file as it was written")
    return 0


def _reproduce(words: Words) -> int:
    from gymrecipe.experiments.reproduce import reproduce
    from gymrecipe.report import terminal

    (path,), knobs = _version_arguments(words, 1, any_tools=False)
    with terminal.Bars(_console()) as bars:
        same = reproduce(path, bars, any_tools=knobs["any_tools"])
    print(f"{path}: made again, {same.files} files and {same.bytes} bytes are the same")
    return 0


def _diff(words: Words) -> int:
    from gymrecipe.experiments.diff import diff
    from gymrecipe.report import terminal

    (one, other), _ = _version_arguments(words, 2)
    terminal.difference(diff(one, other), _console(stderr=False))
    return 0


def _version_arguments(
    words: Words, count: int, **defaults: Any
) -> tuple[list[Path], dict[str, Any]]:
    from gymrecipe.experiments import store

    if len(words.arguments) != count:
        wanted = "one version" if count == 1 else f"{count} versions"
        raise RecipeError(
            f"{words.verb}: write {wanted}, such as dpo_same_prompt/v0001; `gymrecipe versions`"
            " lists them."
        )
    knobs = _verb_knobs(words, output_dir="experiments", **defaults)
    return [store.resolve(word, Path(knobs["output_dir"])) for word in words.arguments], knobs


def _verb_knobs(words: Words, **defaults: Any) -> dict[str, Any]:
    """The overrides of a verb, read by YAML's rules; others than these are errors."""
    import yaml

    knobs = dict(defaults)
    for override in words.overrides:
        name, _, text = override.lstrip("+").partition("=")
        name = "input" if name == "input_jsonl_fpath" else name
        if name not in defaults:
            raise RecipeError(
                f"{words.verb}: unknown knob '{name}'; it takes {', '.join(defaults) or 'none'}."
                f"{hint(name, defaults)}"
            )
        value = yaml.safe_load(text)
        wanted = type(defaults[name])
        if wanted is str and not isinstance(value, list):
            value = text
        elif wanted is not str and type(value) is not wanted:
            raise RecipeError(f"{words.verb}: {name} should be a {wanted.__name__}, got '{text}'.")
        knobs[name] = value
    return knobs


def _rows() -> ModuleType:
    """Imported late: the command has to start before it is there."""
    return import_module("gymrecipe.report.rows")


def _list(rows: list[dict[str, str]]) -> None:
    from gymrecipe.report.listing import listing

    if rows:
        listing(rows, list(rows[0]), _console(stderr=False))


def _console(stderr: bool = True) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def _safe(text: str) -> str:
    from gymrecipe.report.safe import safe

    return "\n".join(safe(line, 2_000) for line in text.split("\n"))


def _tell(error: GymrecipeError) -> None:
    for line in str(error).split("\n"):
        _error(line)


def _error(text: str) -> None:
    print(f"gymrecipe: {_safe(text)}", file=sys.stderr)


def _note(text: str) -> None:
    print(_safe(text), file=sys.stderr)


def _command() -> str:
    from shlex import join

    return join(["python", "-m", "gymrecipe", *sys.argv[1:]])


ACTIONS: dict[str, Callable[[Words], int]] = {
    "recipes": _recipes,
    "stages": _stages,
    "formats": _formats,
    "columns": _columns,
    "versions": _versions,
    "show": _show,
    "explain": _explain,
    "verify": _verify,
    "reproduce": _reproduce,
    "diff": _diff,
}
