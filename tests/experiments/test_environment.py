"""The environment of a run, and the commit of the folder that the recipe lies in."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest

import gymrecipe
from gymrecipe.experiments.environment import environment, packages, plugins
from gymrecipe.registry import PLUGINS


def git(folder: Path, *words: str) -> str:
    settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    line = ["git", "-C", str(folder), *settings, *words]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    (folder / "recipes").mkdir(parents=True)
    (folder / "recipes/a.yaml").write_text("a")
    (folder / "code.py").write_text("1")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def of(folder: Path) -> dict[str, object] | None:
    return environment("", (), str(folder / "recipes")).git


def test_it_holds_the_tools_the_command_and_the_overrides(tmp_path: Path) -> None:
    found = environment("python -m gymrecipe x", ("a=1",), str(tmp_path))
    assert found.command == "python -m gymrecipe x"
    assert found.overrides == ["a=1"]
    assert found.gymrecipe == gymrecipe.__version__
    assert found.packages["polars"] == version("polars")
    assert found.git is None


def test_a_clean_repository_gives_its_commit(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    assert of(repository) == {"commit": head, "dirty": False}


def test_the_repository_of_a_hook_that_runs_it_is_not_asked(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = git(repository, "rev-parse", "HEAD")
    git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other/.git/index"))
    assert of(repository) == {"commit": head, "dirty": False}


def test_a_folder_and_a_command_that_are_not_utf8_are_written_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / os.fsdecode(b"a\xff")
    folder.mkdir()
    monkeypatch.chdir(folder)
    found = environment(os.fsdecode(b"x --config-dir \xe9"), (), "")
    assert found.folder == str(tmp_path / "a\\xff")
    assert found.command == "x --config-dir \\xe9"


@pytest.mark.parametrize("change", ["recipes/a.yaml", "code.py", "recipes/new.yaml"])
def test_what_the_commit_does_not_have_makes_it_dirty(change: str, repository: Path) -> None:
    (repository / change).write_text("other")
    found = of(repository)
    assert found is not None
    assert found["dirty"] is True


@pytest.mark.parametrize("new", ["notes.txt", "recipes/notes.txt", "experiments/x.yaml"])
def test_new_files_that_are_no_recipes_beside_it_do_not(new: str, repository: Path) -> None:
    (repository / new).parent.mkdir(exist_ok=True)
    (repository / new).write_text("other")
    found = of(repository)
    assert found is not None
    assert found["dirty"] is False


def test_nothing_is_written_to_the_repository_and_nothing_of_it_is_run(
    repository: Path, tmp_path: Path
) -> None:
    git(repository, "config", "core.fsmonitor", f"touch {tmp_path}/ran; false")
    (repository / "code.py").touch()
    index = (repository / ".git/index").stat().st_mtime_ns
    assert of(repository) is not None
    assert (repository / ".git/index").stat().st_mtime_ns == index
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("part", ["clean", "process"])
def test_no_filter_of_the_repository_is_run(part: str, repository: Path, tmp_path: Path) -> None:
    git(repository, "config", f"filter.a b.{part}", f"touch {tmp_path}/ran; cat")
    (repository / ".git/info/attributes").write_text('*.py filter="a b"\n*.yaml filter="a b"\n')
    git(repository, "config", "filter.x.y.clean", f"touch {tmp_path}/ran; cat")
    (repository / "code.py").touch()
    assert of(repository) is not None
    assert not (tmp_path / "ran").exists()


def test_without_this_a_filter_is_run(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(repository, "config", "filter.x.clean", f"touch {tmp_path}/ran; cat")
    (repository / ".git/info/attributes").write_text("* filter=x\n")
    (repository / "code.py").touch()
    monkeypatch.setattr("gymrecipe.experiments.environment._without_filters", lambda names: [])
    of(repository)
    assert (tmp_path / "ran").exists()


def test_nothing_is_fetched_for_the_repository(repository: Path, tmp_path: Path) -> None:
    script = tmp_path / "ssh"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    script.chmod(0o700)
    for name, value in {
        "core.repositoryFormatVersion": "1", "extensions.partialClone": "origin",
        "remote.origin.url": "ssh://nowhere.invalid/x", "remote.origin.promisor": "true",
        "core.sshCommand": str(script),
    }.items():  # fmt: skip
        git(repository, "config", name, value)
    tree = git(repository, "rev-parse", "HEAD^{tree}")
    (repository / ".git/objects" / tree[:2] / tree[2:]).unlink()
    of(repository)
    assert not (tmp_path / "ran").exists()
    subprocess.run(["git", "-C", str(repository), "status"], capture_output=True)
    assert (tmp_path / "ran").exists()  # the repository is one that does


def test_a_filter_that_cannot_be_switched_off_leaves_git_unasked(repository: Path) -> None:
    git(repository, "config", "filter.a=b.clean", "touch ran; cat")
    assert of(repository) is None


def test_without_commits_or_with_a_broken_repository_there_is_none(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("nonsense")
    (tmp_path / "recipes").mkdir()
    assert of(tmp_path) is None


def test_packages_that_are_not_installed_have_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gymrecipe.experiments.environment.PACKAGES", ("no-such-thing",))
    assert packages() == {"no-such-thing": ""}


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with a plugin in a module of its own, beside a plugin that is one file."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "__init__.py").write_text("")
    (tmp_path / "my_package" / "stages.py").write_text("from my_package import helper")
    (tmp_path / "my_package" / "helper.py").write_text("x = 1")
    (tmp_path / "my_file.py").write_text("x = 1")
    PLUGINS[:] = ["my_package.stages", "my_file"]
    yield tmp_path
    PLUGINS.clear()
    sys.modules.pop("my_package", None)


@pytest.mark.parametrize(
    ("changed", "module"),
    [("my_file.py", "my_file"), ("my_package/helper.py", "my_package.stages"),
     ("my_package/stages.py", "my_package.stages"), ("my_package/new.py", "my_package.stages")],
)  # fmt: skip
def test_a_plugin_is_known_by_all_of_its_code(changed: str, module: str, plugin: Path) -> None:
    before = plugins()
    assert set(before) == {"my_package.stages", "my_file"}
    (plugin / changed).write_text("x = 2")
    after = plugins()
    assert {name for name in before if before[name] != after[name]} == {module}


def test_the_place_of_a_plugin_does_not_matter(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plugins()
    moved = tmp_path / "else"
    moved.mkdir()
    for name in ("my_package", "my_file.py"):
        (plugin / name).rename(moved / name)
    sys.modules.pop("my_package")
    monkeypatch.syspath_prepend(moved)
    assert plugins() == before


def test_a_plugin_in_an_archive_is_known_by_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for number in (1, 2):
        archive = tmp_path / f"{number}.zip"
        with ZipFile(archive, "w") as zipped:
            zipped.writestr("zipped_file.py", f"x = {number}")
            zipped.writestr("zipped_package/__init__.py", f"x = {number}")
        monkeypatch.syspath_prepend(archive)
        monkeypatch.setattr(
            "gymrecipe.experiments.environment.PLUGINS", ["zipped_file", "zipped_package"]
        )
        found.append(plugins())
    one, other = found
    assert "" not in one.values()
    assert all(one[name] != other[name] for name in one)


def test_without_plugins_there_are_none() -> None:
    assert plugins() == {}
