"""The files and lines that load a version with its trainer, as a run writes them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.experiments.conftest import graded, run, save

FORMATS = ("messages", "trl", "nemo_rl", "verl", "llama_factory", "axolotl", "ms_swift")


def columns(version: Any) -> dict[str, str]:
    (entry,) = json.loads((version.path / "data/dataset_info.json").read_text()).values()
    found: dict[str, str] = entry["columns"]
    return found


def without_tools(folder: Path) -> str:
    return str(save(folder / "a.jsonl", graded(7, 2)))


@pytest.mark.parametrize("format", FORMATS)
def test_whether_there_are_tools_and_thoughts_is_told_of_each_format(
    format: str, tmp_path: Path
) -> None:
    for source, there in (("gymrecipe:sample", True), (without_tools(tmp_path), False)):
        version = run(tmp_path, "sft_threshold", input=source, min_reward=0.5, format=format)
        found = version.manifest.statistics["write"]
        assert (found["has_tools"], found["has_reasoning"]) == (there, there)


def test_tools_of_rows_that_could_not_be_written_do_not_count(tmp_path: Path) -> None:
    version = run(tmp_path, "sft_threshold", format="openrlhf")
    assert version.manifest.stages[-1].rejected["no_form_for_tools"]
    assert not version.manifest.statistics["write"]["has_tools"]


def test_llama_factory_is_told_where_the_tools_stand(tmp_path: Path) -> None:
    assert columns(run(tmp_path, "sft_threshold", format="llama_factory"))["tools"] == "tools"
    plain = run(tmp_path, "sft_threshold", input=without_tools(tmp_path), format="llama_factory")
    assert "tools" not in columns(plain)


def test_axolotl_is_told_where_the_tools_stand(tmp_path: Path) -> None:
    version = run(tmp_path, "sft_threshold", format="axolotl")
    assert version.path is not None
    (entry,) = yaml.safe_load((version.path / "data/axolotl.yaml").read_text())["datasets"]
    assert entry["field_tools"] == "tools"


@pytest.mark.parametrize("format", [*FORMATS, "openrlhf"])
def test_where_every_prompt_is_held_out_the_card_loads_the_validation(
    format: str, tmp_path: Path
) -> None:
    knobs = {"input": without_tools(tmp_path), "min_reward": 0, "format": format}
    version = run(tmp_path, "sft_threshold", validation_fraction=0.999999, **knobs)
    assert version.path is not None
    assert version.manifest.statistics["write"]["train"] == 0
    card = (version.path / "README.md").read_text()
    assert 'data_files={"validation": ["data/validation.' in card
