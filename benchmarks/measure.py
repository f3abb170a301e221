"""Measure a command: wall seconds, processor seconds of it and its children, peak memory of all."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.01

SUBREAPER = 36
"""Linux' `PR_SET_CHILD_SUBREAPER`: what a command leaves behind becomes a child of this process."""


@dataclass(frozen=True)
class Measured:
    """What one run took. `memory` is None where it was not looked at."""

    wall: float
    cpu: float
    memory: int | None = None


def measure(command: Sequence[str], memory: bool = False) -> Measured:
    """Run a command to its end, and wait for what it leaves behind: the server of gymrecipe's
    workers, for which a run does not wait.

    Looking at memory takes time of its own, so a run does that or is worth timing, not both.
    Raises a RuntimeError with what the command said where it fails.
    """
    peak = 0
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, process_group=0)
        try:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG if memory else 0)
            while not ended:
                peak = max(peak, sum(map(_memory, _tree(process.pid))))
                time.sleep(SAMPLE_SECONDS)
                ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        except BaseException:
            process.kill()
            raise
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            words = said.read().decode(errors="replace").strip()[-2000:]
            raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}\n{words}")
    cpu = usage.ru_utime + usage.ru_stime
    with suppress(ChildProcessError):  # there are no more
        while True:
            _, _, usage = os.wait4(-process.pid, 0)  # of its group
            cpu += usage.ru_utime + usage.ru_stime
    return Measured(wall, cpu, peak or None)


def _tree(process: int) -> Iterator[int]:
    """The process and all that descend from it."""
    yield process
    found: list[str] = []
    with suppress(OSError):  # it has ended
        for thread in os.listdir(f"/proc/{process}/task"):
            with suppress(OSError):  # a thread that has ended
                found += Path(f"/proc/{process}/task/{thread}/children").read_text().split()
    for child in found:
        yield from _tree(int(child))


def _memory(process: int) -> int:
    """Bytes of memory that hold the process; a page that several share is divided among them."""
    try:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:  # it has ended, or this system has no such file
        return 0
    return next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if "Pss:" in line)
