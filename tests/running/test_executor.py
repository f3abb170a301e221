"""What a run promises: the same bytes however it is made, warnings, stops, and an honest id."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gymrecipe
from gymrecipe.engines import local, workers
from gymrecipe.errors import DataError, RecipeError
from gymrecipe.experiments import manifest, slices
from gymrecipe.experiments.verify import verify
from gymrecipe.rollouts import bad, table
from gymrecipe.rollouts.files import sample_path
from tests.experiments.conftest import records
from tests.full import often
from tests.rollouts.conftest import rollout

FILES = ("data/train.jsonl", "rejects.parquet", "used.parquet")


def digests(version: gymrecipe.Version) -> dict[str, str]:
    return {output.path: output.sha256 for output in version.manifest.outputs}


def run(folder: Path, recipe: str = "dpo_same_prompt", **knobs: Any) -> gymrecipe.Version:
    return gymrecipe.run(recipe, output_dir=str(folder), **knobs)


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_one_worker_or_eight_give_the_same_bytes(
    workers: int,
    of_the_sample: Callable[[str], gymrecipe.Version],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = of_the_sample("dpo_same_prompt")
    monkeypatch.setattr(table, "SLICE_BYTES", 100_000)
    monkeypatch.setattr(local, "WORTH_BYTES", 0)
    monkeypatch.setattr(slices, "SLICE_BYTES", 50_000)
    sliced = run(tmp_path / "sliced", **{"engine.workers": workers})
    assert {name: digests(sliced)[name] for name in FILES} == {
        name: digests(plain)[name] for name in FILES
    }


def test_pairs_between_inputs_that_are_runs_are_told_how_they_come_about(tmp_path: Path) -> None:
    for name, reward in (("base", 0.0), ("teacher", 1.0)):
        line = rollout("a", f"{name} says", reward=reward, _ng_task_index=3)
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(line) + "\n")
    both = [str(tmp_path / "base.jsonl"), str(tmp_path / "teacher.jsonl")]
    with pytest.raises(DataError, match=r"prompts that are in several: 1\. .*one glob.*group_by="):
        run(tmp_path, input=both)
    assert run(tmp_path, input=str(tmp_path / "*.jsonl")).manifest.outputs[0].rows == 1
    assert run(tmp_path, input=both, group_by="_ng_task_index").manifest.outputs[0].rows == 1


@pytest.mark.parametrize("most", [30, "1%"])
def test_bad_rows_stop_a_run_in_the_same_words_with_any_number_of_workers(
    most: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "flood.jsonl"
    good = sample_path().read_bytes().splitlines(keepends=True)[:20]
    path.write_bytes(b"".join([*good, b"{}\n" * 5_000, *good, b"[]\n\n" * 20_000]))
    monkeypatch.setattr(bad, "FEW", 100)
    monkeypatch.setattr(table, "SLICE_BYTES", 10_000)
    monkeypatch.setattr(local, "WORTH_BYTES", 0)
    said = set()
    for count in (1, 2, 5):
        with pytest.raises(DataError) as error:
            run(tmp_path, input=str(path), max_bad_rows=most, **{"engine.workers": count})
        said.add((str(error.value), json.dumps(error.value.manifest.stages[0].rejected)))
    ((words, _),) = said
    assert "flood.jsonl:51: not_a_rollout: " in words or "max_bad_rows=1% allows" in words


def test_the_pool_is_really_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    pool = workers.ProcessPoolExecutor
    monkeypatch.setattr(workers, "ProcessPoolExecutor", lambda *a: started.append(a[0]) or pool(*a))
    monkeypatch.setattr(table, "SLICE_BYTES", 100_000)
    monkeypatch.setattr(local, "WORTH_BYTES", 0)
    run(tmp_path, **{"engine.workers": 2})
    assert started == [2]


@pytest.mark.parametrize(
    "setting",
    [
        {"PYTHONHASHSEED": "1", "LC_ALL": "C", "POLARS_MAX_THREADS": "1"},
        {"PYTHONHASHSEED": "2", "LC_ALL": "tr_TR.UTF-8", "POLARS_MAX_THREADS": "4",
         "TZ": "Asia/Tokyo"},
    ],
)  # fmt: skip
def test_the_environment_changes_no_byte(
    setting: dict[str, str], of_the_sample: Callable[[str], gymrecipe.Version], tmp_path: Path
) -> None:
    here = of_the_sample("dpo_same_prompt")
    words = [sys.executable, "-m", "gymrecipe", "+recipe=dpo_same_prompt", "output_dir=there"]
    subprocess.run(words, env=os.environ | setting, cwd=tmp_path, check=True, capture_output=True)
    version = tmp_path / "there" / "dpo_same_prompt" / "v0001"
    for name in FILES:
        assert here.path is not None
        assert (version / name).read_bytes() == (here.path / name).read_bytes()


def test_the_id_does_not_depend_on_paths_or_names(tmp_path: Path) -> None:
    copy = tmp_path / "somewhere else.jsonl"
    copy.write_bytes(sample_path().read_bytes())
    one = run(tmp_path / "a", input=str(sample_path()))
    other = run(tmp_path / "b", input=str(copy), name="other", **{"engine.workers": 1})
    assert one.manifest.id == other.manifest.id


@pytest.fixture(scope="module")
def usual_id(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of the recipe with a gap of 0.3."""
    return run(tmp_path_factory.mktemp("usual"), min_gap=0.3, dry_run=True).manifest.id


@pytest.mark.parametrize(
    "knobs",
    [
        {"min_gap": 0.30000000000000004},
        {"seed": 1},
        {"limit": 100},
        {"limit_tasks": 10},
        {"reward": "accuracy"},
        {"group_by": "metadata.task_type"},
        {"format": "raw"},
        {"order": "shuffled"},
        {"validation_fraction": 0.1},
        {"stages.usable.max_turns": 5},
    ],
)
def test_whatever_can_change_the_data_changes_the_id(
    knobs: dict[str, Any], usual_id: str, tmp_path: Path
) -> None:
    knobs = {"min_gap": 0.3, "dry_run": True, **knobs}
    assert run(tmp_path, **knobs).manifest.id != usual_id


def test_the_order_of_columns_changes_the_id_as_it_does_the_records(tmp_path: Path) -> None:
    columns = {"answer": "a", "reward": "r"}
    knobs = {"stages.write.format": "custom", "limit": 20}
    one = run(tmp_path, "sft_threshold", **knobs, **{"stages.write.columns": columns})
    columns = dict(reversed(columns.items()))
    other = run(tmp_path, "sft_threshold", **knobs, **{"stages.write.columns": columns})
    assert not other.existed
    firsts = [next(iter(records(version)[0])) for version in (one, other)]
    assert firsts == ["a", "r"]


def test_a_changed_byte_of_the_input_changes_the_id(tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    text = sample_path().read_bytes()
    copy.write_bytes(text)
    before = run(tmp_path / "a", input=str(copy)).manifest.id
    copy.write_bytes(text.replace(b"answer", b"Answer", 1))
    assert run(tmp_path / "a", input=str(copy)).manifest.id != before


def test_a_dry_run_leaves_nothing_and_shows_an_example_of_each_write(tmp_path: Path) -> None:
    version = run(tmp_path / "none", "sft_and_dpo", dry_run=True)
    assert version.path is None
    assert not (tmp_path / "none").exists()
    assert version.examples.keys() == {"sft", "dpo"}
    assert version.examples["sft"].startswith('{"messages":')


def test_a_reward_filter_before_pairs_warns_of_the_losers_it_takes(tmp_path: Path) -> None:
    version = run(tmp_path, **{"stages.usable.min_reward": 0.5})
    lost = version.manifest.stages[1].rejected["below_min_reward"]
    assert any(f"takes away {lost} rollouts" in text for text in version.manifest.warnings)


def test_a_where_by_reward_before_pairs_warns_too(tmp_path: Path) -> None:
    version = run(tmp_path, **{"stages.usable.where": "reward > 0.2"})
    assert any("could be the rejected side" in text for text in version.manifest.warnings)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ('metadata.task_type == "maths"', "'maths' as metadata.task_type; there are code, math"),
        ('metadata.task_type in ("math", "cod")', "'cod' as metadata.task_type; there are code"),
        ('metadata.task_type != "maths"', "Did you mean 'math'?"),
        ('metadata.task_type == "x"', "'x' as metadata.task_type"),
    ],
)
def test_a_text_that_no_line_has_is_told(where: str, said: str, tmp_path: Path) -> None:
    version = run(tmp_path, **{"stages.usable.where": f"reward >= 0 or {where}"})
    assert [said in text for text in version.manifest.warnings if "no line" in text] == [True]


@pytest.mark.parametrize(
    "where",
    [
        'metadata.task_type in ("math", "science")',  # a recipe for files of other kinds too
        'metadata.task_type != "broken"',
        'metadata.task_type in ("math", "maths") and metadata.task_type == "math"',
    ],
)
def test_a_text_that_other_files_may_have_is_not_told(where: str, tmp_path: Path) -> None:
    version = run(tmp_path, **{"stages.usable.where": where})
    assert not [text for text in version.manifest.warnings if "no line" in text]


def test_many_texts_that_no_line_has_are_told_at_once(tmp_path: Path) -> None:
    names = ", ".join(f'"n{number}"' for number in range(30))
    version = run(tmp_path, **{"stages.usable.where": f"reward >= 0 or agent in ({names})"})
    (said,) = [text for text in version.manifest.warnings if "no line" in text]
    assert "has 'n0', 'n1', 'n2'," in said
    assert "'n9' and 20 more as agent; there are reasoning_agent, tool_agent." in said


def test_names_of_tasks_are_near_each_other_and_not_told(tmp_path: Path) -> None:
    rows = [rollout(f"p{n // 2}", f"a{n}", float(n % 2), name=f"task_{n:03}") for n in range(202)]
    source = tmp_path / "a.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    where = 'name in ("task_001", "task_999") or reward >= 0'
    version = run(tmp_path, input=str(source), **{"stages.usable.where": where})
    assert not [text for text in version.manifest.warnings if "no line" in text]


def test_a_text_that_no_line_has_is_told_of_pairs_and_tiers(tmp_path: Path) -> None:
    stage = {"use": "filter", "after": "pair", "where": 'gap > 0 or chosen_agent == "tool_agnt"'}
    high = 'agent == "tool_agnt" or reward >= 0.7'
    tiers = {"strategy": "tiers", "stages.pair.high": high, "stages.pair.low": 0.4}
    version = run(tmp_path, **{"stages.f": stage}, **tiers)
    told = [text.split(":")[0] for text in version.manifest.warnings if "tool_agnt" in text]
    assert told == ["stages.pair.high", "stages.f.where"]


def test_a_check_set_to_stop_publishes_nothing(tmp_path: Path) -> None:
    stop = {"stages.check.checks": {"rows": {"min": 10_000, "level": "stop"}}}
    with pytest.raises(DataError, match="rows is 57, should be at least 10000"):
        run(tmp_path, **stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("checks", "said"),
    [
        ({"rows": {"min": 1_234_567}}, "rows is 12345, should be at least 1234567."),
        ({"mean_reward": {"min": 0.3}}, "mean_reward is 0.2999998, should be at least 0.3."),
        ({"mean_reward": {"max": 0.2999997}}, "is 0.2999998, should be at most 0.2999997."),
        ({"mean_reward": {"min": 0.4}}, "mean_reward is 0.3, should be at least 0.4."),
    ],
)
def test_a_figure_and_the_limit_that_it_does_not_keep_never_look_alike(
    checks: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "own.yaml"
    stages = {"load": {"use": "load"}, "check": {"use": "validate", "checks": checks}}
    path.write_text(json.dumps({"stages": stages | {"write": {"use": "write"}}}))
    line = {"response": "a", "reward": 0.2999998}
    rollouts = tmp_path / "a.jsonl"
    with rollouts.open("w") as file:
        for number in range(12_345 if "rows" in checks else 4):
            asked = {"messages": [{"role": "user", "content": f"{number}?"}]}
            file.write(json.dumps(asked | line) + "\n")
    warnings = run(tmp_path, str(path), input=str(rollouts)).manifest.warnings
    assert any(said in warning for warning in warnings)


def test_a_check_on_rows_is_made_again_on_what_was_written(tmp_path: Path) -> None:
    lines = sample_path().read_text().splitlines()
    broken = [line.replace('"function_call_output"', '"mcp_call"') for line in lines]
    path = tmp_path / "broken.jsonl"
    path.write_text("\n".join(broken) + "\n")
    knobs = {"stages.check.checks": {"rows": {"min": 50, "level": "stop"}}}
    with pytest.raises(DataError, match="write: rows is 25, should be at least 50"):
        run(tmp_path, input=str(path), **knobs)


STOP = {"min": 50, "level": "stop"}


def with_unusable(folder: Path, kept: int, lost: int, reward: float = 1.0) -> Path:
    """Rollouts of one prompt each: those with an item of another kind the write loses."""
    answers = [rollout(str(prompt)) for prompt in range(kept + lost)]
    for answer in answers[kept:]:
        answer["response"]["output"].insert(0, {"type": "mcp_call"})
        answer["reward"] = reward
    path = folder / "a.jsonl"
    write(path, *answers)
    return path


def checks_before(folder: Path, lost: int, then: str) -> gymrecipe.Version:
    """60 rollouts of which a write loses some, 50 wanted of them before the stage `then`."""
    path = folder / "recipe.yaml"
    path.write_text(
        "stages:\n  load: {use: load}\n"
        f"  check: {{use: validate, checks: {{rows: {json.dumps(STOP)}}}}}\n"
        f"  {then}\n  write: {{use: write}}\n"
    )
    return run(folder, str(path), input=str(with_unusable(folder, 60 - lost, lost)))


def test_a_check_before_a_sample_does_not_count_what_the_sample_takes(tmp_path: Path) -> None:
    sample = "few: {use: sample, edges: [0.5], sizes: [0, 20]}"
    assert not checks_before(tmp_path, 5, sample).manifest.warnings


def test_a_check_before_another_stage_counts_what_the_write_lost(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="write: rows is 45, should be at least 50"):
        checks_before(tmp_path, 15, "all: {use: filter}")


def test_a_check_on_labels_is_made_again_on_what_was_written(tmp_path: Path) -> None:
    path = with_unusable(tmp_path, 4, 4, reward=0.0)
    version = run(tmp_path, "kto_threshold", input=str(path))
    assert [said for said in version.manifest.warnings if "labels is" in said] == [
        "write: labels is 1, should be at least 2. KTO needs both: move high or low."
    ]


def test_a_check_on_rollouts_does_not_count_pairs(tmp_path: Path) -> None:
    checks = {"use": "validate", "after": "usable", "checks": {"rows": {"min": 60}}}
    lines = sample_path().read_text().replace('"function_call_output"', '"mcp_call"')
    path = tmp_path / "broken.jsonl"
    path.write_text(lines)
    version = run(tmp_path, input=str(path), **{"stages.early": checks})
    assert not any("rows is" in said for said in version.manifest.warnings)


def test_where_a_write_lets_nothing_through_the_setting_that_would_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"needs_template.*format=rendered may let them through"):
        run(tmp_path, "reward_model_pairs", format="verl")


def test_a_setting_that_is_in_force_is_not_advised(tmp_path: Path) -> None:
    called = {"call_id": "c", "name": "look", "arguments": "{}", "output": "nothing"}
    unanswered = rollout("a")
    unanswered["response"]["output"] = [
        {"type": kind, **called} for kind in ("function_call", "function_call_output")
    ]
    write(path := tmp_path / "a.jsonl", unanswered)
    with pytest.raises(DataError, match=r"\(1 ends_on_environment\)\. ending=trim or trim_to_call"):
        run(tmp_path, "ppo", input=str(path))
    with pytest.raises(DataError, match=r"\. ending=trim_to_call may let them through"):
        run(tmp_path, "ppo", input=str(path), ending="trim")
    with pytest.raises(DataError, match=r"missing_tools=keep may let them through"):
        run(tmp_path, "ppo", input=str(path), ending="trim_to_call")


def test_another_format_is_advised_for_what_it_can_be(tmp_path: Path) -> None:
    wide = [rollout("a", f"{n}", reward=n) | {"n": 2**70} for n in (1, 0)]
    write(path := tmp_path / "a.jsonl", *wide)
    columns = {"stages.write.columns": {"n": "n"}}
    with pytest.raises(DataError, match=r"format=messages or rendered may"):
        run(tmp_path, "sft_threshold", input=str(path), format="trl", **columns)
    with pytest.raises(DataError, match=r"number_too_wide\)\. format=rendered may"):
        run(tmp_path, "kto_threshold", input=str(path), high=0.5, low=0.5, **columns)


def test_where_no_setting_lets_a_rollout_through_that_is_said(tmp_path: Path) -> None:
    hosted = rollout("a")
    hosted["response"]["output"].insert(0, {"type": "compaction"})
    write(path := tmp_path / "a.jsonl", hosted)
    said = (
        r"hosted_tool: an item of the type 'compaction'\. No setting of a write lets them through"
    )
    with pytest.raises(DataError, match=said):
        run(tmp_path, "ppo", input=str(path))


def test_a_setting_is_not_advised_against_its_cause(tmp_path: Path) -> None:
    called = rollout("a")
    call = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{"}
    called["response"]["output"].insert(0, call)
    write(path := tmp_path / "a.jsonl", called)
    said = r"they are no JSON object, which no setting lets through\. No setting of a write"
    with pytest.raises(DataError, match=said):
        run(tmp_path, "ppo", input=str(path))


def test_ids_of_single_rollouts_are_told_where_they_leave_no_pair(tmp_path: Path) -> None:
    rows = [rollout("a", f"{n}", reward=n) | {"uuid": f"r{n}"} for n in (1, 0)]
    write(path := tmp_path / "a.jsonl", *rows)
    with pytest.raises(DataError, match=r"2 only_one\)\. One of task_fields .* in 1 of the"):
        run(tmp_path, "dpo_same_prompt", input=str(path))
    version = run(tmp_path, "dpo_same_prompt", input=str(path), task_fields=[])
    assert version.manifest.outputs[0].rows == 1


def test_pairs_that_a_format_cannot_carry_are_not_advised_for_it(tmp_path: Path) -> None:
    rows = [rollout("a", reward=reward) for reward in (1, 0)]
    rows[1]["response"]["output"] *= 2
    rows[1]["response"]["output"].insert(1, {"role": "user", "content": "Sure?"})
    write(path := tmp_path / "a.jsonl", *rows)
    with pytest.raises(DataError, match=r"pairs_at=trajectory may let them through\."):
        run(tmp_path, input=str(path), pairs_at="decision")
    with pytest.raises(DataError, match=r"may let them through, with another format than nemo_rl"):
        run(tmp_path, input=str(path), format="nemo_rl")


def test_of_several_reasons_the_advice_is_about_the_most_frequent_one(tmp_path: Path) -> None:
    rows = [rollout(f"{n}?", reward=n % 2) for n in (0, 1)]
    write(path := tmp_path / "a.jsonl", *rows, rollout([{"role": "assistant", "content": "?"}]))
    with pytest.raises(DataError, match=r"agent=NAME may let the 2 no_agent through"):
        run(tmp_path, "rl_prompts", input=str(path), where="rollouts > 0")


def test_where_nothing_is_written_the_most_frequent_cause_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text("{{ raise_exception('No ' ~ messages | length) }}")
    knobs = {"format": "rendered", "chat_template": str(tmp_path / "t.jinja")}
    with pytest.raises(DataError, match=r"57 template_refused\)\. 52 template_refused: No 2\. "):
        run(tmp_path, **knobs)


def test_a_limit_that_cuts_tasks_apart_is_told_where_no_pair_is_left(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"10 only_one\)\. limit=10 may cut .*: limit_tasks keeps"):
        run(tmp_path, limit=10)


def test_a_version_shows_where_it_is_and_its_rows(tmp_path: Path) -> None:
    assert repr(run(tmp_path)) == f"Version('{tmp_path}/dpo_same_prompt/v0001', rows=57)"
    assert repr(run(tmp_path, dry_run=True)) == "Version('dry run', rows=57)"


def test_refusals_that_are_kept_are_counted(tmp_path: Path) -> None:
    path, refused = tmp_path / "a.jsonl", rollout("b")
    refused["response"]["output"][0]["content"] = [{"type": "refusal", "refusal": "No."}]
    write(path, rollout("a"), refused)
    version = run(tmp_path, "sft_threshold", input=str(path))
    said = [text for text in version.manifest.warnings if "refusal" in text]
    assert len(said) == 1
    assert said[0].startswith("write: 1 of 2 rows")
    rejecting = run(tmp_path, "sft_threshold", input=str(path), refusals="reject")
    assert not any("refusal" in text for text in rejecting.manifest.warnings)


def test_answers_that_are_several_messages_in_a_row_are_counted(tmp_path: Path) -> None:
    path, several = tmp_path / "a.jsonl", rollout("b")
    several["response"]["output"] *= 2
    write(path, rollout("a"), several)
    said = [
        text
        for text in run(tmp_path, "sft_threshold", input=str(path)).manifest.warnings
        if "several messages in a row" in text
    ]
    assert len(said) == 1
    assert said[0].startswith("write: 1 of 2 rows")


def test_answers_in_the_request_that_are_trained_on_are_counted(tmp_path: Path) -> None:
    path, turns = tmp_path / "a.jsonl", ("user", "assistant", "user")
    write(path, rollout("a"), rollout([{"role": role, "content": "hi"} for role in turns]))

    def told(recipe: str, **knobs: Any) -> list[str]:
        warnings = run(tmp_path, recipe, input=str(path), **knobs).manifest.warnings
        return [text for text in warnings if "answers in their request" in text]

    for format in ("trl", "openrlhf", "llama_factory"):
        (said,) = told("sft_threshold", format=format)
        assert said.startswith("write: 1 of 2 rows")
    assert not told("sft_threshold", format="trl_prompt_completion")
    assert not told("ppo")


def test_a_strict_order_that_hides_keys_from_a_loader_is_a_red_flag(tmp_path: Path) -> None:
    version = run(tmp_path, "sft_threshold", order="strict")
    assert any("order=strict leaves rows" in said for said in version.manifest.warnings)
    one_shape = tmp_path / "a.jsonl"
    write(one_shape, *(rollout(str(prompt)) for prompt in range(3)))
    version = run(tmp_path, "sft_threshold", input=str(one_shape), order="strict")
    assert not any("order=strict" in said for said in version.manifest.warnings)


def test_a_first_file_too_small_to_show_every_key_is_a_red_flag(tmp_path: Path) -> None:
    version = run(tmp_path, "sft_threshold", shard_rows=1)
    assert any("shard_rows=1 leaves rows" in said for said in version.manifest.warnings)
    version = run(tmp_path, "sft_threshold", shard_rows=40)
    assert not any("shard_rows" in said for said in version.manifest.warnings)


def test_quantile_thresholds_are_resolved_and_both_are_logged(tmp_path: Path) -> None:
    version = run(tmp_path, "sft_threshold", min_reward="p50")
    stage = version.manifest.stages[1]
    assert stage.parameters["min_reward"] == "p50"
    resolved = stage.facts["resolved"]
    assert resolved == [{"parameter": "min_reward", "asked": "p50", "resolved": 0.95}]


def test_a_field_of_any_kind_may_be_asked_whether_it_is_there(tmp_path: Path) -> None:
    sides = {}
    for word in ("is None", "is not None"):
        where = {"stages.good.where": f"expected_answer {word}", "min_reward": 0}
        sides[word] = run(tmp_path, "sft_threshold", **where).manifest.lines.used
    assert sides == {"is None": 117, "is not None": 78}


def test_a_column_that_pairs_do_not_have_is_found_before_anything_is_read(tmp_path: Path) -> None:
    extra = {"stages.more": {"use": "filter", "after": "pair", "min_reward": 0.5}}
    with pytest.raises(RecipeError, match=r"stages.more: needs the column 'reward'.*pairs"):
        run(tmp_path, input=str(tmp_path / "not there.jsonl"), **extra)


def test_a_column_that_a_stage_of_the_call_lacks_is_told_as_of_the_call(tmp_path: Path) -> None:
    late = {"stages.late": {"use": "filter", "completed": True, "after": "pair"}}
    with pytest.raises(RecipeError) as caught:
        run(tmp_path, **late)
    said = str(caught.value)
    assert said.startswith(
        "gymrecipe.run(): stages.late: needs the column 'truncated', which pairs"
    )
    assert "They have gap, draw, task_key, prompt_key, and chosen_… and rejected_… of row, " in said
    assert said.endswith(" Did you mean 'chosen_truncated'?")


def test_a_limit_of_tasks_keeps_whole_tasks(tmp_path: Path) -> None:
    version = run(tmp_path, "ppo", limit_tasks=5)
    assert version.manifest.stages[0].rejected["over_limit_tasks"] == 180
    assert version.manifest.stages[0].rows_out == 20


def test_a_limit_of_lines_counts_only_what_was_read(tmp_path: Path) -> None:
    version = run(tmp_path, "ppo", limit=37)
    assert version.manifest.lines.read == 37
    assert version.manifest.inputs[0].lines == 37


def test_a_prompt_held_out_in_one_branch_is_held_out_in_all(tmp_path: Path) -> None:
    import json

    version = run(tmp_path, "sft_and_dpo", validation_fraction=0.3)
    assert version.path is not None

    def prompts(file: str) -> set[str]:
        rows = (version.path / "data" / file).read_text().splitlines()  # type: ignore[operator]
        found = set()
        for row in map(json.loads, rows):
            messages = row.get("prompt") or row["messages"]
            found.add(next(m["content"] for m in messages if m["role"] == "user"))
        return found

    train = prompts("sft/train.jsonl") | prompts("dpo/train.jsonl")
    held_out = prompts("sft/validation.jsonl") | prompts("dpo/validation.jsonl")
    assert held_out
    assert not train & held_out


def test_two_appended_runs_named_twice_keep_their_task_indices_apart(tmp_path: Path) -> None:
    lines = sample_path().read_text().splitlines()
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    one.write_text("\n".join(lines) + "\n")
    other.write_text("\n".join(line.replace("Category", "category") for line in lines) + "\n")
    version = run(tmp_path, "ppo", input=[str(one), str(other)])
    assert version.manifest.stages[0].facts["grouping"][0]["tasks"] == 100


def solved_sometimes(folder: Path, *asks: str) -> tuple[Path, Path]:
    """Rollouts of two tasks, solved every other time, and input rows that ask these questions."""
    rollouts, inputs = folder / "r.jsonl", folder / "r_materialized_inputs.jsonl"
    write(
        rollouts, *(named(i, rollout(f"{i}?", reward=reward)) for i in (0, 1) for reward in (0, 1))
    )
    asked = ({"responses_create_params": {"input": ask}, "truth": ask} for ask in asks)
    write(inputs, *(named(i, row) for i, row in enumerate(asked)))
    return rollouts, inputs


def named(index: int, row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "_ng_task_index": index, "agent_ref": {"name": "a"}}


def write(path: Path, *rows: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_task_whose_input_row_asks_something_else_is_not_written(tmp_path: Path) -> None:
    rollouts, inputs = solved_sometimes(tmp_path, "0?", "of another run?")
    version = run(tmp_path, "rl_prompts", input=str(rollouts), materialized_inputs=str(inputs))
    assert version.manifest.stages[-1].rejected == {"inputs_differ": 1}
    assert version.path is not None
    assert '"truth":"0?"' in (version.path / "data/train.jsonl").read_text().replace(": ", ":")


def test_tasks_without_an_input_row_are_told(tmp_path: Path) -> None:
    rollouts, inputs = solved_sometimes(tmp_path, "0?")
    version = run(tmp_path, "rl_prompts", input=str(rollouts), materialized_inputs=str(inputs))
    assert any("1 of 2 tasks have no row" in said for said in version.manifest.warnings)


def test_input_rows_go_to_their_runs_beside_an_entry_of_sidecars(tmp_path: Path) -> None:
    runs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        runs.append(solved_sometimes(tmp_path / name, "0?", "1?"))
    write(tmp_path / "c_failures.jsonl", {"error": "no"})
    version = run(
        tmp_path,
        "rl_prompts",
        input=[str(tmp_path / "c_*.jsonl"), *(str(rollouts) for rollouts, _ in runs)],
        materialized_inputs=[str(inputs) for _, inputs in runs],
    )
    assert version.manifest.lines.read == 8
    assert not any("have no row" in said for said in version.manifest.warnings)


def test_input_rows_that_were_once_read_as_rollouts_make_another_version(tmp_path: Path) -> None:
    _, inputs = solved_sometimes(tmp_path, "0?", "1?")
    files = str(tmp_path / "r*.jsonl")
    alone = run(tmp_path, "rl_prompts", input=files, sidecars=True)
    knobs = {"input": files, "materialized_inputs": str(inputs)}
    joined = run(tmp_path, "rl_prompts", **knobs)
    assert alone.manifest.lines.read == joined.manifest.lines.read + 2
    assert (joined.existed, run(tmp_path, "rl_prompts", **knobs).existed) == (False, True)


def test_prompts_with_nothing_to_verify_are_counted(tmp_path: Path) -> None:
    rollouts, _ = solved_sometimes(tmp_path)
    said = "write: 2 of 2 rows have nothing to verify an answer by"
    version = run(tmp_path, "rl_prompts", input=str(rollouts))
    assert any(warning.startswith(said) for warning in version.manifest.warnings)
    whole = run(tmp_path, "rl_prompts", input=str(rollouts), format="raw")
    assert not any("verify" in warning for warning in whole.manifest.warnings)


def test_the_name_of_a_task_is_nothing_to_verify_an_answer_by(tmp_path: Path) -> None:
    rows = [
        named(i, rollout(f"{i}?", reward=reward, uuid=f"u{i}", difficulty="easy", sql="SELECT 1"))
        for i in (0, 1)
        for reward in (0, 1)
    ]
    write(tmp_path / "r.jsonl", *rows)
    rollouts, said = str(tmp_path / "r.jsonl"), "2 of 2 rows have nothing to verify an answer by"
    warned = run(tmp_path, "rl_prompts", input=rollouts).manifest.warnings
    assert any(said in warning for warning in warned)
    fields = {"stages.write.verifier_fields": ["uuid"]}
    warned = run(tmp_path, "rl_prompts", input=rollouts, **fields).manifest.warnings
    assert not any(said in warning for warning in warned)


def test_prompts_with_an_answer_have_something_to_verify(tmp_path: Path) -> None:
    rollouts, inputs = solved_sometimes(tmp_path, "0?", "1?")
    version = run(tmp_path, "rl_prompts", input=str(rollouts), materialized_inputs=str(inputs))
    assert not any("verify" in warning for warning in version.manifest.warnings)


def test_a_split_that_holds_out_nothing_or_everything_is_told(tmp_path: Path) -> None:
    whole = run(tmp_path, "sft_threshold", limit=8, seed=1, validation_fraction=0.9999)
    said = "write: validation_fraction=0.9999 holds out all of"
    assert any(warning.startswith(said) for warning in whole.manifest.warnings)
    few = run(tmp_path, "sft_threshold", limit=8, seed=1, validation_fraction=0.01)
    said = "write: validation_fraction=0.01 holds out none of"
    assert any(warning.startswith(said) for warning in few.manifest.warnings)
    more = run(tmp_path, "sft_threshold", validation_fraction=0.5)
    assert not any("holds out" in warning for warning in more.manifest.warnings)


@pytest.mark.parametrize(
    ("days", "knobs", "told"),
    [
        (("2024-01-01", "1999-12-31"), {}, True),
        (("2024-01-01", "1999-12-31"), {"format": "messages", "file": "parquet"}, False),
        (("2024-01-01", "never"), {}, False),
    ],
)
def test_a_column_of_nothing_but_dates_is_told(
    days: tuple[str, ...], knobs: dict[str, str], told: bool, tmp_path: Path
) -> None:
    lines = tmp_path / "a.jsonl"
    write(lines, *({**rollout(f"{day}?", reward=1.0), "day": day} for day in days))
    columns = {"stages.write.columns": {"day": "day"}}
    knobs = {f"stages.write.{name}": value for name, value in knobs.items()}
    version = run(tmp_path, "sft_threshold", input=str(lines), **columns, **knobs)
    said = "write: every 'day' is a date, and `datasets`"
    assert any(warning.startswith(said) for warning in version.manifest.warnings) == told


def test_a_field_of_the_verifier_that_no_task_has_is_an_error(tmp_path: Path) -> None:
    rollouts, inputs = solved_sometimes(tmp_path, "0?", "1?")
    knobs = {"input": str(rollouts), "materialized_inputs": str(inputs), "output_dir": tmp_path}
    gymrecipe.run("rl_prompts", **knobs, verifier_fields=["truth"])
    with pytest.raises(RecipeError, match="verifier_fields: 'trut' is on no line"):
        gymrecipe.run("rl_prompts", **knobs, verifier_fields=["truth", "trut"])


def test_a_field_of_the_verifier_that_is_null_on_each_task_is_told_as_that(tmp_path: Path) -> None:
    lines = tmp_path / "a.jsonl"
    write(lines, *({**rollout("a?", f"{n}", reward=float(n)), "truth": None} for n in (0, 1)))
    knobs = {"input": str(lines), "output_dir": tmp_path}
    with pytest.raises(RecipeError) as caught:
        gymrecipe.run("rl_prompts", **knobs, agent="a", verifier_fields=["truth", "other"])
    null, absent = caught.value.problems
    assert null.startswith("verifier_fields: 'truth' is null wherever it is on the lines of the")
    assert absent.startswith("verifier_fields: 'other' is on no line of the tasks that are written")


@pytest.mark.parametrize(
    "asked", ["'dpo_same_prompt'", "'sft_threshold', format='verl', min_reward=0"]
)
def test_memory_does_not_grow_with_the_length_of_trajectories(tmp_path: Path, asked: str) -> None:
    lines = often(240, 400)

    def rollouts(padding: int) -> str:
        path = tmp_path / f"{padding}.jsonl"
        with path.open("w") as file:
            for number in range(lines):
                rollout = {
                    "responses_create_params": {
                        "input": f"Question {number // 4}",
                        "tools": [{"type": "function", "name": "f", "parameters": {}}],
                    },
                    "response": {
                        "output": [
                            {"type": "function_call", "call_id": "c", "name": "f",
                             "arguments": "{}"},
                            {"type": "function_call_output", "call_id": "c",
                             "output": "x" * padding},
                            {"type": "message", "role": "assistant", "content": f"A{number}"},
                        ]
                    },
                    "reward": number % 4 / 3,
                }  # fmt: skip
                file.write(json.dumps(rollout) + "\n")
        return str(path)

    code = (
        "import gymrecipe, sys\n"
        "for path in sys.argv[1:]:\n"
        f"    gymrecipe.run({asked}, input=path, output_dir={str(tmp_path)!r},"
        " again=True, **{'engine.workers': 1})\n"
        "    status = open('/proc/self/status')\n"
        "    print(next(line.split()[1] for line in status if line.startswith('VmHWM')))"
    )
    words = [sys.executable, "-c", code, rollouts(100), rollouts(400_000)]
    said = subprocess.run(words, check=True, capture_output=True, text=True)
    short, long = map(int, said.stdout.split())
    # 400 lines of 400 kB are 160 MB; slices and buffers may cost 120 MB, not the trajectories.
    assert long - short < often(75_000, 120_000)


def test_two_columns_may_be_made_of_one_field(tmp_path: Path) -> None:
    write(path := tmp_path / "a.jsonl", rollout("a", metadata={"x": "math"}))
    named = {"cat": {"path": "metadata.x", "default": "none"}}
    columns = {"cat": "one", "metadata.x": "two"}
    knobs = {"columns": named, "stages.write.columns": columns, "input": str(path)}
    version = run(tmp_path, "sft_threshold", **knobs)
    assert version.path is not None
    (line,) = (version.path / "data/train.jsonl").read_bytes().splitlines()
    record = json.loads(line)
    assert (record["one"], record["two"]) == ("math", "math")


def test_a_column_of_texts_may_end_in_the_name_of_a_key(tmp_path: Path) -> None:
    write(path := tmp_path / "a.jsonl", rollout("a", metadata={"x": "math"}))
    named = {"my_task_key": {"path": "metadata.x", "default": "none"}}
    knobs = {"columns": named, "stages.write.columns": ["my_task_key"], "input": str(path)}
    version = run(tmp_path, "sft_threshold", **knobs)
    assert version.path is not None
    assert json.loads((version.path / "data/train.jsonl").read_text())["my_task_key"] == "math"


def test_a_write_that_wrote_nothing_beside_another_is_a_red_flag(tmp_path: Path) -> None:
    version = run(tmp_path, "sft_and_dpo", min_gap=5)
    assert "dpo: wrote no rows; the stages above it say why." in version.manifest.warnings


def test_a_quantile_of_a_column_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    stage = {"use": "filter", "after": "pair", "min_reward": "p50"}
    with pytest.raises(RecipeError, match="needs the column 'reward', which pairs do not have"):
        run(tmp_path, "dpo_same_prompt", **{"+stages.best": stage})


def test_folders_that_were_made_for_nothing_are_gone(tmp_path: Path) -> None:
    (tmp_path / "nest").mkdir()
    with pytest.raises(DataError):
        run(tmp_path / "nest/a/b/c", min_gap=5)
    assert list((tmp_path / "nest").iterdir()) == []


def test_a_manifest_that_is_nested_too_deep_hides_no_other(tmp_path: Path) -> None:
    first = run(tmp_path)
    assert first.path is not None
    (first.path.with_name("v0002")).mkdir()
    (first.path.with_name("v0002") / "manifest.json").write_text("[" * 100_000)
    assert run(tmp_path).path == first.path
    with pytest.raises(DataError, match=r"v0002/manifest\.json: not a manifest"):
        manifest.read(first.path.with_name("v0002"))


def test_a_named_column_may_have_a_field_called_like_a_part_of_the_example(tmp_path: Path) -> None:
    write(path := tmp_path / "a.jsonl", rollout("a") | {"answer": "GOLD", "prompt": "P"})
    knobs = {"columns": {"gold": "answer", "p": "prompt"}, "format": "custom", "input": str(path)}
    columns = {"gold": "g", "p": "p", "answer": "said"}
    version = run(tmp_path, "sft_threshold", **knobs, **{"stages.write.columns": columns})
    assert version.path is not None
    record = json.loads((version.path / "data/train.jsonl").read_text())
    assert (record["g"], record["p"]) == ("GOLD", "P")
    assert record["said"] != "GOLD"


def test_a_branch_without_rows_leaves_a_whole_version(tmp_path: Path) -> None:
    version = run(tmp_path, "sft_and_dpo", min_gap=5)
    assert version.path is not None
    assert os.listdir(version.path / "data") == ["sft"]
    assert verify(version.path).differences == []


def test_tasks_in_custom_columns_are_not_asked_for_a_conversation(tmp_path: Path) -> None:
    image = [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]
    line = rollout("a", task_id="t1") | {"responses_create_params": {"input": image}}
    write(path := tmp_path / "a.jsonl", line)
    columns = "{task_id: task_id, success_rate: rate}"
    (tmp_path / "rl.yaml").write_text(
        "stages:\n  load: {use: load}\n  tasks: {use: tasks}\n"
        f"  write: {{use: write, purpose: rl, format: custom, columns: {columns}}}\n"
    )
    version = run(tmp_path, str(tmp_path / "rl.yaml"), input=str(path))
    assert version.path is not None
    assert json.loads((version.path / "data/train.jsonl").read_text())["task_id"] == "t1"


NAMES = ("split", "task_field_0", "input_source", "input_offset", "input_bytes")


@pytest.mark.parametrize("name", NAMES)
def test_a_field_may_be_called_as_we_call_a_column(name: str, tmp_path: Path) -> None:
    rows = [rollout(f"q{i}", **{name: i}, _ng_task_index=i) for i in range(4)]
    asked = [rollout(f"q{i}", _ng_task_index=i, expected_answer="4") for i in range(4)]
    for file, lines in (("rollouts", rows), ("inputs", asked)):
        (tmp_path / file).write_text("".join(json.dumps(line) + "\n" for line in lines))
    version = run(
        tmp_path,
        "rl_prompts",
        input=str(tmp_path / "rollouts"),
        materialized_inputs=str(tmp_path / "inputs"),
        agent="agent",
        **{"stages.ran.where": f"{name} > 0", "stages.learnable.where": "rollouts == 1"},
    )
    assert version.path is not None
    lines = (version.path / "data/train.jsonl").read_text().splitlines()
    assert [json.loads(line)["expected_answer"] for line in lines] == ["4"] * 3


def test_a_column_of_the_recipe_called_split_holds_nothing_out(tmp_path: Path) -> None:
    rows = [rollout(f"q{i}", metadata={"split": "validation"}) for i in range(4)]
    path = tmp_path / "rollouts"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    version = run(
        tmp_path,
        "sft_threshold",
        input=str(path),
        columns={"split": {"path": "metadata.split", "default": "none"}},
        **{"stages.write.columns": ["split"]},
    )
    data = [output.path for output in version.manifest.outputs if output.rows]
    assert data == ["data/train.jsonl"]


def test_a_column_of_a_compressed_input_may_be_called_spooled(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.gz"
    path.write_bytes(gzip.compress(json.dumps(rollout(spooled="x")).encode()))
    version = run(
        tmp_path,
        "sft_threshold",
        input=str(path),
        columns={"spooled": {"path": "spooled", "default": "none"}},
        **{"stages.write.columns": ["spooled"]},
    )
    assert version.path is not None
    assert '"spooled":"x"' in (version.path / "data/train.jsonl").read_text()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("aggregate", r"^nothing to write: none of 2 rollouts has a number .* `gymrecipe columns`"),
        ("rl_prompts", r"1 missing_success_rate\)\. Say where the score is: reward=PATH"),
        ("sft_strict", r"2 missing_reward\)\. Say where the score is: reward=PATH"),
    ],
)
def test_lines_without_a_number_are_told_with_what_to_look_for(
    name: str, said: str, tmp_path: Path
) -> None:
    source = tmp_path / "a.jsonl"
    lines = [rollout(answer=text, reward=None, parts={"tests": 1.0}) for text in "ab"]
    source.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    with pytest.raises(DataError, match=said):
        gymrecipe.run(name, input=str(source), output_dir=str(tmp_path))
