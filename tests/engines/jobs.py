"""What the tests of the engine let workers do: each worker imports this, and no more."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

from gymrecipe.errors import DataError, RecipeError


def later_is_faster(number: int) -> tuple[int, int]:
    time.sleep(0.05 / (number + 1))
    return number, os.getpid()


def die(number: int) -> int:
    os._exit(1)


def fail(number: int) -> int:
    if number == 3:
        raise DataError("the third is bad")
    return number


def refuse(_: int) -> int:
    raise RecipeError("one", "two")


def die_once(job: tuple[Path, int, signal.Signals]) -> tuple[int, int]:
    marker, number, ending = job
    if number == 7 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), ending)
    return number, os.getpid()


def say_much(_: int) -> bytes:
    return bytes(2**24)


def die_while_sending(job: tuple[Path, int]) -> bytes:
    marker, number = job
    if number == 3 and not marker.exists():
        marker.touch()
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return bytes(2**27)
    return b"%d" % number


def time_out(number: int) -> int:
    raise TimeoutError(number)


def blocked(_: int) -> set[signal.Signals]:
    return {signal.Signals(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, ())}


def parent(_: int) -> int:
    return os.getppid()


def kill_server_once(job: tuple[Path, int]) -> int:
    marker, number = job
    if number == 5 and not marker.exists():
        marker.touch()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)  # this worker has to be ended too
    return number
