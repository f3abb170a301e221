"""The folder of entries: what is shown of them, and which go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gymrecipe.rollouts import cache_folder, cached
from tests.rollouts.conftest import Write, read, rollout

pytestmark = pytest.mark.usefixtures("every_scan_is_kept")


def keep(jsonl: Write, cache: Path, count: int) -> list[Path]:
    """Files that are kept, and the entries of which were used in turn."""
    paths = [Path(jsonl(rollout(str(n)), name=f"{n}.jsonl")) for n in range(count)]
    for number, path in enumerate(paths):
        read(path, cache=cache)
        os.utime(next(e for e in cache.glob("*.table") if of(e) == path), (number, number))
    return paths


def of(entry: Path) -> Path:
    return Path(cache_folder.read(entry).path)


def test_entries_are_shown_with_the_one_used_last_first(jsonl: Write, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    paths = keep(jsonl, cache, 3)
    read(paths[1], cache=cache)
    assert [Path(entry.path).stem for entry, _ in cache_folder.entries(cache)] == ["1", "2", "0"]
    assert {(entry.lines, entry.rows) for entry, _ in cache_folder.entries(cache)} == {(1, 1)}
    assert [size for _, size in cache_folder.entries(cache)] == [
        (cache / f"{os.stat(paths[n]).st_dev:x}-{os.stat(paths[n]).st_ino:x}.table").stat().st_size
        for n in (1, 2, 0)
    ]


def test_beyond_its_bytes_a_folder_loses_what_was_not_used_for_longest(
    jsonl: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    paths = keep(jsonl, cache, 3)
    read(paths[0], cache=cache)
    size = next(cache.glob("*.table")).stat().st_size
    monkeypatch.setattr(cache_folder, "MOST_BYTES", 3 * size + size // 2)
    (new,) = [Path(jsonl(rollout("3"), name="3.jsonl"))]
    read(new, cache=cache)
    left = {Path(entry.path).stem for entry, _ in cache_folder.entries(cache)}
    assert left == {"3", "0", "2"}


def test_half_an_entry_goes_when_it_is_a_day_old(jsonl: Write, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    keep(jsonl, cache, 1)
    old, new = cache / f".{'0' * 16}.table", cache / f".{'1' * 16}.table"
    for half in (old, new):
        half.write_bytes(b"half")
    os.utime(old, (0, 0))
    cache_folder.limit(cache)
    assert not old.exists()
    assert new.exists()


def test_clearing_leaves_the_files_of_others(jsonl: Write, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    keep(jsonl, cache, 2)
    half = cache / f".{'0' * 16}.table"
    half.write_bytes(b"half")
    others = [cache / name for name in ("mine.table", "a-b.tables", "x", ".gitignore")]
    for path in others:
        path.write_text("mine")
    (cache / "1-2.table").mkdir()
    sizes = sum(path.stat().st_size for path in (*cache.glob("fe*.table"), half))
    gone = cache_folder.clear(cache)
    assert gone.files == 3
    assert gone.bytes >= sizes
    assert sorted(cache.iterdir()) == sorted([*others, cache / "1-2.table"])
    assert cache_folder.clear(tmp_path / "nowhere").files == 0


def test_the_state_says_what_a_run_would_make_of_an_entry(
    jsonl: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    (path,) = keep(jsonl, cache, 1)

    def state() -> str:
        ((entry, _),) = cache_folder.entries(cache)
        return cache_folder.state(entry)

    assert state() == "up to date"
    with monkeypatch.context() as patch:
        patch.setattr(cache_folder, "code", lambda: "other")
        assert state() == "made by another gymrecipe"
    with path.open("a") as file:
        file.write("\n")
    assert state() == "its file has changed: looked at again"
    monkeypatch.setattr(cached, "SETTLED_NS", 10**13)
    read(path, cache=cache)
    assert state() == "its file was new: looked at again"
    path.rename(tmp_path / "b.jsonl")
    assert state() == "its file is gone"
    path.write_text("")
    assert state() == "its file was replaced"
    next(cache.glob("*.table")).write_bytes(b"torn")
    assert state() == "torn, or another user's"
