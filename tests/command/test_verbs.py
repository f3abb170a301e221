"""The verbs as a script asks them: JSON on stdout, the same exit codes, errors as before."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gymrecipe.cli import main
from gymrecipe.command.words import VERBS
from tests.experiments.conftest import graded, save

Asked = Callable[..., tuple[int, list[Any], str]]
V1, V2 = "dpo_same_prompt/v0001", "dpo_same_prompt/v0002"


def make_versions(folder: Path) -> None:
    save(folder / "a.jsonl", [*graded(), b"no json"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for gap in (0.3, 0.9):
            knobs = ["input=a.jsonl", f"min_gap={gap}", f"tag=gap{gap}"]
            assert main(["+recipe=dpo_same_prompt", *knobs]) == 0


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two versions; only to be read."""
    folder = tmp_path_factory.mktemp("two")
    make_versions(folder)
    return folder


@pytest.fixture
def asked(
    two_versions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Asked:
    """Asks a verb for JSON: the exit code, the records on stdout, and stderr."""
    monkeypatch.chdir(two_versions)

    def ask(*line: str) -> tuple[int, list[Any], str]:
        capsys.readouterr()
        code = main([*line, "json=true"])
        out, err = capsys.readouterr()
        return code, [json.loads(line) for line in out.splitlines()], err

    return ask


LINES: dict[str, list[list[str]]] = {
    "recipes": [[]],
    "stages": [[], ["pair"], ["validate"], ["write"]],
    "formats": [[]],
    "columns": [["a.jsonl"]],
    "check": [["a.jsonl", "format=rollouts"]],
    "versions": [[]],
    "show": [[V1]],
    "explain": [[V1, "a.jsonl:1"], [V1, "a.jsonl:21"]],
    "verify": [[V1]],
    "rejects": [[V2], [V2, "snippet=true"]],
    "reproduce": [[V1]],
    "diff": [[V1, V2]],
    "gc": [[]],
    "cache": [["clear=true"]],
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_gives_records_in_place_of_text(verb: str, asked: Asked) -> None:
    for arguments in LINES[verb]:
        code, records, err = asked(verb, *arguments)
        assert code == (3 if verb == "check" else 0)
        assert all(isinstance(record, dict) for record in records)
        assert records or verb == "gc"
        assert err == "" or verb in ("check", "reproduce")


def test_a_list_is_a_record_a_line(asked: Asked) -> None:
    _, stages, _ = asked("stages")
    assert {"stage": "pair", "takes": ["rollouts"], "makes": "pairs"}.items() <= next(
        stage for stage in stages if stage["stage"] == "pair"
    ).items()
    _, (pair,), _ = asked("stages", "pair")
    defaults = {one["parameter"]: one["default"] for one in pair["parameters"]}
    assert (defaults["min_gap"], defaults["max_gap"]) == (0.0, None)
    assert "mirrored" in [one["strategy"] for one in pair["strategies"]]


def test_versions_have_their_figures(asked: Asked) -> None:
    _, (one, other), _ = asked("versions")
    assert (one["version"], one["tags"], one["rows"], one["used"], one["rejected"]) == (
        V1, ["gap0.3"], 10, 20, 1,
    )  # fmt: skip
    assert "min_gap=0.9" in other["overrides"]
    assert other["created"].startswith("20")


def test_a_version_whose_manifest_is_broken_has_an_error_and_no_figures(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_versions(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("experiments", V1, "manifest.json").write_text("{")
    code, (one, other), _ = asked("versions")
    assert (code, one["rows"], other["error"]) == (0, None, "")
    assert "not a manifest" in one["error"]
    code, (found,), err = asked("verify", V1)
    assert (code, found["version"], err) == (3, "", "")
    assert "not a manifest" in found["differences"][0]


def test_verify_has_the_differences_in_its_document_and_the_same_exit_code(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_versions(tmp_path)
    monkeypatch.chdir(tmp_path)
    whole = {"folder": f"experiments/{V1}", "version": V1, "vouched": True, "differences": []}
    assert asked("verify", V1) == (0, [whole], "")
    Path("experiments", V1, "README.md").write_text("other")
    code, (found,), err = asked("verify", V1)
    assert (code, err) == (3, "")
    assert found["differences"][0].startswith("README.md: has 5 bytes, but the manifest says")


def test_diff_has_every_change_and_what_moved(asked: Asked) -> None:
    _, (found,), _ = asked("diff", V1, V2)
    assert {"name": "min_gap", "a": 0.3, "b": 0.9} in found["knobs"]
    (lost,) = found["lost"]
    assert (lost["stage"], lost["reason"], lost["count"]) == ("pair", "not_selected", 10)


def test_explain_has_a_record_for_each_use_and_one_for_a_rejection(asked: Asked) -> None:
    _, (used,), _ = asked("explain", V1, "a.jsonl:16")
    assert used == {
        "fate": "used",
        "line": "a.jsonl:16",
        "output": "data/train.jsonl",
        "output_line": 6,
        "side": "chosen",
        "against": "a.jsonl:1",
    }
    _, (rejected,), _ = asked("explain", V1, "a.jsonl:21")
    assert (rejected["fate"], rejected["stage"], rejected["reason"]) == (
        "rejected", "load", "bad_json",
    )  # fmt: skip


def test_rejects_are_records_with_how_they_begin_where_that_is_asked_for(asked: Asked) -> None:
    _, (bad, *others), _ = asked("rejects", V1, "snippet=true")
    assert (bad["line"], bad["reason"], bad["begins"], others) == (21, "bad_json", "no json", [])
    code, out, err = asked("rejects", V1, "bytes=true")
    assert (code, out) == (2, [])
    assert "leave out json=true" in err


def test_columns_are_one_document(asked: Asked) -> None:
    _, (found,), _ = asked("columns", "a.jsonl", "limit=5")
    assert (found["lines"], found["limit"]) == (5, 5)
    (reward,) = [field for field in found["fields"] if field["field"] == 'field["reward"]']
    assert (reward["lines"], reward["kind"]) == (5, ["number"])
    assert "reward" in [column["column"] for column in found["built_in"]]


def test_a_version_may_lie_below_a_folder_whose_name_is_no_utf_8(
    asked: Asked, tmp_path: Path
) -> None:
    copy = str(shutil.copytree(f"experiments/{V1}", tmp_path / "caf\udce9"))
    code, (found,), _ = asked("verify", copy)
    assert (code, found["differences"]) == (0, [])
    assert found["folder"].endswith("caf\\udce9")
    assert asked("explain", copy, "a.jsonl:16")[1][0]["output_line"] == 6
    assert asked("diff", copy, V1)[1][0]["lost"] == []


def test_a_recipe_without_versions_is_not_taken_for_itself(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    code, out, err = asked("versions", "a b", f"output_dir={tmp_path}")
    assert (code, out) == (2, [])
    assert err.endswith("a b has no versions.\n")


def test_an_error_is_a_sentence_and_no_json(asked: Asked) -> None:
    code, out, err = asked("diff", V1, "dpo_same_prompt/v0009")
    assert (code, out) == (2, [])
    assert err.startswith("gymrecipe: dpo_same_prompt/v0009: no such version.")
