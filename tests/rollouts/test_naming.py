"""Naming: entries, patterns and sidecars."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from gymrecipe.errors import InputError
from gymrecipe.rollouts.naming import SIDECARS, sources


def test_one_entry_is_one_run_and_a_glob_too(tmp_path: Path) -> None:
    for name in ("b1.jsonl", "b2.jsonl", "a.jsonl"):
        (tmp_path / name).write_text("x")
    found, skipped = sources([str(tmp_path / "a.jsonl"), str(tmp_path / "b*.jsonl")], False)
    assert [(Path(source.name).name, source.run) for source in found] == [
        ("a.jsonl", 0),
        ("b1.jsonl", 1),
        ("b2.jsonl", 1),
    ]
    assert skipped == []


def test_two_stars_reach_into_folders_and_folders_are_no_matches(tmp_path: Path) -> None:
    (tmp_path / "deep" / "deeper.jsonl").mkdir(parents=True)
    (tmp_path / "deep" / "deeper.jsonl" / "a.jsonl").write_text("x")
    found, _ = sources(str(tmp_path / "**" / "*.jsonl"), False)
    assert [Path(source.name).name for source in found] == ["a.jsonl"]


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "run[1].jsonl").write_text("x")
    (tmp_path / "run1.jsonl").write_text("x")
    found, _ = sources(str(tmp_path / "run[1].jsonl"), False)
    assert [Path(source.name).name for source in found] == ["run[1].jsonl"]


def test_a_glob_without_a_match_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\*\.jsonl: no file matches"):
        sources(str(tmp_path / "*.jsonl"), False)


@pytest.mark.parametrize("name", ["a.jsonl", "*.jsonl"])
def test_a_home_that_no_shell_has_put_in_is_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell leaves the ~ of `+input_jsonl_fpath=~/a.jsonl`, and of a list, as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.jsonl").write_text("x")
    said = rf"^~/{re.escape(name)}: .*Did you mean '{re.escape(str(tmp_path / name))}'\?$"
    with pytest.raises(InputError, match=said):
        sources(f"~/{name}", False)


def test_no_entry_at_all_is_an_error() -> None:
    with pytest.raises(InputError, match="no rollout file to read"):
        sources([], False)


@pytest.mark.parametrize(
    "suffix",
    [*SIDECARS, "_failures.jsonl.gz", "_failures.jsonl.zst", "-0.capture.jsonl", "-0.tokens.jsonl"],
)
def test_a_glob_passes_over_sidecars_and_says_so(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "a.jsonl").write_text("x")
    (tmp_path / f"a{suffix}").write_text("x")
    found, skipped = sources(str(tmp_path / "*"), False)
    assert [Path(source.name).name for source in found] == ["a.jsonl"]
    assert [Path(name).name for name in skipped] == [f"a{suffix}"]


def test_an_entry_with_nothing_but_sidecars_is_no_run(tmp_path: Path) -> None:
    for name in ("a_failures.jsonl", "b.jsonl", "c.jsonl"):
        (tmp_path / name).write_text("x")
    found, _ = sources([str(tmp_path / f"{name}*") for name in "abc"], False)
    assert [source.run for source in found] == [0, 1]


@pytest.mark.parametrize("suffix", SIDECARS)
def test_a_sidecar_that_is_named_is_refused_unless_asked_for(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text("x")
    with pytest.raises(InputError, match="a sidecar file"):
        sources(str(path), False)
    assert len(sources(str(path), True)[0]) == 1


def test_a_glob_of_nothing_but_sidecars_says_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "a_failures.jsonl").write_text("x")
    with pytest.raises(InputError, match=r"a_failures\.jsonl and the like are sidecar files"):
        sources(str(tmp_path / "*.jsonl"), False)


@pytest.mark.parametrize("way", ["same", "dot", "glob", "link"])
def test_a_file_may_be_named_only_once(tmp_path: Path, way: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("x")
    os.symlink(path, tmp_path / "link")
    other = {"same": path, "dot": f"{tmp_path}/./a.jsonl", "glob": tmp_path / "*.jsonl"}
    again = other.get(way, tmp_path / "link")
    with pytest.raises(InputError, match="named twice"):
        sources([str(path), str(again)], False)


def test_a_file_that_is_named_twice_is_told_by_both_names(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("x")
    os.symlink("a.jsonl", tmp_path / "latest.jsonl")
    said = f"latest.jsonl: named twice by input, also as {tmp_path / 'a.jsonl'}."
    with pytest.raises(InputError, match=re.escape(said)):
        sources(str(tmp_path / "*.jsonl"), False)
