"""A version made again from its manifest, and compared byte by byte."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gymrecipe
from gymrecipe.errors import ChangedError, DataError, ToolsError
from gymrecipe.recipe.finding import recipes
from gymrecipe.registry import FORMATS
from gymrecipe.running.reproduce import Reproduced, reproduce
from tests.experiments.conftest import graded, rollout, run, save
from tests.full import often


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.jsonl", [*graded(), b"no json"])
    return tmp_path


def path(version: gymrecipe.Version) -> Path:
    assert version.path is not None
    return version.path


def edit(version: Path, change: dict[str, Any]) -> None:
    file = version / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))


@pytest.mark.parametrize("name", sorted(recipes())[:: often(3, 1)])
def test_every_recipe_is_reproduced_on_the_sample(
    name: str, of_the_sample: Callable[[str], gymrecipe.Version]
) -> None:
    version = of_the_sample(name)
    again = reproduce(path(version))
    files = [
        path(version) / output.path
        for output in version.manifest.outputs
        if output.path not in ("README.md", "recipe.yaml")
    ]
    assert again == Reproduced(
        str(version.path), len(files), sum(file.stat().st_size for file in files)
    )


@pytest.mark.parametrize(
    "knobs",
    [
        {"file": "parquet", "format": "messages"},
        {"shard_rows": 2, "validation_fraction": 0.4, "order": "shuffled", "seed": 7},
        {"limit": 12},
        {"limit_tasks": 3},
        {"stages.usable.min_reward": "p30"},
        {"columns": {"first": {"path": "messages.0.content", "regex": r"prompt (\d)"}},
         "stages.usable.where": "first != '2'"},
        {"group_by": "consecutive", "num_repeats": 4, "stages.pair.min_gap": 0.0},
        {"group_by": "response", "strategy": "tiers"},
        {"name": "other-name", "format": "raw"},
    ],
)  # fmt: skip
def test_what_a_knob_did_is_done_again(knobs: dict[str, Any], folder: Path) -> None:
    rows = [rollout(f"prompt {n // 4}", f"answer {n}", n % 4 / 3) for n in range(24)]
    save(folder / "a.jsonl", rows)
    try:
        version = run(folder, input="a.jsonl", **knobs)
    except DataError:
        assert knobs.get("group_by") == "response"  # no answer is given twice
        return
    reproduce(path(version))


def test_it_works_from_another_folder_and_after_the_version_moved(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = path(run(folder, input="a.jsonl")).resolve()
    (folder / "else").mkdir()
    moved = folder / "else" / version.name
    shutil.copytree(version, moved)
    monkeypatch.chdir(folder / "else")
    reproduce(moved)
    # A file of the same name in this folder is not the one that was read.
    save(folder / "else/a.jsonl", graded(2))
    reproduce(moved)


def test_the_inputs_may_have_come_along_to_another_machine(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(folder / "old/a.jsonl", graded())
    monkeypatch.chdir(folder / "old")
    version = path(run(folder, input="a.jsonl"))
    (folder / "old").rename(folder / "new")
    monkeypatch.chdir(folder / "new")
    reproduce(version)


def test_an_input_that_is_gone_or_changed_is_named(folder: Path) -> None:
    version = path(run(folder, input="a.jsonl"))
    lines = (folder / "a.jsonl").read_bytes()
    (folder / "a.jsonl").write_bytes(lines.replace(b"answer 0 0", b"answer 0 9"))
    with pytest.raises(ChangedError, match=r"a\.jsonl: not what it was when .*v0001 was made"):
        reproduce(version)
    (folder / "a.jsonl").write_bytes(lines[:-30])
    with pytest.raises(ChangedError, match=r"a\.jsonl: not what it was"):
        reproduce(version)
    (folder / "a.jsonl").unlink()
    with pytest.raises(ChangedError, match=r"a\.jsonl: gone"):
        reproduce(version)
    (folder / "a.jsonl").mkdir()
    with pytest.raises(ChangedError, match=r"a\.jsonl: gone, or not readable"):
        reproduce(version)


TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}{% endfor %}"


def test_a_chat_template_is_found_from_another_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "t.jinja").write_text(TEMPLATE)
    version = path(run(folder, input="a.jsonl", format="rendered", chat_template="t.jinja"))
    (folder / "else").mkdir()
    monkeypatch.chdir(folder / "else")
    reproduce(version)


def test_what_a_chat_template_was_given_is_given_again(folder: Path) -> None:
    (folder / "t.jinja").write_text(TEMPLATE + "{{ day if add_generation_prompt is false }}")
    knobs: dict[str, Any] = {"input": "a.jsonl", "format": "rendered", "chat_template": "t.jinja"}
    version = run(folder, **knobs, chat_template_kwargs={"day": ["b", {"b": 1, "a": None}]})
    assert b"['b', {'b': 1, 'a': None}]" in next(path(version).glob("data/*")).read_bytes()
    reproduce(path(version))
    other = run(folder, **knobs, chat_template_kwargs={"day": ["b", {"a": None, "b": 1}]})
    assert other.manifest.id != version.manifest.id
    assert run(folder, **knobs).manifest.id not in (version.manifest.id, other.manifest.id)


def test_a_chat_template_that_is_gone_or_changed_is_a_changed_input(folder: Path) -> None:
    (folder / "t.jinja").write_text(TEMPLATE)
    version = path(run(folder, input="a.jsonl", format="rendered", chat_template="t.jinja"))
    (folder / "t.jinja").write_text(TEMPLATE.replace(":", " -"))
    with pytest.raises(ChangedError, match=r"t\.jinja: not what it was when .*v0001 was made"):
        reproduce(version)
    (folder / "t.jinja").unlink()
    with pytest.raises(ChangedError, match=r"t\.jinja: gone"):
        reproduce(version)


@pytest.mark.parametrize("limit", [None, 12])
def test_an_input_that_has_grown_is_read_as_far_as_then(limit: int | None, folder: Path) -> None:
    version = path(run(folder, input="a.jsonl", limit=limit))
    with (folder / "a.jsonl").open("ab") as file:
        file.write(json.dumps(rollout("prompt 0", "better", 9.0)).encode() + b"\n")
    reproduce(version)


@pytest.mark.parametrize("limit", [None, 12])
def test_a_compressed_input_is_read_again(limit: int | None, folder: Path) -> None:
    (folder / "a.jsonl.gz").write_bytes(gzip.compress((folder / "a.jsonl").read_bytes()))
    reproduce(path(run(folder, input="a.jsonl.gz", limit=limit)))


def test_the_first_difference_is_shown_with_its_line(folder: Path) -> None:
    version = path(run(folder, input="a.jsonl"))
    data = version / "data/train.jsonl"
    lines = data.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"answer', b'"tamper')
    data.write_bytes(b"".join(lines))
    with pytest.raises(
        DataError, match=r"train.jsonl:4: not the same when made again. Then: .* Now: \{.prompt"
    ):
        reproduce(version)


@pytest.mark.parametrize("change", ["shorter", "longer", "missing", "empty"])
def test_a_file_that_lost_or_gained_lines_is_a_difference(change: str, folder: Path) -> None:
    version = path(run(folder, input="a.jsonl"))
    data = version / "data/train.jsonl"
    whole = data.read_bytes()
    if change == "missing":
        data.unlink()
    else:
        cut = whole[: whole.rindex(b"\n", 0, -1) + 1]
        data.write_bytes({"shorter": cut, "longer": whole + b"x\n", "empty": b""}[change])
    shown = {"shorter": "Then: nothing", "longer": "Now: nothing", "missing": "is missing",
             "empty": "train.jsonl:1: .*Then: nothing"}  # fmt: skip
    with pytest.raises(DataError, match=shown[change]):
        reproduce(version)


@pytest.mark.parametrize("name", ["rejects.parquet", "used.parquet"])
def test_the_records_are_compared_too(name: str, folder: Path) -> None:
    version = path(run(folder, input="a.jsonl"))
    data = (version / name).read_bytes()
    (version / name).write_bytes(data[:60] + bytes([data[60] ^ 1]) + data[61:])
    with pytest.raises(DataError, match=rf"{name}:\d+: not the same when made again\.$"):
        reproduce(version)


def test_a_file_that_the_manifest_does_not_know_is_a_difference(folder: Path) -> None:
    version = path(run(folder, input="a.jsonl", validation_fraction=0.6))
    outputs = json.loads((version / "manifest.json").read_text())["outputs"]
    edit(version, {"outputs": [o for o in outputs if "validation" not in o["path"]]})
    with pytest.raises(DataError, match=r"validation.jsonl was made, which the version does not"):
        reproduce(version)


def test_another_format_or_plugin_is_another_tool(folder: Path) -> None:
    version = path(run(folder, input="a.jsonl"))
    record = json.loads((version / "manifest.json").read_text())
    assert record["stages"][-1]["format_version"] == FORMATS["trl"].version
    assert "format_version" not in record["stages"][0]
    record["stages"][-1]["format_version"] = 99
    edit(version, {"stages": record["stages"], "plugins": {"mine": "ab" * 32}})
    with pytest.raises(
        ToolsError, match=r"plugin mine abababababab, here none; format 'trl' version 99, here \d"
    ):
        reproduce(version)
    reproduce(version, any_tools=True)


def test_a_manifest_that_does_not_say_its_formats_version_is_read(folder: Path) -> None:
    version = path(run(folder, input="a.jsonl"))
    record = json.loads((version / "manifest.json").read_text())
    del record["stages"][-1]["format_version"]
    del record["plugins"]
    (version / "manifest.json").write_text(json.dumps(record))
    reproduce(version)


def test_a_manifest_without_its_first_stage_is_one_sentence(folder: Path) -> None:
    version = path(run(folder, input="a.jsonl"))
    for stages in ([], json.loads((version / "manifest.json").read_text())["stages"][1:]):
        edit(version, {"stages": stages})
        with pytest.raises(DataError, match="begins with no stage that loads"):
            reproduce(version)


def test_the_code_of_a_plugin_decides_the_id(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(folder, input="a.jsonl")
    for module in ("recording", "identity"):
        monkeypatch.setattr(f"gymrecipe.running.{module}.plugins", lambda: {"mine": "ab"})
    second = run(folder, input="a.jsonl")
    assert second.manifest.plugins == {"mine": "ab"}
    assert second.manifest.id != first.manifest.id
    assert run(folder, input="a.jsonl").existed


def test_a_compressed_input_that_has_grown_is_another_file(folder: Path) -> None:
    member = gzip.compress((folder / "a.jsonl").read_bytes())
    (folder / "a.jsonl.gz").write_bytes(member)
    version = path(run(folder, input="a.jsonl.gz"))
    (folder / "a.jsonl.gz").write_bytes(member * 2)
    with pytest.raises(ChangedError, match=r"a\.jsonl\.gz: not what it was"):
        reproduce(version)


def test_other_tools_are_told_before_anything_is_read(folder: Path) -> None:
    version = path(run(folder, input="a.jsonl"))
    record = json.loads((version / "manifest.json").read_text())
    record["environment"]["packages"]["polars"] = "0.0.1"
    record["stages"][1]["version"] = 99
    edit(version, record)
    (folder / "a.jsonl").unlink()
    with pytest.raises(
        ToolsError, match=r"polars 0.0.1, here .*stage 'filter' version 99, here 2.*any_tools=true"
    ):
        reproduce(version)
    with pytest.raises(ChangedError):
        reproduce(version, any_tools=True)


@pytest.mark.parametrize(
    "change",
    [{"format": "of_a_plugin"}, {"no_such_parameter": 1}, {"validation_fraction": "x"}],
    ids=["format", "no_such_parameter", "validation_fraction"],
)
def test_parameters_that_are_not_known_here_are_a_sentence(
    change: dict[str, Any], folder: Path
) -> None:
    (name,) = change
    version = path(run(folder, input="a.jsonl"))
    record = json.loads((version / "manifest.json").read_text())
    record["stages"][-1]["parameters"] |= change
    edit(version, record)
    with pytest.raises(ToolsError, match=rf"asks for what is not here: {name}: [^\n]*--plugin"):
        reproduce(version)


def test_nothing_is_left_behind_and_the_version_is_untouched(folder: Path) -> None:
    version = path(run(folder, input="a.jsonl"))
    before = {file: file.lstat().st_mtime_ns for file in folder.rglob("*")}
    reproduce(version)
    assert before == {file: file.lstat().st_mtime_ns for file in folder.rglob("*")}


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
@pytest.mark.parametrize(
    "lines",
    [
        [b"no json"] * 90,
        [rollout("p", "a"), rollout("p", "b", 0.0)],  # without the field that is asked for
    ],
)
def test_an_input_that_cannot_be_read_any_more_as_it_was_has_changed(
    name: str, lines: list[Any], folder: Path
) -> None:
    save(folder / "a.jsonl", [line | {"level": 1} for line in graded()])
    (folder / "a.jsonl.gz").write_bytes(gzip.compress((folder / "a.jsonl").read_bytes()))
    version = path(run(folder, input=name, **{"stages.usable.where": "level > 0"}))
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(save(folder / "a.jsonl", lines).read_bytes()))
    with pytest.raises(ChangedError, match=rf"{name}: not what it was when .*v0001 was made"):
        reproduce(version)


def test_a_compressed_input_that_is_cut_off_now_has_changed(folder: Path) -> None:
    whole = gzip.compress((folder / "a.jsonl").read_bytes())
    (folder / "a.jsonl.gz").write_bytes(whole)
    version = path(run(folder, input="a.jsonl.gz"))
    (folder / "a.jsonl.gz").write_bytes(whole[:-9])
    with pytest.raises(ChangedError, match=r"a\.jsonl\.gz: not what it was"):
        reproduce(version)
