"""The local engine: a pool of processes on this machine, nothing to install or start."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from gymrecipe.rollouts.engine import Map

if TYPE_CHECKING:  # a small run starts no processes, and need not know how
    from gymrecipe.engines.workers import Slice, Workers

IN_FLIGHT = 3
"""Slices a worker has waiting or done but not yet taken: the back-pressure."""

WORTH_BYTES = 8 * 2**20
"""Work that pays for starting processes."""


def default_workers() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_shared(size: int, workers: int) -> bool:
    """Whether work of so many bytes is given to processes; less is sooner done right here."""
    return workers > 1 and size >= WORTH_BYTES


@contextmanager
def local(workers: int, size: int = 0) -> Iterator[Map]:
    """A `map` over `workers` processes. They start at once where so many bytes (`size`) as are to
    be read are work for them, else with the first map that has some.
    """
    engine = _Local(workers)
    try:
        if is_shared(size, workers):
            engine.start()
        yield engine
    except BaseException:
        if engine.started is not None:
            engine.started.stop()
        raise
    finally:
        if engine.started is not None:
            engine.started.close()


class _Local:
    """A `map` that has started its processes, or will."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.mishaps: list[str] = []
        self.started: Workers | None = None

    def start(self) -> Workers:
        """The processes, which run from now on."""
        if self.started is None:
            from gymrecipe.engines.workers import Workers

            self.started = Workers(self.workers, self.workers * IN_FLIGHT, self.mishaps)
        return self.started

    def __call__(
        self, function: Callable[[Any], Any], jobs: Iterable[Any], size: int
    ) -> Iterator[Any]:
        if self.started is None and not is_shared(size, self.workers):
            return map(function, jobs)
        return _in_order(self.start(), function, jobs)


def _in_order(
    workers: Workers, function: Callable[[Any], Any], jobs: Iterable[Any]
) -> Iterator[Any]:
    """The results of slices of which the first are begun before anybody asks for one."""
    waiting = enumerate(jobs)
    given: deque[Slice] = deque()  # where the caller stops early, so few are done in vain

    def give(most: int) -> None:
        for number, job in islice(waiting, most):
            given.append(workers.give(number, function, job))

    def results() -> Iterator[Any]:
        while given:
            result = workers.result(given)
            given.popleft()
            yield result
            give(1)

    give(workers.most)
    return results()
