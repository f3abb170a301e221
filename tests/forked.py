"""Python programs, the command above all, in processes forked from one that has imported the
command: a quarter of the time that a process of its own takes.

    python("-m", "gymrecipe", "recipes", cwd=tmp_path)

For tests of what a program does. Those of how one starts and ends begin a process of their own:
streams, signals, imports, what is weighed, and settings that the interpreter reads.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType

TIMEOUT = 600
"""Seconds that a program may take: a test is not to hang."""


def python(
    *words: str, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """What `python -m MODULE …`, `python -c CODE …` or `python SCRIPT …` gives, with these names
    in its environment too.
    """
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        job = {
            "words": words, "cwd": str(cwd or os.getcwd()), "streams": [out.name, err.name],
            "environment": {**os.environ, **environment},
        }  # fmt: skip
        code = _asked(json.dumps(job))
        said = (Path(stream.name).read_text("utf-8") for stream in (out, err))
        return subprocess.CompletedProcess([sys.executable, *words], code, *said)


def _asked(job: str) -> int:
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(f"{job}\n")
    server.stdin.flush()
    if not select.select([server.stdout], [], [], TIMEOUT)[0]:
        os.killpg(server.pid, signal.SIGKILL)
        _server.cache_clear()
        raise subprocess.TimeoutExpired(job, TIMEOUT)
    return int(server.stdout.readline())


@cache
def _server() -> subprocess.Popen[str]:
    words = [sys.executable, "-X", "utf8", __file__]
    pipe = subprocess.PIPE
    server = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
    atexit.register(server.communicate)  # which ends it
    return server


def _load() -> None:
    """Import all that a run imports, Polars too, and plan one, which Hydra has to be got ready
    for. No table is made: the threads that make one survive no fork.
    """
    import gymrecipe

    importlib.import_module("polars")
    for module in pkgutil.walk_packages(gymrecipe.__path__, "gymrecipe."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    from gymrecipe.planning.plan import plan
    from gymrecipe.recipe.composing import compose
    from gymrecipe.recipe.finding import locate

    plan(compose(locate("dpo_same_prompt"), ["min_gap=0.3"]))
    # What is imported is there to the end: no process looks through it for garbage, as it ends
    # above all.
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def _serve() -> dict[str, object]:
    """Fork a process for each job, and tell its exit code. Returns in that process."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            return dict(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit()


def _become(words: list[str], cwd: str, streams: list[str], environment: dict[str, str]) -> None:
    """Be the process that the job asks for, from here on."""
    for number, path in enumerate([os.devnull, *streams]):
        opened = os.open(path, os.O_RDWR)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    os.chdir(cwd)
    importlib.invalidate_caches()
    first, *rest = words
    if first == "-m":
        sys.argv, sys.path[0] = rest, cwd
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        return
    main = sys.modules["__main__"] = ModuleType("__main__")
    if first == "-c":
        sys.argv, sys.path[0] = [first, *rest[1:]], ""
        code, file = rest[0], "<string>"
    else:
        sys.argv, sys.path[0] = words, os.path.dirname(os.path.realpath(first))
        main.__file__ = file = os.path.abspath(first)
        code = Path(first).read_text("utf-8")
    exec(compile(code, file, "exec"), vars(main))


if __name__ == "__main__":
    _load()
    _become(**_serve())  # type: ignore[arg-type]
