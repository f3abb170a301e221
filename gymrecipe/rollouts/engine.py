"""Engine: what the reading and the writing side ask of whatever runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

Advance = Callable[[int], None]
"""Is told of so many more bytes that were read, or rows that were written."""


class Map(Protocol):
    """A pure function over slices, results in the order of the slices.

    `size` is how many bytes the slices hold together, so that little work needs no workers. As a
    text, a job says which slice it is. The first slices are begun at once, where there are workers.
    `mishaps`: what went wrong and was made good.
    """

    mishaps: list[str]

    def __call__(
        self, function: Callable[[Any], Any], jobs: Iterable[Any], size: int
    ) -> Iterator[Any]: ...
