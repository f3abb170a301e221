"""Which files a pattern matches: those that Python's `glob` does, or an error."""

import errno
import glob
import os
from pathlib import Path
from typing import Any

import pytest

from gymrecipe.errors import InputError
from gymrecipe.rollouts import globs
from gymrecipe.rollouts.naming import sources

FILES = [
    "a.jsonl", "b.jsonl", ".hidden.jsonl", "[x].jsonl", "one/a.jsonl", "one/b.json",
    "one/deep/a.jsonl", "two/a.jsonl", ".secret/a.jsonl", "two/.hidden/a.jsonl",
]  # fmt: skip

PATTERNS = [
    "*.jsonl", "*", "?.jsonl", "[ab].jsonl", "[[]x].jsonl", "[ab", ".*.jsonl", ".*/*.jsonl",
    "*/a.jsonl", "*/*", "**", "**/*.jsonl", "**/a.jsonl", "one/**", "one/**/*.jsonl", "**/deep/*",
    "**/deep/a.jsonl", "*/*/*.jsonl", "./*.jsonl", "*/../*.jsonl", "one/../*/a.jsonl",
    "nowhere/*", "*/nowhere", "a.jsonl/*", "*/", "o*/", "*/dangling", "dang*",
    "{here}/*.jsonl", "{here}/**/a.jsonl",
]  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "two" / "dangling").symlink_to("nowhere")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "three").symlink_to("one")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_matches_what_it_does_in_python(pattern: str, tree: Path) -> None:
    pattern = pattern.replace("{here}", str(tree))
    expected = {name for name in glob.glob(pattern, recursive=True) if not os.path.isdir(name)}
    assert globs.matches(pattern) == sorted(expected)


def test_a_link_back_to_where_it_lies_is_followed_no_further(tree: Path) -> None:
    (tree / "one" / "deep" / "back").symlink_to("..")
    found = globs.matches("one/**/a.jsonl")
    assert found[:2] == ["one/a.jsonl", "one/deep/a.jsonl"]
    assert len(found) < 5


@pytest.mark.parametrize("pattern", ["*/a.jsonl", "**/*.jsonl", "two/*.jsonl", "*/*"])
@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.EMFILE])
def test_a_folder_that_cannot_be_listed_is_an_error(
    pattern: str, code: int, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(call: Any) -> Any:
        def called(path: str, *args: Any, **kwargs: Any) -> Any:
            if os.path.basename(path) == "two" or "two/" in path:
                raise OSError(code, os.strerror(code), path)
            return call(path, *args, **kwargs)

        return called

    monkeypatch.setattr(globs.os, "scandir", failing(os.scandir))
    if pattern == "*/a.jsonl":  # it may be listed, but what is in it may not be asked for
        monkeypatch.setattr(globs.os, "stat", failing(os.stat))
    with pytest.raises(InputError, match=rf"two.*: cannot be looked into: {os.strerror(code)}"):
        sources(pattern, sidecars=False)
