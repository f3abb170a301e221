"""A program: runs command lines under an audit hook, and tells what each did beyond a harmless one.

    audited.py HARMLESS FOLDER LINES      JSON of the harmless lines, folder allowed, JSON of lines

A line `now CODE` runs that code, so that the hook can be seen to see. For each line it prints one
of JSON: the exit code, the end of what was said, and the events.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import sysconfig
from functools import cache

PREFIXES = (
    "subprocess", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "pty", "socket",
    "urllib", "http", "ftplib", "smtplib", "webbrowser", "ctypes", "pickle", "marshal.loads",
    "os.putenv", "os.unsetenv", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link",
    "os.symlink", "os.chmod", "os.chown", "os.truncate", "shutil", "tempfile", "compile", "exec",
    "import", "open", "code.__new__", "sys._current_frames", "os.chdir", "mmap",
)  # fmt: skip
LIBRARIES = (sys.prefix, sys.base_prefix, *sysconfig.get_paths().values())
OURS = tuple({os.path.realpath(path) for path in LIBRARIES})
HERE = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", "gymrecipe"))


CHANGING = {
    r"0x[0-9a-f]+": "0x", r"[0-9a-f]{16}": "HEX", r"v\d{4}": "VERSION",
    r"gymrecipe-[a-z0-9_]{8}": "SCRATCH", r"\br\d+\b": "RECIPE", r"\b\d+\b": "N",
}  # fmt: skip


def named(event: str, arguments: tuple[object, ...]) -> str:
    """An event in a form in which two runs of the same line are the same."""
    text = f"{event} {arguments!r}"
    for pattern, sign in CHANGING.items():
        text = re.sub(pattern, sign, text)
    return text[:300]


@cache
def is_library(path: object) -> bool:
    return os.path.realpath(str(path)).startswith((*OURS, HERE))


class Watch:
    """Collects the events that mean something."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.realpath(folder)
        self.on = False
        self.events: list[str] = []

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.on or not event.startswith(PREFIXES):
            return
        self.on = False  # what the hook itself does is not looked at
        try:
            if not self.harmless(event, arguments):
                self.events.append(named(event, arguments))
        finally:
            self.on = True

    def harmless(self, event: str, arguments: tuple[object, ...]) -> bool:
        if event == "open":
            path, mode, flags = arguments
            writes = set(str(mode or "")) & set("wax+") or int(str(flags or 0)) & 0o1103
            inside = os.path.realpath(str(path)).startswith(self.folder + os.sep)
            return inside or (not writes and is_library(path))
        if event == "exec":
            return is_library(getattr(arguments[0], "co_filename", ""))
        if event == "compile":
            return arguments[1] == "<unknown>" or is_library(arguments[1])  # `ast.parse` runs not
        if event == "marshal.loads":  # by an import of what is compiled already
            caller = sys._getframe(2).f_code
            return caller.co_filename == "<frozen importlib._bootstrap_external>"
        return event == "import"  # by name: the files are looked at when the line has ended


def foreign() -> set[str]:
    files = {name: getattr(module, "__file__", None) for name, module in [*sys.modules.items()]}
    return {f"module {name}" for name, file in files.items() if file and not is_library(file)}


def main() -> None:
    from gymrecipe.cli import main as command

    harmless, folder = json.loads(sys.argv[1]), sys.argv[2]
    with open(sys.argv[3]) as file:
        lines = json.load(file)
    watch = Watch(folder)
    sys.addaudithook(watch)

    def run(line: list[str]) -> tuple[object, str, list[str]]:
        said = io.StringIO()
        watch.events = []
        before = foreign()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            watch.on = True
            try:
                code: object = command(line) if line[:1] != ["now"] else exec(line[1])
            except BaseException as error:
                code = repr(error)
            finally:
                watch.on = False
        return code, said.getvalue(), [*watch.events, *sorted(foreign() - before)]

    for line in harmless:  # everything is imported
        run(line)
    allowed = {event for line in harmless for event in run(line)[2]}
    for line in lines:
        code, said, events = run(line)
        found = [event for event in events if event not in allowed]
        print(json.dumps([code, said[-600:], found[:5]]))


if __name__ == "__main__":
    main()
