"""The local engine: a pool of processes on this machine, nothing to install or start."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gymrecipe.errors import MachineError
from gymrecipe.rollouts.engine import Map

if TYPE_CHECKING:  # a small run starts no processes, and need not know how
    from concurrent.futures import Future, ProcessPoolExecutor

IN_FLIGHT = 3
"""Slices a worker has waiting or done but not yet taken: the back-pressure."""

WORTH_BYTES = 64 * 2**20
"""Work that pays for starting processes: they need about 0.2 s, in which one core does this."""


def default_workers() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def local(workers: int) -> Iterator[Map]:
    """A `map` over `workers` processes, started at the first use that has work for them.

    Less than WORTH_BYTES is done right here, sooner than a process starts.
    """
    pools: list[ProcessPoolExecutor] = []

    def run(function: Callable[[Any], Any], jobs: Iterable[Any], size: int) -> Iterator[Any]:
        if workers == 1 or (size < WORTH_BYTES and not pools):
            yield from map(function, jobs)
            return
        if not pools:
            import multiprocessing
            from concurrent.futures import ProcessPoolExecutor

            context = multiprocessing.get_context("spawn")
            pools.append(ProcessPoolExecutor(workers, context, _begin))
        yield from _in_order(pools[0], function, jobs, workers * IN_FLIGHT)

    try:
        yield run
    except BaseException:
        for pool in pools:
            _stop(pool)
        raise
    finally:
        # Waiting leaves nothing of the pool for the interpreter to trip over when it ends.
        for pool in pools:
            pool.shutdown(wait=True, cancel_futures=True)


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the workers in the midst of their slices, which may be a whole compressed file each."""
    # Python 3.14 has terminate_workers() for this.
    for process in list((pool._processes or {}).values()):
        process.terminate()


def _in_order(
    pool: ProcessPoolExecutor, function: Callable[[Any], Any], jobs: Iterable[Any], most: int
) -> Iterator[Any]:
    from concurrent.futures.process import BrokenProcessPool

    waiting: deque[Future[Any]] = deque()
    try:
        for job in jobs:
            waiting.append(_submit(pool, function, job))
            if len(waiting) >= most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise MachineError(
            "a worker process died: out of memory? Run again with engine.workers=1. (A script that"
            " calls gymrecipe.run needs `if __name__ == '__main__':` around it.)"
        ) from None
    except GeneratorExit:  # nobody takes the rest; after an error `local` ends the workers instead
        for future in waiting:
            future.cancel()
        raise


def _submit(pool: ProcessPoolExecutor, function: Callable[[Any], Any], job: Any) -> Future[Any]:
    # This may start a worker, and a Ctrl-C must not find it half started, with a traceback of its
    # own. The mask is for the worker, which inherits it; here another thread may get the signal.
    # The tracker is started before, for that lifts the mask.
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()
    with _held_back(signal.SIGINT, signal.SIGTERM):
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return pool.submit(function, job)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _held_back(*signals: signal.Signals) -> Iterator[None]:
    """Whatever of these signals comes during the block is raised at its end."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals, and only it may say what they do
        return
    caught: list[int] = []
    before = {number: signal.signal(number, lambda n, _: caught.append(n)) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if caught:
            signal.raise_signal(caught[0])


def _begin() -> None:
    # Ctrl-C goes to the whole group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(100_000, 20, 20)  # what is made of a line dies with the next
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A parent that was killed closes no pool, and a worker would wait for its next slice forever.
    from multiprocessing import parent_process

    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)
