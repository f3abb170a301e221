"""Bars: how far a run is, on stderr."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console

from gymrecipe.report.page import is_plain
from gymrecipe.report.safe import counted, safe, size

if TYPE_CHECKING:
    from rich.progress import Progress

REFRESH_S = 0.1


class Bars:
    """A bar for the phase that is under way; off a terminal a line for each that has ended.

    A context: whatever happens inside, the terminal is left as it was.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: Progress | None = None
        self._phase = ""
        self._unit = ""
        self._done = 0
        self._shown = 0.0

    def __enter__(self) -> Bars:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def begin(self, phase: str, total: int, unit: str) -> None:
        """Start a phase of `total` bytes or rows."""
        self.close()
        self._phase, self._unit, self._done = safe(phase, 40), unit, 0
        if is_plain(self.console):
            return
        from gymrecipe.report.terminal_bar import bar  # a terminal alone pays for it

        self._bar = bar(self.console)
        self._bar.add_task(self._phase, total=total or None, unit=unit)
        self._bar.start()
        self._shown = self._bar.get_time()

    def advance(self, amount: int) -> None:
        """Go on by as many bytes or rows."""
        self._done += amount
        if self._bar is None:
            return
        self._bar.advance(self._bar.task_ids[0], amount)
        now = self._bar.get_time()
        if now - self._shown >= REFRESH_S:
            self._shown = now
            self._bar.refresh()

    def end(self) -> None:
        """The phase is over."""
        if is_plain(self.console):
            done = size(self._done) if self._unit == "bytes" else counted(self._done, "row")
            self.console.out(f"{self._phase}: {done}", highlight=False)
        self.close()

    def close(self) -> None:
        """Take the bar away, if there is one."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
