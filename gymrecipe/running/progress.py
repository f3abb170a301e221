"""Progress: how far a run is, told to whoever watches."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Is told how far a run is: a phase begins, goes on by bytes or rows, and ends."""

    def begin(self, phase: str, total: int, unit: str) -> None: ...
    def advance(self, amount: int) -> None: ...
    def end(self) -> None: ...


class Silent:
    """Progress that nobody watches."""

    def begin(self, phase: str, total: int, unit: str) -> None: ...
    def advance(self, amount: int) -> None: ...
    def end(self) -> None: ...


SILENT = Silent()
