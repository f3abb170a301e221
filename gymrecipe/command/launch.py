"""Launch: recipes on the command line: their help, their values, a run, a sweep."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

from gymrecipe.command import say
from gymrecipe.command.words import Words
from gymrecipe.errors import DataError, GymrecipeError, RecipeError, hint

if TYPE_CHECKING:
    from gymrecipe.experiments.manifest import Manifest
    from gymrecipe.planning.plan import Plan
    from gymrecipe.planning.settings import Settings
    from gymrecipe.report.terminal import SweepRow
    from gymrecipe.rollouts.engine import Map
    from gymrecipe.running.executor import Version


def launch(words: Words) -> int:
    """Do what the words ask of a recipe; the exit code. Without one: what there is."""
    from gymrecipe.recipe.finding import locate
    from gymrecipe.recipe.overrides import split_recipe

    recipe, overrides = split_recipe(words.overrides)
    if len(words.overrides) > len(overrides) + 1:
        raise RecipeError(
            "command line: recipe: named twice. Name one, or run several: -m +recipe=ONE,OTHER"
        )
    if recipe is None:
        from gymrecipe.command.help import overview

        if (words.overrides or words.cfg or words.multirun) and not words.help:
            given = [override.lstrip("+").partition("=")[0] for override in words.overrides]
            near = next(filter(None, (hint(name, ["recipe"]) for name in given)), "")
            raise RecipeError(
                "command line: no recipe is named. Write +recipe=NAME; `gymrecipe recipes` lists"
                f" them.{near}"
            )
        say.prose(overview(words.config_dirs).removesuffix("\n"))
        return 0
    if words.multirun and not words.help:
        return _sweep(words)
    path = locate(recipe, words.config_dirs)
    if words.help:
        _help(path)
    elif words.cfg:
        _show(path, overrides, words)
    else:
        _run(path, overrides, words)
    return 0


def _help(path: Path) -> None:
    from gymrecipe.command.help import recipe_help

    said, own, shared, deeper = recipe_help(path)
    say.prose(said)
    for title, rows in (("Its knobs:", own), ("The knobs that all recipes share:", shared)):
        if rows:
            print(f"\n{title}")
            say.table(rows)
    print()
    say.prose(deeper)


def _show(path: Path, overrides: list[str], words: Words) -> None:
    """Print the recipe with its overrides, and with `--resolve` the values."""
    from gymrecipe import plugins
    from gymrecipe.recipe.composing import compose
    from gymrecipe.recipe.reading import as_yaml

    plugins.load(words.plugins)
    composed = compose(path, overrides)
    print(as_yaml(composed.values if words.resolve else composed.raw), end="")


def _run(path: Path, overrides: list[str], words: Words) -> Version:
    """Run one recipe: bars and the summary on stderr, on stdout where the version is."""
    from gymrecipe import plugins
    from gymrecipe.recipe.composing import compose
    from gymrecipe.running import ahead

    composed = compose(path, overrides)
    plugins.load(words.plugins)
    with ahead.engine(composed) as engine:
        from gymrecipe import api

        plan = api.prepare(composed, command=_command(words))
        version = _made(plan, engine)
    _tell(version, plan.settings)
    return version


def _made(plan: Plan, engine: Map) -> Version:
    """Run a plan under bars; what a run found that comes to nothing is shown all the same."""
    from gymrecipe.report.bars import Bars
    from gymrecipe.report.summary import summary
    from gymrecipe.running import executor

    errors = say.console()
    gc.freeze()
    gc.enable()
    with Bars(errors) as bars:
        try:
            return executor.run(plan, engine, bars)
        except DataError as error:
            if error.manifest is not None:
                bars.close()
                summary(error.manifest, errors)
            raise


def _tell(version: Version, settings: Settings) -> None:
    """Say what a run made, and where it is."""
    from gymrecipe.experiments import publishing
    from gymrecipe.report.summary import summary
    from gymrecipe.report.terminal import example

    errors = say.console()
    summary(version.manifest, errors)
    if version.path is None:
        for name, text in version.examples.items():
            example(name, text, errors)
        if settings.json_:
            say.answer(version.manifest, as_json=True)
        return
    if version.existed:
        say.note(
            f"{version.path} has the same id already{_lacking(version)}; nothing was written"
            " (again=true writes)."
        )
    _say_beside(version.path, version.manifest, settings)
    # As asked now: a version that was there before may have been made with another `json`.
    with publishing.beside(version.path):
        say.answer(version.manifest, settings.json_, lambda _: print(version.path, flush=True))


def _lacking(version: Version) -> str:
    """What is said of a version that somebody took files from."""
    folder, outputs = version.path, version.manifest.outputs
    assert folder is not None
    gone = [output.path for output in outputs if not (folder / output.path).is_file()]
    more = f" and {len(gone) - 1} more" if gone[1:] else ""
    return f", but no {gone[0]}{more} any more" if gone else ""


def _say_beside(version: Path, record: Manifest, settings: Settings) -> None:
    """Say what was made beside a version."""
    from gymrecipe.experiments.export import copies

    if settings.tag is not None:
        say.note(f"{version.with_name(settings.tag)}: a link to {version.name}.")
    if settings.output_jsonl_fpath is not None:
        for copy, file in copies(record, Path(settings.output_jsonl_fpath)).items():
            if file is not None:
                say.note(f"{copy}: a copy of {file} of {version.name}.")


def _sweep(words: Words) -> int:
    from gymrecipe import plugins
    from gymrecipe.recipe.finding import locate
    from gymrecipe.recipe.overrides import expand_sweep, split_recipe
    from gymrecipe.report import terminal

    if words.cfg:
        raise RecipeError("command line: --cfg shows one recipe; leave out -m and name one value.")
    plugins.load(words.plugins)  # what is wrong with one is told once
    members = expand_sweep(words.overrides)
    varied = [len({member[i] for member in members}) > 1 for i in range(len(words.overrides))]
    for word, varies in zip(words.overrides, varied, strict=True):
        shared = word.lstrip("+").startswith(("tag=", "output_jsonl_fpath=")) and not varies
        if shared and len(members) > 1:
            raise RecipeError(
                f"command line: {word}: all members of the sweep would write there. Leave it out,"
                " or name one for each."
            )
    rows: list[SweepRow] = []
    for member in members:
        shown = tuple(word for word, varies in zip(member, varied, strict=True) if varies)
        recipe, overrides = split_recipe(member)
        try:
            version = _run(locate(recipe or "", words.config_dirs), overrides, words)
        except GymrecipeError as error:
            say.failure(error)
            found = getattr(error, "manifest", None)
            rows.append(terminal.SweepRow(shown, found, str(error), error.exit_code))
        else:
            rows.append(terminal.SweepRow(shown, version.manifest, None, 0))
    terminal.sweep(rows, say.console())
    return max(row.code for row in rows)


def _command(words: Words) -> str:
    from shlex import join

    return join(["python", "-m", "gymrecipe", *words.line])
