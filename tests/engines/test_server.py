"""The server of workers: what ends a run is not for it to hear, and a run outlives it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from multiprocessing import forkserver
from pathlib import Path

import pytest

import gymrecipe
from gymrecipe.engines import server
from gymrecipe.engines.local import WORTH_BYTES, local
from tests.engines.jobs import blocked, kill_server_once, parent


def test_workers_hear_no_signal_that_is_for_the_run() -> None:
    with local(2) as engine:
        for masked in engine(blocked, range(4), WORTH_BYTES):
            assert {signal.SIGINT, signal.SIGHUP} <= masked


def test_workers_come_from_one_server() -> None:
    servers = set()
    for _ in range(2):
        with local(2) as engine:
            servers |= set(engine(parent, range(4), WORTH_BYTES))
    assert len(servers) == 1
    assert os.getpid() not in servers


def test_what_its_workers_do_is_done_again_when_it_is_killed(tmp_path: Path) -> None:
    jobs = [(tmp_path / "killed", number) for number in range(20)]
    with local(2) as engine:
        assert list(engine(kill_server_once, jobs, WORTH_BYTES)) == list(range(20))
    assert engine.mishaps


@pytest.mark.parametrize("before", [None, "", "1"])
def test_a_start_leaves_the_environment_and_the_mask_as_they_were(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before is None:
        monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    else:
        monkeypatch.setenv("PYTHONSAFEPATH", before)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    server.start()
    assert os.environ.get("PYTHONSAFEPATH") == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask


def test_a_temporary_folder_may_have_a_long_name(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    program = "from gymrecipe.engines import server; server.start()"
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, env={**os.environ, "TMPDIR": str(folder)}, capture_output=True)
    assert done.returncode == 0, done.stderr


ELSEWHERE = """
import inspect
from gymrecipe.engines.local import WORTH_BYTES, local
from tests.engines.jobs import blocked, kill_server_once, parent
from gymrecipe.engines.worker import begin

with local(2) as engine:
    print(*engine(inspect.getsourcefile, [begin], WORTH_BYTES))
"""


def test_workers_are_of_the_checkout_that_the_run_is_of(tmp_path: Path) -> None:
    shutil.copytree(Path(gymrecipe.__file__).parent, tmp_path / "gymrecipe")
    words = [sys.executable, "-c", ELSEWHERE]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == str(tmp_path / "gymrecipe/engines/worker.py"), done.stderr


def test_a_second_start_changes_nothing() -> None:
    server.start()
    first = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    server.start()
    assert forkserver._forkserver._forkserver_pid == first  # type: ignore[attr-defined]
