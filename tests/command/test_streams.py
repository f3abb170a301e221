"""Standard output and error that are full, closed or gone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.forked import python

RUN = "+recipe=dpo_same_prompt"
FULL = "cannot be written: No space left on device."


def said(folder: Path, words: str) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of a command of the shell."""
    line = words.replace("gymrecipe", f"{sys.executable} -m gymrecipe", 1)
    done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("more", ["", " json=true"])
def test_a_run_whose_word_of_success_finds_no_room_says_what_is_published(
    more: str, tmp_path: Path
) -> None:
    code, _, err = said(tmp_path, f"gymrecipe {RUN}{more} >/dev/full")
    version = "experiments/dpo_same_prompt/v0001"
    last = f"gymrecipe: {version} is published, but standard output: {FULL}"
    assert (code, err.splitlines()[-1]) == (6, last)
    assert python("-m", "gymrecipe", "verify", version, cwd=tmp_path).returncode == 0


@pytest.fixture
def made(of_the_sample: Callable[[str], Any]) -> Path:
    """A folder in which there is a version; only to be read."""
    return Path(of_the_sample("dpo_same_prompt").path.parents[1])


VERBS = [
    "recipes",
    "show {}",
    "rejects {}",
    "rejects {} bytes=true",
    RUN + " dry_run=true json=true",
]


@pytest.mark.parametrize("verb", VERBS)
def test_a_full_stdout_is_one_sentence(verb: str, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "experiments", symlinks=True)
    words = verb.format("dpo_same_prompt/v0001")
    code, _, err = said(tmp_path, f"gymrecipe {words} >/dev/full")
    assert (code, err.splitlines()[-1]) == (6, f"gymrecipe: standard output: {FULL}")
    assert "Traceback" not in err
    assert err.count(FULL) == 1


@pytest.mark.parametrize("where", ["/dev/full", "&-"])
def test_what_stderr_cannot_take_changes_no_outcome(where: str, tmp_path: Path) -> None:
    assert said(tmp_path, f"gymrecipe {RUN} seed=true 2>{where}") == (2, "", "")
    assert said(tmp_path, f"gymrecipe recipes much 2>{where}") == (2, "", "")
    done = said(tmp_path, f"gymrecipe {RUN} 2>{where}")
    assert done == (0, "experiments/dpo_same_prompt/v0001\n", "")


@pytest.mark.parametrize("verb", ["formats", "rejects {} bytes=true", f"{RUN} seed=2"])
def test_closed_streams_are_no_traceback(verb: str, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "experiments", symlinks=True)
    words = verb.format("dpo_same_prompt/v0001")
    code, _, err = said(tmp_path, f"gymrecipe {words} <&- >&-")
    assert (code, "Traceback" in err) == (0, False)
    assert said(tmp_path, f"gymrecipe {words} >&- 2>&-") == (0, "", "")


@pytest.mark.parametrize("line", ["gymrecipe stages pair", f"gymrecipe {RUN} 2>&1"])
def test_a_reader_that_goes_away_is_no_traceback(line: str, tmp_path: Path) -> None:
    assert said(tmp_path, f"{line} | true; echo ${{PIPESTATUS[0]}}") == (0, "141\n", "")
