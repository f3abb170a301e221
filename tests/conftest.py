"""What tests share: where the real rollouts are."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import gymrecipe
from gymrecipe import plugins
from gymrecipe.experiments import environment
from gymrecipe.recipe.finding import shared_folder
from gymrecipe.rollouts import cached
from tests.full import FULL

# A shell in the background lets Ctrl-C be ignored, and nohup a lost terminal; the commands of the
# tests would inherit that.
for _number, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

# As in the command: there is next to no garbage to be looked for.
gc.set_threshold(100_000, 20, 20)

# The same examples in every run, and others in every full one (`make test-laws`). How long one
# takes says how busy the machine is, not whether the code is right.
settings.register_profile("same", deadline=None, max_examples=16, derandomize=True)
settings.register_profile("full", deadline=None, max_examples=400)
settings.load_profile("full" if FULL else "same")


_asked = environment._git
_once = cache(_asked)


def _git(folder: str) -> dict[str, Any] | None:
    return _once(folder) if folder == _SHIPPED else _asked(folder)


# What git says of the folder of our recipes does not change while the tests run.
_SHIPPED = str(shared_folder("recipes").resolve())
environment._git = _git

_installed = cache(lambda path, **asked: entry_points(**asked))
# What is installed is looked for once for each path that modules are looked for on.
plugins.entry_points = lambda **asked: _installed(tuple(sys.path), **asked)


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real rollouts beside the repository; they are not part of it."""
    folder = Path(__file__).parents[2] / "shared" / "rollouts"
    if not folder.is_dir():
        pytest.skip(f"no real rollouts at {folder}")
    return folder


@pytest.fixture
def every_scan_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of small files too, and files that were just written are settled."""
    for least in ("WORTH_BYTES", "LEAST_BYTES", "SETTLED_NS"):
        monkeypatch.setattr(cached, least, 0)


@pytest.fixture(scope="session")
def of_the_sample(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """The version that a recipe makes of the sample; made once, and only to be read."""

    @cache
    def made(recipe: str) -> Any:
        folder = tmp_path_factory.mktemp("of_the_sample")
        return gymrecipe.run(recipe, output_dir=str(folder))

    return made


@pytest.fixture(scope="session")
def as_made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Path], None]], Path]:
    """The folder that a function filled, as it left it: filled once, and laid out anew in the
    same place whenever it is asked for.
    """

    @cache
    def filled(fill: Callable[[Path], None]) -> tuple[Path, Path]:
        folder, copy = (tmp_path_factory.mktemp(name) for name in ("made", "copy"))
        fill(folder)
        shutil.copytree(folder, copy, symlinks=True, dirs_exist_ok=True)
        return folder, copy

    def laid_out(fill: Callable[[Path], None]) -> Path:
        folder, copy = filled(fill)
        shutil.rmtree(folder)
        shutil.copytree(copy, folder, symlinks=True)
        return folder

    return laid_out


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest test begins first: no process is to wait for it at the end."""
    items.sort(key=lambda item: item.path.name != "test_memory.py")


def pytest_collection_finish() -> None:
    """What was collected is there to the end: it is not looked at when garbage is looked for."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The tests of a module stay in one process, where they share what the module makes once."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getvalue("dist") == "load" else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden folders anew")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: tests wait for the disk a sixth of their time."""
    return len(os.sched_getaffinity(0)) + 1
