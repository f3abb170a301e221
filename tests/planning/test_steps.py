"""Steps: the order of stages, whose result each takes, and what only the whole recipe shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

import gymrecipe
from gymrecipe.errors import RecipeError
from gymrecipe.planning.plan import plan
from gymrecipe.planning.steps import Step
from gymrecipe.recipe.composing import compose
from gymrecipe.recipe.finding import locate
from gymrecipe.recipe.overrides import split_recipe
from gymrecipe.registry import FORMATS, Purpose
from tests.planning import conftest
from tests.planning.conftest import planned, staged

LOAD, WRITE = "load: {use: load}", "write: {use: write}"
TIERS = "use: pair, strategy: tiers, high: 0.7, low: 0.4, across_prompts: true, max_pairs: 9"


def steps(folder: Path, *stages: str, overrides: Sequence[str] = ()) -> tuple[Step, ...]:
    return planned(folder, staged(*stages), overrides).steps


def sources(folder: Path, *stages: str, overrides: Sequence[str] = ()) -> dict[str, str | None]:
    return {step.name: step.source for step in steps(folder, *stages, overrides=overrides)}


def problems(folder: Path, *stages: str, overrides: Sequence[str] = ()) -> list[str]:
    return conftest.problems(folder, staged(*stages), overrides)


# --- whose result a stage takes


def test_a_stage_takes_the_result_of_the_one_before_it(tmp_path: Path) -> None:
    found = sources(tmp_path, LOAD, "a: {use: filter}", WRITE)
    assert found == {"load": None, "a": "load", "write": "a"}


def test_from_takes_the_result_of_an_earlier_stage(tmp_path: Path) -> None:
    found = sources(tmp_path, LOAD, "a: {use: filter}", WRITE, "b: {use: write, from: load}")
    assert found == {"load": None, "a": "load", "write": "a", "b": "load"}


@pytest.mark.parametrize("name", ["b", "c", "nowhere", "5", "[load]", "{x: load}"])
def test_from_may_only_name_an_earlier_stage_so_there_is_no_cycle(
    name: str, tmp_path: Path
) -> None:
    found = problems(tmp_path, LOAD, f"b: {{use: filter, from: {name}}}", "c: {use: write}")
    assert len(found) == 1
    assert found[0].startswith("r.yaml: stages.b.from: there is no stage '")


def test_after_puts_a_stage_right_behind_another(tmp_path: Path) -> None:
    override = "+stages.d={use: dedup, after: load}"
    found = sources(tmp_path, LOAD, "a: {use: filter}", WRITE, overrides=[override])
    assert list(found.items()) == [("load", None), ("d", "load"), ("a", "d"), ("write", "a")]


def test_of_several_after_one_stage_the_last_stands_nearest(tmp_path: Path) -> None:
    added = ["+stages.d={use: dedup, after: load}", "+stages.e={use: filter, after: load}"]
    found = sources(tmp_path, LOAD, WRITE, overrides=added)
    assert list(found.items()) == [("load", None), ("e", "load"), ("d", "e"), ("write", "d")]


def test_after_may_name_a_stage_that_was_added_before(tmp_path: Path) -> None:
    added = ["+stages.d={use: dedup, after: load}", "+stages.e={use: filter, after: d}"]
    found = sources(tmp_path, LOAD, WRITE, overrides=added)
    assert list(found.items()) == [("load", None), ("d", "load"), ("e", "d"), ("write", "e")]


def test_after_a_branch_point_stands_before_every_branch(tmp_path: Path) -> None:
    stages = [LOAD, "u: {use: filter}", "sft: {use: write}", "p: {use: pair, from: u}"]
    stages += ["dpo: {use: write, format: trl}"]
    found = sources(tmp_path, *stages, overrides=["+stages.d={use: dedup, after: u}"])
    assert found == {"load": None, "u": "load", "d": "u", "sft": "d", "p": "d", "dpo": "p"}


@pytest.mark.parametrize("out", ["~stages.u", "~stages.u ~stages.v", "~stages.v"])
def test_what_says_from_a_stage_that_is_taken_out_takes_from_the_one_before(
    out: str, tmp_path: Path
) -> None:
    stages = [LOAD, "u: {use: filter}", "v: {use: filter}", "w: {use: write}"]
    stages += ["x: {use: filter, from: v}", "y: {use: write}"]
    before = "load" if "~stages.u" in out and "~stages.v" in out else "u" if "v" in out else "v"
    found = sources(tmp_path, *stages, overrides=out.split())
    assert (found["w"], found["x"]) == (before, before)


def test_a_branch_of_a_stage_that_was_taken_out_runs_from_its_record(tmp_path: Path) -> None:
    version = gymrecipe.run("sft_and_dpo", output_dir=str(tmp_path), **{"~stages.usable": None})
    again = gymrecipe.run(version.path / "recipe.yaml", output_dir=str(tmp_path))
    assert again.manifest.id == version.manifest.id
    assert [stage.source for stage in again.manifest.stages if stage.name == "pair"] == ["load"]


def test_after_the_last_stage_has_nothing_to_take(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, LOAD, WRITE, overrides=["+stages.d={use: dedup, after: write}"])
    assert found.startswith("command line: stages.d: comes after 'write', which makes nothing")


@pytest.mark.parametrize("name", ["d", "nowhere", "[load]", "5"])
def test_after_an_unknown_stage_is_one_fault(name: str, tmp_path: Path) -> None:
    (found,) = problems(
        tmp_path, LOAD, WRITE, overrides=[f"+stages.d={{use: dedup, after: {name}}}"]
    )
    assert found.startswith("command line: stages.d.after: there is no stage '")


def test_after_each_other_is_no_cycle_but_a_fault(tmp_path: Path) -> None:
    stages = [LOAD, WRITE, "a: {use: filter, after: b}", "b: {use: filter, after: a}"]
    assert problems(tmp_path, *stages)[0] == "r.yaml: stages.a.after: there is no stage 'b'."


def test_after_and_from_contradict_each_other(tmp_path: Path) -> None:
    stages = [LOAD, "a: {use: filter}", WRITE, "b: {use: filter, after: a, from: load}"]
    (found,) = problems(tmp_path, *stages)
    assert found.startswith("r.yaml: stages.b.after: says where it stands; take out its `from`")


def test_a_misspelt_after_names_the_nearest(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, LOAD, WRITE, "a: {use: filter, after: laod}")
    assert found.endswith("Did you mean 'load'?")


# --- what does not fit


def test_balance_of_pairs_before_there_are_any_is_refused(tmp_path: Path) -> None:
    said = r"stages\.b\.by: 'gap' is a column of pairs, .*; put the stage behind the one that makes"
    with pytest.raises(RecipeError, match=said):
        steps(tmp_path, LOAD, "b: {use: balance, by: gap, most: 1}", "p: {use: pair}", WRITE)


def test_pairs_of_pairs_are_refused(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, LOAD, "a: {use: pair}", "b: {use: pair}", WRITE)
    assert found == (
        "r.yaml: stages.b: 'pair' takes rollouts, but 'a' makes pairs. Move it, or say from:"
        " another stage"
    )


def test_a_stage_for_rollouts_after_figures_is_refused(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, LOAD, "a: {use: aggregate}", "b: {use: filter}", WRITE)
    assert "'filter' takes rollouts or tasks or pairs, but 'a' makes metrics" in found


def test_a_faulty_stage_gives_no_second_fault_to_those_behind_it(tmp_path: Path) -> None:
    found = problems(tmp_path, LOAD, "a: {use: pairs}", "b: {use: validate}", WRITE)
    assert len(found) == 1


def test_a_result_that_nobody_takes_is_refused(tmp_path: Path) -> None:
    stages = [LOAD, WRITE, "a: {use: filter, from: load}", "b: {use: dedup, from: load}"]
    found = problems(tmp_path, *stages)
    assert [problem.split(": ")[1] for problem in found] == ["stages.a", "stages.b"]
    assert "no stage takes its result; add a write after it, or take it out" in found[0]


def test_two_loads_are_refused(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, LOAD, "l: {use: load}", WRITE)
    assert found == "r.yaml: stages: there can be one load; give it several inputs"


@pytest.mark.parametrize(
    "stages", [("write: {use: write}",), ("a: {use: filter}", LOAD, WRITE)], ids=["none", "late"]
)
def test_a_recipe_begins_with_a_load(stages: tuple[str, ...], tmp_path: Path) -> None:
    assert "the first stage must be a load" in problems(tmp_path, *stages)[0]


def test_a_load_takes_from_nobody(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "load: {use: load, from: x}", WRITE)
    assert "stages.load.from: there is no stage 'x' before it" in found


def test_a_recipe_that_writes_nothing_is_refused(tmp_path: Path) -> None:
    assert "add a write" in problems(tmp_path, LOAD)[0]


@pytest.mark.parametrize("value", ["null", "5", "{}", "[load]", "{use: 5}", "{use: [load]}"])
def test_what_is_no_stage_says_how_one_looks(value: str, tmp_path: Path) -> None:
    (found,) = problems(tmp_path, LOAD, f"a: {value}", WRITE)
    assert re.match("r.yaml: stages.a: .* what (it|the stage) uses, such as {use: filter}", found)


def test_a_stage_that_is_no_mapping_is_not_one_that_is_missing(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, LOAD, "a: {use: filter}", WRITE, overrides=["stages.a=dedup"])
    assert found == (
        "command line: stages.a: should be a mapping that says what the stage uses, such as"
        " {use: filter}, got 'dedup'."
    )


def test_a_parameter_of_a_stage_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, LOAD, WRITE, overrides=["stages.laod.limit=1"])
    assert found.startswith("command line: stages.laod.limit: there is no such stage")
    assert found.endswith("Did you mean 'load'?")


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a.b", "..", "'a b'", "1", "''", "x" * 65, "é", "-a"]
)
def test_a_stage_is_named_so_that_it_can_be_a_folder(name: str, tmp_path: Path) -> None:
    found = problems(tmp_path, LOAD, f"{name}: {{use: filter}}", WRITE)
    assert any("should be named with letters" in problem for problem in found)


# --- the whole recipe


def test_a_format_without_a_form_for_the_purpose_names_those_that_have_one(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, LOAD, "write: {use: write, format: verl, purpose: buffer}")
    assert "'verl' has no form for buffer; it has one for sft, " in found


@pytest.mark.parametrize(
    "stages",
    [("w: {use: write, purpose: dpo}",), ("p: {use: pair}", "w: {use: write, purpose: sft}")],
)
def test_a_purpose_that_the_unit_cannot_have_is_refused(
    stages: tuple[str, ...], tmp_path: Path
) -> None:
    (found,) = problems(tmp_path, LOAD, *stages)
    assert "cannot be written for" in found


@pytest.mark.parametrize("name", ["trl", "messages"])
def test_a_format_with_one_prompt_refuses_pairs_across_prompts(name: str, tmp_path: Path) -> None:
    stages = [LOAD, f"p: {{{TIERS}}}", "c: {use: validate}", f"w: {{use: write, format: {name}}}"]
    (found,) = problems(tmp_path, *stages)
    assert found.startswith(f"r.yaml: stages.w.format: '{name}' needs one prompt for both sides")
    assert found.endswith("use custom or raw")


def test_pairs_across_prompts_cannot_be_held_out_by_prompt(tmp_path: Path) -> None:
    stages = [LOAD, f"p: {{{TIERS}}}", "w: {use: write, format: raw}"]
    (found,) = problems(tmp_path, *stages, overrides=["validation_fraction=0.1"])
    assert found.startswith("command line: validation_fraction: holds out whole prompts")
    assert found.endswith("got 0.1, set it to 0")
    assert steps(tmp_path, *stages)


def test_pairs_across_prompts_have_no_column_of_the_one_prompt(tmp_path: Path) -> None:
    columns = "{prompt: p, user: u, tools: t, chosen: c}"
    write = f"w: {{use: write, format: custom, columns: {columns}}}"
    found = problems(tmp_path, LOAD, f"p: {{{TIERS}}}", write)
    starts = [
        f"r.yaml: stages.w.columns: pairs across prompts have no '{n}'" for n in ("prompt", "user")
    ]
    assert [said.partition(" of both")[0] for said in found] == starts


ADVICE = [
    pytest.param(purpose, command, id=f"{name} {purpose}: {command}")
    for name, entry in FORMATS.items()
    for purpose, said in entry.advice.items()
    for command in re.findall("`([^`]+)`", said)
]


@pytest.mark.parametrize(("purpose", "command"), ADVICE)
def test_what_a_format_advises_instead_works(purpose: Purpose, command: str) -> None:
    recipe, overrides = split_recipe(command.split())
    if recipe is None:
        (override,) = overrides
        assert purpose in FORMATS[override.removeprefix("format=")].purposes
    else:
        plan(compose(locate(recipe), overrides))


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_trainer_that_takes_prompts_points_to_the_recipe_of_prompts(name: str) -> None:
    if "buffer" not in FORMATS[name].purposes and name != "rendered":  # which is any trainer's
        assert re.search(r"`\+recipe=(rl_prompts|verl_rl)", FORMATS[name].advice["buffer"])


def test_stages_without_a_load_are_one_fault(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "f: {use: filter}", "p: {use: pair}", WRITE)
    assert found == "r.yaml: stages.f: the first stage must be a load"


def test_a_format_for_jsonl_alone_refuses_parquet(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, LOAD, "w: {use: write, format: raw, file: parquet}")
    assert "'raw' is written as jsonl; set file: jsonl" in found


def test_figures_refuse_parquet(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, LOAD, "a: {use: aggregate}", "w: {use: write, file: parquet}")
    assert found.startswith("r.yaml: stages.w.file: figures are written as jsonl")


@pytest.mark.parametrize(
    "stages",
    [
        ("a: {use: write}", "b: {use: write, from: load}"),
        ("w: {use: write, file: parquet}",),
        ("w: {use: write, shard_rows: 5}",),
        ("a: {use: aggregate}", "w: {use: write}"),
    ],
    ids=["two writes", "parquet", "shards", "figures"],
)
def test_a_copy_needs_one_plain_file_of_examples(stages: tuple[str, ...], tmp_path: Path) -> None:
    found = problems(tmp_path, LOAD, *stages, overrides=["output_jsonl_fpath=x.jsonl"])
    assert found[0].startswith("command line: output_jsonl_fpath: needs a recipe with one write")


def test_a_shared_knob_that_every_stage_sets_itself_changes_nothing_and_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"command line: format: changes nothing here.*dpo\.f"):
        plan(compose(locate("sft_and_dpo"), ["format=raw"]))


def test_a_shared_knob_that_one_write_leaves_open_is_taken(tmp_path: Path) -> None:
    stages = [LOAD, "a: {use: write, order: source}", "b: {use: write, from: load}"]
    found = steps(tmp_path, *stages, overrides=["order=shuffled"])
    assert [getattr(step.params, "order", None) for step in found] == [None, "source", "shuffled"]


def test_quantiles_are_thresholds(tmp_path: Path) -> None:
    stages = [LOAD, "a: {use: filter, min_reward: p90, max_turns: p99.5}", WRITE]
    params = steps(tmp_path, *stages)[1].params
    assert (params.min_reward, params.max_turns) == ("p90", "p99.5")  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["p101", "90%", "p", "P90", "p-1", "p9 0"])
def test_what_is_no_quantile_is_refused(text: str, tmp_path: Path) -> None:
    (found,) = problems(tmp_path, LOAD, f"a: {{use: filter, min_reward: '{text}'}}", WRITE)
    assert "a quantile such as p90" in found


@pytest.mark.parametrize(
    ("recipe", "override", "why"),
    [
        ("sft_threshold", "agent=foo", "prompts for RL, and this write is for sft"),
        ("sft_threshold", "verifier_fields=[zzz]", "prompts for RL"),
        ("sft_threshold", "stages.write.agent=foo", "prompts for RL"),
        ("sft_threshold", "materialized_inputs=a.jsonl", "prompts for RL"),
        ("sft_threshold", "pairs_at=decision", "it is for pairs, and this write takes rollouts"),
        ("aggregate", "format=trl", "figures are written as they are"),
        ("aggregate", "validation_fraction=0.5", "figures are written as they are"),
        ("dpo_same_prompt", "chat_template=x.jinja", "for format=rendered, and this is trl"),
        ("dpo_same_prompt", "chat_template_kwargs={a: 1}", "for format=rendered, and this is trl"),
        ("verl_rl", "token_ids=keep", "'verl' has no place for token ids in rows for rl"),
        ("review_sample", "ending=trim", "format=raw copies the lines as they are"),
        ("verl_rl", "ending=trim", "it is about answers"),
        ("verl_rl", "truncated=keep", "it is about answers"),
        ("rl_prompts", "refusals=reject", "it is about answers"),
        ("rl_prompts", "system=Be brief.", "rows for rl in 'nemo_rl' are the requests"),
        ("rl_prompts", "developer=keep", "rows for rl in 'nemo_rl' are the requests"),
        ("rl_prompts", "reasoning=drop", "rows for rl in 'nemo_rl' are the requests"),
    ],
)
def test_a_knob_that_no_write_can_use_is_refused(recipe: str, override: str, why: str) -> None:
    with pytest.raises(RecipeError) as caught:
        plan(compose(locate(recipe), [override]))
    (found,) = caught.value.problems
    key = override.partition("=")[0]
    assert found.startswith(f"command line: {key}: changes nothing here: ")
    assert why in found


@pytest.mark.parametrize("override", ["columns={rewrad: null}", "columns.rewrad=null"])
def test_a_column_that_is_not_there_cannot_be_left_out(override: str) -> None:
    with pytest.raises(RecipeError) as caught:
        plan(compose(locate("sft_threshold"), [f"stages.write.{override}"]))
    (found,) = caught.value.problems
    assert found.startswith("command line: stages.write.columns")
    assert found.endswith(
        ": 'rewrad' is no column here that null could leave out; there are reward, task_type."
        " Did you mean 'reward'?"
    )


def test_a_column_of_a_recipe_is_left_out_here_and_in_the_recipe_of_its_version(
    tmp_path: Path,
) -> None:
    stages = [LOAD, "write: {use: write, columns: {metadata.kind: kind}}"]
    override = "stages.write.columns={metadata.kind: null}"
    write = steps(tmp_path, *stages, overrides=[override])[-1]
    assert write.params.columns == {"metadata.kind": None}  # type: ignore[attr-defined]
    (tmp_path / "recipe.yaml").write_text(
        plan(compose(tmp_path / "r.yaml", [override])).recipe_yaml
    )
    again = plan(compose(tmp_path / "recipe.yaml", [])).steps[-1]
    assert again.params == write.params


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("a.responses_create_params", "'nemo_rl' writes 'responses_create_params' itself"),
        ("metadata.agent_ref", "'nemo_rl' writes 'agent_ref' itself"),
        ("metadata.success_rate", "would stand in place of the column 'success_rate'"),
    ],
)
def test_a_field_of_the_verifier_cannot_stand_in_place_of_what_its_row_has(
    field: str, said: str
) -> None:
    asked = [f"verifier_fields=[expected_answer,{field}]", "format=nemo_rl"]
    with pytest.raises(RecipeError, match=re.escape(said)) as caught:
        plan(compose(locate("rl_prompts"), asked))
    assert len(caught.value.problems) == 1
    plan(compose(locate("rl_prompts"), [asked[0], "format=trl"]))


@pytest.mark.parametrize(
    ("recipe", "override"),
    [
        ("sft_threshold", "agent=null"),
        ("rl_prompts", "agent=a"),
        ("rl_prompts", "materialized_inputs=a.jsonl"),
        ("dpo_same_prompt", "pairs_at=decision"),
        ("sft_and_dpo", "pairs_at=decision"),
        ("sft_threshold", "token_ids=keep"),
        ("aggregate", "seed=7"),
        ("aggregate", "format=messages"),
        ("review_sample", "validation_fraction=0.5"),
    ],
)
def test_a_knob_that_some_write_uses_is_taken(recipe: str, override: str) -> None:
    plan(compose(locate(recipe), [override]))
