"""The local engine: a pool of processes on this machine, nothing to install or start."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gymrecipe.rollouts.engine import Map

if TYPE_CHECKING:  # a small run starts no processes, and need not know how
    from gymrecipe.engines.workers import Slice, Workers

IN_FLIGHT = 3
"""Slices a worker has waiting or done but not yet taken: the back-pressure."""

WORTH_BYTES = 32 * 2**20
"""Work that pays for starting processes: they need some 0.1 s of the cores, and this takes one of
them as long.
"""


def default_workers() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_shared(size: int, workers: int) -> bool:
    """Whether work of so many bytes is given to processes; less is sooner done right here."""
    return workers > 1 and size >= WORTH_BYTES


@contextmanager
def local(workers: int, mishaps: list[str] | None = None) -> Iterator[Map]:
    """A `map` over `workers` processes, started at the first use that has work for them. What went
    wrong and was made good is added to `mishaps`.
    """
    started: list[Workers] = []

    def run(function: Callable[[Any], Any], jobs: Iterable[Any], size: int) -> Iterator[Any]:
        if not started and not is_shared(size, workers):
            yield from map(function, jobs)
            return
        if not started:
            from gymrecipe.engines.workers import Workers

            started.append(
                Workers(workers, workers * IN_FLIGHT, [] if mishaps is None else mishaps)
            )
        yield from _in_order(started[0], function, jobs)

    try:
        yield run
    except BaseException:
        for one in started:
            one.stop()
        raise
    finally:
        for one in started:
            one.close()


def _in_order(
    workers: Workers, function: Callable[[Any], Any], jobs: Iterable[Any]
) -> Iterator[Any]:
    given: deque[Slice] = deque()  # where the caller stops early, so few are done in vain
    for number, job in enumerate(jobs):
        given.append(workers.give(number, function, job))
        if len(given) >= workers.most:
            yield _first(workers, given)
    while given:
        yield _first(workers, given)


def _first(workers: Workers, given: deque[Slice]) -> Any:
    """The result of the first slice, which is then no longer held."""
    result = workers.result(given)
    given.popleft()
    return result
