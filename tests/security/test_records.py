"""Names with line breaks stay within their record: a line of the ledger, of a log, of a listing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gymrecipe.cli import main
from gymrecipe.report import page
from tests.experiments.conftest import rollout, save
from tests.full import often

BREAKS = [
    "\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029",
]  # fmt: skip
FORGED = '{"version": "v9999", "id": "forged"}'
FORMULAS = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://evil.test")',
    "=cmd|' /C'!A0", "+cmd|' /C'!A0", "-2+3+cmd|' /C'!A0", '@IMPORTXML("a","b")', "\n=1",
]  # fmt: skip
RECIPE = """
columns: {category: {path: [category, f.x]}}
stages:
  load: {use: load}
  few: {use: balance, by: category, most: 3}
  write: {use: write, columns: [category]}
"""


def lines(text: str) -> list[dict[str, Any]]:
    return [
        rollout(text, f"{text} {n}", n / 3, **{text: 1.0, "category": text, "model": text})
        for n in range(4)
    ]


def everything_shown(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    said = []
    for words in (["+recipe=r.yaml"], ["show", "r"], ["versions"], ["columns", f"input={name}"],
                  ["explain", "r", f"{name}:1"], ["rejects", "r", "snippet=true"],
                  ["+recipe=r.yaml", "min=1"], ["check", name, "format=rollouts"]):  # fmt: skip
        main(words)
        said += list(capsys.readouterr())
    return "".join(said)


@pytest.mark.parametrize("sign", BREAKS[:: often(2, 1)], ids=ascii)
def test_a_name_with_a_line_break_forges_no_record(
    sign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"a{sign}{FORGED}{sign}gymrecipe: forged.jsonl"
    save(tmp_path / name, lines(name))
    (tmp_path / "r.yaml").write_text(f"input: {json.dumps(name)}\n{RECIPE}")
    shown = everything_shown(name, capsys)
    assert "forged" in shown
    assert not [line for line in shown.splitlines() if line.startswith(("gymrecipe: fo", FORGED))]
    ledger = (tmp_path / "experiments/r/versions.jsonl").read_bytes()
    assert [json.loads(line)["version"] for line in ledger.split(b"\n")[:-1]] == ["v0001"]


def test_without_this_a_record_is_forged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(page, "safe", lambda text, most=200: str(text))
    name = f"a\n{FORGED}\n.jsonl"
    save(tmp_path / name, lines(name))
    (tmp_path / "r.yaml").write_text(f"input: {json.dumps(name)}\n{RECIPE}")
    shown = everything_shown(name, capsys)
    assert [line for line in shown.splitlines() if line.startswith(FORGED)]


def test_formulas_are_in_no_file_that_a_spreadsheet_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.jsonl", [line for text in FORMULAS for line in lines(text)])
    assert main(["+recipe=sft_threshold", "input=a.jsonl", "min_reward=0"]) == 0
    files = [path for path in (tmp_path / "experiments").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".jsonl", ".parquet", ".md", ".yaml"}
    rows = (tmp_path / "experiments/sft_threshold/v0001/data/train.jsonl").read_bytes()
    prompts = {json.loads(row)["messages"][0]["content"] for row in rows.splitlines()}
    assert prompts == {*FORMULAS}  # as they were: it is JSON, which no cell evaluates
