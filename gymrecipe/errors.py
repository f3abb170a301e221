"""The errors of gymrecipe: each carries the exit code of the command that ends with it.

GymrecipeError            anything below; its text is all that a user sees, without a traceback
├── RecipeError      2    the recipe or the command
├── InputError       2    an input that is missing, unreadable or a folder
├── DataError        3    the data: nothing usable, too many bad rows, a check set to stop
├── ChangedError     4    an input changed while it was read, or is gone for `reproduce`
├── ToolsError       5    `reproduce` with other versions of the tools
├── MachineError     6    the machine: disk, I/O, a worker
└── DurabilityError  7    published, but the disk did not confirm it

Whatever else escapes is a bug of ours: exit code 1, with its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class GymrecipeError(Exception):
    """Base of every error that a user is told about; `problems` has a sentence for each fault.

    A sentence is shown on one line, whatever names are in it.
    """

    exit_code = 1

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class RecipeError(GymrecipeError):
    """The recipe or the command is wrong, in all the ways that were found."""

    exit_code = 2


class InputError(GymrecipeError):
    """An input is missing, unreadable, a folder, or not what its name says."""

    exit_code = 2


class DataError(GymrecipeError):
    """The data cannot give the version that was asked for.

    `manifest` is what was found, where a run got that far, so that it can still be shown.
    """

    exit_code = 3

    def __init__(self, *problems: str, manifest: Any = None) -> None:
        super().__init__(*problems)
        self.manifest = manifest


class ChangedError(GymrecipeError):
    """An input changed while it was read, or is not what the manifest says."""

    exit_code = 4


class ToolsError(GymrecipeError):
    """A version is to be reproduced with other versions of the tools that made it."""

    exit_code = 5


class MachineError(GymrecipeError):
    """The machine failed: a full disk, an I/O error, a dead worker."""

    exit_code = 6


class DurabilityError(GymrecipeError):
    """The version is published, but the disk did not confirm that it will last."""

    exit_code = 7


def hint(name: str, allowed: Iterable[str]) -> str:
    """` Did you mean 'min_gap'?` for the nearest allowed name, or nothing."""
    meant = nearest(name, allowed)
    return f" Did you mean '{meant}'?" if meant else ""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """The allowed name that may be meant, be it in other letter case, or nothing."""
    folded: dict[str, str] = {}
    for each in allowed:
        folded.setdefault(each.casefold(), each)
    found = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    return folded[found[0]] if found else ""
