"""The command: reads its words, does what they ask, says what stopped it, and exits."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from collections.abc import Sequence
from errno import EAGAIN, ENOMEM
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from gymrecipe import __version__
from gymrecipe.command import say, streams
from gymrecipe.errors import GymrecipeError, MachineError, RecipeError

if TYPE_CHECKING:  # what takes time is imported when signals are heard
    from gymrecipe.command.words import Words


class _Terminated(BaseException):
    """SIGTERM or SIGHUP has come: it unwinds like Ctrl-C, and what is half made is taken away."""


_came: list[int] = []
"""The signals that have come."""


def console() -> None:
    """The entry point of `gymrecipe` and `python -m gymrecipe`."""
    # Imports make many objects and next to no garbage: looking for it is 7% of a short run. Nor
    # does reading and writing lines make any: what is made of one dies with the next.
    gc.disable()
    gc.set_threshold(100_000, 20, 20)
    signal.signal(signal.SIGTERM, _unwind)
    signal.signal(signal.SIGALRM, _unwind_late)
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as by nohup
            signal.signal(number, _unwind)
    sys.excepthook = _bug
    streams.take_over()
    try:
        code = main(sys.argv[1:])
        _end_of_hearing()
    except (KeyboardInterrupt, _Terminated):  # between two lines of what is told at the end
        code = _interrupted()
    # What is to be written is written: taking all modules apart is a tenth of a short run.
    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(code)


def main(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    try:
        code = _told(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        streams.hang_up()
        return 128 + signal.SIGPIPE
    except MachineError as error:
        say.failure(error)
        return error.exit_code
    return code


def _told(arguments: Sequence[str]) -> int:
    """Run it, and say in a sentence what stopped it."""
    try:
        from gymrecipe.command.words import parse

        return _dispatch(parse(arguments))
    except BaseException as error:
        # What comes out may be another error: Hydra and pydantic make their own of what strikes
        # them in the middle of something.
        if not _came and not isinstance(error, KeyboardInterrupt):
            return _failed(error)
        return _interrupted()


def _interrupted() -> int:
    """Say that a signal came; the exit code."""
    _end_of_hearing()
    number = _came[0] if _came else signal.SIGINT
    what = "interrupted" if number == signal.SIGINT else "terminated"
    say.error(f"{what}; no version is left half made.")
    return 128 + number


def _end_of_hearing() -> None:
    """Ignore signals from here on: the work is done, and only what came of it is still told."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        if signal.getsignal(number) in (_unwind, _unwind_late):
            signal.signal(number, signal.SIG_IGN)


def _failed(error: BaseException) -> int:
    """Say what went wrong; what is a bug, or of stdout, is raised again."""
    match error:
        case GymrecipeError():
            told = error
        case MemoryError():
            told = MachineError("out of memory. Run again with fewer engine.workers.")
        case BaseException() if _had_no_room(error):
            told = MachineError(
                "out of memory, or of threads. Run again with fewer engine.workers."
            )
        case OSError() if not isinstance(error, BrokenPipeError):
            what = error.strerror or str(error)
            where = f"{error.filename}: " if error.filename else ""
            told = MachineError(
                f"{where}{what}. Check the disk and who may write there, and run again."
            )
        case _:
            raise error
    say.failure(told)
    return told.exit_code


def _had_no_room(error: BaseException) -> bool:
    """Whether it is a panic of Polars that the system gave it no memory or no thread."""
    panicked = type(error).__name__ == "PanicException"
    return panicked and any(f"Os {{ code: {code}," in str(error) for code in (EAGAIN, ENOMEM))


def _bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The traceback of what escaped, whose text may be of the data."""
    from traceback import format_exception

    for line in "".join(format_exception(kind, error, trace)).rstrip().split("\n"):
        print(say.safe(line), file=sys.stderr)


def _unwind(number: int, frame: FrameType | None) -> None:
    _came.append(number)
    # Code that is not Python's, in between, may swallow what is raised: it is raised once more.
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    if _is_in_polars(frame):  # where what is raised would be a panic of Rust: a little later
        return
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    signal.signal(number, signal.SIG_IGN)
    raise _Terminated


def _unwind_late(_: int, frame: FrameType | None) -> None:
    """Unwind now, unless that is under way: another exception would break off the cleaning up."""
    error = sys.exc_info()[1]
    while error is not None:
        if isinstance(error, (KeyboardInterrupt, _Terminated)):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            return
        error = error.__context__
    _unwind(_came[0], frame)


def _is_in_polars(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("polars"):
            return True
        frame = frame.f_back
    return False


def _dispatch(words: Words) -> int:
    if words.version:
        print(f"gymrecipe {__version__}")
        return 0
    if words.completion is not None:
        from gymrecipe.command.completion import completion

        print(completion(words.completion, os.environ, words.config_dirs), end="")
        return 0
    if words.verb is None:
        from gymrecipe.command.launch import launch

        return launch(words)
    if words.help:
        from gymrecipe.command.help import verb_help

        said, rows = verb_help(words.verb)
        say.prose(said)
        if rows:
            print()
            say.table(rows)
        return 0
    if words.multirun or words.cfg:
        raise RecipeError(f"{words.verb}: -m and --cfg are for running a recipe.")
    from gymrecipe import plugins
    from gymrecipe.command.verbs import ACTIONS

    plugins.load(words.plugins)
    return ACTIONS[words.verb](words)
