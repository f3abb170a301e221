"""Response span: where in a line its response lies, by where it lay in the lines before."""

from __future__ import annotations

from msgspec import Raw

LEAST_BYTES = 4_000
"""A shorter response is not worth it."""

MISSES = 16
"""After so many lines whose response was elsewhere it is not looked for."""


class Cut:
    """Guesses where the response of a line lies, by the text that stood before and behind it in the
    lines so far. The caller has to see whether both parts decode.
    """

    def __init__(self) -> None:
        self._before = self._after = b""
        self._misses = 0

    def place(self, line: bytes) -> tuple[int, int] | None:
        """Where the response may begin and end."""
        if not self._before or self._misses == MISSES:
            return None
        start = line.find(self._before) + len(self._before)
        end = line.rfind(self._after, start)
        return (start, end) if end - start >= LEAST_BYTES else None

    def missed(self) -> None:
        """Note that it was elsewhere."""
        self._misses += 1

    def learn(self, line: bytes, response: Raw) -> None:
        """Note what stands before and behind it."""
        if len(response) >= LEAST_BYTES:
            start = line.find(bytes(response))
            end = start + len(response)
            colon = line.find(b":", end)
            self._before = line[max(line.rfind(b'"response"', 0, start), 0) : start]
            self._after = line[end : colon + 1 or None]
