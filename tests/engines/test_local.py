"""The local engine: results in order, few slices without a process, errors as they are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import gymrecipe
from gymrecipe.engines.local import IN_FLIGHT, WORTH_BYTES, default_workers, local
from gymrecipe.errors import DataError, MachineError, RecipeError
from tests.engines.jobs import (
    die,
    die_once,
    die_while_sending,
    fail,
    later_is_faster,
    refuse,
    say_much,
    time_out,
)
from tests.full import often

ENOUGH = WORTH_BYTES


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_the_order_of_the_jobs(workers: int) -> None:
    with local(workers) as engine:
        found = list(engine(later_is_faster, range(20), ENOUGH))
    assert [number for number, _ in found] == list(range(20))
    assert (os.getpid() in {pid for _, pid in found}) == (workers == 1)


def test_a_single_job_needs_no_process() -> None:
    with local(4) as engine:
        assert list(engine(later_is_faster, [0], 1)) == [(0, os.getpid())]


def test_no_jobs_give_no_results() -> None:
    with local(2) as engine:
        assert list(engine(fail, [], 0)) == []


def test_one_pool_serves_several_maps() -> None:
    with local(2) as engine:
        pids = {pid for _ in range(3) for _, pid in engine(later_is_faster, range(6), ENOUGH)}
    assert len(pids) <= 2


def test_jobs_are_taken_no_faster_than_results() -> None:
    taken = 0

    def jobs() -> Iterator[int]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    with local(2) as engine:
        for done, _ in enumerate(engine(abs, jobs(), ENOUGH), start=1):
            assert taken <= done + 2 * IN_FLIGHT
            if done == 20:
                break


def test_the_first_slices_are_begun_before_anybody_asks_for_a_result() -> None:
    waiting = iter(range(100))
    with local(2) as engine:
        found = engine(abs, waiting, ENOUGH)
        assert next(waiting) == 2 * IN_FLIGHT
        assert next(found) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_job_is_raised_in_its_place(workers: int) -> None:
    with local(workers) as engine:
        found = engine(fail, range(10), ENOUGH)
        assert [next(found) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(DataError, match="the third is bad"):
            next(found)


def test_an_error_keeps_its_text_on_the_way_from_a_worker() -> None:
    with local(2) as engine, pytest.raises(RecipeError, match="one\ntwo"):
        list(engine(refuse, range(2), ENOUGH))


def test_a_slice_whose_worker_dies_twice_is_named_as_a_fault_of_the_machine() -> None:
    said = r"a worker process died twice \(exit code 1\) while it held \d\. .*engine\.workers=1"
    with local(2) as engine, pytest.raises(MachineError, match=said):
        list(engine(die, range(4), ENOUGH))


@pytest.mark.parametrize(
    ("ending", "how"),
    [(signal.SIGKILL, "killed: out of memory?"), (signal.SIGSEGV, "signal 11")],
)
def test_a_slice_whose_worker_dies_is_done_once_more(
    ending: signal.Signals, how: str, tmp_path: Path
) -> None:
    jobs = [(tmp_path / "died", number, ending) for number in range(20)]
    with local(2) as engine:
        found = list(engine(die_once, jobs, ENOUGH))
        assert list(engine(abs, range(5), ENOUGH)) == list(range(5))
    assert [number for number, _ in found] == list(range(20))
    (said,) = engine.mishaps
    assert said.startswith(f"a worker process died ({how}) while it held (")
    assert f" 7, {ending!r}); that was done again." in said


def test_a_slice_that_dies_in_one_map_has_its_second_try_in_the_next(tmp_path: Path) -> None:
    with local(2) as engine:
        for name in ("a", "b"):
            jobs = [(tmp_path / name, number, signal.SIGKILL) for number in range(9)]
            assert len(list(engine(die_once, jobs, ENOUGH))) == 9
    assert len(engine.mishaps) == 2


def fail_while_they_send() -> None:
    with local(2) as engine:
        next(engine(say_much, range(20), ENOUGH))
        raise ZeroDivisionError


def test_an_error_ends_workers_that_are_sending() -> None:
    for _ in range(often(4, 10)):
        with pytest.raises(ZeroDivisionError):
            fail_while_they_send()


def test_a_worker_that_dies_while_it_sends_is_no_endless_wait(tmp_path: Path) -> None:
    jobs = [(tmp_path / "died", number) for number in range(9)]
    with local(2) as engine:
        found = list(engine(die_while_sending, jobs, ENOUGH))
    assert found == [b"%d" % number for number in range(9)]
    assert engine.mishaps


def test_a_slice_that_times_out_by_itself_is_an_error() -> None:
    with local(2) as engine, pytest.raises(TimeoutError):
        list(engine(time_out, range(2), ENOUGH))


UNGUARDED = """
import threading
from gymrecipe.engines.local import local

threading.Thread(target=threading.Event().wait, daemon=True).start()  # so that none is forked
with local(2) as engine:
    print(list(engine(abs, range(10), 2**40)))
"""


def test_a_script_with_threads_and_without_a_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(UNGUARDED)
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(Path(gymrecipe.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "no worker process could start. A script" in done.stderr


def test_a_script_that_is_no_file_is_told_so() -> None:
    done = subprocess.run(
        [sys.executable, "-"],
        input=UNGUARDED,
        env={**os.environ, "PYTHONPATH": str(Path(gymrecipe.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "has to be a file" in done.stderr


ORPHANS = """
import multiprocessing, os, signal
from gymrecipe.engines.local import local

if __name__ == "__main__":
    with local(2) as engine:
        next(engine(abs, range(100), 2**40))
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(ORPHANS)
    run = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(Path(gymrecipe.__file__).parents[1])},
        stdout=subprocess.PIPE,
        timeout=60,
    )
    workers = [int(pid) for pid in run.stdout.split()]
    assert len(workers) == 2
    deadline = time.monotonic() + 30
    while any(map(alive, workers)):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process still does something; a zombie that nobody buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_leaving_early_ends_the_pool() -> None:
    began = time.monotonic()
    with local(2) as engine:
        for _ in engine(later_is_faster, range(10_000), ENOUGH):
            break
    assert time.monotonic() - began < 30


def test_there_is_at_least_one_worker() -> None:
    assert default_workers() >= 1
