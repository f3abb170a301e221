"""Names are held against patterns: none of them reaches outside, and a recipe names no place."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gymrecipe.cli import main
from gymrecipe.planning import plan
from tests.experiments.conftest import graded, save
from tests.full import often

NAMES = [
    "", ".", "..", "...", "../x", "../../x", "x/..", "x/../../y", "/x", "/etc/passwd", "//x", "./x",
    "x/y", "x\\y", "..\\x", "C:\\x", "C:x", "\\\\host\\x", "x\0", "\0", "x\0.yaml", "x\n", "\nx",
    "x\r", "x\t", " x", "x ", "-x", "--help", "~", "~root", "$HOME", "${HOME}", "`id`", "$(id)",
    "x;id", "x|id", "x&id", "*", "?", "[x]", "x" * 101, "x" * 300, "\u2044x", "x\u2215y",
    "\uff0e\uff0e\uff0fx", "\u202ex", "x\u200b", "%2e%2e%2f", "%2e%2e/x", "file:///x", "\x1b[2Jx",
    ".hidden", ".staging-0", ".gymrecipe", "v1\ud800",
]  # fmt: skip
ODD_BUT_HARMLESS = ["CON", "nul", "a.", "COM1.txt", "x..y", "v0001", "aux"]
"""What other systems have trouble with: a folder with this name, here and nowhere else."""

KEPT = ["latest", "LATEST", "v0001", "V1", "versions.jsonl", "VERSIONS.JSONL"]
"""Names that a tag would take from gymrecipe."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which the command runs, with something beside it that stays as it is."""
    here = tmp_path / "here"
    here.mkdir()
    save(here / "a.jsonl", graded(2))
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(here)
    return here


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def written(name: str) -> str:
    return json.dumps(name)


STAGES = "stages:\n  load: {use: load}\n  NAME: {use: write}\n  other: {use: write, from: load}\n"


@pytest.mark.parametrize("name", NAMES[:: often(5, 1)], ids=ascii)
def test_a_name_that_is_none_is_refused_wherever_one_is_given(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = "input: a.jsonl\nstages:\n  load: {use: load}\n  write: {use: write}\n"
    files = {
        "name": f"name: {written(name)}\n{plain}",
        "tag": f"tag: {written(name)}\n{plain}",
        "stage": f"input: a.jsonl\n{STAGES.replace('NAME', written(name))}",
        "column": f"columns: {{{written(name)}: reward}}\n{plain}",
    }
    for kind, text in files.items():
        (folder / "r.yaml").write_bytes(text.encode(errors="surrogatepass"))
        before = everything(folder.parent)
        assert main(["+recipe=r.yaml"]) == 2, (kind, capsys.readouterr().err)
        assert everything(folder.parent) == before, kind
        assert "Traceback" not in capsys.readouterr().err
    if name.strip(" \t") != name:  # Hydra's grammar takes spaces away around a value
        return
    for words in (
        [f"+recipe={name}"], ["+recipe=ppo", f"name={name}"], ["+recipe=ppo", f"tag={name}"],
        ["+recipe=ppo", f"--plugin={name}"], ["recipes", f"--plugin={name}"],
        ["gc", name], ["stages", name], ["check", "a.jsonl", f"format={name}"],
    ):  # fmt: skip
        if words[0] == "+recipe=" or (words[0] in ("stages", "gc") and name.startswith("-")):
            continue
        before = everything(folder.parent)
        code = main(words)
        said = capsys.readouterr().err
        assert everything(folder.parent) == before, words
        assert "Traceback" not in said
        assert code == 2, words


@pytest.mark.parametrize("name", NAMES[:: often(6, 1)], ids=ascii)
def test_a_version_by_any_name_is_only_looked_for(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(folder.parent)
    for verb in ("show", "verify", "rejects", "reproduce", "versions"):
        assert main([verb, f"r/{name}" if name.startswith("-") else name]) == 2
        assert "Traceback" not in capsys.readouterr().err
    assert everything(folder.parent) == before


@pytest.mark.parametrize("name", ODD_BUT_HARMLESS)
def test_an_odd_name_is_a_folder_here(name: str, folder: Path) -> None:
    assert main(["+recipe=ppo", "input=a.jsonl", f"name={name}"]) == 0
    assert os.listdir("experiments") == [name]


@pytest.mark.parametrize("name", KEPT)
def test_a_tag_takes_no_name_of_ours(name: str, folder: Path) -> None:
    assert main(["+recipe=ppo", "input=a.jsonl", f"tag={name}"]) == 2


PLACES = [
    "output_dir: /tmp/x", "output_dir: ../x", "output_dir: a/../../x", "output_dir: '${p}'\np: /x",
    "cache_dir: /tmp/x", "cache_dir: ..", "output_jsonl_fpath: /tmp/x.jsonl",
    "output_jsonl_fpath: ../x.jsonl", "output_jsonl_fpath: .bashrc", "output_jsonl_fpath: x.py",
    "output_jsonl_fpath: Makefile", 'output_dir: "a\\e[2J"', "output_dir: s3://bucket/x",
    'output_jsonl_fpath: "x\\n.jsonl"', 'cache_dir: "\\u202e"',
]  # fmt: skip
FINE = ["output_dir: out/here", "output_jsonl_fpath: out.jsonl", "cache_dir: .cache/x",
        "output_dir: ./a..b"]  # fmt: skip
REST = "\ninput: a.jsonl\nstages:\n  load: {use: load}\n  write: {use: write}\n"


@pytest.mark.parametrize("line", PLACES)
def test_a_recipe_does_not_say_where_on_this_machine_is_written(
    line: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "r.yaml").write_text(line + REST)
    before = everything(folder.parent)
    assert main(["+recipe=r.yaml"]) == 2
    knob = line.partition(":")[0]
    assert f"{knob}: " in capsys.readouterr().err
    assert everything(folder.parent) == before


@pytest.mark.parametrize("line", FINE)
def test_a_recipe_may_name_a_place_below_the_folder_of_the_call(line: str, folder: Path) -> None:
    (folder / "r.yaml").write_text(line + REST)
    assert main(["+recipe=r.yaml"]) == 0


def test_the_command_line_may_name_any_place(folder: Path) -> None:
    (folder / "r.yaml").write_text("output_dir: /tmp/x" + REST)
    assert main(["+recipe=r.yaml", f"output_dir={folder.parent}/y"]) == 0
    assert (folder.parent / "y/r/v0001").is_dir()


def test_the_recipe_of_a_version_runs_wherever_that_was_written(folder: Path) -> None:
    elsewhere = str(folder.parent / "y")
    words = ["+recipe=ppo", "input=a.jsonl", f"output_dir={elsewhere}", f"cache_dir={elsewhere}"]
    assert main(words) == 0
    assert main([f"+recipe={elsewhere}/ppo/v0001/recipe.yaml"]) == 0


def test_without_this_a_recipe_writes_anywhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "_written_elsewhere", lambda composed: ())
    (folder / "r.yaml").write_text("output_jsonl_fpath: ../x/profile" + REST)
    assert main(["+recipe=r.yaml"]) == 0
    assert (folder.parent / "x/profile").is_file()
