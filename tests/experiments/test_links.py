"""Links: latest and the tags."""

import os
from pathlib import Path

import pytest

import gymrecipe
from gymrecipe.errors import DurabilityError, InputError, RecipeError
from gymrecipe.experiments import ledger, links, references
from tests.experiments.conftest import hidden, publish


def test_a_ctrl_c_between_a_link_and_its_name_leaves_no_link(tmp_path, monkeypatch):
    publish(tmp_path)
    (tmp_path / "latest").unlink()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        links.link_latest(tmp_path)
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, os.mkfifo])
def test_what_is_named_latest_and_is_no_link_is_told_before_a_run(tmp_path, make):
    folder = tmp_path / "dpo_same_prompt"
    folder.mkdir()
    make(folder / "latest")
    with pytest.raises(InputError, match=r"dpo_same_prompt/latest: not a link .* Move it away\."):
        gymrecipe.run("dpo_same_prompt", output_dir=str(tmp_path))
    assert os.listdir(folder) == ["latest"]


def test_the_line_in_the_ledger_comes_before_latest(tmp_path, monkeypatch):
    def made_by_somebody(folder):
        (folder / "latest").mkdir(parents=True)

    monkeypatch.setattr(links, "check_latest", made_by_somebody)
    with pytest.raises(DurabilityError, match=r"v0001 is published, but .*'latest' is not a link"):
        gymrecipe.run("dpo_same_prompt", output_dir=str(tmp_path))
    names = [line["version"] for line in ledger.read(tmp_path / "dpo_same_prompt")]
    assert names == ["v0001"]


def test_a_folder_named_latest_does_not_undo_a_version(tmp_path):
    (tmp_path / "latest").mkdir()
    with pytest.raises(DurabilityError, match=r"v0001 is published, but .*'latest' is not a link"):
        publish(tmp_path)
    assert [path.name for path in references.versions(tmp_path)] == ["v0001"]
    assert hidden(tmp_path) == []


def test_a_tag_stays_with_its_version(tmp_path):
    first, second = publish(tmp_path), publish(tmp_path)
    links.check_tag(tmp_path, "v1.0")
    links.tag(tmp_path, first, "v1.0")
    links.tag(tmp_path, first, "v1.0")
    assert os.readlink(tmp_path / "v1.0") == "v0001"
    assert references.tags(tmp_path) == {"v1.0": "v0001"}
    links.check_tag(tmp_path, "v1.0", first)
    with pytest.raises(RecipeError, match=r"v1\.0: stands for v0001 already"):
        links.check_tag(tmp_path, "v1.0")
    with pytest.raises(RecipeError, match=r"v1\.0: stands for v0001 already"):
        links.tag(tmp_path, second, "v1.0")


@pytest.mark.parametrize("name", ["latest", "Latest", "v0001", "v7", "V12345", "versions.jsonl"])
def test_names_that_gymrecipe_uses_are_no_tags(tmp_path, name):
    with pytest.raises(RecipeError, match="kept for gymrecipe itself"):
        links.check_tag(tmp_path, name)


def test_a_file_is_not_taken_for_a_tag(tmp_path):
    version = publish(tmp_path)
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(RecipeError, match="exists and is not a tag"):
        links.tag(tmp_path, version, "notes")
    assert (tmp_path / "notes").read_text() == "mine"
