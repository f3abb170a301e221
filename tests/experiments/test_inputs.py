"""Which files a version may be made from."""

from pathlib import Path

import pytest

from gymrecipe.errors import InputError
from gymrecipe.experiments.inputs import short_names
from tests.experiments.conftest import graded, run, save


def test_a_pattern_does_not_take_the_data_of_versions_for_rollouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.jsonl", graded())
    knobs = {"min_reward": 0.0, "format": "raw"}
    run(Path(), "sft_threshold", input="**/*.jsonl", **knobs)
    data = "experiments/sft_threshold/v0001/data/train.jsonl"
    for pattern in ("experiments/*/v*/data/*.jsonl", f"{tmp_path}/*/*/v0001/**/*.jsonl"):
        with pytest.raises(InputError, match=rf"{data}: made by gymrecipe, .* the version v0001"):
            run(Path(), "sft_threshold", input=pattern, **knobs)
    with pytest.raises(InputError):  # by way of `latest` too, so that they are named twice
        run(Path(), "sft_threshold", input="**/*.jsonl", **knobs)
    assert run(Path(), "sft_threshold", input=data, **knobs).manifest.lines.used == 20


def test_rollouts_beside_versions_are_read(tmp_path: Path) -> None:
    save(tmp_path / "experiments" / "mine" / "vote" / "a.jsonl", graded())
    pattern = str(tmp_path / "experiments" / "**" / "a.jsonl")
    assert run(tmp_path, input=pattern).manifest.lines.read == 20


def test_an_input_is_called_by_as_many_folders_as_tell_it_apart(tmp_path: Path) -> None:
    names = ("a/x/r.jsonl", "b/x/r.jsonl", "b/s.jsonl")
    files = [str(save(tmp_path / name, graded(2))) for name in names]
    version = run(tmp_path, input=files)
    assert short_names(version.manifest.inputs) == ["a/x/r.jsonl", "b/x/r.jsonl", "s.jsonl"]
    assert version.path is not None
    card = (version.path / "README.md").read_text()
    assert "| a/x/r.jsonl |" in card
    assert "| s.jsonl |" in card
