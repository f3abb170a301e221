"""The server: a small process that workers are forked from, so that each starts in a moment."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from multiprocessing import forkserver, get_context, resource_tracker
from multiprocessing.context import ForkServerContext
from os.path import samefile

import gymrecipe as ours

CONTEXT: ForkServerContext = get_context("forkserver")
"""How processes are made here."""

LOST = 255
"""The exit code of a worker whose server was killed: nobody knows the true one."""

LONGEST = 107 - len("/pymp-01234567/listener-01234567")
"""Bytes in the name of a temporary folder in which a socket has room."""


def start() -> None:
    """Start the server if it does not run; it ends with this process. Raises OSError.

    Workers have its environment and its mask of signals: what ends a run is for the run to hear.
    """
    CONTEXT.set_forkserver_preload(["gymrecipe.engines.worker"] if _is_installed() else [])
    with _safe_path(), _short_folder():
        with masked(signal.SIGHUP):  # the process that cleans up behind workers hears no other
            resource_tracker.ensure_running()  # lifts the mask of the others, so it comes first
        with masked(signal.SIGINT, signal.SIGHUP):
            forkserver.ensure_running()


def _is_installed() -> bool:
    """Whether a process that does not look in the script's folder finds this very gymrecipe. In a
    checkout that is run from its folder it does not: then nothing is preloaded, and the workers
    import along the path of this process.
    """
    found = PathFinder.find_spec("gymrecipe", sys.path[1:])
    return found is not None and found.origin is not None and samefile(found.origin, ours.__file__)


def see_off() -> None:
    """Wait for a server that was killed to be gone, for a second at most, so that `start` does not
    take it for alive.
    """
    pid = vars(forkserver)["_forkserver"]._forkserver_pid
    for _ in range(100):
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.01)


@contextmanager
def masked(*signals: signal.Signals) -> Iterator[None]:
    """A process that is made in the block hears these signals when it lets them through."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _safe_path() -> Iterator[None]:
    """Python's own processes begin with `-c`, and would import from the folder of the call."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


@contextmanager
def _short_folder() -> Iterator[None]:
    """Python makes the server's socket in a temporary folder, and a socket's path has 107 bytes."""
    before = tempfile.tempdir
    if len(os.fsencode(tempfile.gettempdir())) > LONGEST:
        tempfile.tempdir = "/tmp"
    try:
        yield
    finally:
        tempfile.tempdir = before
