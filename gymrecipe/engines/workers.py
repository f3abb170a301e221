"""Workers: processes that do slices, and which of them held what when one of them dies."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

import msgspec

from gymrecipe.engines import server
from gymrecipe.engines.server import masked
from gymrecipe.engines.worker import begin, do
from gymrecipe.errors import MachineError

PATIENCE = 1.0
"""Seconds after which a worker without a result is looked at."""


class Slice(msgspec.Struct):
    """A slice that was given to the workers: the `number`-th of a map."""

    number: int
    function: Callable[[Any], Any]
    job: Any
    result: Future[Any]


class Workers:
    """A pool of processes for at most `most` slices at a time, and a new one when one of them dies.

    The whole pool ends with a process that dies, as when the system is out of memory. Every slice
    without a result is done again then; the one that the dead process held only once. `mishaps`
    is told of it.
    """

    def __init__(self, workers: int, most: int, mishaps: list[str]) -> None:
        self.workers, self.most, self.mishaps = workers, most, mishaps
        # The id of the process that holds each slice, 0 for none; see `worker.begin`.
        self.held = server.CONTEXT.RawArray("q", most + 1)
        self.pool = self._pool()
        self.died: set[int] = set()

    def _pool(self) -> ProcessPoolExecutor:
        """New processes: forked from this one where it has no threads, which takes a hundredth of
        a second for all of them, and else from the server, which imports for a quarter.
        """
        self.forked = _is_alone()
        if not self.forked:
            server.start()
            return ProcessPoolExecutor(self.workers, server.CONTEXT, begin, (self.held,))
        pool = ProcessPoolExecutor(self.workers, get_context("fork"), begin, (self.held,))
        # What ends a worker waits until that has begun: before, it does what this process would.
        with _held_back(signal.SIGINT, signal.SIGTERM, signal.SIGHUP), masked(signal.SIGTERM):
            pool.submit(os.getpid)  # with the first slice all of them are forked
        return pool

    def give(self, number: int, function: Callable[[Any], Any], job: Any) -> Slice:
        """Hand a slice to the workers. A slice with the number 0 begins another map."""
        if number == 0:
            self.died = set()
        return Slice(number, function, job, self._submit(number, function, job))

    def result(self, given: Iterable[Slice]) -> Any:
        """The result of the first of all slices that were given. Raises MachineError."""
        while True:
            slices = list(given)
            first = slices[0].result
            try:
                return first.result(PATIENCE)
            except BrokenProcessPool:
                self._again(slices)
            except TimeoutError:
                if first.done():  # it is the slice's own
                    raise
                if wait([process.sentinel for process in self._processes()], timeout=0):
                    self.stop()  # one has died, and the pool waits for the rest of what it sent

    def _again(self, slices: list[Slice]) -> None:
        """Make a new pool and give it every slice without a result. Raises MachineError where the
        slice that the dead process held was done again before.
        """
        processes = self._processes()
        self.pool.shutdown(wait=True)
        if not self.held[self.most]:
            raise MachineError(
                "no worker process could start. A script that calls gymrecipe.run has to be a file,"
                " with `if __name__ == '__main__':` around it; or run with engine.workers=1."
            )
        # The others were ended by the pool.
        dead = [process for process in processes if process.exitcode != -signal.SIGTERM]
        dead = dead or processes
        if dead[0].exitcode == server.LOST:
            server.see_off()
        ids = {process.pid for process in dead}
        lost = [one for one in slices if self.held[one.number % self.most] in ids]
        how = _ending(dead[0].exitcode)
        for number, job in [(one.number, one.job) for one in lost] or [(-1, "nothing")]:
            if number in self.died:
                raise MachineError(
                    f"a worker process died twice ({how}) while it held {job}. Close what takes"
                    " memory, or run with engine.workers=1."
                )
            self.died.add(number)
            self.mishaps.append(
                f"a worker process died ({how}) while it held {job}; that was done again."
            )
        self.held[: self.most] = [0] * self.most
        self.pool = self._pool()
        for one in slices:
            if one.result.done() and isinstance(one.result.exception(), BrokenProcessPool):
                one.result = self._submit(one.number, one.function, one.job)

    def _processes(self) -> list[BaseProcess]:
        return list((self.pool._processes or {}).values())

    def _submit(self, number: int, function: Callable[[Any], Any], job: Any) -> Future[Any]:
        # This may start a worker, and a Ctrl-C must not find it half started.
        with _held_back(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            try:
                if not self.forked and len(self._processes()) < self.workers:
                    server.start()
                return self.pool.submit(do, number % self.most, function, job)
            except BrokenProcessPool as error:
                broken: Future[Any] = Future()
                broken.set_exception(error)
                return broken

    def stop(self) -> None:
        """End the workers in the midst of slices, which may be a whole compressed file each."""
        for process in self._processes():
            process.terminate()
        # Of one that is ended while it sends the pool would wait for the rest, as long as there is
        # anybody who could write it.
        results: Any = self.pool._result_queue
        if results is not None:
            results._writer.close()

    def close(self) -> None:
        """Wait for the workers, so that nothing of the pool is left for the interpreter to trip
        over when it ends.
        """
        self.pool.shutdown(wait=True, cancel_futures=True)


def _is_alone() -> bool:
    """Whether this process has one thread, and so can be forked: no other could hold a lock that
    nobody would let go of in the copy. Systems that do not say have no such process.
    """
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


def _ending(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "killed: out of memory?"
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


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
