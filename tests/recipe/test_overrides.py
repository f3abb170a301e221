"""Overrides: how they reach in, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymrecipe.errors import RecipeError
from gymrecipe.guards import look_up
from gymrecipe.recipe.composing import compose
from gymrecipe.recipe.finding import recipes
from gymrecipe.recipe.overrides import expand_sweep, split_recipe
from tests.recipe.conftest import DPO, value


@pytest.mark.parametrize("prefix", ["", "+", "++"])
def test_the_three_ways_to_override_are_the_same(prefix: str) -> None:
    assert value(f"{prefix}min_gap=0.3") == 0.3
    assert value(f"{prefix}stages.pair.max_gap=0.9") == 0.9
    assert value(f"{prefix}seed=7") == 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("my file.jsonl", "my file.jsonl"),
        ("'my file.jsonl'", "my file.jsonl"),
        ('"a b"', "a b"),
        ("it's", "it's"),
        ("a'b\"c", "a'b\"c"),
        ("'a,b.jsonl'", "a,b.jsonl"),
        ("a=b.jsonl", "a=b.jsonl"),
        ("a(1).jsonl", "a(1).jsonl"),
        (r"C:\x\y", r"C:\x\y"),
        ("a\\", "a\\"),
        ("runs/*.jsonl", "runs/*.jsonl"),
        ("runs/[ab].jsonl", "runs/[ab].jsonl"),
        ("runs/{a,b}.jsonl", "runs/{a,b}.jsonl"),
        ("données/é 数据.jsonl", "données/é 数据.jsonl"),
        ("~/x;y&z#1", "~/x;y&z#1"),
        ("$HOME/x", "$HOME/x"),
        ("100%", "100%"),
        ("'a", "'a"),
        ("", ""),
        ("null", None),
        ("123", "123"),
        ("1.10", "1.10"),
        ("1e5", "1e5"),
        ("true", "true"),
        ("[a.jsonl,b/*.jsonl]", ["a.jsonl", "b/*.jsonl"]),
        ("[a b.jsonl, 'c,d.jsonl']", ["a b.jsonl", "c,d.jsonl"]),
    ],
)
def test_an_input_is_the_text_that_was_typed(text: str, expected: Any) -> None:
    assert value(f"input={text}") == expected


@pytest.mark.parametrize("name", ["name", "tag", "output_dir", "output_jsonl_fpath"])
def test_a_text_knob_given_as_a_number_keeps_its_spelling(name: str) -> None:
    for text in ("123", "1.10", "007", "1_000", "1e5", "false"):
        assert value(f"{name}={text}") == text


@pytest.mark.parametrize(
    "text",
    [
        "reward >= 0.5",
        "reward>=0.5 and a in (1,2)",
        "a == 'x'",
        'a == "x, y"',
        'field["a b"] == 1',
        "0.2 < reward < 0.8",
        'metadata.category in ("math", "code")',
        "reward is not None",
        "not truncated",
    ],
)
def test_an_expression_needs_no_quotes_of_its_own(text: str) -> None:
    assert value(f"stages.usable.where={text}") == text


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{use: filter, after: usable, where: 'reward >= 0.5'}", "reward >= 0.5"),
        ("{use: filter, after: usable, where: reward >= 0.5 and ok}", "reward >= 0.5 and ok"),
        ('{use: filter, after: usable, where: \'c in ("a", "b")\'}', 'c in ("a", "b")'),
        ("{use:filter,after:usable,where:truncated}", "truncated"),
    ],
)
def test_a_stage_is_added_as_a_mapping_with_an_expression_inside(text: str, where: str) -> None:
    assert value(f"+stages.good={text}") == {"use": "filter", "after": "usable", "where": where}


def test_a_stage_is_taken_out() -> None:
    assert "check" not in compose(DPO, ["~stages.check"]).values["stages"]


def test_a_parameter_of_a_stage_is_taken_out() -> None:
    assert compose(DPO, ["~stages.check.purpose"]).values["stages"]["check"] == {"use": "validate"}


def test_a_parameter_at_its_default_needs_nothing_special() -> None:
    assert value("stages.pair.ties=shortest") == "shortest"
    assert value("engine.workers=2") == 2


def test_a_key_that_hydra_cannot_write_is_a_key_all_the_same() -> None:
    override = """stages.write.columns={'field["pass@1"]': p, 'a b': q}"""
    assert value(override) == {'field["pass@1"]': "p", "a b": "q"}


def test_a_list_in_place_of_a_mapping_and_the_reverse_replaces_it() -> None:
    columns = "stages.write.columns"
    balanced = compose(recipes()["balanced"], [f"{columns}=[accuracy]"])
    assert look_up(balanced.values, columns) == ["accuracy"]
    ppo = compose(recipes()["ppo"], ["metrics={accuracy: '${reward}'}"])
    assert look_up(ppo.values, columns) == {"accuracy": "reward"}


@pytest.mark.parametrize("name", ["input_jsonl_fpath", "+input_jsonl_fpath"])
def test_the_name_that_nemo_gym_has_for_input_is_input(name: str) -> None:
    assert value(f"{name}=a.jsonl", "input") == "a.jsonl"


def test_the_last_of_two_overrides_counts() -> None:
    assert compose(DPO, ["min_gap=1", "min_gap=2"]).values["min_gap"] == 2


def test_a_plain_reference_may_be_an_override() -> None:
    assert value("min_gap=${seed}") == 0


@pytest.mark.parametrize("engine", ["engine=local", "engine='local'", "engine={workers: 3}"])
def test_an_engine_is_a_name_or_its_settings(engine: str) -> None:
    assert compose(DPO, [engine]).values["engine"]["use"] == "local"


@pytest.mark.parametrize("override", ["engine=ray", "engine=null", "engine=", "engine=[local]"])
def test_an_unknown_engine_is_an_error_that_names_those_there_are(override: str) -> None:
    with pytest.raises(
        RecipeError, match=r"command line: engine: no engine is named .* Write local\."
    ):
        compose(DPO, [override])


@pytest.mark.parametrize(
    "override",
    [
        "min_gap", "=1", "", "a b=1", "a..b=1", "a.b@c=1", "hydra.run.dir=x", "hydra/launcher=x",
        "+hydra.searchpath=[a]", "defaults=[]", "_target_=x", "stages.pair._target_=os.system",
        "stages.x.()=1", "a=1,2", "a=range(1,3)", "a=${oc.env:HOME}", "a={b: '${oc.env:HOME}'}",
        "a=${${b}}", "a={_target_: os.system}", "a={'_target_': 'x y', b: 'c >= 1'}",
        "a=[{_target_: os.system}]", "seed=99999999999999999999", "input=\udcff", "a=b\0c",
    ],
)  # fmt: skip
def test_a_wrong_or_dangerous_override_is_refused_as_the_command_line(override: str) -> None:
    with pytest.raises(RecipeError, match=r"\Acommand line: "):
        compose(DPO, [override])


def test_a_mapping_that_cannot_be_read_is_told_and_no_text() -> None:
    with pytest.raises(RecipeError, match=r"columns: cannot be read as a mapping, got .* quotes"):
        compose(DPO, ["columns={a: {path: b[0]}}"])
    assert value("system='{a: [b}'") == "{a: [b}"


def test_an_empty_mapping_that_would_take_nothing_out_is_told_with_what_does() -> None:
    with pytest.raises(RecipeError) as caught:
        compose(recipes()["balanced"], ["stages={}", "stages.write.columns={}"])
    assert [problem.partition(". ")[2] for problem in caught.value.problems] == [
        "Write ~stages.load to take 'load' out.",
        "Write ~stages.write.columns.category to take 'category' out.",
    ]
    assert compose(DPO, ["columns={}"]).values["columns"] == {}


def test_all_wrong_overrides_are_told_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        compose(DPO, ["min_gap", "a=1,2", "~stages.chek", "engine=ray", "b=${x:y}"])
    assert len(caught.value.problems) == 5


def test_a_deletion_of_nothing_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"~stages.chek: there is no 'chek'.*'check'\?"):
        compose(DPO, ["~stages.chek"])


def test_a_deleted_knob_that_is_still_used_is_told_with_its_place() -> None:
    with pytest.raises(RecipeError, match=r"stages\.pair\.min_gap: there is no knob 'min_gap'"):
        compose(DPO, ["~min_gap"])


def test_several_values_without_a_sweep_say_how_to_write_them() -> None:
    with pytest.raises(RecipeError, match=r"need -m .*quotes.*brackets"):
        compose(DPO, ["min_gap=0.1,0.2"])


@given(st.text(max_size=25))
def test_any_text_as_an_override_is_taken_or_told(text: str) -> None:
    try:
        compose(DPO, [f"stages.usable.where={text}"])
        compose(DPO, [text])
    except RecipeError as error:
        assert error.problems  # noqa: PT017


@pytest.mark.parametrize("word", ["recipe=a", "+recipe=a", "++recipe=a", "recipe='a'"])
def test_a_recipe_is_named_in_three_ways(word: str) -> None:
    assert split_recipe(["x=1", word, "y=2"]) == ("a", ["x=1", "y=2"])


def test_without_a_recipe_there_is_none() -> None:
    assert split_recipe(["x=1"]) == (None, ["x=1"])


@pytest.mark.parametrize(
    ("overrides", "members"),
    [
        (["a=1,2"], [["a=1"], ["a=2"]]),
        (["+a=1,2"], [["+a=1"], ["+a=2"]]),
        (["a=range(1,4)"], [["a=1"], ["a=2"], ["a=3"]]),
        (["a=choice(x,y)"], [["a=x"], ["a=y"]]),
        (["a=[1,2]"], [["a=[1,2]"]]),
        (["a=[1,2],[3]"], [["a=[1,2]"], ["a=[3]"]]),
        (["a='x,y'"], [["a='x,y'"]]),
        (["a='x y','z'"], [["a='x y'"], ["a='z'"]]),
        (["a={x:1},{x:2}"], [["a={x:1}"], ["a={x:2}"]]),
        (["recipe=a,b", "g=1"], [["recipe=a", "g=1"], ["recipe=b", "g=1"]]),
        (["a=1,2", "b=3,4"], [["a=1", "b=3"], ["a=1", "b=4"], ["a=2", "b=3"], ["a=2", "b=4"]]),
        (["w=a >= 1, b"], [["w=a >= 1, b"]]),
        (["~stages.check"], [["~stages.check"]]),
        ([], [[]]),
    ],
)
def test_a_sweep_is_every_combination(overrides: list[str], members: list[list[str]]) -> None:
    assert expand_sweep(overrides) == members


@pytest.mark.parametrize("override", ["a=interval(0,1)", "a=glob(*)"])
def test_a_sweep_that_cannot_be_counted_is_refused(override: str) -> None:
    with pytest.raises(RecipeError, match="cannot be counted out"):
        expand_sweep([override])


def test_a_sweep_over_nothing_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"seed=range\(1,1\): has no values. Write at least one"):
        expand_sweep(["min_gap=0.1,0.2", "seed=range(1,1)"])


def test_the_folder_of_the_cache_is_a_text() -> None:
    assert value("cache_dir=1.10", "cache_dir") == "1.10"
