"""Golden folders: tests/golden/<case>/ holds overrides, rollouts and what has to come of them.

`make golden` writes `expected/` anew; the difference is reviewed like code.
"""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

import gymrecipe

CASES = sorted(path for path in (Path(__file__).parent / "golden").iterdir() if path.is_dir())


def made(case: Path, folder: Path) -> dict[str, bytes]:
    """The data files of a case, where each line that is not used ended, and the counts."""
    settings = json.loads((case / "run.json").read_text())
    recipe = settings.pop("recipe")
    path = str(case / recipe) if recipe.endswith(".yaml") else recipe
    version = gymrecipe.run(
        path, input=str(case / "rollouts.jsonl"), output_dir=str(folder), **settings
    )
    assert version.path is not None
    files = {
        str(file.relative_to(version.path)): file.read_bytes()
        for file in sorted((version.path / "data").rglob("*.jsonl"))
    }
    rejects = pl.read_parquet(version.path / "rejects.parquet")
    lines = [
        json.dumps({name: row[name] for name in ("line", "stage", "reason")})
        for row in rejects.iter_rows(named=True)
    ]
    files["rejects.jsonl"] = "".join(f"{line}\n" for line in lines).encode()
    counts = [
        {"stage": s.name, "in": s.rows_in, "out": s.rows_out, "rejected": s.rejected}
        for s in version.manifest.stages
    ]
    files["counts.json"] = (json.dumps(counts, indent=1) + "\n").encode()
    return files


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_golden_case_comes_out_byte_for_byte(
    case: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    files = made(case, tmp_path)
    expected = case / "expected"
    if request.config.getoption("--update-golden"):
        shutil.rmtree(expected, ignore_errors=True)
        for name, data in files.items():
            (expected / name).parent.mkdir(parents=True, exist_ok=True)
            (expected / name).write_bytes(data)
    there = {
        str(file.relative_to(expected)): file.read_bytes()
        for file in expected.rglob("*")
        if file.is_file()
    }
    assert files == there


def test_there_are_golden_cases() -> None:
    assert len(CASES) >= 5
