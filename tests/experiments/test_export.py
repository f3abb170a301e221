"""A copy of the data at a path that the user names."""

import os
from pathlib import Path
from typing import Any

import pytest

import gymrecipe
from gymrecipe.errors import DataError, MachineError, RecipeError
from gymrecipe.experiments import disk
from tests.experiments.conftest import graded, run, save


@pytest.fixture
def source(tmp_path: Path) -> str:
    return str(save(tmp_path / "a.jsonl", graded(20, 2)))


def exported(folder: Path, source: str, **knobs: Any) -> gymrecipe.Version:
    return run(folder, input=source, output_jsonl_fpath=str(folder / "out.jsonl"), **knobs)


def test_the_train_file_is_copied_and_the_validation_file_beside_it(
    source: str, tmp_path: Path
) -> None:
    version = exported(tmp_path, source, validation_fraction=0.3)
    assert version.path is not None
    for name, copy in (("train", "out"), ("validation", "out_validation")):
        data = (version.path / f"data/{name}.jsonl").read_bytes()
        assert (tmp_path / f"{copy}.jsonl").read_bytes() == data
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"a.jsonl", "experiments", "out.jsonl", "out_validation.jsonl"}


def test_one_of_ours_is_overwritten_by_rename(source: str, tmp_path: Path) -> None:
    exported(tmp_path, source)
    with (tmp_path / "out.jsonl").open("rb") as reading:
        before = reading.read(10)
        exported(tmp_path, source, order="shuffled")
        assert (
            before + reading.read()
            == (tmp_path / "experiments/dpo_same_prompt/v0001/data/train.jsonl").read_bytes()
        )
    second = tmp_path / "experiments/dpo_same_prompt/v0002/data/train.jsonl"
    assert (tmp_path / "out.jsonl").read_bytes() == second.read_bytes()


def test_a_version_that_exists_is_copied_too(source: str, tmp_path: Path) -> None:
    run(tmp_path, input=source)
    assert exported(tmp_path, source).existed
    assert (tmp_path / "out.jsonl").is_file()


def test_a_version_whose_file_somebody_took_is_told_as_that(source: str, tmp_path: Path) -> None:
    version = run(tmp_path, input=source)
    assert version.path is not None
    train = version.path / "data/train.jsonl"
    train.unlink()
    with pytest.raises(DataError, match=r"out.jsonl: nothing to copy, for .*train.jsonl is gone"):
        exported(tmp_path, source)
    (tmp_path / "private").write_text("canary\n")
    train.symlink_to(tmp_path / "private")
    with pytest.raises(DataError, match=r"out.jsonl: nothing to copy, for .*train.jsonl is gone"):
        exported(tmp_path, source)
    assert not (tmp_path / "out.jsonl").exists()


def test_a_manifest_of_somebody_else_copies_nothing_from_elsewhere(
    source: str, tmp_path: Path
) -> None:
    version = run(tmp_path, input=source)
    assert version.path is not None
    (tmp_path / "train.jsonl").write_text("canary\n")
    written = version.path / "manifest.json"
    for path in (str(tmp_path / "train.jsonl"), "data/../../../../train.jsonl"):
        written.write_text(written.read_text().replace('"data/train.jsonl"', f'"{path}"'))
        exported(tmp_path, source)
        assert not (tmp_path / "out.jsonl").exists()
        written.write_text(written.read_text().replace(f'"{path}"', '"data/train.jsonl"'))


def test_a_validation_file_of_an_earlier_version_does_not_stay(source: str, tmp_path: Path) -> None:
    exported(tmp_path, source, validation_fraction=0.3)
    exported(tmp_path, source)
    assert (tmp_path / "out.jsonl").is_file()
    assert not (tmp_path / "out_validation.jsonl").exists()


@pytest.mark.parametrize("name", ["out.jsonl", "out_validation.jsonl"])
@pytest.mark.parametrize("content", [b"mine\n", b""])
def test_a_file_of_somebody_else_is_refused_before_anything_is_read(
    name: str, content: bytes, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes(content)
    monkeypatch.setattr("gymrecipe.running.executor.read", lambda *_: pytest.fail("it was read"))
    with pytest.raises(RecipeError, match=f"{name} exists and is no output of .*Move it away"):
        exported(tmp_path, source)
    assert (tmp_path / name).read_bytes() == content
    assert not (tmp_path / "experiments").exists()


RAW = {"min_reward": 0.0, "format": "raw"}


@pytest.mark.parametrize("name", ["o.jsonl", "o_validation.jsonl"])
def test_an_input_is_never_overwritten_nor_taken_away(name: str, tmp_path: Path) -> None:
    copy = str(tmp_path / "o.jsonl")
    source = str(save(tmp_path / "a.jsonl", graded(20, 2)))
    knobs = {**RAW, "validation_fraction": 0.5}
    run(tmp_path, "sft_threshold", input=source, output_jsonl_fpath=copy, **knobs)
    before = (tmp_path / name).read_bytes()
    (tmp_path / "link.jsonl").symlink_to(name)
    os.link(tmp_path / name, tmp_path / "same.jsonl")
    for given in (name, "link.jsonl", "same.jsonl"):
        with pytest.raises(
            RecipeError, match=rf"{name} would be written to, but the input .*{given}"
        ):
            run(
                tmp_path,
                "sft_threshold",
                input=str(tmp_path / given),
                output_jsonl_fpath=copy,
                **RAW,
            )
    assert (tmp_path / name).read_bytes() == before


def test_a_copy_that_a_pattern_finds_among_the_inputs_is_refused(
    source: str, tmp_path: Path
) -> None:
    knobs = {**RAW, "output_jsonl_fpath": str(tmp_path / "out.jsonl")}
    run(tmp_path, "sft_threshold", input=source, **knobs)
    with pytest.raises(RecipeError, match=r"but the input .*out.jsonl is that file"):
        run(tmp_path, "sft_threshold", input=str(tmp_path / "*.jsonl"), **knobs)


def test_a_link_to_nowhere_is_refused(source: str, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").symlink_to("nowhere")
    with pytest.raises(RecipeError, match="exists and is no output"):
        exported(tmp_path, source)


@pytest.mark.parametrize("inside", ["v0001/data/train.jsonl", "x.jsonl", "v0001/extra.jsonl"])
def test_a_path_among_the_versions_is_refused(inside: str, source: str, tmp_path: Path) -> None:
    version = run(tmp_path, input=source)
    assert version.path is not None
    path = version.path.parent / inside
    with pytest.raises(RecipeError, match="among the versions, which are never changed"):
        run(tmp_path, input=source, order="shuffled", output_jsonl_fpath=str(path))


def test_an_unreadable_manifest_of_another_version_does_not_matter(
    source: str, tmp_path: Path
) -> None:
    exported(tmp_path, source)
    folder = tmp_path / "experiments/dpo_same_prompt/v0002"
    folder.mkdir()
    (folder / "manifest.json").write_text("{")
    exported(tmp_path, source, order="shuffled")


@pytest.mark.parametrize("knobs", [{"shard_rows": 3}, {"file": "parquet"}])
def test_it_takes_one_unsharded_jsonl(knobs: dict[str, Any], source: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="output_jsonl_fpath: needs a recipe with one write"):
        exported(tmp_path, source, **knobs)


def test_a_copy_that_fails_leaves_what_was_there(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(tmp_path, source)
    before = (tmp_path / "out.jsonl").read_bytes()

    def full(path: Path) -> None:
        raise OSError(28, os.strerror(28))

    run(tmp_path, input=source, order="shuffled")
    monkeypatch.setattr(disk, "sync", full)
    with pytest.raises(MachineError, match=r"out.jsonl: cannot be written: No space left"):
        exported(tmp_path, source, order="shuffled")
    assert (tmp_path / "out.jsonl").read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
