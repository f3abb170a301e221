"""Folders of recipes, and those that a version is built in."""

import os
import subprocess
import sys

import pytest

from gymrecipe.errors import InputError, RecipeError
from gymrecipe.experiments import folders, links


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_staging_is_removed_when_the_block_fails(tmp_path, error):
    def build():
        with folders.staging(tmp_path) as staged:
            (staged / "data").write_text("x")
            raise error

    with pytest.raises(error):
        build()
    assert os.listdir(tmp_path) == []


def test_a_scratch_folder_is_gone_afterwards():
    with folders.scratch() as folder:
        (folder / "data").write_text("x")
    assert not folder.exists()


def test_staging_is_locked_while_it_is_worked_on(tmp_path):
    look = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), 6)"
    with folders.staging(tmp_path) as staged:
        busy = subprocess.run([sys.executable, "-c", look, staged], capture_output=True)
    assert b"BlockingIOError" in busy.stderr


def test_a_recipe_folder_is_made_with_its_parents(tmp_path):
    with folders.recipe_folder(tmp_path / "a" / "b", "dpo") as folder:
        assert folder == tmp_path / "a" / "b" / "dpo"
        assert folder.is_dir()
        with folders.recipe_folder(tmp_path / "a" / "b", "dpo") as again:
            assert again == folder
        assert folder.is_dir()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("below", [".", "deeper", "deeper/still"])
def test_a_file_in_the_way_of_the_output_folder_is_named(tmp_path, below):
    (tmp_path / "file").write_text("mine")
    made = folders.recipe_folder(tmp_path / "file" / below, "dpo")
    said = r"file: a file, not a folder\. Set another output_dir\."
    with pytest.raises(InputError, match=said), made:
        pass
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/abs", "a/b", "a\0b", "-x", ".x", "a\n", "é", "x" * 101]
)
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    with pytest.raises(RecipeError, match="not a name"), folders.recipe_folder(tmp_path, name):
        pass
    with pytest.raises(RecipeError, match="not a name"):
        links.check_tag(tmp_path, name)
    assert os.listdir(tmp_path) == []
