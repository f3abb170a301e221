"""Workers: forked from a process of one thread, and from the server where it has more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gymrecipe

BEGIN = """
import os, signal, sys, threading, time
from gymrecipe.engines.local import local

def parent(number):
    return os.getppid()

def heard(number):
    return [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)]

def die_once(number):
    if number == 5 and not os.path.exists("died"):
        open("died", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return number, os.getppid()

def wait(number):
    time.sleep(60)

def told(number, frame):
    print("the parent's own", flush=True)

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, told)
    print("said before")
"""


def said_by(folder: Path, *lines: str) -> list[str]:
    """The lines that a script with such workers prints, `said before` aside, which it does once."""
    script = folder / "run.py"
    script.write_text(BEGIN + "\n".join(f"    {line}" for line in lines))
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(gymrecipe.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, *others = done.stdout.splitlines()
    assert first == "said before"
    return others


@pytest.mark.parametrize(
    ("asked", "then"),
    [
        ("local(2, 2**40)", "threading.Thread(target=time.sleep, args=(0.1,)).start()"),
        ("local(2)", "pass"),
    ],
    ids=["at once", "with the first map where no size is known"],
)
def test_a_process_of_one_thread_is_forked(asked: str, then: str, tmp_path: Path) -> None:
    said = said_by(
        tmp_path,
        f"with {asked} as engine:",
        f"    {then}",
        "    print({*engine(parent, range(9), 2**40)} == {os.getpid()})",
    )
    assert said == ["True"]


def test_a_process_with_other_threads_is_not_forked(tmp_path: Path) -> None:
    said = said_by(
        tmp_path,
        "threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "with local(2, 2**40) as engine:",
        "    print(os.getpid() in {*engine(parent, range(9), 2**40)})",
    )
    assert said == ["False"]


def test_one_of_the_server_follows_a_forked_worker_that_dies(
    tmp_path: Path,
) -> None:
    said = said_by(
        tmp_path,
        "with local(2, 2**40) as engine:",
        "    threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "    found = list(engine(die_once, range(20), 2**40))",
        "print([number for number, _ in found] == list(range(20)), len(engine.mishaps))",
        "print(len({parent for _, parent in found}))",
    )
    assert said == ["True 1", "2"]


def test_forked_workers_do_not_what_their_parent_does_on_signals(tmp_path: Path) -> None:
    said = said_by(
        tmp_path,
        "ignored = [signal.SIG_IGN, signal.SIG_IGN, signal.SIG_DFL]",
        "with local(2, 2**40) as engine:",
        "    print(all(found == ignored for found in engine(heard, range(9), 2**40)))",
        "    print(signal.getsignal(signal.SIGTERM) == told)",
    )
    assert said == ["True", "True"]


def test_workers_that_have_not_begun_are_ended_too(tmp_path: Path) -> None:
    said = said_by(
        tmp_path,
        "from gymrecipe.engines import workers",
        "begin = workers.begin",
        "workers.begin = lambda held: time.sleep(0.5) or begin(held)",
        "try:",
        "    with local(2) as engine:",
        "        engine(wait, range(9), 2**40)",
        "        raise ZeroDivisionError",
        "except ZeroDivisionError:",
        "    print('ended')",
    )
    assert said == ["ended"]


@pytest.mark.parametrize("size", ["0", "2**40"])
def test_an_error_ends_workers_in_the_midst_of_slices(size: str, tmp_path: Path) -> None:
    said = said_by(
        tmp_path,
        "try:",
        f"    with local(2, {size}) as engine:",
        "        engine(wait, range(9), 2**40)",
        "        raise ZeroDivisionError",
        "except ZeroDivisionError:",
        "    print('ended')",
    )
    assert said == ["ended"]
