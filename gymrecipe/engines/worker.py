"""A worker: what its process knows from the start, and how it does a slice.

The server that workers are forked from imports this before the first of them is asked for.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing import parent_process
from typing import Any

from gymrecipe.formats import encode as encode  # what is imported here no worker has to import
from gymrecipe.rollouts import scan as scan

_holders: Any = None


def begin(held: Any) -> None:
    """Begin a worker process. In `held`, which all of them share, the place of a slice has the id
    of the process that holds it, and the last place that of any process which has begun.
    """
    # Ctrl-C and a lost terminal go to the whole group; the parent alone decides what they mean.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a copy of the parent has what that does
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])  # which may have come meanwhile
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)  # what is made of a line dies with the next
    threading.Thread(target=_end_with_parent, daemon=True).start()
    global _holders
    _holders = held
    held[len(held) - 1] = os.getpid()


def do(place: int, function: Callable[[Any], Any], job: Any) -> Any:
    """What the function makes of a slice, whose `place` says meanwhile that this process has it."""
    _holders[place] = os.getpid()
    try:
        return function(job)
    finally:
        _holders[place] = 0


def _end_with_parent() -> None:
    # A parent that was killed closes no pool, and a worker would wait for its next slice forever.
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)
