"""The command: what it prints where, its exit codes, and a sentence for every mistake."""

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from polars.exceptions import PanicException

from gymrecipe import cli, registry
from gymrecipe.cli import main
from gymrecipe.rollouts.files import sample_path
from gymrecipe.running import reproduce as reproducing
from gymrecipe.stages.write import Write
from tests.experiments.conftest import MISSING, graded, rollout, save
from tests.forked import python
from tests.full import often

PAIRS = "+recipe=dpo_same_prompt"
Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Said:
    """Runs the command in an empty folder: its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*line: str | Path) -> tuple[int, str, str]:
        code = main([str(word) for word in line])
        return code, *capsys.readouterr()

    return run


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def half_made(folder: Path) -> list[str]:
    """Version folders, and what hides beside them."""
    return [name for name in everything(folder) if re.search(r"(^|/)(v\d{4}|\.)", name)]


# What is printed where


def test_stdout_carries_the_path_of_the_version_and_nothing_else(said: Said) -> None:
    code, out, err = said(PAIRS, "min_gap=0.3")
    assert (code, out) == (0, "experiments/dpo_same_prompt/v0001\n")
    assert "203 lines read · 96 used · 107 rejected" in err


def test_json_is_one_line_with_the_manifest(said: Said, tmp_path: Path) -> None:
    code, out, _ = said(PAIRS, "json=true")
    assert code == 0
    assert out.count("\n") == 1
    shown = json.loads(out)
    written = json.loads((tmp_path / "experiments/dpo_same_prompt/v0001/manifest.json").read_text())
    assert shown == written
    assert shown["version"] == "v0001"


def test_json_is_what_is_asked_for_now_and_not_what_made_the_version(said: Said) -> None:
    assert said(PAIRS)[1] == "experiments/dpo_same_prompt/v0001\n"
    assert json.loads(said(PAIRS, "json=true")[1])["version"] == "v0001"
    assert json.loads(said(PAIRS, "json=true", "min_gap=0.5")[1])["version"] == "v0002"
    assert said(PAIRS, "min_gap=0.5")[1] == "experiments/dpo_same_prompt/v0002\n"


def test_what_is_no_terminal_gets_plain_text(said: Said) -> None:
    for line in ([PAIRS], ["stages", "pair"], ["recipes"], [PAIRS, "--help"], []):
        _, out, err = said(*line)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u2500-\u259f]", out + err)


def test_a_sweep_prints_a_path_for_each_member_and_a_table_on_stderr(said: Said) -> None:
    code, out, err = said("-m", PAIRS, "min_gap=0.1,0.9")
    assert code == 0
    assert out.splitlines() == [f"experiments/dpo_same_prompt/v000{n}" for n in (1, 2)]
    assert re.search(r"Sweep +version .*\n +min_gap=0.1 +v0001 .*\n +min_gap=0.9 +v0002 ", err)


def test_a_sweep_prints_a_manifest_for_each_member(said: Said) -> None:
    _, out, _ = said("-m", PAIRS, "min_gap=0.1,0.9", "json=true")
    assert [json.loads(line)["version"] for line in out.splitlines()] == ["v0001", "v0002"]


def test_a_failed_member_is_a_row_and_the_exit_code_is_the_highest(said: Said) -> None:
    line = ("-m", "+recipe=sft_threshold", "min_reward=0.5,abc,7")
    code, out, err = said(*line)
    assert code == 3
    assert out == "experiments/sft_threshold/v0001\n"
    table = err[err.rindex("Sweep") :]
    assert re.search(r"min_reward=0.5 +v0001 ", table)
    assert re.search(r"min_reward=abc +exit 2 .*got 'abc'", table)
    assert re.search(r"min_reward=7 +exit 3 .*nothing to write", table)
    assert said("-m", "+recipe=sft_threshold", "min_reward=0.5,abc")[0] == 2


def test_a_sweep_may_go_over_recipes_and_every_combination(said: Said) -> None:
    code, out, _ = said("-m", "+recipe=sft_threshold,sft_filtered", "min_reward=0.5,0.8")
    assert code == 0
    assert [Path(line).parent.name for line in out.splitlines()] == [
        "sft_threshold", "sft_threshold", "sft_filtered", "sft_filtered",
    ]  # fmt: skip


@pytest.mark.parametrize("shared", ["tag=v", "output_jsonl_fpath=a.jsonl", "+tag=v"])
def test_the_members_of_a_sweep_do_not_write_to_one_place(
    shared: str, said: Said, tmp_path: Path
) -> None:
    code, _, err = said("-m", PAIRS, "min_gap=0.1,0.9", shared)
    assert code == 2
    assert f"command line: {shared}: all members of the sweep would write there" in err
    assert everything(tmp_path) == set()


def test_several_values_without_m_are_an_error(said: Said) -> None:
    code, _, err = said(PAIRS, "min_gap=0.1,0.2")
    assert code == 2
    assert "min_gap: several values need -m" in err


def test_help_and_cfg_run_nothing_even_in_a_sweep(said: Said, tmp_path: Path) -> None:
    assert said("-m", PAIRS, "min_gap=0.1,0.2", "--help")[0] == 0
    assert said("-m", PAIRS, "min_gap=0.1,0.2", "--cfg", "job")[0] == 2
    assert everything(tmp_path) == set()


def test_a_dry_run_writes_nothing_and_shows_an_example_of_each_write(
    said: Said, tmp_path: Path
) -> None:
    code, out, err = said("+recipe=sft_and_dpo", "dry_run=true", "output_dir=a/b")
    assert (code, out) == (0, "")
    assert everything(tmp_path) == set()
    assert "sft_and_dpo dry run" in err
    for name, column in (("sft", "messages"), ("dpo", "chosen")):
        example = err[err.index(f"Example of {name}\n") :]
        assert f'"{column}": [' in example[: example.index("\n  }")]


def test_a_dry_run_with_json_prints_the_manifest_of_no_version(said: Said) -> None:
    _, out, _ = said(PAIRS, "dry_run=true", "json=true")
    assert json.loads(out)["version"] == ""


# The same again


def test_the_same_id_again_writes_nothing_and_again_writes(said: Said, tmp_path: Path) -> None:
    said(PAIRS)
    before = {name: (tmp_path / name).lstat().st_mtime_ns for name in everything(tmp_path)}
    code, out, err = said(PAIRS)
    assert (code, out) == (0, "experiments/dpo_same_prompt/v0001\n")
    assert "v0001 has the same id already; nothing was written (again=true writes)." in err
    assert before == {name: (tmp_path / name).lstat().st_mtime_ns for name in everything(tmp_path)}
    assert said(PAIRS, "again=true")[1] == "experiments/dpo_same_prompt/v0002\n"


def test_a_version_that_is_found_without_its_data_is_told(said: Said, tmp_path: Path) -> None:
    said(PAIRS)
    (tmp_path / "experiments/dpo_same_prompt/v0001/data/train.jsonl").unlink()
    code, out, err = said(PAIRS)
    assert (code, out) == (0, "experiments/dpo_same_prompt/v0001\n")
    assert "v0001 has the same id already, but no data/train.jsonl any more; nothing was" in err


def test_a_tag_stands_for_its_version_and_does_not_move(said: Said, tmp_path: Path) -> None:
    assert said(PAIRS, "tag=v1.0")[0] == 0
    link = tmp_path / "experiments/dpo_same_prompt/v1.0"
    assert os.readlink(link) == "v0001"
    assert said("show", "dpo_same_prompt/v1.0")[0] == 0
    code, _, err = said(PAIRS, "tag=v1.0")
    assert (code, os.readlink(link)) == (0, "v0001"), err
    assert said(PAIRS, "again=true")[1] == "experiments/dpo_same_prompt/v0002\n"
    code, out, err = said(PAIRS, "tag=v1.0")
    assert (code, out, os.readlink(link)) == (0, "experiments/dpo_same_prompt/v0001\n", "v0001"), (
        err
    )
    code, _, err = said(PAIRS, "min_gap=0.9", "tag=v1.0")
    assert code == 2
    assert "tags do not move" in err
    assert os.readlink(link) == "v0001"


# Mistakes: each ends in one sentence, with its exit code, no traceback and no version


def mistakes(folder: Path) -> None:
    same = [rollout(f"p{n // 4}", f"a{n}", 0.5) for n in range(8)]
    save(folder / "empty.jsonl", [])
    (folder / "folder").mkdir()
    save(folder / "a_failures.jsonl", graded())
    save(folder / "many_bad.jsonl", [b"oops"] * 11)
    save(folder / "no_rewards.jsonl", [row | {"reward": None} for row in same])
    save(folder / "absent.jsonl", [rollout("p", f"a{n}", MISSING) for n in range(4)])
    save(folder / "alone.jsonl", [rollout(f"p{n}", "a", n / 5) for n in range(5)])
    save(folder / "equal.jsonl", same)
    save(folder / "good.jsonl", graded())
    (folder / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"reward": 1}\n' * 500)[:-9])
    (folder / "empty.jsonl.gz").touch()
    (folder / "text.txt").write_text("a file")
    (folder / "broken.yaml").write_text("stages: [")
    os.mkfifo(folder / "pipe.jsonl")


@pytest.mark.parametrize(
    ("code", "line", "sentence"),
    [
        (3, "input=empty.jsonl", "empty.jsonl: no rollouts: the file is empty"),
        (2, "input=folder", "folder: a folder, not a file. Name its files"),
        (2, "input=god.jsonl", "god.jsonl: no such file. Did you mean 'good.jsonl'?"),
        (2, "input=nowhere/a.jsonl", "nowhere/a.jsonl: no such file"),
        (2, "input=x*.jsonl", r"x\*.jsonl: no file matches"),
        (2, "input=[]", "input: no rollout file to read"),
        (2, "input=[good.jsonl,./good.jsonl]", "./good.jsonl: named twice"),
        (2, "input=pipe.jsonl", "pipe.jsonl: not a regular file"),
        (2, "input=a_failures.jsonl", "a_failures.jsonl: a sidecar file"),
        (3, "input=many_bad.jsonl", "many_bad.jsonl:1: .*11 of 11.*None of them"),
        (3, "input=cut.jsonl.gz", "cut.jsonl.gz: the gzip data is cut off or broken"),
        (2, "input=empty.jsonl.gz", "empty.jsonl.gz: empty"),
        (3, "input=no_rewards.jsonl", "8 missing_reward.*reward=PATH"),
        (3, "input=absent.jsonl", "4 missing_reward.*reward=PATH"),
        (
            3,
            "input=alone.jsonl",
            "stage 'pair' let none of 5 rollouts through .5 only_one.*Collect",
        ),
        (3, "input=equal.jsonl", "8 all_equal.*Collect"),
        (3, "min_gap=2", "nothing to write: stage 'pair'.*Change what stage 'pair' asks for"),
        (2, "format=trll", "format: should be one of .*got 'trll'. Did you mean 'trl'"),
        (2, "format=TRL", "format: should be one of .*got 'TRL'. Did you mean 'trl'"),
        (2, "min_gpa=1", "min_gpa: unknown knob, got '1'.*Did you mean 'min_gap'"),
        (2, "max_gap=1", "max_gap: unknown knob.*Did you mean 'stages.pair.max_gap'"),
        (2, "pair.max_gap=1", "pair.max_gap: unknown.*Did you mean 'stages.pair.max_gap'"),
        (2, "completed=false", "completed: unknown.*Did you mean 'stages.usable.completed'"),
        (2, "workers=2", "workers: unknown knob.*Did you mean 'engine.workers'"),
        (2, "+stages.b={use: balance, most: 1}", "stages.b: .*behind which .* after: check"),
        (2, "--dry-run", "unknown option '--dry-run'. .*: dry_run=true"),
        (2, "--strategy", "unknown option '--strategy'. .*: strategy=VALUE"),
        (2, "a/b.jsonl.gz", "A file of rollouts is given as input=a/b.jsonl.gz"),
        (2, "+stages.b={use: mine, after: pair}", "no stage .* 'mine'.* --plugin MODULE"),
        (2, "min_gap=abc", "min_gap: should be a valid number, got 'abc'"),
        (2, "min_gap=nan", "min_gap: .*finite number"),
        (2, "stages.pair.min_gab=1", "stages.pair.min_gab: unknown parameter.*'min_gap'"),
        (2, "strategy=mirored", "should be one of .*got 'mirored'. Did you mean 'mirrored'"),
        (2, "stages.chekc.level=1", "stages.chekc.*there is no such stage.*'check'"),
        (2, "stages.check.checks.mean_gapp.min=1", "command line: .*mean_gapp.*'mean_gap'"),
        (2, "~stages.chekc", "~stages.chekc: there is no 'chekc' to take out.*'check'"),
        (2, "~stages.write", "no stage takes its result|nothing is written"),
        (2, "validation_fraction=1", "validation_fraction: should be less than 1"),
        (2, "limit=0", "limit: should be greater than or equal to 1"),
        (2, "engine.workers=0", "engine.workers: should be greater than or equal to 1"),
        (2, "max_bad_rows=many", "max_bad_rows: .*percentage"),
        (2, "group_by=consecutive", "group_by: consecutive and num_repeats need each other"),
        (2, "group_by=a..b", "'a..b' is not a path"),
        (2, "output_dir=text.txt", "text.txt: a file, not a folder. Set another output_dir"),
        (2, "output_dir=text.txt/b", "text.txt: a file, not a folder. Set another output_dir"),
        (2, "name=../x", "name: .*got '../x'"),
        (2, "tag=latest", "tag=latest: this name is kept"),
        (2, "recipe=sft_threshold,ppo", "several values need -m .*: -m .recipe=sft_threshold,ppo"),
        (2, "output_jsonl_fpath=folder", "output_jsonl_fpath: folder is a folder"),
        (2, "output_jsonl_fpath=no/a.jsonl", "output_jsonl_fpath: no is not a folder"),
        (2, "stages.write.columns=[chosen]", "columns: 'trl' writes 'chosen' itself"),
        (2, "min_gap=${oc.env:HOME}", "only plain"),
        (2, "stages.pair._target_=os.system", "_target_"),
        (2, "hydra.run.dir=x", "'hydra.run.dir=x' is refused: 'hydra' is none of a recipe's own"),
        (2, "+stages.few={use: balance, by: gap, most: 3, after: load}", "gap"),
        (2, "+recipe=dpo_same_promt", "Did you mean 'dpo_same_prompt'"),
        (2, "+recipe=nowhere.yaml", "no such file, got 'nowhere.yaml'"),
        (2, "+recipe=broken.yaml", "broken.yaml: not a readable recipe"),
        (2, "+recipe=folder", "no recipe is named 'folder'"),
        (2, "--plugin=nowhere", "--plugin nowhere: cannot be imported"),
        (2, "--plugin=a/b.py", "--plugin a/b.py: not a module's name"),
        (2, "--config-dir=nowhere", "nowhere: no such folder of recipes"),
    ],
)
def test_a_mistake_ends_in_one_clear_sentence(
    code: int, line: str, sentence: str, said: Said, tmp_path: Path
) -> None:
    mistakes(tmp_path)
    before = everything(tmp_path)
    words = [PAIRS, "input=good.jsonl", line]
    if line.startswith("input="):
        words = [PAIRS, line]
    if "recipe=" in line:
        words = [line]
    got, out, err = said(*words)
    assert (got, out) == (code, ""), err
    sentences = [text for text in err.splitlines() if text.startswith("gymrecipe: ")]
    assert len(sentences) == 1, err
    assert re.search(sentence, sentences[0])
    assert "Traceback" not in err
    assert half_made(tmp_path) == []
    assert everything(tmp_path) - before <= {"experiments", "experiments/dpo_same_prompt"}


def test_a_missing_reward_path_says_which_fields_there_are(said: Said, tmp_path: Path) -> None:
    save(tmp_path / "a.jsonl", [row | {"score": 1.0} for row in graded()])
    code, _, err = said(PAIRS, "input=a.jsonl", "stages.pair.by=scoer")
    assert code == 2
    assert re.search("stages.pair.by: 'scoer' is on no line that was read. Fields.* score", err)


FILTERED = """
stages:
  load: {use: load, input: "${input}"}
  good: {use: filter, where: rewrd > 0.5}
  write: {use: write}
"""


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["+recipe=mine.yaml"], "mine.yaml: stages.good.where: 'rewrd'"),
        (
            ["+recipe=mine.yaml", "stages.good.where=0 < rewrd < 1"],
            "command line: stages.good.where: 'rewrd'",
        ),
        (["+recipe=rl_prompts", "where=rewrd < 1"], "command line: where: 'rewrd'"),
    ],
)
def test_a_column_of_an_expression_that_no_line_has_is_told_with_both(
    words: list[str], where: str, said: Said
) -> None:
    Path("mine.yaml").write_text(FILTERED)
    code, _, err = said(*words)
    given = words[1].partition("=")[2] if words[1:] else "rewrd > 0.5"
    assert (code, err.count("\n")) == (2, 1)
    assert f"gymrecipe: {where} is on no line that was read, got '{given}'. Fields seen: " in err
    assert err.endswith("tests_passed. Did you mean 'reward'?\n")


def test_a_score_that_no_line_has_is_told_with_where_it_was_given(said: Said) -> None:
    Path("mine.yaml").write_text("reward: rewrd\n" + FILTERED.replace("rewrd > 0.5", "turns > 0"))
    for words, where in (
        (["+recipe=mine.yaml"], "mine.yaml: stages.load.reward"),
        (["+recipe=ppo", "reward=rewrd"], "command line: reward"),
        (["+recipe=ppo", "stages.load.reward=rewrd"], "command line: stages.load.reward"),
    ):
        code, _, err = said(*words)
        assert code == 2
        assert err.startswith(f"gymrecipe: {where}: 'rewrd' is on no line that was read. Fields")


def test_a_typo_in_a_list_of_paths_is_told_and_a_list_by_default_is_not(said: Said) -> None:
    silent = "+recipe=ppo", "dry_run=true"
    code, _, err = said(*silent)
    assert (code, "is on no line" in err) == (0, False)
    code, _, err = said(*silent, "task_fields=[extracted_answr,expected_answer]")
    flags = [line for line in err.splitlines() if "is on no line that was read" in line]
    assert (code, len(flags)) == (0, 1)
    assert "task_fields: 'extracted_answr' is on no line that was read. Fields seen: " in flags[0]
    assert flags[0].endswith(" Did you mean 'extracted_answer'?")
    listed = "{c: {path: [metadata.task_typ, metadata.task_type], default: x}}"
    code, _, err = said(
        *silent, f"columns={listed}", "+stages.good={use: filter, where: c != 'y', after: load}"
    )
    assert code == 0
    assert "columns.c.path: 'metadata.task_typ' is on no line that was read. Fields seen in" in err


@pytest.mark.parametrize("words", [["--cfg", "job"], ["-m"], ["min_gap=0.3"]])
def test_what_is_for_a_recipe_asks_for_one(words: list[str], said: Said) -> None:
    code, out, err = said(*words)
    assert (code, out) == (2, "")
    assert "no recipe is named. Write +recipe=NAME" in err


def test_two_recipes_are_not_taken_for_the_last(said: Said) -> None:
    code, out, err = said(PAIRS, "recipe=ppo")
    assert (code, out) == (2, "")
    assert "recipe: named twice" in err


@pytest.mark.parametrize(
    ("words", "guess"),
    [
        (["+recipe=rl_prompts", "where=succes_rate < 1"], "success_rate"),
        ([PAIRS, "+stages.wide={use: filter, where: gaap > 1, after: pair}"], "gap"),
    ],
)
def test_the_nearest_name_may_be_one_that_a_stage_makes(
    words: list[str], guess: str, said: Said
) -> None:
    assert said(*words)[2].endswith(f"Did you mean '{guess}'?\n")


@pytest.mark.parametrize(
    ("lines", "sentences", "before"),
    [([], 1, ""), ([b"", b""], 1, "reading: 2 B\n"), ([b"{", b"[1]", b""], 3, "reading: 7 B\n")],
)
def test_an_input_without_a_rollout_ends_in_sentences_alone(
    lines: list[bytes], sentences: int, before: str, said: Said, tmp_path: Path
) -> None:
    save(tmp_path / "a.jsonl", lines)
    code, out, err = said(PAIRS, "input=a.jsonl")
    assert (code, out) == (3, "")
    assert err.startswith(f"{before}gymrecipe: a.jsonl:")
    assert err.count("\n") == before.count("\n") + sentences
    assert everything(tmp_path) == {"a.jsonl"}


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("limit", ["null", "2"])
def test_json_that_is_no_json_lines_is_told_with_what_converts_it(
    indent: int | None, limit: str, said: Said, tmp_path: Path
) -> None:
    text = json.dumps(graded(), indent=indent)
    (tmp_path / "a.json").write_text(text)
    code, _, err = said(PAIRS, "input=a.json", f"max_bad_rows={limit}")
    assert code == 3
    assert "This is one JSON array, not JSON lines" in err
    assert "jq -c '.[]' a.json > rollouts.jsonl" in err
    assert "raise max_bad_rows" not in err
    (tmp_path / "b.json").write_text(json.dumps(graded()[0], indent=2))
    assert "jq -c . b.json > rollouts.jsonl" in said(PAIRS, "input=b.json")[2]
    (tmp_path / "c.parquet").write_bytes(b"PAR1\x15\x04\n\xff\xfe\x01\n" * 20)
    assert "This is Parquet, not JSON lines" in said(PAIRS, "input=c.parquet")[2]


def test_a_reserved_tag_is_refused_before_anything_is_read(said: Said, tmp_path: Path) -> None:
    save(tmp_path / "bad.jsonl", [{"no": "rollout"}])
    code, _, err = said(PAIRS, "tag=v1", "input=bad.jsonl", "max_bad_rows=0")
    assert (code, err) == (
        2, "gymrecipe: tag=v1: this name is kept for gymrecipe itself. Choose another.\n",
    )  # fmt: skip


def test_the_help_of_a_recipe_is_shown_to_its_last_word(said: Said) -> None:
    assert said(PAIRS, "--help")[1].endswith("--cfg job shows the whole recipe.\n")


def test_a_folder_to_check_is_told_without_a_knob_that_check_does_not_take(
    said: Said, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    code, _, err = said("check", "folder", "format=trl")
    assert code == 2
    assert "Name its files, such as 'folder/*.jsonl'." in err


def test_exit_3_still_prints_the_summary(said: Said, tmp_path: Path) -> None:
    save(tmp_path / "equal.jsonl", [rollout("p", f"a{n}", 0.5) for n in range(4)])
    code, _, err = said(PAIRS, "input=equal.jsonl")
    assert code == 3
    assert "dpo_same_prompt not published · 4 lines read · 0 used · 4 rejected" in err
    assert re.search("Why no pair.*\n +all_equal +1 +4 ", err)


def test_a_check_set_to_stop_publishes_nothing_and_says_what_to_do(
    said: Said, tmp_path: Path
) -> None:
    limit = "stages.check.checks={mean_gap: {min: 0.99, level: stop}}"
    code, out, err = said(PAIRS, limit)
    assert (code, out) == (3, "")
    assert re.search(r"gymrecipe: check: mean_gap is 0\.\d+, should be at least 0.99\. \w+", err)
    assert half_made(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["show"], "show: write one version, such as"),
        (["show", "a", "b"], "show: write one version"),
        (["show", "nothing/v0001"], "nothing/v0001: no such version. experiments has no versions"),
        (["diff", "a"], "diff: write 2 versions"),
        (["explain", "a"], "explain: write a version and a line"),
        (["verify", "."], r"\.: not a version: it has no manifest.json. experiments has no vers"),
        (["show", ""], "show: write one version, such as"),
        (["explain", "a", ""], "explain: write a version and a line"),
        (["stages", "pairr"], "stages: no stage is named 'pairr'.*Did you mean 'pair'"),
        (["stages", "pair", "filter"], "stages: takes 1 at most"),
        (["recipes", "x"], "recipes: takes no argument, got 'x'"),
        (["formats", "input=x"], "formats: unknown knob 'input'; it takes json"),
        (["columns", "input=nowhere.jsonl"], "nowhere.jsonl: no such file"),
        (["columns", "limit=x"], "columns: limit should be a whole number from 1 on, got 'x'"),
        (["columns", "input=[a"], r"\[a: no file matches"),
        (["versions", "dpo"], "versions: experiments/dpo has no versions"),
        (["show", "-m"], "show: -m and --cfg are for running a recipe"),
        (["min_gap=1"], "no recipe is named"),
        (["--shell-completion", "install=basj"], "Did you mean 'bash'"),
    ],
)
def test_a_mistake_with_a_verb_ends_in_one_clear_sentence(
    line: list[str], sentence: str, said: Said
) -> None:
    code, out, err = said(*line)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert re.match(f"gymrecipe: .*{sentence}", err)


def test_all_faults_of_a_recipe_are_said_at_once(said: Said) -> None:
    code, _, err = said(PAIRS, "min_gpa=1", "format=trll", "stages.check.purpose=sfd")
    assert code == 2
    assert [line.split(": ")[2] for line in err.splitlines()] == [
        "min_gpa", "stages.check.purpose", "format",
    ]  # fmt: skip


AS_NOBODY = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []


@cache
def others_may() -> bool:
    """Whether another user can run Python here and read the package."""
    command = [*AS_NOBODY, sys.executable, "-c", "import gymrecipe"]
    return subprocess.run(command, capture_output=True).returncode == 0


def unprivileged(folder: Path, *line: str) -> subprocess.CompletedProcess[str]:
    """The command as a user who may not do everything."""
    if not others_may():
        pytest.skip("another user cannot run Python here, or not read the package")
    return subprocess.run(
        [*AS_NOBODY, sys.executable, "-m", "gymrecipe", *line],
        cwd=folder, capture_output=True, text=True, env=os.environ | {"HOME": "/"},
    )  # fmt: skip


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that others may enter, as those above it."""
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o055)
    return tmp_path


def test_an_unreadable_file_is_a_sentence(open_folder: Path) -> None:
    save(open_folder / "secret.jsonl", graded()).chmod(0o000)
    done = unprivileged(open_folder, PAIRS, "input=secret.jsonl")
    assert done.returncode == 2, done.stderr
    assert done.stderr == "gymrecipe: secret.jsonl: cannot be read: Permission denied.\n"


def test_a_copy_that_could_not_be_written_is_told_before_anything_is_read(
    open_folder: Path,
) -> None:
    (open_folder / "locked").mkdir(mode=0o555)
    done = unprivileged(open_folder, PAIRS, "output_jsonl_fpath=locked/a.jsonl", "dry_run=true")
    assert (done.returncode, done.stderr) == (
        2,
        "gymrecipe: output_jsonl_fpath: locked may not be written to. Name a file elsewhere.\n",
    )


def test_a_read_only_output_folder_is_a_sentence(open_folder: Path) -> None:
    (open_folder / "locked").mkdir(mode=0o555)
    done = unprivileged(open_folder, PAIRS, "output_dir=locked")
    assert (done.returncode, done.stderr) == (  # and no word of what was read
        6,
        "gymrecipe: locked/dpo_same_prompt: cannot be written: Permission denied."
        " Check who may write there, or set another output_dir.\n",
    )
    assert everything(open_folder / "locked") == set()
    assert unprivileged(open_folder, PAIRS, "output_dir=locked", "dry_run=true").returncode == 0


def test_a_read_only_folder_of_versions_is_a_sentence(open_folder: Path) -> None:
    (open_folder / "locked/dpo_same_prompt").mkdir(mode=0o555, parents=True)
    done = unprivileged(open_folder, PAIRS, "output_dir=locked")
    assert done.returncode == 6, done.stderr
    assert re.search(
        "gymrecipe: locked.*: cannot be written: Permission denied. .*output_dir", done.stderr
    )
    assert "Traceback" not in done.stderr
    assert everything(open_folder / "locked/dpo_same_prompt") == set()


# Processes: signals, pipes, workers


def command(*line: str) -> list[str]:
    return [sys.executable, "-m", "gymrecipe", *line]


EAGER = """
from gymrecipe.cli import console
from gymrecipe.engines import local
from gymrecipe.experiments import slices
from gymrecipe.rollouts import table

if __name__ == "__main__":
    local.WORTH_BYTES, table.SLICE_BYTES, slices.SLICE_BYTES = 0, 100_000, 100_000
    console()
"""


@pytest.fixture(scope="session")
def eager(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The command, with workers for any work, in slices as small as a test's: a script."""
    script = tmp_path_factory.mktemp("bin") / "eager.py"
    script.write_text(EAGER)
    return str(script)


@pytest.fixture(scope="session")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rollouts enough for a run that takes a second or two."""
    lines = sample_path().read_bytes().splitlines(keepends=True)
    good = [line for line in lines if b'"reward":1.0' in line]
    path = tmp_path_factory.mktemp("long") / "long.jsonl"
    with path.open("wb") as file:
        for copy in range(100):
            for line in good:
                file.write(line.replace(b"resp_", b"resp_%d_" % copy))
    return path


@pytest.mark.parametrize(
    ("number", "code", "word", "workers"),
    [
        (signal.SIGINT, 130, "interrupted", 1),
        (signal.SIGINT, 130, "interrupted", 2),
        (signal.SIGTERM, 143, "terminated", 2),
        (signal.SIGHUP, 129, "terminated", 2),
    ][:: often(2, 1)],
)
def test_a_run_that_is_stopped_says_so_and_leaves_nothing(
    number: int, code: int, word: str, workers: int, long_file: Path, tmp_path: Path,
    eager: str,
) -> None:  # fmt: skip
    line = [eager, "+recipe=sft_threshold", f"input={long_file}", f"engine.workers={workers}"]
    run = subprocess.Popen(
        [sys.executable, *line], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    while not list(tmp_path.glob("experiments/*/.staging-*")) and run.poll() is None:
        time.sleep(0.002)
    assert run.poll() is None, run.communicate()[1]
    if number != signal.SIGTERM:
        os.killpg(run.pid, number)  # as the terminal does: the workers get it too
    else:
        run.send_signal(number)
    out, err = run.communicate(timeout=30)
    assert (run.returncode, out) == (code, "")
    assert err.splitlines()[1:] == [f"gymrecipe: {word}; no version is left half made."], err
    assert half_made(tmp_path) == []


def test_ctrl_c_while_workers_start_is_one_line(
    long_file: Path, tmp_path: Path, eager: str
) -> None:
    line = [eager, "+recipe=sft_threshold", f"input={long_file}", "engine.workers=2"]
    for wait in (0.35, 0.5, 0.7):
        run = subprocess.Popen(
            [sys.executable, *line], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        time.sleep(wait)
        os.killpg(run.pid, signal.SIGINT)
        _, err = run.communicate(timeout=30)
        if run.returncode == 130:  # else it came before the command had begun
            assert err.splitlines()[-1:] == [
                "gymrecipe: interrupted; no version is left half made."
            ]
            assert "Traceback" not in err
    assert half_made(tmp_path) == []


def test_an_error_that_a_library_makes_of_an_interruption_is_told_as_one(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def struck(_: object) -> int:
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException:
            raise AttributeError("of something that is half made") from None
        return 0

    before = signal.signal(signal.SIGTERM, cli._unwind)
    monkeypatch.setattr(signal, "setitimer", lambda which, seconds: None)
    monkeypatch.setattr(cli, "_came", [])
    monkeypatch.setattr(cli, "_dispatch", struck)
    try:
        code, out, err = said("recipes")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (code, out) == (143, "")
    assert err == "gymrecipe: terminated; no version is left half made.\n"


@pytest.mark.parametrize(("code", "name"), [(11, "WouldBlock"), (12, "OutOfMemory")])
def test_a_panic_of_polars_for_want_of_memory_is_a_sentence(
    code: int, name: str, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def panicking(_: object) -> int:
        raise PanicException(f"called `unwrap()` on an `Err`: Os {{ code: {code}, kind: {name} }}")

    monkeypatch.setattr(cli, "_dispatch", panicking)
    told = "gymrecipe: out of memory, or of threads. Run again with fewer engine.workers.\n"
    assert said("recipes") == (6, "", told)


def test_another_panic_of_polars_is_a_bug(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    def panicking(_: object) -> int:
        raise PanicException("Os { code: 2, kind: NotFound }")

    monkeypatch.setattr(cli, "_dispatch", panicking)
    with pytest.raises(PanicException):
        said("recipes")


def test_an_interruption_that_polars_raises_itself_is_not_raised_again_while_it_unwinds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cli, "_came", [signal.SIGINT])
    armed: list[float] = []
    monkeypatch.setattr(signal, "setitimer", lambda which, seconds: armed.append(seconds))
    taken_away = []

    def interrupted() -> None:
        try:
            raise KeyboardInterrupt  # as Polars does
        finally:
            try:
                raise FileNotFoundError  # as what takes away what is half made may meet
            except FileNotFoundError:
                cli._unwind_late(signal.SIGALRM, None)
            taken_away.append("all")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert taken_away
    assert armed == [0.01]  # in case it was swallowed
    with pytest.raises(KeyboardInterrupt):
        cli._unwind_late(signal.SIGALRM, None)


def test_an_interruption_inside_of_polars_waits_until_it_is_out(tmp_path: Path) -> None:
    program = (
        "import signal, sys, time; from gymrecipe import cli; import polars as pl\n"
        "def struck(_):\n"
        "    def during(values):\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "        return values\n"
        "    rows = pl.LazyFrame({'a': [1]})\n"
        "    rows.select(pl.col('a').map_batches(during)).collect()\n"
        "    print('out of it', flush=True)\n"
        "    time.sleep(5)\n"
        "cli._dispatch = struck; sys.argv[1:] = ['recipes']; cli.console()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (143, "out of it\n")
    assert done.stderr == "gymrecipe: terminated; no version is left half made.\n"


def test_hydra_makes_no_folder(said: Said, tmp_path: Path) -> None:
    said("-m", PAIRS, "min_gap=0.1,0.2")
    said(PAIRS, "--cfg", "job")
    assert {path.name for path in tmp_path.iterdir()} == {"experiments"}


# Paths


def test_unicode_and_spaces_in_paths(said: Said, tmp_path: Path) -> None:
    odd = "naïve ☃ folder, [x]/it's {a}=b.jsonl"
    save(tmp_path / odd, graded())
    quoted = odd.replace("'", "\\'")
    code, out, err = said(PAIRS, f"input='{quoted}'", "output_dir='my out ü'")
    assert (code, out) == (0, "my out ü/dpo_same_prompt/v0001\n"), err
    code, out, err = said("explain", out.strip(), f"{odd}:1")
    assert code == 0, err
    assert said("columns", odd)[0] == 0
    assert said("reproduce", "my out ü/dpo_same_prompt")[0] == 0
    assert said("diff", *["my out ü/dpo_same_prompt/v0001"] * 2)[0] == 0


def test_relative_paths_are_taken_from_the_folder_of_the_call(
    said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "runs/a.jsonl", graded())
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    code, _, _ = said(PAIRS, "input=../runs/*.jsonl", "output_jsonl_fpath=../out.jsonl")
    assert code == 0
    assert (tmp_path / "else/experiments/dpo_same_prompt/v0001").is_dir()
    assert (tmp_path / "out.jsonl").is_file()


# The other knobs


def test_input_jsonl_fpath_plus_and_double_plus_are_the_same(said: Said, tmp_path: Path) -> None:
    save(tmp_path / "a.jsonl", graded())
    outs = {
        said(*line)[1]
        for line in (
            [PAIRS, "input=a.jsonl", "min_gap=0.3"],
            ["recipe=dpo_same_prompt", "+input_jsonl_fpath=a.jsonl", "++min_gap=0.3"],
            ["++recipe=dpo_same_prompt", "++input=a.jsonl", "+min_gap=0.3"],
        )
    }
    assert outs == {"experiments/dpo_same_prompt/v0001\n"}


def test_limit_reads_no_more_lines(said: Said, tmp_path: Path) -> None:
    save(tmp_path / "a.jsonl", [*graded(), *[b"no json"] * 100])
    code, out, _ = said(PAIRS, "input=a.jsonl", "limit=20", "json=true")
    assert code == 0
    assert json.loads(out)["lines"]["read"] == 20


def test_what_is_made_beside_a_version_is_told_also_when_it_was_there(said: Said) -> None:
    line = (PAIRS, "tag=v1.0", "output_jsonl_fpath=out.jsonl")
    for _ in range(2):
        code, out, err = said(*line)
        assert (code, out) == (0, "experiments/dpo_same_prompt/v0001\n")
        assert err.endswith(
            "experiments/dpo_same_prompt/v1.0: a link to v0001.\n"
            "out.jsonl: a copy of data/train.jsonl of v0001.\n"
        )
    assert "a copy" not in said(*line, "dry_run=true")[2]


def test_only_copies_that_were_made_are_told(said: Said, tmp_path: Path) -> None:
    knobs = ("output_jsonl_fpath=out.jsonl", "validation_fraction=0.999")
    err = said("+recipe=sft_threshold", *knobs, "limit=20")[2]
    assert err.endswith("\nout_validation.jsonl: a copy of data/validation.jsonl of v0001.\n")
    assert not (tmp_path / "out.jsonl").exists()


def test_cfg_shows_the_recipe_and_resolve_its_values(said: Said) -> None:
    assert "min_gap: ${min_gap}" in said(PAIRS, "--cfg", "job", "min_gap=0.7")[1]
    _, out, _ = said(PAIRS, "--cfg", "job", "--resolve", "min_gap=0.7")
    assert out.count("min_gap: 0.7\n") == 2


def test_the_help_of_a_recipe_lists_its_knobs_with_what_they_set(said: Said) -> None:
    code, out, _ = said(PAIRS, "--help")
    assert code == 0
    assert out.startswith("Preference pairs between rollouts of the same prompt.\n")
    assert re.search("min_gap=0.2 +smallest reward difference", out)
    assert re.search("validation_fraction=0.0 +the share of prompts held out", out)


@pytest.mark.parametrize("line", [[], ["--help"], ["-h"]])
def test_alone_it_shows_what_it_is_the_recipes_and_what_to_type_next(
    line: list[str], said: Said
) -> None:
    code, out, _ = said(*line)
    assert code == 0
    assert out.startswith("gymrecipe turns scored rollouts into versioned training datasets")
    assert "sft_best_per_task" in out
    assert out.endswith("python -m gymrecipe +recipe=dpo_same_prompt min_gap=0.3\n")
    assert max(map(len, out.splitlines())) <= 80


def test_version_and_shell_completion(said: Said) -> None:
    assert re.fullmatch(r"gymrecipe \d+\.\d+\.\d+\S*\n", said("--version")[1])
    for shell in ("bash", "zsh", "fish"):
        assert "gymrecipe --shell-completion query" in said("-sc", f"install={shell}")[1]


def test_a_folder_of_own_recipes_is_listed_and_run(said: Said, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/own.yaml").write_text(
        "# Mine.\nstages: {load: {use: load}, write: {use: write}}\n"
    )
    assert re.search("own +Mine", said("recipes", "--config-dir", "mine")[1])
    assert said("+recipe=own", "-cd", "mine")[1] == "experiments/own/v0001\n"


PLUGIN = '''
import polars as pl
from typing import Literal
from gymrecipe.parameters import Params
from gymrecipe.registry import format, stage

class Even(Params):
    use: Literal["even"] = "even"

@stage(takes="rollouts", version=1)
def even(rows: pl.LazyFrame, params: Even) -> pl.LazyFrame:
    """Reject odd lines."""
    odd = pl.col("line") % 2 == 1
    return rows.with_columns(reason=pl.when(odd).then(pl.lit("odd")))

@format(purposes=("sft",), version=1)
def shout(example):
    """The answer, loud."""
    return {"text": example.completion[-1].content.upper()}
'''
RECIPE = "stages: {load: {use: load}, even: {use: even}, write: {use: write, format: shout}}\n"


def test_a_plugin_brings_a_stage_and_a_format_to_the_workers_too(
    tmp_path: Path, eager: str
) -> None:
    (tmp_path / "my_stages.py").write_text(PLUGIN)
    (tmp_path / "own.yaml").write_text(RECIPE)
    line = [eager, "+recipe=own.yaml", "--plugin", "my_stages", "engine.workers=2", "json=true"]
    done = python(*line, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["stages"][1]["rejected"]["odd"] > 90
    data = tmp_path / "experiments/own/v0001/data/train.jsonl"
    first = json.loads(data.read_text().splitlines()[0])
    assert first["text"] == first["text"].upper()
    without = python(eager, "reproduce", "own", cwd=tmp_path)
    assert without.returncode == 5
    assert "stage 'even' version 1, here none" in without.stderr


def test_a_parameter_of_a_plugin_enters_the_id_whatever_its_name(
    tmp_path: Path, eager: str
) -> None:
    named = PLUGIN.replace('"even"] = "even"', '"even"] = "even"\n    tokenizer: int = 1')
    (tmp_path / "my_stages.py").write_text(named)
    (tmp_path / "own.yaml").write_text(RECIPE)
    line = [eager, "+recipe=own.yaml", "--plugin", "my_stages", "limit=20"]
    for number in (1, 2):
        done = python(*line, f"stages.even.tokenizer={number}", cwd=tmp_path)
        assert done.stdout == f"experiments/own/v000{number}\n", done.stderr


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("import nowhere_at_all", "cannot be imported: No module named 'nowhere_at_all'"),
        ("def broken(:", "cannot be imported: invalid syntax"),
        ("{}['x']", "fails when it is imported: KeyError: 'x'"),
        ("import sys; sys.exit(3)", "fails when it is imported: SystemExit: 3"),
        (PLUGIN.replace("even", "filter"), "registers something wrong: a stage named 'filter'"),
        (PLUGIN.replace("rollouts", "rolouts"), "wrong: the stage 'even' takes .*'rolouts'"),
        (PLUGIN.replace(": Even", ""), "wrong: the stage 'even' needs a second parameter `params`"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_a_sentence(
    text: str, sentence: str, said: Said, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    name = f"plugin_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(text)
    code, _, err = said("stages", "--plugin", name)
    assert code == 2
    assert re.fullmatch(f"gymrecipe: --plugin {name}: .*{sentence}.*\n", err)


def test_a_plugin_that_takes_a_name_of_ours_is_told_in_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(PLUGIN.replace("even", "filter"))
    line = ["-m", "gymrecipe", "--plugin", "theirs", "+recipe=ppo"]
    done = python(*line, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        "gymrecipe: --plugin theirs: registers something wrong: a stage named 'filter' is"
        " registered already.\n",
    )


@pytest.fixture
def unregistered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test's plugin registers is forgotten after it, and so is the plugin."""
    tables = (registry.STAGES, registry.STRATEGIES, registry.FORMATS, registry.CHECKS)
    before, plugins = [{**table} for table in tables], [*registry.PLUGINS]
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)
    registry.PLUGINS[:] = plugins
    sys.modules.pop("my_broken", None)


BROKEN = '''
import polars as pl
from typing import Literal
from gymrecipe.parameters import Params
from gymrecipe.registry import check, format, stage, strategy

class Broken(Params):
    use: Literal["broken"] = "broken"
    how: str = "well"

@stage(takes="rollouts", version=1)
def broken(rows: pl.LazyFrame, params: Broken) -> pl.LazyFrame:
    """Do it wrong."""
    match params.how:
        case "raises":
            raise KeyError("reward2")
        case "later":
            return rows.with_columns(x=pl.col("line").map_batches(lambda _: 1 / 0, pl.Int64))
        case "leaves":
            raise SystemExit(0)
        case "says nothing":
            return rows.with_columns(reason=pl.when(pl.col("line") > 5).then(pl.lit("")))
        case "retypes":
            return rows.with_columns(pl.col("reward").cast(pl.String))
        case "divides":
            return rows.with_columns(pl.col("reward") / 0)
        case "drops":
            return rows.filter(pl.col("line") > 5)
        case "doubles":
            return pl.concat([rows, rows])
        case "hides":
            return rows.drop("row")
        case "wrong":
            return rows.collect()
        case "counts":
            return rows, {"turns": 5}
        case "tells":
            return rows, {"warnings": pl.LazyFrame({"msg": ["Mind this."]})}
        case "compared" | "rates" | "resolved" | "rewards":
            return rows, {params.how: pl.LazyFrame({"x": [1]})}
    return rows

@format(purposes=("sft",), version=1)
def cracked(example):
    """Raise."""
    return example.prompt[99]

@format(purposes=("sft",), version=1)
def odd(example):
    """Give what is no record."""
    return {"a": {1, object()}}

@format(purposes=("sft",), version=1)
def tall(example):
    """Give two lines as one record."""
    return b"{" + bytes([10]) + b"}"

@format(purposes=("sft",), version=1)
def number(example):
    """Give what is no record at all."""
    return 5

@check(takes=("rollouts",), advice="None.")
def gauge(rows, facts, at, by):
    """A text."""
    return "high"

@strategy
def torn(ranked):
    """Raise."""
    return ranked.nothing

@strategy
def halved(ranked):
    """Give one place."""
    return ranked.select("group", chosen_place="place")
'''


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["+stages.b={use: broken, how: raises, after: load}"],
         "stages.b: the stage 'broken' of the plugin NAME failed: KeyError: 'reward2', at "),
        (["+stages.b={use: broken, how: later, after: load}"], "stages.b: the stage 'broken' of .*"
         "failed: .*division by zero"),
        (["+stages.b={use: broken, how: leaves, after: load}"],
         "stages.b: the stage 'broken' of the plugin NAME failed: SystemExit: 0, at "),
        (["+stages.b={use: broken, how: says nothing, after: load}"],
         "the stage 'broken' of the plugin NAME gives an empty text as a `reason`"),
        (["+stages.b={use: broken, how: retypes, after: load}"],
         "the stage 'broken' of the plugin NAME gives the column 'reward' as String, not Float64."),
        (["+stages.b={use: broken, how: divides, after: load}"],
         "gives numbers in the column 'reward' that are not finite."),
        (["+stages.b={use: broken, how: drops, after: load}"], "gives 195 rows of 200"),
        (["+stages.b={use: broken, how: doubles, after: load}"],
         "gives 400 rows of 200, 200 of them different"),
        (["+stages.b={use: broken, how: hides, after: load}"], "takes away the column 'row'"),
        (["+stages.b={use: broken, how: wrong, after: load}"],
         "gives a DataFrame, not a LazyFrame of Polars"),
        (["+stages.b={use: broken, how: counts, after: load}"],
         "the stage 'broken' of the plugin NAME gives a int as its facts 'turns', not a LazyFrame"),
        (["+stages.b={use: broken, how: tells, after: load}"],
         "the stage 'broken' of the plugin NAME gives `warnings` without their column `message`"),
        *((["+stages.b={use: broken, how: " + name + ", after: load}"],
           f"the stage 'broken' of the plugin NAME gives facts named '{name}', as ours are")
          for name in ("compared", "rates", "resolved", "rewards")),
        (["format=tall"], "the format 'tall' of the plugin NAME failed: ValueError: a record is"
         " one line, and this one has a line feed in it"),
        (["format=cracked"], "the format 'cracked' of the plugin NAME failed: IndexErr"),
        (["format=odd"], "stages.write: the format 'odd' of the plugin NAME failed: TypeError"),
        (["format=number"], "the format 'number' of the plugin NAME failed: TypeError: a record is"
         " a dict or bytes, not int"),
        (["stages.check.checks={gauge: {max: 1}}"], "check 'gauge' .NAME. should give a number"),
        (["+stages.p={use: pair, strategy: torn, after: good}"],
         "stages.p: the strategy 'torn' of the plugin NAME failed: AttributeError"),
        (["+stages.p={use: pair, strategy: halved, after: good}"],
         "stages.p: the strategy 'halved' of the plugin NAME gives no column 'rejected_place'. It"
         " has to give group, chosen_place, rejected_place."),
    ],
)  # fmt: skip
def test_what_a_plugin_does_wrong_is_a_sentence_that_names_it(
    overrides: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    unregistered: None,
) -> None:
    (tmp_path / "my_broken.py").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    code = main(["+recipe=sft_threshold", "--plugin", "my_broken", *overrides])
    err = capfd.readouterr().err
    assert code == 2, err
    assert re.search(sentence.replace("NAME", "my_broken"), err)
    assert "Traceback" not in err


FIGURES = """
import polars as pl
from gymrecipe.parameters import Params
from gymrecipe.registry import stage

class Rare(Params):
    use: str = "rare"

class Sizes(Params):
    use: str = "sizes"

@stage(takes="metrics", version=1)
def rare(rows, params: Rare):
    return rows.with_columns(reason=pl.when(pl.col("count") < 100).then(pl.lit("rare")))

@stage(takes=("pairs", "tasks"), makes="metrics", version=1)
def sizes(rows, params: Sizes):
    return rows.select(metric=pl.lit("rows"), count=pl.len())
"""


@pytest.mark.parametrize(
    ("recipe", "stages", "left", "used"),
    [
        ("aggregate", ["+stages.b={use: rare, after: figures}"], {"rare": 3}, 200),
        ("dpo_same_prompt", ["+stages.b={use: sizes, from: pair}"], {}, 114),
        ("rl_prompts", ["+stages.t={use: tasks, from: load}", "+stages.b={use: sizes, from: t}"],
         {}, 200),
    ],
)  # fmt: skip
def test_a_stage_of_a_plugin_takes_figures_and_makes_them_of_anything(
    recipe: str,
    stages: list[str],
    left: dict[str, int],
    used: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    unregistered: None,
) -> None:
    (tmp_path / "my_broken.py").write_text(FIGURES)
    monkeypatch.chdir(tmp_path)
    own = ["+stages.own={use: write, from: b}"] if recipe != "aggregate" else []
    words = [f"+recipe={recipe}", "--plugin", "my_broken", *stages, *own, "json=true"]
    assert main(words) == 0
    record = json.loads(capfd.readouterr().out)
    assert next(stage for stage in record["stages"] if stage["name"] == "b")["rejected"] == left
    assert record["lines"]["used"] == used


@pytest.mark.parametrize("name", ["cracked", "odd"])
def test_what_a_plugin_does_wrong_in_a_worker_is_the_same_sentence(
    name: str, tmp_path: Path, eager: str
) -> None:
    (tmp_path / "my_broken.py").write_text(BROKEN)
    line = [eager, "+recipe=sft_threshold", "--plugin", "my_broken", f"format={name}"]
    done = python(*line, "engine.workers=2", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert f"the format '{name}' of the plugin my_broken failed: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_sweep_goes_on_after_a_plugin_that_fails(tmp_path: Path, eager: str) -> None:
    (tmp_path / "my_broken.py").write_text(BROKEN)
    line = [eager, "-m", "+recipe=sft_threshold", "--plugin", "my_broken", "format=odd,messages"]
    done = python(*line, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "experiments/sft_threshold/v0001\n"), done.stderr


# The verbs on a real version


def make_two_versions(folder: Path) -> None:
    odd = [b"no json", rollout("alone", "x"), rollout("prompt 0", "unscored", MISSING)]
    save(folder / "a.jsonl", [*graded(), *odd])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for gap in (0.3, 0.9):
            assert main([PAIRS, "input=a.jsonl", f"min_gap={gap}"]) == 0


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two versions of pairs of `a.jsonl`; only to be read."""
    folder = tmp_path_factory.mktemp("two")
    make_two_versions(folder)
    return folder


@pytest.fixture
def made(said: Said, two_versions: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """The command, in the folder with the two versions."""
    monkeypatch.chdir(two_versions)
    return said


@pytest.fixture
def made_anew(said: Said, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    """The command, in a folder of the test's own with two such versions."""
    make_two_versions(tmp_path)
    capsys.readouterr()
    return said


def test_show_prints_the_summary_or_the_manifest(made: Said) -> None:
    code, out, err = made("show", "dpo_same_prompt/v0001")
    assert (code, err) == (0, "")
    assert out.startswith("dpo_same_prompt v0001 · 23 lines read · 20 used · 3 rejected\n")
    assert out.endswith("experiments/dpo_same_prompt/v0001\n")
    assert json.loads(made("show", "dpo_same_prompt", "json=true")[1])["version"] == "v0002"


def test_versions_lists_them(made: Said) -> None:
    code, out, _ = made("versions")
    assert code == 0
    assert re.search(r"dpo_same_prompt/v0001 .* 10 +20 +3 +\+?input=a.jsonl min_gap=0.3", out)


def test_versions_says_when_each_was_made_and_quotes_what_a_shell_would_take(said: Said) -> None:
    assert said("+recipe=sft_threshold", "stages.good.where=reward > 0.5")[0] == 0
    _, out, _ = said("versions")
    assert re.search(r"sft_threshold/v0001 +20\d\d-\d\d-\d\d \d\d:\d\d +\d+ ", out)
    assert "'stages.good.where=reward > 0.5'" in out


def test_versions_shows_every_tag_of_a_version(said: Said) -> None:
    for tag in ("v1.0", "best"):
        assert said("+recipe=sft_threshold", f"tag={tag}")[0] == 0
    assert re.search(r"sft_threshold/v0001 +best, v1.0 ", said("versions")[1])


def test_versions_lists_them_beside_one_whose_manifest_is_broken(made_anew: Said) -> None:
    Path("experiments/dpo_same_prompt/v0001/manifest.json").write_text("{")
    code, out, _ = made_anew("versions")
    assert code == 0
    assert re.search(r"dpo_same_prompt/v0001 +\(manifest: not a manifest: .*\)\n", out)
    assert re.search(r"dpo_same_prompt/v0002 .* min_gap=0.9", out)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("a.jsonl:1", "used in data/train.jsonl:6 as the rejected side, held against a.jsonl:16"),
        ("a.jsonl:16", "used in data/train.jsonl:6 as the chosen side, held against a.jsonl:1"),
        ("./a.jsonl:21", "rejected by stage 'load': bad_json"),
        ("a.jsonl:22", "rejected by stage 'pair': only_one .*Its parameters: .*min_gap=0.3"),
        ("a.jsonl:23", "rejected by stage 'pair': missing_reward"),
    ],
)
def test_explain_says_what_became_of_a_line(line: str, sentence: str, made: Said) -> None:
    code, out, err = made("explain", "dpo_same_prompt/v0001", line)
    assert (code, err) == (0, "")
    assert re.match(f"a.jsonl:[0-9]+: {sentence}", out), out


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("a.jsonl:24", "v0001 read 23 lines of it, not line 24"),
        ("a.jsonl:0", "not line 0"),
        ("b.jsonl:1", "b.jsonl: not an input of experiments/.*It read a.jsonl"),
        ("a.jsonl", "a.jsonl: not a line. Write file:number"),
        ("a.jsonl:x", "a.jsonl:x: not a line"),
        ("a.jsonl:²", "not a line"),
    ],
)
def test_explain_of_what_was_not_read_is_an_error(line: str, sentence: str, made: Said) -> None:
    code, out, err = made("explain", "dpo_same_prompt/v0001", line)
    assert (code, out) == (2, "")
    assert re.search(sentence, err)


def test_a_reason_that_another_stage_gave_is_not_taken_for_none(made: Said) -> None:
    code, out, err = made("rejects", "dpo_same_prompt/v0001", "stage=pair", "reason=bad_json")
    assert (code, out) == (0, "")
    assert err.endswith("v0001: stage 'pair' rejected no line as 'bad_json'.\n")


def test_verify_tells_a_whole_version_from_a_tampered_one(made_anew: Said, tmp_path: Path) -> None:
    assert made_anew("verify", "dpo_same_prompt/v0001")[0] == 0
    data = tmp_path / "experiments/dpo_same_prompt/v0001/data/train.jsonl"
    data.write_bytes(data.read_bytes().replace(b"answer 1 3", b"answer 1 4"))
    code, out, err = made_anew("verify", "dpo_same_prompt/v0001")
    assert (code, out) == (3, "")
    assert err.endswith("v0001: data/train.jsonl: its content changed.\n")


def test_diff_says_what_differs(made: Said) -> None:
    code, out, _ = made("diff", "dpo_same_prompt/v0001", "dpo_same_prompt/v0002")
    assert code == 0
    assert re.search("min_gap +0.3 → 0.9", out)
    assert re.search("Rollouts lost +-10\n +pair +-10 +not_selected +a.jsonl:", out), out
    assert made("diff", "dpo_same_prompt/v0001", "dpo_same_prompt/v0001")[0] == 0


def test_reproduce_makes_the_same_bytes(made: Said) -> None:
    code, out, _ = made("reproduce", "dpo_same_prompt/v0001")
    assert code == 0
    assert re.search(r"v0001: made again, 3 files and \d+ bytes are the same\n", out)


def test_reproduce_with_other_tools_is_exit_5_unless_any_will_do(
    made: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproducing, "packages", lambda: {"polars": "0.1"})
    code, _, err = made("reproduce", "dpo_same_prompt/v0001")
    assert code == 5
    assert re.search("made with other tools: .*polars [0-9.]+, here 0.1.*any_tools=true", err)
    assert made("reproduce", "dpo_same_prompt/v0001", "any_tools=true")[0] == 0


def test_reproduce_without_a_plugin_says_how_it_is_loaded(made_anew: Said, tmp_path: Path) -> None:
    path = tmp_path / "experiments/dpo_same_prompt/v0001/manifest.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"plugins": {"polite": "ab" * 32}}))
    code, _, err = made_anew("reproduce", "dpo_same_prompt/v0001")
    assert code == 5
    assert "Load it with --plugin polite." in err


def test_reproduce_of_an_input_that_is_gone_is_exit_4(made_anew: Said, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").unlink()
    code, _, err = made_anew("reproduce", "dpo_same_prompt/v0001")
    assert code == 4
    assert re.search("gymrecipe: a.jsonl: gone", err)


def test_columns_shows_hostile_names_as_what_they_are(said: Said, tmp_path: Path) -> None:
    names = ["\x1b[2J", "[bold red]", "a b.c", "\u202eevil", "line\nbreak", "", 'q"u', "reward2"]
    save(tmp_path / "a.jsonl", [rollout("p", "a", 1.0, **dict.fromkeys(names, 1))])
    code, out, _ = said("columns", "input=a.jsonl")
    assert code == 0
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", out)
    for shown in ('field["a b.c"]', 'field["[bold red]"]', "\\x1b[2J", "reward2", 'field[""]'):
        assert shown in out


def test_columns_of_a_file_without_a_field_say_so(said: Said, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no\njson\n")
    code, out, err = said("columns", "a.txt")
    assert (code, err) == (0, "built-in columns; no field is in the first 2 lines.\n")
    assert "answer_chars" in out


def test_columns_of_the_sample_need_no_input(said: Said) -> None:
    code, out, err = said("columns", "limit=5")
    assert code == 0
    assert re.search("metadata.task_type +[0-9] +text", out)
    assert "the fields of the first 5 lines" in err


# check


DPO = {
    "prompt": [{"role": "user", "content": "6 * 7?"}],
    "chosen": [{"role": "assistant", "content": "42"}],
    "rejected": [{"role": "assistant", "content": "43"}],
}


def test_check_prints_findings_on_stdout_and_the_outcome_on_stderr(said: Said) -> None:
    save(Path("rows.jsonl"), [DPO, DPO | {"chosen": []}, DPO | {"chosen": []}])
    code, out, err = said("check", "rows.jsonl", "format=trl")
    assert code == 3
    assert out.splitlines() == [
        "rows.jsonl:2: error: chosen: should have a message, got an empty list",
        "  also on line 3",
        "rows.jsonl:3: warning: the same row as line 2",
    ]
    said_of_it = (
        "rows.jsonl: 3 rows as format=trl purpose=dpo (by its columns): 2 errors, 1 warning"
    )
    assert " ".join(err.split()) == said_of_it


@pytest.mark.parametrize(
    ("rows", "code"), [([DPO], 0), ([DPO, DPO], 0), ([DPO | {"chosen": "x"}], 3), ([], 3)]
)
def test_check_exits_with_3_for_an_error_and_0_for_warnings(
    rows: list[dict[str, object]], code: int, said: Said
) -> None:
    save(Path("rows.jsonl"), rows)
    assert said("check", "rows.jsonl", "format=trl", "purpose=dpo")[0] == code


def test_check_prints_each_finding_as_json(said: Said) -> None:
    twice = [*DPO["prompt"], *DPO["prompt"]]  # a caution of the model, and then two faults
    save(
        Path("rows.jsonl"), [DPO | {"prompt": twice}, DPO | {"chosen": []}, DPO | {"rejected": []}]
    )
    code, out, _ = said("check", "rows.jsonl", "format=trl", "json=true")
    assert code == 3
    assert [(one["line"], one["level"]) for one in map(json.loads, out.splitlines())] == [
        (1, "warning"),
        (2, "error"),
        (3, "error"),
    ]


def test_check_reads_rollouts_and_says_what_a_run_would_do(said: Said) -> None:
    code, out, err = said("check", "gymrecipe:sample", "format=rollouts")
    assert code == 3
    assert out.startswith("gymrecipe:sample:41: error: bad_json: text that is not JSON\n")
    assert "tasks: 50 of 4 rollouts" in " ".join(err.split())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["check"], "check: write one file: check FILE format=NAME"),
        (["check", "a", "b"], "check: write one file"),
        (["check", "rows.jsonl"], "check: write format=NAME. There are"),
        (["check", "rows.jsonl", "format=tlr"], "Did you mean 'trl'?"),
        (["check", "rows.jsonl", "fromat=trl"], "unknown knob 'fromat'; it takes format, purpose"),
        (["check", "row.jsonl", "format=trl"], "no such file. Did you mean 'rows.jsonl'?"),
        (["check", ".", "format=trl"], "a folder, not a file"),
    ],
)
def test_check_ends_in_one_clear_sentence_for_a_mistake(
    words: list[str], sentence: str, said: Said
) -> None:
    save(Path("rows.jsonl"), [DPO])
    code, out, err = said(*words)
    assert (code, out) == (2, "")
    assert sentence in err


def test_a_version_copied_elsewhere_is_verified_with_a_note(said: Said, tmp_path: Path) -> None:
    said(PAIRS)
    copy = shutil.copytree("experiments/dpo_same_prompt/v0001", tmp_path / "handed" / "mine")
    code, out, err = said("verify", copy)
    known = "v0001 of dpo_same_prompt"
    assert (code, out) == (0, f"{copy}: {known}, whole, every file as it was written\n")
    assert "no ledger has a line about it" in err
    named = shutil.copytree(copy, tmp_path / "handed/dpo_same_prompt/v0001")
    assert said("verify", named)[1] == f"{named}: whole, every file as it was written\n"


def test_the_values_of_a_parameter_are_told(said: Said) -> None:
    out = said("stages", "write")[1]
    for name in ("developer", "ending", "unanswered_calls", "missing_tools", "refusals", "order",
                 "truncated", "token_ids", "pairs_at", "reasoning", "file"):  # fmt: skip
        (line,) = [line for line in out.splitlines() if line.startswith(f"{name} ")]
        annotation = Write.model_fields[name].annotation
        for part in (annotation, *get_args(annotation)):
            assert all(f"`{value}`" in line for value in get_args(part) if isinstance(value, str))


def test_an_interruption_that_somebody_swallows_comes_again(tmp_path: Path) -> None:
    script = tmp_path / "swallowing.py"
    script.write_text(
        "import os, signal, sys, time\n"
        "from gymrecipe import cli\n"
        "class Swallows:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(0.001)\n"
        "def run(words):\n"
        "    sys.unraisablehook = lambda told: None\n"
        "    Swallows()\n"
        "    time.sleep(20)\n"
        "    return 0\n"
        "cli._dispatch = run\n"
        "cli.console()\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    said = "gymrecipe: interrupted; no version is left half made.\n"
    assert (done.returncode, done.stderr) == (130, said)
