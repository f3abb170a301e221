"""Say: sentences, prose and tables on the terminal or wherever output goes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gymrecipe.credentials import hidden
from gymrecipe.errors import GymrecipeError

if TYPE_CHECKING:
    import msgspec
    from rich.console import Console

LONGEST = 2_000
"""The most characters of a sentence."""


def answer(
    found: Any,
    as_json: bool,
    draw: Callable[[Any], None] | None = None,
) -> None:
    """What a verb found, a record or several, on stdout: as JSON, a record a line, or drawn for
    people, by default as a table.
    """
    if not as_json:
        (draw or table)(found)
        return
    import msgspec

    from gymrecipe.report.safe import as_line

    for record in [found] if isinstance(found, msgspec.Struct) else found:
        print(as_line(record), flush=True)


def table(records: Sequence[msgspec.Struct], **drawn: Callable[[Any], str]) -> None:
    """Records as a table on stdout: see `listing`."""
    from gymrecipe.report.listing import listing

    listing(records, console(stderr=False), **drawn)


def console(stderr: bool = True) -> Console:
    """Where rich writes to; without markup, colours by the terminal."""
    from rich.console import Console

    class Ours(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # and not exit code 1

    return Ours(stderr=stderr, highlight=False, markup=False, emoji=False)


def safe(text: str) -> str:
    """One line of text, in which nothing moves a cursor."""
    from gymrecipe.report.safe import safe

    return safe(text, LONGEST)


def failure(failed: GymrecipeError) -> None:
    """What went wrong, a sentence for each problem."""
    for problem in failed.problems:
        error(problem)


def error(text: str) -> None:
    """A sentence on stderr, with our name before it and without what looks like a credential."""
    said = f"gymrecipe: {safe(hidden(text))}"
    if sys.stderr is not None and sys.stderr.isatty():
        lines([said], console())
    else:
        print(said, file=sys.stderr)


def note(text: str) -> None:
    """A sentence on stderr."""
    lines([text], console())


def prose(text: str) -> None:
    """Paragraphs on stdout."""
    lines(text.split("\n"), console(stderr=False))


def lines(texts: list[str], target: Console) -> None:
    """Lines of text, broken between words where a terminal is narrow."""
    from gymrecipe.report.page import Page, styled

    page = Page(target, indent=0)
    page.lines(*(styled(line, most=LONGEST) for line in texts))
    page.show()
