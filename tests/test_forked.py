"""A forked process is to a test what one of its own is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked import python

SCRIPT = """
import os, sys
from gymrecipe.registry import format

@format(purposes=("sft",), version=1)
def of_the_script(example):
    return {}

if __name__ == "__main__":
    print(sys.argv, sys.path[0], os.getcwd(), os.environ["SAID"], __name__, __file__)
    sys.exit(7)
"""
PROGRAMS = [
    ["-m", "gymrecipe", "+recipe=ppo", "json=true"],
    ["-m", "gymrecipe", "+recipe=ppo", "mingap=1"],
    ["-m", "gymrecipe", "+recipe=ppo", "++stages.load.limit=0"],
    ["-m", "gymrecipe", "formats"],
    ["-c", "import sys; print(sys.argv, sys.path[0]); raise ValueError(__name__)", "word"],
    ["script.py", "word"],
    ["-c", "import os; os.kill(os.getpid(), 9)"],
    ["-c", "import sys; print(sys.stdin.read(), 'é'); sys.exit('é')"],
]


@pytest.mark.parametrize("words", PROGRAMS, ids=" ".join)
def test_it_does_what_a_process_of_its_own_does(words: list[str], tmp_path: Path) -> None:
    done = []
    for name in ("forked", "own"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "script.py").write_text(SCRIPT)
        if name == "forked":
            told = python(*words, cwd=folder, SAID="yes")
        else:
            told = subprocess.run(
                [sys.executable, "-X", "utf8", *words], cwd=folder, stdin=subprocess.DEVNULL,
                env={**os.environ, "SAID": "yes"}, capture_output=True, encoding="utf-8",
            )  # fmt: skip
        error = told.stderr.splitlines()[-1:] if "Traceback" in told.stderr else told.stderr
        out = told.stdout.replace(str(folder), "FOLDER")
        done.append((told.returncode, out.partition('"environment"')[0], error))
    assert done[0] == done[1]


def test_what_one_does_is_not_seen_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    assert python("script.py", cwd=tmp_path, SAID="yes").returncode == 7
    code = "import os; from gymrecipe import registry; print('of_the_script' in registry.FORMATS)"
    assert python("-c", f"{code}; print('SAID' in os.environ)").stdout == "False\nFalse\n"
