"""The cache of scans changes how long a run takes, and no byte of what it makes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gymrecipe
from gymrecipe.cli import main
from gymrecipe.engines import local
from gymrecipe.errors import ChangedError
from gymrecipe.experiments import slices
from gymrecipe.rollouts import cache_entries, cached, table
from gymrecipe.rollouts.files import sample_path
from gymrecipe.running.reproduce import reproduce
from tests.full import often
from tests.rollouts.test_cached import forged

RECIPES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("sft_threshold", {"min_reward": 0.9}),
    ("dpo_same_prompt", {"min_gap": 0.3, "format": "trl"}),
    ("sft_multi_metric", {}),
    ("balanced", {}),
    ("aggregate", {}),
    ("dpo_task_pairs", {}),
)


@pytest.fixture(autouse=True)
def _small(every_scan_is_kept: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "SLICE_BYTES", 100_000)
    monkeypatch.setattr(slices, "SLICE_BYTES", 50_000)


@pytest.fixture
def rollouts(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_bytes(sample_path().read_bytes())
    return path


def run(folder: Path, recipe: str, path: Path, **knobs: Any) -> gymrecipe.Version:
    return gymrecipe.run(recipe, output_dir=str(folder), input=str(path), again=True, **knobs)


def made(version: gymrecipe.Version) -> dict[str, Any]:
    """The id, all bytes but those that say when and where, and what the manifest says."""
    assert version.path is not None
    record = version.manifest
    files = {
        str(file.relative_to(version.path)): file.read_bytes()
        for file in version.path.rglob("*")
        if file.is_file() and file.name not in ("manifest.json", "README.md", "recipe.yaml")
    }
    said = (record.id, record.lines, record.stages, record.statistics, record.warnings)
    inputs = [(each.bytes, each.lines, each.digest) for each in record.inputs]
    return {**files, "manifest": (said[:2], str(said), inputs)}


def no_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever scans from now on fails."""

    def scan(job: Any) -> Any:
        raise AssertionError(f"scanned {job.source.name}")

    for module in (table, cached):
        monkeypatch.setattr(module, "scan", scan)


@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_workers_with_or_without_a_cache_makes_the_same_bytes(
    rollouts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    plain = made(run(tmp_path / "plain", *RECIPES[1][:1], rollouts, cache=False, **RECIPES[1][1]))
    monkeypatch.setattr(local, "WORTH_BYTES", 0)
    for _ in range(2):
        knobs = {"engine.workers": workers, **RECIPES[1][1]}
        assert made(run(tmp_path / "kept", RECIPES[1][0], rollouts, **knobs)) == plain


def test_a_cache_made_by_other_recipes_gives_the_same_bytes(
    rollouts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = RECIPES[:: often(2, 1)]
    plain = [
        made(run(tmp_path / "plain", recipe, rollouts, cache=False, **knobs))
        for recipe, knobs in recipes
    ]
    for number in range(2):
        if number:
            no_scan(monkeypatch)
        for (recipe, knobs), expected in zip(recipes, plain, strict=True):
            assert made(run(tmp_path / "kept", recipe, rollouts, **knobs)) == expected, recipe


def test_another_threshold_strategy_or_format_scans_nothing(
    rollouts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "kept", "dpo_same_prompt", rollouts)
    no_scan(monkeypatch)
    others: tuple[dict[str, Any], ...] = (
        {"min_gap": 0.5},
        {"stages.pair.strategy": "best_vs_worst"},
        {"format": "trl"},
        {"seed": 3, "validation_fraction": 0.2, "order": "shuffled"},
        {"max_bad_rows": 5},
    )
    for knobs in others:
        record = run(tmp_path / "kept", "dpo_same_prompt", rollouts, **knobs).manifest
        assert [each.digest_from for each in record.inputs] == ["cache"]


def test_a_sweep_scans_once(
    rollouts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans: list[str] = []
    scan = table.scan
    monkeypatch.setattr(table, "scan", lambda job: scans.append(job.start) or scan(job))
    words = ["-m", "+recipe=dpo_same_prompt", f"input={rollouts}", f"output_dir={tmp_path / 'e'}"]
    assert main([*words, "min_gap=0.1,0.2,0.3"]) == 0
    assert len(scans) == len(set(scans))


def test_after_growth_the_bytes_are_those_of_the_grown_file(
    rollouts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rollouts.read_bytes()
    rollouts.write_bytes(whole[: len(whole) * 2 // 3])
    run(tmp_path / "kept", "dpo_same_prompt", rollouts)
    with rollouts.open("ab") as file:
        file.write(whole[len(whole) * 2 // 3 :])
    starts: list[int] = []
    scan: Callable[[Any], Any] = table.scan
    monkeypatch.setattr(table, "scan", lambda job: starts.append(job.start) or scan(job))
    grown = run(tmp_path / "kept", "dpo_same_prompt", rollouts)
    assert starts[0] == len(whole) * 2 // 3 // 100_000 * 100_000
    assert [each.digest_from for each in grown.manifest.inputs] == ["file"]
    assert made(grown) == made(run(tmp_path / "plain", "dpo_same_prompt", rollouts, cache=False))


@pytest.mark.parametrize("workers", [1, 3])
def test_a_grown_file_kept_by_another_recipe_gives_the_same_bytes_with_any_number_of_workers(
    rollouts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    whole = rollouts.read_bytes()
    plain = made(run(tmp_path / "plain", "dpo_same_prompt", rollouts, cache=False))
    monkeypatch.setattr(local, "WORTH_BYTES", 0)
    rollouts.write_bytes(whole[: len(whole) * 2 // 3])
    run(tmp_path / "kept", "sft_multi_metric", rollouts, **{"engine.workers": workers})
    with rollouts.open("ab") as file:
        file.write(whole[len(whole) * 2 // 3 :])
    for number in range(2):
        version = run(tmp_path / "kept", "dpo_same_prompt", rollouts, **{"engine.workers": workers})
        assert made(version) == plain
        assert version.manifest.inputs[0].digest_from == ("cache" if number else "file")


def test_reproduce_reads_the_inputs_and_not_the_cache(
    rollouts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "kept", "dpo_same_prompt", rollouts)
    version = run(tmp_path / "kept", "dpo_same_prompt", rollouts)
    assert version.path is not None
    assert version.manifest.inputs[0].digest_from == "cache"
    assert reproduce(version.path).files
    no_scan(monkeypatch)
    with pytest.raises(AssertionError, match="scanned"):
        reproduce(version.path)


def test_a_row_that_is_not_what_the_cache_says_is_never_written(
    rollouts: Path, tmp_path: Path
) -> None:
    from msgspec.structs import replace

    run(tmp_path / "kept", "dpo_same_prompt", rollouts)
    (place,) = (tmp_path / "kept" / ".gymrecipe").glob("*.table")
    data = rollouts.read_bytes()
    with rollouts.open("r+b") as file:  # the same length, so every offset still fits
        file.write(data.replace(b'"role":', b'"rolE":').replace(b'"role": ', b'"rolE": '))
    status = rollouts.stat()
    stamp = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
    forged(place, replace(cache_entries.read(place), stamp=stamp))
    with pytest.raises(ChangedError, match="not what it was"):
        run(tmp_path / "kept", "dpo_same_prompt", rollouts)
    assert len(list((tmp_path / "kept" / "dpo_same_prompt").glob("v*"))) == 2  # and the ledger


def test_cache_dir_says_where_and_cache_whether(rollouts: Path, tmp_path: Path) -> None:
    run(tmp_path / "e", "sft_threshold", rollouts, cache=False)
    assert not (tmp_path / "e" / ".gymrecipe").exists()
    run(tmp_path / "e", "sft_threshold", rollouts, cache_dir=str(tmp_path / "c"))
    assert not (tmp_path / "e" / ".gymrecipe").exists()
    assert len(list((tmp_path / "c").glob("*.table"))) == 1
    run(tmp_path / "e", "sft_threshold", rollouts)
    assert len(list((tmp_path / "e" / ".gymrecipe").glob("*.table"))) == 1


def test_the_cache_is_no_part_of_the_id(rollouts: Path, tmp_path: Path) -> None:
    ids = {
        run(tmp_path / "e", "sft_threshold", rollouts, **knobs).manifest.id
        for knobs in ({}, {"cache": False}, {"cache_dir": str(tmp_path / "c")})
    }
    assert len(ids) == 1


def test_the_folder_of_the_cache_is_no_recipe(
    rollouts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "e", "sft_threshold", rollouts)
    for verb in ("versions", "gc"):
        assert main([verb, f"output_dir={tmp_path / 'e'}"]) == 0
    assert ".gymrecipe" not in capsys.readouterr().out
    assert (tmp_path / "e" / ".gymrecipe" / ".gitignore").read_text() == "*\n"


def test_the_verb_shows_and_clears(
    rollouts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "e", "sft_threshold", rollouts)
    words = ["cache", f"output_dir={tmp_path / 'e'}"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert str(rollouts) in shown
    assert "up to date" in shown
    lines = len(rollouts.read_bytes().splitlines())
    assert f" {lines} " in shown
    assert main([*words, "clear=true"]) == 0
    assert capsys.readouterr().out.count("1 file ") == 1
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "nothing is kept" in said.err
    assert main(["cache", f"cache_dir={tmp_path / 'e' / '.gymrecipe'}"]) == 0


def test_a_dry_run_and_one_that_fails_keep_what_they_scanned(
    rollouts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["+recipe=sft_threshold", f"input={rollouts}", f"output_dir={tmp_path / 'e'}"]
    assert main([*words, "min_reward=1000000"]) == 3
    no_scan(monkeypatch)
    assert main([*words, "dry_run=true"]) == 0
    assert os.listdir(tmp_path / "e") == [".gymrecipe"]
