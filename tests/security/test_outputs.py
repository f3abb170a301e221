"""Hostile text in rollouts, recipes and names comes out as text, of every verb and the card."""

# ruff: noqa: E501 (a command reads best on one line)
from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import subprocess
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gymrecipe import cli
from gymrecipe.cli import main
from gymrecipe.command import say
from gymrecipe.experiments import card as cards
from gymrecipe.report import page, safe
from tests.experiments.conftest import rollout, save
from tests.full import often
from tests.security.conftest import PYTHON, unseen
from tests.security.payloads import HTML, TERMINAL

STYLES = re.compile(r"\x1b\[[0-9;]*m")
MANY = often(32, 8)
"""Payloads that one file of rollouts holds."""


def as_key(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'field["{escaped}"]'


def as_knob(text: str) -> str:
    """As much of it as a recipe may hold."""
    return text.replace("\0", "").replace("${", "$(")


def as_name(text: str) -> str:
    """As much of it as can be the name of a file."""
    return text.replace("/", "\u2215").replace("\0", "").replace("${", "$(")[:60]


def lines(texts: list[str]) -> Iterator[dict[str, Any]]:
    """Rollouts that have each text as prompt, answer, value, key, category, model and agent."""
    for text in [*texts, *map(as_knob, texts[:1])]:
        for number in range(4):
            yield rollout(
                text, f"{text} {number}", number / 3, category=text, error=None,
                agent_ref={"name": text}, metadata={text: number, "text": text},
                **{text: number / 2}, accuracy=1.0,
            )  # fmt: skip


def recipe(texts: list[str], name: str) -> str:
    """A recipe whose knobs, columns and expressions have the first text, but for what it may not."""
    first = as_knob(texts[0])
    text = json.dumps(
        {
            "input": name,
            "system": first,
            "columns": {"category": {"path": "category", "default": first, "regex": "(?s)(.*)"}},
            "stages": {
                "load": {"use": "load"},
                "few": {"use": "balance", "by": "category", "most": 3},
                "not_so": {"use": "filter", "where": f"category != {first + 'x'!r}"},
                "check": {"use": "validate", "purpose": "sft"},
                "write": {"use": "write", "columns": {as_key(first): "x", "category": first}},
            },
        }
    )
    pair = re.compile(r"\\u(d[89ab]..)\\u(d[c-f]..)")  # as JSON has it, and YAML has not
    return pair.sub(lambda two: ascii(json.loads(f'"{two[0]}"'))[1:-1], text)


def commands(name: str, first: str) -> list[list[str]]:
    """Everything that shows text, and the mistakes whose sentences do."""
    plain = first.replace("\0", "")
    return [
        ["+recipe=r.yaml"], ["+recipe=r.yaml", "seed=1", "dry_run=true"], ["+recipe=r.yaml", "json=true"],
        ["-m", "+recipe=r.yaml", "seed=2,3"], ["+recipe=r.yaml", "--cfg", "job"],
        ["+recipe=r.yaml", "--cfg", "job", "--resolve"], ["+recipe=r.yaml", "--help"],
        ["show", "r/v0001"], ["show", "r/v0001", "json=true"], ["versions"], ["diff", "r/v0001", "r/v0002"],
        ["explain", "r/v0001", f"{name}:1"], ["explain", "r/v0001", f"{plain}:1"], ["rejects", "r/v0001"],
        ["rejects", "r/v0001", "snippet=true"], ["verify", "r/v0001"], ["reproduce", "r/v0001"],
        ["columns", f"input={name}"], ["check", name, "format=rollouts"], ["check", name, "format=trl"],
        ["check", name, "format=trl", "json=true"], ["check", "rows.jsonl", "format=messages"],
        ["check", "rows.jsonl", "format=messages", "json=true"], ["stages"], ["stages", plain],
        ["recipes", "--config-dir=."], ["gc"], ["cache"], ["versions", plain], ["show", plain],
        ["verify", plain], ["rejects", "r/v0001", f"reason={plain}"], ["columns", f"input={plain}"],
        ["+recipe=r.yaml", f"input={plain}x"], ["+recipe=r.yaml", f"name={plain}"],
        ["+recipe=r.yaml", f"tag={plain}"], ["+recipe=r.yaml", f"reward={plain}"],
        ["+recipe=r.yaml", f"stages.not_so.where={plain}"], ["+recipe=r.yaml", f"nothing={plain}"],
        ["+recipe=r.yaml", f"+stages.{plain}.use=x"], ["+recipe=r.yaml", f"format={plain}"],
        ["+recipe=r.yaml", f"~{plain}"], [f"+recipe={plain}"], [f"--config-dir={plain}"], [plain],
        [f"--plugin={plain}", "recipes"], [f"--{plain}"], ["check", plain, "format=trl"],
        ["check", name, f"format={plain}"], ["+recipe=broken.yaml"], ["explain", "r/v0001", plain],
    ]  # fmt: skip


def prepare(folder: Path, texts: list[str]) -> str:
    name = as_name(texts[0]) + ".jsonl"
    torn = [json.dumps({"a": text}).encode() for text in texts]
    save(folder / name, [*lines(texts), *torn, texts[0].encode("utf-8", "replace") + b"{"])
    save(folder / "rows.jsonl", [{text: text, "messages": [{text: text}]} for text in texts])
    described = "".join(f"# {line}\n" for line in texts[0].replace("\0", "").split("\n"))
    (folder / "r.yaml").write_text(recipe(texts, name), encoding="utf-8")
    (folder / "described.yaml").write_text(described + "stages: {}\n", encoding="utf-8")
    (folder / "broken.yaml").write_text(f"stages: {{{texts[0]}", encoding="utf-8")
    return name


@pytest.fixture
def shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[list[str]], str]:
    """All that the commands print about rollouts with these texts."""
    monkeypatch.chdir(tmp_path)

    def run(texts: list[str]) -> str:
        name, said = prepare(tmp_path, texts), []
        codes = []
        for words in commands(name, texts[0]):
            codes.append(main([*words, *(["max_bad_rows=99"] if words[-1] == "+recipe=r.yaml" else [])]))  # fmt: skip
            found = capsys.readouterr()
            assert "Traceback" not in found.err, words
            said += [*found]
        assert codes[0] == 0, said[:3]
        return "".join(said)

    return run


def parts(texts: list[str]) -> list[list[str]]:
    """The texts in files of MANY, each in turn first, where it is in names and recipes too."""
    step = often(MANY, 1)
    twice = [*texts, *texts]
    return [twice[start : start + MANY] for start in range(0, len(texts), step)]


@pytest.mark.parametrize("texts", parts(TERMINAL), ids=lambda texts: ascii(texts[0])[:20])
def test_nothing_that_is_printed_commands_a_terminal(
    texts: list[str], shown: Callable[[list[str]], str]
) -> None:
    assert unseen(shown(texts)) == set()


def test_without_this_a_terminal_is_commanded(
    shown: Callable[[list[str]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (safe, page):
        monkeypatch.setattr(module, "safe", lambda text, most=200: str(text))
    monkeypatch.setattr(say, "safe", str)
    assert "\x1b" in unseen(shown(TERMINAL[10:18]))


@pytest.mark.parametrize("texts", parts(TERMINAL)[:: often(10, 1)], ids=lambda t: ascii(t[0])[:20])
def test_nothing_is_printed_on_a_real_terminal_but_styles_and_bars_of_ours(
    texts: list[str], tmp_path: Path
) -> None:
    name = prepare(tmp_path, texts)
    ours = re.compile(r"\x1b\[(?:[0-9;]*m|\?25[lh]|[12]?K|\d*A)|\r")
    for words in (["+recipe=r.yaml", "max_bad_rows=99"], ["columns", f"input={name}"]):
        said = on_a_terminal(tmp_path, words).replace("\r\n", "\n")
        assert "\x1b[" in said or words[0] == "columns"  # which may say that there is no such file
        assert unseen(ours.sub("", said)) == set()


def on_a_terminal(folder: Path, words: list[str]) -> str:
    control, screen = pty.openpty()
    process = subprocess.Popen(
        [*PYTHON, "-m", "gymrecipe", *words], cwd=folder, stdin=screen, stdout=screen,
        stderr=screen, env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(screen)
    said = io.BytesIO()
    with contextlib.suppress(OSError):  # which is how the end of a terminal is told
        while data := os.read(control, 2**16):
            said.write(data)
    process.wait()
    os.close(control)
    return said.getvalue().decode()


class Tags(HTMLParser):
    """Every tag, comment and declaration of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append(tag)

    handle_endtag = handle_comment = handle_decl = handle_pi = unknown_decl = (  # type: ignore[assignment]
        lambda self, text: self.found.append(text)
    )


def faults_of(text: str, plain: str) -> list[str]:
    """What of a card is marked up that is not in the card of plain text."""
    tags = Tags()
    tags.feed(text)
    faults = [f"tag {tag}" for tag in tags.found]
    faults += [f"unseen {sign!r}" for sign in unseen(text)]
    known, columns = {*plain.splitlines()}, 0
    for line in text.splitlines():
        cells = len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) if line.startswith("|") else 0
        if columns and cells not in (0, columns):
            faults.append(f"cells: {line}")
        columns = cells
        if line in known:
            continue
        prose = re.sub(r"(?<!\\)`[^`]*`", "", line)
        if re.search(r"(?<!\\)\]\(|://|www\.|@|(?<!\\)\[|(?<!\\)\$", prose):
            faults.append(f"link: {line}")
        if not line.startswith(("| ", "- ", "Training data ", "The longest record ")):
            faults.append(f"a line of its own: {line}")
    return faults


@pytest.fixture(scope="module")
def plain_card(tmp_path_factory: pytest.TempPathFactory) -> str:
    return made("plain", tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("text", HTML[:: often(8, 1)], ids=ascii)
def test_a_card_holds_no_tag_link_or_cell_of_the_data(
    text: str, plain_card: str, tmp_path: Path
) -> None:
    assert faults_of(made(text, tmp_path), plain_card) == []


def made(text: str, folder: Path) -> str:
    """The card of a version of rollouts, a recipe and a file that have the text."""
    from tests.experiments.conftest import run

    name = as_name(text) + ".jsonl"
    save(folder / name, lines([text]))
    (folder / "r.yaml").write_text(recipe([text], str(folder / name)), encoding="utf-8")
    version = run(folder, folder / "r.yaml", validation_fraction=0.0)
    assert version.path is not None
    return (version.path / "README.md").read_text()


@pytest.mark.parametrize("text", ["<script>x</script>", "http://evil.test", "| a | b | c"])
def test_without_this_a_card_is_marked_up(
    text: str, plain_card: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards, "escape", str)
    assert faults_of(made(text, tmp_path), plain_card) != []


def test_the_traceback_of_a_bug_is_text_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ValueError("\n".join(TERMINAL))
    cli._bug(ValueError, error, None)
    said = capsys.readouterr().err
    assert "ValueError" in said
    assert unseen(said) == set()


def test_lines_as_they_are_do_not_go_to_a_terminal(tmp_path: Path) -> None:
    name = prepare(tmp_path, TERMINAL[:2])
    assert "v0001" in on_a_terminal(tmp_path, ["+recipe=r.yaml", "max_bad_rows=99"])
    said = on_a_terminal(tmp_path, ["rejects", "r/v0001", "bytes=true"])
    assert "Write them to a file" in " ".join(said.split())
    assert all(len(line) <= 120 for line in said.splitlines())  # broken between words
    assert "\x1b]" not in said
    assert name
