"""Composing: what a recipe and a command line make together."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from gymrecipe.errors import RecipeError
from gymrecipe.guards import references
from gymrecipe.recipe import composing
from gymrecipe.recipe.composing import compose
from gymrecipe.recipe.finding import locate
from tests.recipe.conftest import DPO, write


def test_a_knob_that_has_to_be_given_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, "n: ???\nstages:\n  load: {use: load, limit: '${n}'}\n")
    with pytest.raises(RecipeError, match=r"n: has to be given. Write n=value"):
        compose(path, [])
    assert compose(path, ["n=4"]).values["stages"]["load"]["limit"] == 4


def test_every_reference_to_nothing_is_told_with_its_place_and_a_guess(tmp_path: Path) -> None:
    text = (
        "stages:\n  load: {use: load, input: '${inptu}'}\n  write: {use: write, order: '${x.y}'}\n"
    )
    with pytest.raises(RecipeError) as caught:
        compose(write(tmp_path, text), [])
    first, second = caught.value.problems
    assert first.endswith("stages.load.input: there is no knob 'inptu'. Did you mean 'input'?")
    assert second.endswith("stages.write.order: there is no knob 'x.y'.")


def test_a_caller_that_uses_hydra_finds_its_own_again(tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text("value: 1\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        store = ConfigStore.instance()
        store.store(name="stored", node={"value": 2})
        before = set(store.list("")), OmegaConf.to_yaml(store.load("hydra/config.yaml").node)
        compose(locate("ppo"), [])
        with pytest.raises(RecipeError):
            compose(locate("ppo"), ["engine=nowhere"])
        assert hydra_compose("theirs").value == 1
        assert hydra_compose("stored").value == 2
        config = OmegaConf.to_yaml(store.load("hydra/config.yaml").node)
        assert (set(store.list("")), config) == before
    assert not GlobalHydra.instance().is_initialized()
    compose(locate("ppo"), [])
    assert not GlobalHydra.instance().is_initialized()


def test_hydra_composes_the_shared_knobs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compose(locate("ppo"), ["engine=local"])
    monkeypatch.delattr(composing, "hydra_compose")
    assert compose(DPO, ["engine=local", "seed=1"]).values["seed"] == 1
    assert compose(DPO, ["engine=local"]).values["seed"] == 0


def test_raw_keeps_the_references_and_values_resolve_them() -> None:
    composed = compose(DPO, ["min_gap=0.3"])
    assert composed.raw["stages"]["pair"]["min_gap"] == "${min_gap}"
    assert composed.values["stages"]["pair"]["min_gap"] == 0.3
    assert composed.overridden == {"min_gap": "0.3"}


def test_references_are_found_in_any_depth() -> None:
    assert references({"a": ["x ${b} y", {"c": "${d.e}"}], "f": 1}) == {"b", "d"}
