"""Composing: a recipe file under the shared knobs, with the overrides of its caller."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.conf import JobConf, OverridesConf, RuntimeConf
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from msgspec import UNSET
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gymrecipe.errors import RecipeError
from gymrecipe.guards import at, bad_references, dangers
from gymrecipe.recipe.finding import shared_folder
from gymrecipe.recipe.overrides import Override, normalised, vain_deletions
from gymrecipe.recipe.reading import base_knobs, kind, plain, read, shared_config

HERE = ("chat_template", "tokenizer")
"""Knobs that a recipe cannot say for the machine it comes to."""


class Caller(msgspec.Struct, frozen=True):
    """Who gives the overrides: its `name`, before a fault of one, and where they are written."""

    name: str
    there: str


COMMAND_LINE = Caller("command line", "on the command line")
PYTHON = Caller("gymrecipe.run()", "in the call")


class Composed(msgspec.Struct, frozen=True):
    """One recipe with the overrides of its caller, as plain data.

    `values` is resolved; `raw` still has its `${knob}` and is what `recipe.yaml` shows; `file` is
    the recipe file alone. `base` names the knobs that all recipes share, `overridden` the keys that
    the `caller` set, by its `overrides`.
    """

    name: str
    path: str
    folder: str
    values: dict[str, Any]
    raw: dict[str, Any]
    file: dict[str, Any]
    base: tuple[str, ...]
    overridden: dict[str, str]
    overrides: tuple[str, ...]
    caller: Caller


def compose(path: Path, overrides: Sequence[str], caller: Caller = COMMAND_LINE) -> Composed:
    """The recipe file under the shared knobs, with the overrides of its caller.

    Raises RecipeError with every fault of the file, or of the overrides.
    """
    recipe, base = read(path), base_knobs()
    for name, value in base.items():
        if isinstance(value, dict) and not isinstance(recipe.get(name) or {}, dict):
            raise RecipeError(f"{path}: {name}: should be a mapping, not a {kind(recipe[name])}.")
    given = _given(overrides, recipe, base, caller)
    try:
        config = _merged(recipe, base, given)
        raw: Any = OmegaConf.to_container(config, resolve=False)
        problems = list(dangers(raw)) or bad_references(raw, caller.there)
        if problems:
            raise RecipeError(*(f"{path}: {problem}" for problem in dict.fromkeys(problems)))
        values: Any = OmegaConf.to_container(config, resolve=True)
        for composed in (raw, values):
            _rejoin(composed.get("stages"), recipe.get("stages"))
    except (HydraException, OmegaConfBaseException, RecursionError) as error:
        raise RecipeError(f"{path}: {plain(error)}") from None
    return Composed(
        name=path.stem,
        path=str(path),
        folder=str(path.resolve().parent),
        values=values,
        raw=raw,
        file=recipe,
        base=(*base, "engine"),
        overridden={each.key: each.value for each in given if each.value is not None},
        overrides=tuple(overrides),
        caller=caller,
    )


def _given(
    overrides: Sequence[str], recipe: dict[str, Any], base: dict[str, Any], caller: Caller
) -> list[Override]:
    """The overrides as Hydra wants them. Raises RecipeError with every fault of theirs."""
    engines = [option.stem for option in (shared_folder("conf") / "engine").glob("*.yaml")]
    given = []
    problems = list(vain_deletions(overrides, recipe))
    for override in overrides:
        try:
            given.append(normalised(override, base | recipe, engines))
        except RecipeError as error:
            problems += error.problems
    if problems:
        raise RecipeError(*(f"{caller.name}: {problem}" for problem in dict.fromkeys(problems)))
    return given


def _merged(recipe: dict[str, Any], base: dict[str, Any], given: list[Override]) -> DictConfig:
    """The recipe in the shared knobs, with what was given put in."""
    changes = [each.change for each in given if each.change]
    engines = [change for change in changes if change.startswith("engine=")]
    config = deepcopy(_shared(*engines))
    config.merge_with(recipe)
    others = [change for change in changes if change not in engines]
    parsed = OverridesParser.create().parse_overrides(others)
    # What Hydra does with overrides has no public name.
    ConfigLoaderImpl._apply_overrides_to_config(parsed, config)
    beyond = {each.key: each.beyond for each in given if each.beyond is not UNSET}
    for key, value in beyond.items():
        merge = isinstance(value, dict) and isinstance(at(base | recipe, key), dict)
        OmegaConf.update(config, key, value, merge=merge, force_add=True)
    return config


def _rejoin(stages: Any, written: Any) -> None:
    """Let stages that say `from` one which was taken out take what that would have taken."""
    if not isinstance(stages, dict) or not isinstance(written, dict):
        return
    names = list(written)
    for stage in stages.values():
        for _ in names:  # several in a row may have been taken out
            source = stage.get("from") if isinstance(stage, dict) else None
            if not isinstance(source, str) or source in stages or source not in written:
                break
            was, before = written[source], names[max(names.index(source) - 1, 0)]
            own = isinstance(was, dict) and (was.get("from") or was.get("after"))
            stage["from"] = own or before


@cache
def _shared(*engines: str) -> DictConfig:
    """What Hydra composes of our folder: the shared knobs and an engine; only to be read.

    A caller that uses Hydra too has its own again afterwards.
    """
    store, hydra = ConfigStore.instance(), GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        # A folder: without one Hydra looks through the whole stack for the file that calls it.
        with initialize_config_dir(str(shared_folder("conf")), version_base="1.3"):
            theirs, store.repo = store.repo, {}
            try:
                # Hydra launches, logs and explains nothing here: what it notes itself is enough.
                node = {"overrides": OverridesConf(), "runtime": RuntimeConf(), "job": JobConf()}
                store.store(group="hydra", name="config", node=node, package="hydra")
                store.store(name="gymrecipe", node=shared_config())
                config = hydra_compose("gymrecipe", [*engines])
            finally:
                store.repo = theirs
    finally:
        GlobalHydra.instance().hydra = hydra
    OmegaConf.set_struct(config, False)  # a recipe has knobs of its own
    return config


def as_it_is(composed: Composed) -> Composed:
    """The recipe with no overrides but those that it cannot do without: values that its file leaves
    to the caller (`???`), and what only this machine has.
    """
    needed = [
        f"{key}={value}"
        for key, value in composed.overridden.items()
        if at(composed.file, key) == "???" or _is_here(composed.file, key)
    ]
    return compose(Path(composed.path), needed, composed.caller)


def _is_here(file: dict[str, Any], key: str) -> bool:
    """Whether a key is a file of this machine, for the recipe or for a stage that its file has."""
    parent, _, name = key.rpartition(".")
    return name in HERE and (not parent or isinstance(at(file, parent), dict))
