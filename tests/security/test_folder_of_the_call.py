"""What lies in the folder in which the command is called is not run: it may be a stranger's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLANTED = {
    "jsonlines.py": "",
    "yaml.py": "",
    "polars/__init__.py": "",
    "sitecustomize.py": "",
    "usercustomize.py": "",
    "transformers.py": "",
    "hydra_plugins/evil.py": "",
    "hydra_plugins/nested/__init__.py": "",
    "gymrecipe_evil.py": "",
    "evil.py": "",
}
"""Modules that the command imports, or would look for."""

METADATA = {
    "METADATA": "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n",
    "entry_points.txt": "[gymrecipe.plugins]\nevil = evil\n",
}


def plant(folder: Path) -> None:
    for name in PLANTED:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"open({str(folder / 'ran')!r}, 'a').write({name + ' '!r})\n")
    (folder / "evil-1.0.dist-info").mkdir()
    for name, text in METADATA.items():
        (folder / "evil-1.0.dist-info" / name).write_text(text)


@pytest.mark.parametrize("line", ["recipes", "+recipe=ppo --cfg job", "formats", "stages"])
def test_what_lies_where_the_command_is_called_is_not_run(line: str, tmp_path: Path) -> None:
    plant(tmp_path)
    words = [sys.executable, "-m", "gymrecipe", *line.split()]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


MODULES = ("multiprocessing", "runpy", "selectors", "signal", "socket", "struct", "threading")


def run_with_workers(folder: Path) -> subprocess.CompletedProcess[str]:
    """A run with processes, from a folder that has modules called like those by which they begin;
    each of them writes that it ran.
    """
    for name in MODULES:
        (folder / f"{name}.py").write_text(f"open({str(folder / 'ran')!r}, 'a').write('{name} ')\n")
    command = Path(__file__).parents[1] / "faults" / "command.py"
    words = [sys.executable, str(command), "+recipe=ppo", "engine.workers=2", "output_dir=out"]
    environ = {**os.environ, "WORTH_BYTES": "0", "PYTHONSAFEPATH": ""}
    return subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True)


def test_processes_do_not_begin_with_what_lies_there(tmp_path: Path) -> None:
    done = run_with_workers(tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_process_that_begins_as_pythons_do_runs_it(tmp_path: Path) -> None:
    (tmp_path / "selectors.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a')\n")
    words = [sys.executable, "-c", "from multiprocessing.forkserver import main"]
    subprocess.run(words, cwd=tmp_path, capture_output=True)
    assert (tmp_path / "ran").exists()


def test_without_this_it_is_run(tmp_path: Path) -> None:
    plant(tmp_path)
    for name in ("yaml.py", "jsonlines.py", "polars/__init__.py"):  # which would end it at once
        (tmp_path / name).unlink()
    (tmp_path / "polars").rmdir()
    program = "from gymrecipe.cli import main; main(['+recipe=ppo', 'dry_run=true'])"
    words = [sys.executable, "-c", f"import sys; sys.path[0] = ''; {program}"]
    subprocess.run(words, cwd=tmp_path, capture_output=True)
    assert {"evil.py", "hydra_plugins/evil.py"} <= {*(tmp_path / "ran").read_text().split()}


def test_a_checkout_that_is_not_installed_still_runs() -> None:
    root = Path(__file__).parents[2]
    words = [sys.executable, "-m", "gymrecipe", "--version"]
    done = subprocess.run(words, cwd=root, capture_output=True, env=os.environ)
    assert done.returncode == 0
