"""Bad input: each file of the corpus through a real run and through `check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import gymrecipe
from gymrecipe import cli
from gymrecipe.check import check
from gymrecipe.experiments import rejects
from gymrecipe.rollouts.bad_reasons import BAD_LINE
from tests.corpus.cases import BOM, CASES, REFUSED, Case, Fate, Refused, line
from tests.faults.conftest import figure
from tests.full import often

RECIPE = """
stages:
  load: {use: load, input: "${input}"}
  write:
    use: write
    purpose: sft
    format: custom
    columns: {source: source, line: line, reward: reward, answer: answer, messages: messages,
              metadata.category: category}
"""

UNASKED = "column_twice.jsonl"
"""A line that is bad only because the recipe asks for a column; `check` asks for none."""

Fates = dict[tuple[str, int], Fate]


def run(folder: Path, names: list[str]) -> gymrecipe.Version:
    recipe = folder / "all_lines.yaml"
    recipe.write_text(RECIPE)
    paths = [str(folder / name) for name in names]
    return gymrecipe.run(
        str(recipe), input=paths, output_dir=str(folder / "out"), max_bad_rows="100%"
    )


@pytest.fixture(scope="module")
def fates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Fates]:
    """What became of each line of all the files that a run reads, and where they are."""
    folder = tmp_path_factory.mktemp("corpus")
    for case in CASES:
        (folder / case.name).write_bytes(case.data)
    version = run(folder, [case.name for case in CASES])
    assert version.path is not None
    found: Fates = {}
    for row in rejects.rejects(version.path):
        name = Path(row.source).name
        found[name, row.line] = Fate(row.stage, row.reason)
        if "pack" not in name and not name.endswith((".gz", ".zst")):
            data = (folder / name).read_bytes()
            told = data[row.offset : row.offset + row.bytes]
            assert told == data.split(b"\n")[row.line - 1].removeprefix(
                BOM if row.line == 1 else b""
            )
    for text in (version.path / "data" / "train.jsonl").read_bytes().splitlines():
        record = json.loads(text)
        place = CASES[record["source"]].name, record["line"]
        assert place not in found
        found[place] = Fate(values=record | {"arguments": arguments(record["messages"])})
    counts = version.manifest.lines
    assert counts.read == counts.used + counts.rejected == len(found)
    return folder, found


def arguments(messages: list[dict[str, Any]]) -> Any:
    """Those of the first call."""
    calls = [call for message in messages for call in message.get("tool_calls", ())]
    return calls[0]["function"]["arguments"] if calls else None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_line_of_the_corpus_has_its_fate(case: Case, fates: tuple[Path, Fates]) -> None:
    _, found = fates
    lines = [number for name, number in found if name == case.name]
    assert sorted(lines) == list(range(1, len(case.fates) + 1))
    for number, fate in enumerate(case.fates, 1):
        seen = found[case.name, number]
        if fate.reason == "*":
            assert seen.stage == "load", number
            continue
        assert (seen.stage, seen.reason) == (fate.stage, fate.reason), number
        assert {name: seen.values[name] for name in fate.values} == fate.values


@pytest.mark.parametrize("case", CASES[:: often(2, 1)], ids=lambda case: case.name)
def test_check_says_what_a_run_does_with_each_line(case: Case, fates: tuple[Path, Fates]) -> None:
    folder, found = fates
    told: dict[int, list[str]] = {}
    for finding in check(str(folder / case.name), "rollouts").findings:
        told.setdefault(finding.line, []).append(f"{finding.level}: {finding.what}")
    for number in range(1, len(case.fates) + 1):
        seen, said = found[case.name, number], told.get(number, [])
        if case.name == UNASKED:
            assert not any(text.startswith("error") for text in said)
        elif seen.stage == "load":
            level = "warning" if seen.reason == "blank" else "error"
            assert said == [f"{level}: {seen.reason}: {BAD_LINE[seen.reason]}"]
        elif seen.stage:
            assert any(f"'write' rejects it as {seen.reason}:" in text for text in said)
        else:
            assert not any(text.startswith("error") or "rejects" in text for text in said)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_a_file_that_cannot_be_read_to_its_end_ends_the_run(
    case: Refused, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / case.name).write_bytes(case.data)
    words = ["+recipe=sft_threshold", f"input={tmp_path / case.name}", f"output_dir={tmp_path}/out"]
    code = cli.main(words)
    (sentence,) = [text for text in capsys.readouterr().err.splitlines() if case.name in text]
    assert code == case.code
    assert case.said in sentence
    assert not (tmp_path / "out").exists()


def test_every_reason_of_a_bad_line_is_in_the_corpus() -> None:
    reasons = {fate.reason for case in CASES for fate in case.fates if fate.stage == "load"}
    # A line of 64 MiB is made in tests/faults/test_bounds.py.
    assert {*BAD_LINE} - {"line_too_long"} <= reasons


def test_an_over_long_line_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gymrecipe.rollouts.files.MAX_LINE_BYTES", 1_000)
    good = line(more=b', "metadata": {"category": "a"}')
    (tmp_path / "a.jsonl").write_bytes(b"\n".join((good, b"x" * 1_001, good, b"")))
    version = run(tmp_path, ["a.jsonl"])
    assert version.path is not None
    (row,) = rejects.rejects(version.path)
    assert (row.line, row.bytes, row.stage, row.reason) == (2, 1_001, "load", "line_too_long")


def test_there_are_as_many_files_as_the_manual_says() -> None:
    files = [*CASES, *REFUSED]
    assert len({case.name for case in files}) == len(files)
    figure("bad input", "files of the corpus", len(files), "every line its fate")
    assert f"{len(files)} files" in Path("docs/guarantees.md").read_text()
