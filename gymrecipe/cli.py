"""The command: reads its words, runs what they ask, prints, and exits. No other file does."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from errno import EAGAIN, ENOMEM
from importlib import import_module
from pathlib import Path
from types import FrameType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from gymrecipe import __version__, streams
from gymrecipe.credentials import hidden
from gymrecipe.errors import DataError, GymrecipeError, MachineError, RecipeError
from gymrecipe.words import USAGE, Words, at_most, knobs, parse

if TYPE_CHECKING:
    from rich.console import Console

    from gymrecipe.executor import Version
    from gymrecipe.report.terminal import SweepRow

LONGEST = 2_000
"""The most characters of a sentence."""


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
    code = main(sys.argv[1:])
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
        _tell(error)
        return error.exit_code
    return code


def _told(arguments: Sequence[str]) -> int:
    """Run it, and say in a sentence what stopped it."""
    try:
        return _dispatch(parse(arguments))
    except BaseException as error:
        if _came:
            signal.setitimer(signal.ITIMER_REAL, 0)
        # What comes out may be another error: Hydra and pydantic make their own of what strikes
        # them in the middle of something.
        if not _came and not isinstance(error, KeyboardInterrupt):
            return _failed(error)
    number = _came[0] if _came else signal.SIGINT
    what = "interrupted" if number == signal.SIGINT else "terminated"
    _error(f"{what}; no version is left half made.")
    return 128 + number


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
    _tell(told)
    return told.exit_code


def _had_no_room(error: BaseException) -> bool:
    """Whether it is a panic of Polars that the system gave it no memory or no thread."""
    panicked = type(error).__name__ == "PanicException"
    return panicked and any(f"Os {{ code: {code}," in str(error) for code in (EAGAIN, ENOMEM))


def _bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The traceback of what escaped, whose text may be of the data."""
    from traceback import format_exception

    for line in "".join(format_exception(kind, error, trace)).rstrip().split("\n"):
        print(_safe(line), file=sys.stderr)


def _unwind(number: int, frame: FrameType | None) -> None:
    _came.append(number)
    if _is_in_polars(frame):  # where what is raised would be a panic of Rust: a little later
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        return
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    signal.signal(number, signal.SIG_IGN)
    raise _Terminated


def _unwind_late(_: int, frame: FrameType | None) -> None:
    """Unwind now, unless Polars has seen the signal too and that is being done: what is raised
    would strike what takes away what is half made.
    """
    error = sys.exc_info()[1]
    while error is not None:
        if isinstance(error, (KeyboardInterrupt, _Terminated)):
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
        from gymrecipe.completion import completion

        print(completion(words.completion, os.environ, words.config_dirs), end="")
        return 0
    if words.verb is None:
        return _dispatch_recipe(words)
    if words.help:
        _prose(USAGE.removesuffix("\n"))
        return 0
    if words.multirun or words.cfg:
        raise RecipeError(f"{words.verb}: -m and --cfg are for running a recipe.")
    _load_plugins(words)
    return ACTIONS[words.verb](words)


def _dispatch_recipe(words: Words) -> int:
    from gymrecipe.recipe.finding import locate
    from gymrecipe.recipe.overrides import split_recipe

    recipe, overrides = split_recipe(words.overrides)
    if len(words.overrides) > len(overrides) + 1:
        raise RecipeError(
            "command line: recipe: named twice. Name one, or run several: -m +recipe=ONE,OTHER"
        )
    if recipe is None:
        from gymrecipe.guide import overview

        if (words.overrides or words.cfg or words.multirun) and not words.help:
            raise RecipeError(
                "command line: no recipe is named. Write +recipe=NAME; `gymrecipe recipes` lists"
                " them."
            )
        _prose(overview(words.config_dirs).removesuffix("\n"))
        return 0
    if words.help:
        _recipe_help(locate(recipe, words.config_dirs))
        return 0
    if words.multirun:
        return _sweep(words)
    return _run(locate(recipe, words.config_dirs), overrides, words)


def _load_plugins(words: Words) -> None:
    from gymrecipe import plugins

    plugins.load(words.plugins)


def _recipe_help(path: Path) -> None:
    from gymrecipe.guide import recipe_help

    said, own, shared, deeper = recipe_help(path)
    _prose(said)
    for title, rows in (("Its knobs:", own), ("The knobs that all recipes share:", shared)):
        if rows:
            print(f"\n{title}")
            _list(rows)
    print()
    _prose(deeper)


def _run(path: Path, overrides: list[str], words: Words) -> int:
    from gymrecipe.recipe.composing import compose
    from gymrecipe.recipe.reading import as_yaml

    if words.cfg:
        _load_plugins(words)
        composed = compose(path, overrides)
        print(as_yaml(composed.values if words.resolve else composed.raw), end="")
        return 0
    _made(path, overrides, words)
    return 0


def _made(path: Path, overrides: list[str], words: Words) -> Version:
    """Run one recipe: bars and the summary on stderr, on stdout where the version is."""
    from gymrecipe import ahead
    from gymrecipe.recipe.composing import compose

    composed = compose(path, overrides)
    ahead.start_server(composed)
    _load_plugins(words)

    import msgspec

    from gymrecipe import api, executor
    from gymrecipe.experiments import publishing
    from gymrecipe.report import terminal
    from gymrecipe.report.safe import in_json

    errors = _console()
    plan = api.prepare(composed, command=_command(words))
    gc.freeze()
    gc.enable()
    with terminal.Bars(errors) as bars:
        try:
            version = executor.run(plan, bars)
        except DataError as error:
            if error.manifest is not None:
                bars.close()
                terminal.summary(error.manifest, errors)
            raise
    terminal.summary(version.manifest, errors)
    for name, example in version.examples.items() if version.path is None else ():
        terminal.example(name, example, errors)
    if version.existed:
        _note(f"{version.path} has the same id already; nothing was written (again=true writes).")
    # As asked now: a version that was there before may have been made with another `json`.
    with publishing.beside(version.path) if version.path is not None else nullcontext():
        if plan.settings.json_:
            print(in_json(msgspec.json.encode(version.manifest)), flush=True)
        elif version.path is not None:
            print(version.path, flush=True)
    return version


def _sweep(words: Words) -> int:
    from gymrecipe.recipe.finding import locate
    from gymrecipe.recipe.overrides import expand_sweep, split_recipe
    from gymrecipe.report import terminal

    if words.cfg:
        raise RecipeError("command line: --cfg shows one recipe; leave out -m and name one value.")
    members = expand_sweep(words.overrides)
    varied = [len({member[i] for member in members}) > 1 for i in range(len(words.overrides))]
    for word, varies in zip(words.overrides, varied, strict=True):
        shared = word.lstrip("+").startswith(("tag=", "output_jsonl_fpath=")) and not varies
        if shared and len(members) > 1:
            raise RecipeError(
                f"command line: {word}: all members of the sweep would write there. Leave it out,"
                " or name one for each."
            )
    rows: list[SweepRow] = []
    for member in members:
        shown = tuple(word for word, varies in zip(member, varied, strict=True) if varies)
        recipe, overrides = split_recipe(member)
        try:
            version = _made(locate(recipe or "", words.config_dirs), overrides, words)
        except GymrecipeError as error:
            _tell(error)
            found = getattr(error, "manifest", None)
            rows.append(terminal.SweepRow(shown, found, str(error), error.exit_code))
        else:
            rows.append(terminal.SweepRow(shown, version.manifest, None, 0))
    terminal.sweep(rows, _console())
    return max(row.code for row in rows)


def _recipes(words: Words) -> int:
    at_most(words, 0)
    knobs(words)
    _list(_rows().recipes(words.config_dirs))
    return 0


def _stages(words: Words) -> int:
    knobs(words)
    if not at_most(words, 1):
        _list(_rows().stages())
        return 0
    said, parameters, choices = _rows().parameters(words.arguments[0])
    print(f"{words.arguments[0]}: {said}\n")
    _list(parameters)
    if choices:
        print()
        _list(choices)
    return 0


def _formats(words: Words) -> int:
    at_most(words, 0)
    knobs(words)
    _list(_rows().formats())
    return 0


def _columns(words: Words) -> int:
    given = knobs(words, input=[], limit=1_000, sidecars=False)
    entries = [*given["input"], *words.arguments]
    built_in, present, read = _rows().columns(entries, given["limit"], given["sidecars"])
    _list(built_in)
    print()
    _list(present)
    _note(f"built-in columns, then the fields of the first {read} lines (limit={given['limit']}).")
    return 0


def _check(words: Words) -> int:
    from gymrecipe import check
    from gymrecipe.report import checked, terminal

    given = knobs(words, format="", purpose="", json=False)
    if len(words.arguments) != 1:
        raise RecipeError("check: write one file: check FILE format=NAME")
    (name,), counted = words.arguments, checked.Counted()
    with terminal.Bars(_console()) as bars:
        checking = check.check(name, given["format"], given["purpose"] or None, bars.advance)
        if not given["json"]:  # which would draw between the lines of the findings
            bars.begin("checking", checking.size, "bytes")
        for finding in counted.count(checking.findings):
            if given["json"]:
                print(checked.as_json(name, finding))
    for line in () if given["json"] else checked.findings(name, counted):
        print(_safe(line))
    for line in checked.outcome(name, checking, counted):
        _note(line)
    return DataError.exit_code if counted.errors else 0


def _versions(words: Words) -> int:
    given = knobs(words, output_dir="experiments", rebuild=False)
    root = Path(given["output_dir"])
    if given["rebuild"]:
        return _rebuild(root, words)
    rows = _rows().versions(root, words.arguments)
    if not rows:
        _note(f"no versions in {root} yet. Run a recipe: `gymrecipe recipes` lists them.")
    _list(rows)
    return 0


def _rebuild(root: Path, words: Words) -> int:
    from gymrecipe.experiments import ledger, leftovers, references

    code = 0
    for folder in leftovers.recipe_folders(root, words.arguments):
        if not references.versions(folder):
            continue
        done = ledger.rebuild(folder)
        path = folder / references.LEDGER
        print(_safe(f"{path}: {len(done.kept)} lines kept, {len(done.added)} added"))
        for number in done.torn:
            _note(f"{path}:{number}: torn, left out.")
        for name in done.gone:
            _note(f"{path}: keeps its line about {name}, which is not there any more.")
        for name in done.changed:
            _error(f"{folder / name}: its manifest changed since its line was written.")
            code = DataError.exit_code
    return code


def _gc(words: Words) -> int:
    import time

    from gymrecipe.experiments import leftovers
    from gymrecipe.report.safe import counted

    given = knobs(words, output_dir="experiments", older_than_minutes=60, dry_run=False,
                  output_jsonl_fpath="")  # fmt: skip
    folders = leftovers.recipe_folders(Path(given["output_dir"]), words.arguments)
    copies = [Path(given["output_jsonl_fpath"])] if given["output_jsonl_fpath"] else []
    limit, dry_run = 60.0 * given["older_than_minutes"], given["dry_run"]
    gone = 0
    for found in leftovers.collect(folders, copies, limit, time.time(), dry_run):
        said = f"{found.path}: {found.what}, {counted(int(found.age_s / 60), 'minute')} old"
        if found.stays:
            _note(f"{said}: stays, {found.stays}.")
            continue
        gone += 1
        print(_safe(f"{said}: {'would be removed' if dry_run else 'removed'}."), flush=True)
    if not gone:
        _note("nothing to take away.")
    return 0


def _cache(words: Words) -> int:
    from gymrecipe.report.safe import counted, size
    from gymrecipe.rollouts import shelf

    at_most(words, 0)
    given = knobs(words, output_dir="experiments", cache_dir="", clear=False)
    folder = Path(given["cache_dir"] or Path(given["output_dir"], shelf.FOLDER))
    if given["clear"]:
        gone, length = shelf.clear(folder)
        print(_safe(f"{folder}: {counted(gone, 'file')} of {size(length)} removed"))
    elif rows := _rows().kept(folder):
        _list(rows)
    else:
        _note(f"{folder}: nothing is kept there.")
    return 0


def _show(words: Words) -> int:
    import msgspec

    from gymrecipe.experiments import manifest
    from gymrecipe.report import terminal
    from gymrecipe.report.safe import in_json

    (path,), given = _version_arguments(words, 1, json=False)
    record = manifest.read(path)
    if given["json"]:
        print(in_json(msgspec.json.encode(record)))
    else:
        terminal.summary(record, _console(stderr=False))
        print(_safe(str(path)))
    return 0


def _explain(words: Words) -> int:
    from gymrecipe.experiments.explain import explain

    if len(words.arguments) != 2:
        raise RecipeError("explain: write a version and a line: explain RECIPE/v0001 a.jsonl:17")
    line = words.arguments.pop()
    (path,), _ = _version_arguments(words, 1)
    for sentence in explain(path, line):
        print(_safe(sentence))
    return 0


def _verify(words: Words) -> int:
    from gymrecipe.experiments.verify import has_ledger, known_as, verify

    (path,), _ = _version_arguments(words, 1)
    differences = verify(path)
    if not has_ledger(path):
        _note(f"{path}: no ledger has a line about it, so that the manifest vouches for itself.")
    for difference in differences:
        _error(f"{path}: {difference}")
    if differences:
        return DataError.exit_code
    known = known_as(path)
    print(_safe(f"{path}: {f'{known}, ' if known else ''}whole, every file as it was written"))
    return 0


def _rejects(words: Words) -> int:
    from gymrecipe.experiments import rejects

    (path,), given = _version_arguments(words, 1, reason="", stage="", snippet=False, bytes=False)
    lines = rejects.rejects(path, given["reason"], given["stage"])
    if given["bytes"]:
        if sys.stdout.isatty():
            raise RecipeError(
                "rejects: bytes=true gives the lines as they are, which may be made to command a"
                " terminal. Write them to a file: … > lines.jsonl"
            )
        sys.stdout.flush()
        for piece in rejects.originals(path, lines):
            sys.stdout.buffer.write(piece)
        return 0
    shown = [
        {
            "source": line.source,
            "line": str(line.line),
            "offset": str(line.offset),
            "bytes": str(line.bytes),
            "stage": line.stage,
            "reason": line.reason,
        }
        for line in lines
    ]
    if given["snippet"]:
        for row, text in zip(shown, rejects.snippets(path, lines), strict=True):
            row["begins"] = text
    _list(shown)
    if not shown:
        _note(f"{path}: every line was used.")
    return 0


def _reproduce(words: Words) -> int:
    from gymrecipe.report import terminal
    from gymrecipe.reproduce import reproduce

    (path,), given = _version_arguments(words, 1, any_tools=False)
    with terminal.Bars(_console()) as bars:
        same = reproduce(path, bars, any_tools=given["any_tools"])
    print(_safe(f"{path}: made again, {same.files} files and {same.bytes} bytes are the same"))
    return 0


def _diff(words: Words) -> int:
    from gymrecipe.experiments.diff import diff
    from gymrecipe.report import terminal

    (one, other), _ = _version_arguments(words, 2)
    terminal.difference(diff(one, other), _console(stderr=False))
    return 0


def _version_arguments(
    words: Words, count: int, **defaults: Any
) -> tuple[list[Path], dict[str, Any]]:
    from gymrecipe.experiments import references

    if len(words.arguments) != count:
        wanted = "one version" if count == 1 else f"{count} versions"
        raise RecipeError(
            f"{words.verb}: write {wanted}, such as dpo_same_prompt/v0001; `gymrecipe versions`"
            " lists them."
        )
    given = knobs(words, output_dir="experiments", **defaults)
    return [references.resolve(word, Path(given["output_dir"])) for word in words.arguments], given


def _rows() -> ModuleType:
    """Imported late: the command has to start before it is there."""
    return import_module("gymrecipe.report.rows")


def _list(rows: list[dict[str, str]]) -> None:
    from gymrecipe.report.listing import listing

    if rows:
        listing(rows, list(rows[0]), _console(stderr=False))


def _console(stderr: bool = True) -> Console:
    from rich.console import Console

    class Ours(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # and not exit code 1

    return Ours(stderr=stderr, highlight=False, markup=False, emoji=False)


def _safe(text: str) -> str:
    from gymrecipe.report.safe import safe

    return safe(text, LONGEST)


def _tell(error: GymrecipeError) -> None:
    for problem in error.problems:
        _error(problem)


def _error(text: str) -> None:
    said = f"gymrecipe: {_safe(hidden(text))}"
    if sys.stderr is not None and sys.stderr.isatty():
        _lines([said], _console())
    else:
        print(said, file=sys.stderr)


def _note(text: str) -> None:
    _lines([text], _console())


def _prose(text: str) -> None:
    _lines(text.split("\n"), _console(stderr=False))


def _lines(lines: list[str], console: Console) -> None:
    """Lines of text, broken between words where a terminal is narrow."""
    from gymrecipe.report.page import Page, styled

    page = Page(console, indent=0)
    page.lines(*(styled(line, most=LONGEST) for line in lines))
    page.show()


def _command(words: Words) -> str:
    from shlex import join

    return join(["python", "-m", "gymrecipe", *words.line])


ACTIONS: dict[str, Callable[[Words], int]] = {
    "recipes": _recipes,
    "stages": _stages,
    "formats": _formats,
    "columns": _columns,
    "check": _check,
    "versions": _versions,
    "show": _show,
    "explain": _explain,
    "verify": _verify,
    "rejects": _rejects,
    "reproduce": _reproduce,
    "diff": _diff,
    "gc": _gc,
    "cache": _cache,
}
