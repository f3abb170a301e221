"""The rejected lines of a version, and their bytes, fetched back from the inputs."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gymrecipe.cli import main
from gymrecipe.errors import ChangedError, DataError, RecipeError
from gymrecipe.experiments.rejects import begun, originals, rejects
from tests.experiments.conftest import graded, rollout, run, save

ODD = [b"no json", b"", b"\xff\xfe {", b'{"a": "\x1b[2J\xe2\x80\xae"', b"x" * 600_000, b"  "]


def make(folder: Path, suffix: str = "", packed: Callable[[bytes], bytes] = bytes) -> None:
    """A version of two inputs with rejected lines among others."""
    lines = {"a.jsonl": [*ODD[:3], *graded(), *ODD[3:]], "b.jsonl": [rollout("p", "a"), b"[]"]}
    for name, each in lines.items():
        plain = save(folder / name, each).read_bytes()
        (folder / f"{name}{suffix}").write_bytes(packed(plain))
    with contextlib.chdir(folder):
        run(folder, input=[f"{name}{suffix}" for name in lines], max_bad_rows="100%")


MADE = {"plain": make, "gzip": partial(make, suffix=".gz", packed=gzip.compress)}


@pytest.fixture(params=MADE)
def version(request: pytest.FixtureRequest, as_made: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder: Path = as_made(MADE[request.param])
    monkeypatch.chdir(folder)
    return folder / "experiments/dpo_same_prompt/v0001"


def test_rejects_are_listed_as_they_lie(version: Path) -> None:
    lines = rejects(version)
    assert [line.reason for line in lines[:3]] == ["bad_json", "blank", "not_utf8"]
    assert lines[0].line == 1
    assert lines[2].offset == len(b"no json\n\n")
    assert Path(lines[-1].source).name.startswith("b.jsonl")
    assert [line.reason for line in rejects(version, reason="not_object")] == ["not_object"]
    assert {line.stage for line in rejects(version, stage="pair")} == {"pair"}
    assert rejects(version, reason="blank", stage="pair") == []


@pytest.mark.parametrize(
    ("column", "said"), [("reason", "bad_json, blank"), ("stage", "load, pair")]
)
def test_a_reason_or_stage_that_rejected_nothing_is_an_error(
    column: str, said: str, version: Path
) -> None:
    with pytest.raises(RecipeError, match=rf"no line has the {column} 'x'\. Lines have .*{said}"):
        rejects(version, **{column: "x"})


def test_the_bytes_come_back_as_they_were(version: Path) -> None:
    wanted = rejects(version, stage="load")
    assert b"".join(originals(version, wanted)) == b"".join(line + b"\n" for line in [*ODD, b"[]"])
    assert b"".join(originals(version, rejects(version, reason="blank"))) == b"\n  \n"
    assert b"".join(originals(version, [])) == b""
    pieces = list(originals(version, [line for line in wanted if line.bytes > 500_000]))
    assert max(map(len, pieces)) < 500_000  # a line of any length is never held whole


def test_a_snippet_ends_before_a_character_that_it_would_cut(tmp_path: Path) -> None:
    lines = [b"x" + "\u20ac".encode() * 100, b"x" * 199 + b"\xff", "x\u20ac".encode()[:-1]]
    made = run(tmp_path, input=str(save(tmp_path / "a", [*lines, *graded()])), max_bad_rows=3)
    assert made.path is not None
    heads = [line.begins for line in begun(made.path, rejects(made.path, stage="load"))]
    assert heads == ["x" + "\u20ac" * 66, "x" * 199 + "\\xff", "x\\xe2\\x82"]


def test_a_snippet_is_the_head_of_a_line(version: Path) -> None:
    assert [line.begins for line in begun(version, rejects(version, stage="load"))] == [
        "no json", "", "\\xff\\xfe {", '{"a": "\x1b[2J\u202e"', "x" * 200, "  ", "[]",
    ]  # fmt: skip


@pytest.mark.parametrize("change", ["edited", "gone", "cut"])
def test_lines_of_an_input_that_changed_are_not_fetched(change: str, version: Path) -> None:
    path = Path(rejects(version)[-1].source)
    data = path.read_bytes()
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-1] + b"!" if change == "edited" else data[:-1])
    with pytest.raises(ChangedError, match=rf"{path.name}: (gone|not what it was)"):
        next(originals(version, rejects(version)))
    first = [line for line in rejects(version) if line.source != str(path)]
    assert b"no json" in b"".join(originals(version, first))


def test_a_file_that_grew_gives_its_lines_all_the_same(version: Path) -> None:
    path = Path(rejects(version)[-1].source)
    if path.suffix == ".gz":
        return  # a compressed file that grew is another file
    with path.open("ab") as file:
        file.write(b"more\n")
    assert b"".join(originals(version, rejects(version))).endswith(b"[]\n")


def test_a_file_that_changes_meanwhile_is_told_at_the_end(version: Path) -> None:
    lines = rejects(version, reason="bad_json")
    pieces = originals(version, lines)
    next(pieces)
    with Path(lines[0].source).open("r+b") as file:
        file.write(b"N")
    with pytest.raises(ChangedError, match="changed while it was read"):
        list(pieces)


def test_a_table_that_is_none_is_told(version: Path) -> None:
    (version / "rejects.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match="not the table that was written"):
        rejects(version)


def test_a_version_without_rejects_lists_none(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jsonl", [rollout("p", "a")])
    made = run(tmp_path, "sft_threshold", input=str(path))
    assert made.path is not None
    assert rejects(made.path) == []


def test_the_verb_lists_and_gives_bytes(
    version: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["rejects", "dpo_same_prompt/v0001", "--reason", "bad_json", "snippet=true"]) == 0
    shown = capfdbinary.readouterr().out
    assert shown.count(b"bad_json") == 2
    assert main(["rejects", "dpo_same_prompt", "reason=control_char", "snippet=true"]) == 0
    shown = capfdbinary.readouterr().out
    assert b"\\x1b[2J\\u202e" in shown
    assert b"\x1b" not in shown
    assert main(["rejects", "dpo_same_prompt", "reason=not_utf8", "bytes=true"]) == 0
    assert capfdbinary.readouterr().out == b"\xff\xfe {\n"
    assert main(["rejects", "dpo_same_prompt", "reason=nothing"]) == 2
    Path(rejects(version)[0].source).unlink()
    assert main(["rejects", "dpo_same_prompt", "--reason=bad_json", "bytes=true"]) == 4
    assert main(["rejects", "dpo_same_prompt"]) == 0


def test_the_verb_shows_causes_where_there_are_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.jinja").write_text(
        "{% for m in messages %}{% if '2' in m.content %}{{ raise_exception('No \x1b[2J2.') }}"
        "{% endif %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    )
    source = str(save(tmp_path / "a.jsonl", [b"no json", *graded()]))
    made = run(tmp_path, input=source, format="rendered", chat_template="t.jinja")
    assert made.path is not None
    found = rejects(made.path, reason="template_refused")
    assert {line.cause for line in found} == {"No \x1b[2J2."}
    assert main(["rejects", "dpo_same_prompt"]) == 0
    head, first, *_, last = capsys.readouterr().out.splitlines()
    assert head.split()[-1] == "cause"
    assert first.split()[-1] == "bad_json"
    assert "\x1b" not in last
    assert main(["explain", "dpo_same_prompt", f"{source}:{found[0].line}"]) == 0
    said = capsys.readouterr().out
    assert said.endswith(
        "template_refused (the chat template raised an error on these messages): No \\x1b[2J2.\n"
    )
    assert main(["rejects", "dpo_same_prompt", "reason=bad_json"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split()[-1] == "reason"
