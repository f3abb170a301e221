"""Recipes: how overrides reach in, and that a hostile recipe is refused or harmless."""

# ruff: noqa: E501 (a payload reads best on one line)
from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from gymrecipe.errors import InputError, RecipeError
from gymrecipe.guards import MAX_SIZE, look_up, references
from gymrecipe.recipe import (
    as_yaml,
    base_knobs,
    compose,
    description,
    expand_sweep,
    in_grammar,
    knobs,
    locate,
    recipes,
    split_recipe,
)

DPO = recipes()["dpo_same_prompt"]
TAIL = "stages:\n  load: {use: load}\n  write: {use: write}\n"


def value(override: str, at: str | None = None) -> Any:
    key = override.lstrip("+").partition("=")[0]
    return look_up(compose(DPO, [override]).values, at or key)


def write(folder: Path, text: str | bytes, name: str = "r.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# --- overrides


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


def test_raw_keeps_the_references_and_values_resolve_them() -> None:
    composed = compose(DPO, ["min_gap=0.3"])
    assert composed.raw["stages"]["pair"]["min_gap"] == "${min_gap}"
    assert composed.values["stages"]["pair"]["min_gap"] == 0.3
    assert composed.overridden == {"min_gap": "0.3"}


@pytest.mark.parametrize("engine", ["engine=local", "engine='local'", "engine={workers: 3}"])
def test_an_engine_is_a_name_or_its_settings(engine: str) -> None:
    assert compose(DPO, [engine]).values["engine"]["use"] == "local"


@pytest.mark.parametrize("override", ["engine=ray", "engine=null", "engine=", "engine=[local]"])
def test_an_unknown_engine_is_an_error_that_names_those_there_are(override: str) -> None:
    with pytest.raises(RecipeError, match=r"command line: engine: no engine is named .*local"):
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


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0$"), max_size=20)
KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\x85\u2028\u2029$/@"), min_size=1, max_size=8)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | TEXTS
SCALARS |= st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=30, deadline=None)
@given(VALUES)
@example({"\u0130": None})  # lower case makes an ASCII letter of it
def test_any_value_survives_the_grammar(wanted: Any) -> None:
    assume("target" not in repr(wanted) and "hydra" not in repr(wanted) and wanted != "???")
    assume("()" not in repr(wanted))
    assert value(f"stages.usable.zz={in_grammar(wanted)}") == wanted


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=25))
def test_any_text_as_an_override_is_taken_or_told(text: str) -> None:
    try:
        compose(DPO, [f"stages.usable.where={text}"])
        compose(DPO, [text])
    except RecipeError as error:
        assert error.problems  # noqa: PT017


@settings(max_examples=30, deadline=None)
@given(TEXTS)
def test_any_text_survives_the_dump(text: str) -> None:
    assume("\x85" not in text)  # PyYAML takes it for a line break, in what it wrote itself as well
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), as_yaml({"a": text}))
        try:
            assert compose(path, []).values["a"] == text
        except RecipeError as error:
            assert text == "???" or "special characters" in str(error)  # noqa: PT017


# --- the recipe of a command line


@pytest.mark.parametrize("word", ["recipe=a", "+recipe=a", "++recipe=a", "recipe='a'"])
def test_a_recipe_is_named_in_three_ways(word: str) -> None:
    assert split_recipe(["x=1", word, "y=2"]) == ("a", ["x=1", "y=2"])


def test_without_a_recipe_there_is_none() -> None:
    assert split_recipe(["x=1"]) == (None, ["x=1"])


def test_a_recipe_is_a_path_to_a_yaml_as_well(tmp_path: Path) -> None:
    path = write(tmp_path, TAIL, "my recipe.yaml")
    assert locate(str(path)) == path


def test_a_folder_of_ones_own_adds_recipes_and_hides_shipped_ones(tmp_path: Path) -> None:
    own = write(tmp_path, TAIL, "mine.yaml")
    other = write(tmp_path, TAIL, "ppo.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    found = recipes([tmp_path])
    assert (found["mine"], found["ppo"]) == (own, other)
    assert "pipe" not in found


def test_a_missing_folder_of_recipes_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder"):
        recipes([tmp_path / "nowhere"])


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"'dpo_same_promt'.*Did you mean 'dpo_same_prompt'"):
        locate("dpo_same_promt")


@pytest.mark.parametrize(
    "name",
    [
        "..", ".", "../dpo_same_prompt", "../recipes/ppo", "/etc/passwd", "a/b", "a\\b", "ppo/",
        "./ppo", "%2e%2e%2fppo", "ppo\0", "\0", "", " ", "ppo ", "-ppo", "~ppo", "file:///etc/passwd",
        "pkg://hydra.conf", "ppo\n", "\uff0e\uff0e/ppo", "x" * 300, "*", "[ppo]", "${name}", "ppo,aggregate",
        "nowhere.yaml", "../recipes.yaml", "a\0.yaml",
    ],
)  # fmt: skip
def test_a_name_that_reaches_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match=r"\Arecipe: "):
        locate(name)


def test_a_description_is_the_comment_at_the_head(tmp_path: Path) -> None:
    path = write(tmp_path, "# One.\n#   two é\n#\n# three\na: 1\n# no\n".encode())
    assert description(path) == "One.\n  two é\n\nthree"


def test_a_description_of_odd_bytes_is_no_crash(tmp_path: Path) -> None:
    assert description(write(tmp_path, b"# \xff\n"))


def test_the_knobs_of_a_recipe_are_those_at_its_top() -> None:
    assert knobs(DPO) == {"min_gap": 0.2, "strategy": "mirrored", "format": "trl"}
    assert base_knobs()["seed"] == 0


def test_references_are_found_in_any_depth() -> None:
    assert references({"a": ["x ${b} y", {"c": "${d.e}"}], "f": 1}) == {"b", "d"}


# --- sweeps


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


# --- hostile recipes


def bomb(levels: int, template: str, first: str = "x") -> str:
    lines = [f"l0: &l0 [{first}, {first}]"]
    lines += [f"l{i}: " + template.replace("N", str(i)).replace("P", str(i - 1)) for i in range(1, levels)]  # fmt: skip
    return "\n".join(lines) + "\n"


CALL = "_target_: os.system, _args_: ['touch canary']"
REFUSED: dict[str, str | bytes] = {
    "target at the top": "_target_: os.system\n_args_: [touch canary]\n" + TAIL,
    "target in a stage": f"stages:\n  load: {{use: load, {CALL}}}\n  write: {{use: write}}\n",
    "target instead of a stage": f"stages:\n  load: {{{CALL}}}\n  write: {{use: write}}\n",
    "target in a list": f"a: [1, {{b: [{{{CALL}}}]}}]\n" + TAIL,
    "target in a named column": f"columns: {{c: {{path: a, {CALL}}}}}\n" + TAIL,
    "target in an example": f"examples: {{e: {{rollouts: [{{{CALL}}}], becomes: [used]}}}}\n" + TAIL,
    "target quoted": "'_target_': os.system\n" + TAIL,
    "target escaped": '"\\x5ftarget\\u005f": os.system\n' + TAIL,
    "target as a complex key": "? _target_\n: os.system\n" + TAIL,
    "target by an alias of a key": "a: &t _target_\nb: {*t : os.system}\n" + TAIL,
    "target by an anchor": f"a: &p {{{CALL}}}\nstages:\n  load: *p\n  write: {{use: write}}\n",
    "target by a merge key": f"a: &p {{{CALL}}}\nstages:\n  load: {{<<: *p, use: load}}\n",
    "target by a list of merges": f"a: &p {{{CALL}}}\nb: &q {{c: 1}}\nd: {{<<: [*q, *p]}}\n" + TAIL,
    "target by a reference": f"p: {{{CALL}}}\nstages:\n  load: '${{p}}'\n  write: {{use: write}}\n",
    "target with a package": "_target_@_global_: os.system\n" + TAIL,
    "partial": "a: {_partial_: true}\n" + TAIL,
    "recursive": "a: {_recursive_: true}\n" + TAIL,
    "convert": "a: {_convert_: all}\n" + TAIL,
    "the legacy key": "a: {target: os.system}\n" + TAIL,
    "a factory of logging": "a: {(): builtins.open, file: canary, mode: w}\n" + TAIL,
    "hydra": "hydra: {run: {dir: canary}}\n" + TAIL,
    "callbacks": f"hydra: {{callbacks: {{c: {{{CALL}}}}}}}\n" + TAIL,
    "job logging": "hydra: {job_logging: {handlers: {h: {(): builtins.open, file: canary, mode: w}}}}\n" + TAIL,
    "a search path": "hydra: {searchpath: [file:///etc, pkg://os]}\n" + TAIL,
    "an environment": "hydra: {job: {env_set: {CANARY: '1'}}}\n" + TAIL,
    "a hydra group": "hydra/launcher: joblib\n" + TAIL,
    "an overriding group": "defaults:\n  - override hydra/launcher: joblib\n" + TAIL,
    "defaults": "defaults: [../../outside, _self_]\n" + TAIL,
    "defaults nested": "stages: {defaults: [x], load: {use: load}, write: {use: write}}\n",
    "an environment variable": "a: '${oc.env:HOME}'\nname: '${a}'\n" + TAIL,
    "a clock": "name: 'x${now:%Y}'\n" + TAIL,
    "an eval": "a: '${eval:1+1}'\n" + TAIL,
    "a decode": "a: '${oc.decode:\"1\"}'\n" + TAIL,
    "a create": "a: '${oc.create:{x: 1}}'\n" + TAIL,
    "hydra by a resolver": "a: '${hydra:runtime.cwd}'\n" + TAIL,
    "a resolver inside a text": "a: 'x ${oc.env:HOME} y'\n" + TAIL,
    "a resolver in a reference": "b: HOME\na: '${oc.env:${b}}'\n" + TAIL,
    "nested references": "b: c\na: '${${b}}'\n" + TAIL,
    "a relative reference": "a: {b: '${.c}', c: 1}\n" + TAIL,
    "an index": "b: [1]\na: '${b[0]}'\n" + TAIL,
    "an open brace": "a: '${b'\n" + TAIL,
    "doubling texts": "l0: xx\n" + "".join(f"l{i}: '${{l{i - 1}}}${{l{i - 1}}}'\n" for i in range(1, 30)),
    "doubling lists": bomb(30, "['${lP}', '${lP}']") + TAIL,
    "doubling mappings": bomb(30, "{a: '${lP}', b: '${lP}'}") + TAIL,
    "a large text many times": f"b: {'x' * 100_000}\nl: [" + ", ".join(["'y${b}'"] * 500) + "]\n" + TAIL,
    "deep by references": "".join(f"l{i}: [[[['${{l{i + 1}}}']]]]\n" for i in range(40)) + "l40: x\n" + TAIL,
    "a long chain of references": "".join(f"l{i}: '${{l{i + 1}}}'\n" for i in range(3000)) + "l3000: x\n" + TAIL,
    "a circle of references": "a: '${b}'\nb: '${a}'\n" + TAIL,
    "a reference to itself": "stages: {load: {use: load, input: '${stages}'}, write: {use: write}}\n",
    "an apply tag": "a: !!python/object/apply:os.system ['touch canary']\n" + TAIL,
    "a new tag": "a: !!python/object/new:os.system ['touch canary']\n" + TAIL,
    "a name tag": "a: !!python/name:os.system\n" + TAIL,
    "a module tag": "a: !!python/module:antigravity\n" + TAIL,
    "a tag of a tuple": "a: !!python/tuple [1]\n" + TAIL,
    "a tag by a directive": "%TAG !y! tag:yaml.org,2002:python/\n---\na: !y!object/apply:os.system [x]\n",
    "a tag of its own": "a: !foo x\n" + TAIL,
    "a binary tag": "name: !!binary aGVsbG8=\n" + TAIL,
    "an alias bomb": bomb(9, "&lN [*lP, *lP, *lP, *lP, *lP, *lP, *lP, *lP, *lP]") + TAIL,
    "a thin alias bomb": bomb(40, "&lN [*lP, *lP]") + TAIL,
    "a merge bomb": "l0: &l0 {x: 1}\n" + "".join(f"l{i}: &l{i} {{<<: [*l{i - 1}, *l{i - 1}]}}\n" for i in range(1, 30)),
    "an alias of itself": "a: &a [*a]\n" + TAIL,
    "a mapping of itself": "a: &a\n  b: *a\n" + TAIL,
    "deep by aliases": "l0: &l0 [x]\n" + "".join(f"l{i}: &l{i} [[[[[*l{i - 1}]]]]]\n" for i in range(1, 40)),
    "100,000 levels": "[" * 100_000 + "]" * 100_000,
    "100,000 mappings": "{a: " * 50_000,
    "100,000 dashes": "- " * 100_000 + "x",
    "100,000 levels of blocks": "\n".join(" " * i + "a:" for i in range(600)),
    "2 MiB": "a: " + "x" * 2**21,
    "just too large": "# " + "x" * MAX_SIZE,
    "too many values": "a: [" + ", ".join(["x"] * 40_000) + "]\n" + TAIL,
    "too many keys": "".join(f"k{i}: x\n" for i in range(20_000)),
    "NUL bytes": b"a: \x00\n",
    "an escaped NUL": 'output_dir: "a\\0b"\n' + TAIL,
    "a bell": b"a: \x07\n",
    "a lone surrogate": 'name: "\\ud800"\n' + TAIL,
    "duplicate keys": "a: 1\na: 2\n" + TAIL,
    "duplicate stages": "stages:\n  load: {use: load}\n  load: {use: load}\n",
    "Latin-1": "name: é\n".encode("latin-1"),
    "UTF-16": TAIL.encode("utf-16"),
    "a list": "- a\n- b\n",
    "a text": "hello\n",
    "a number": "5\n",
    "null": "null\n",
    "empty": "",
    "a comment": "# nothing\n",
    "two documents": TAIL + "---\n" + TAIL,
    "a tab": "a:\n\t- b\n",
    "a list as a key": "? [a]\n: 1\n" + TAIL,
    "null as a key": "null: 1\n" + TAIL,
    "octal": "limit: 010\n" + TAIL,
    "hexadecimal": "limit: 0x1F\n" + TAIL,
    "binary digits": "limit: 0b11\n" + TAIL,
    "sexagesimal": "limit: 12:30:00\n" + TAIL,
    "a long sexagesimal": "limit: 1" + ":1" * 100_000 + "\n" + TAIL,
    "a date": "limit: 2020-01-01\n" + TAIL,
    "a date that is none": "limit: 2020-13-45\n" + TAIL,
    "not a number": "validation_fraction: .nan\n" + TAIL,
    "infinity": "validation_fraction: .inf\n" + TAIL,
    "too large to be finite": "validation_fraction: 1e999\n" + TAIL,
    "a large number": "seed: 99999999999999999999\n" + TAIL,
    "a very large number": "limit: " + "9" * 200_000 + "\n" + TAIL,
    "no as a name": "name: no\n" + TAIL,
    "on as a number": "seed: on\n" + TAIL,
    "a number in quotes": "seed: '1'\n" + TAIL,
    "a name that climbs": "name: ../../canary\n" + TAIL,
    "an absolute name": "name: /tmp/canary\n" + TAIL,
    "a tag that climbs": "tag: ../../canary\n" + TAIL,
    "a stage that climbs": "stages:\n  load: {use: load}\n  ../../../canary: {use: write}\n  b: {use: write, from: load}\n",
    "a stage of odd letters": "stages:\n  load: {use: load}\n  \"a\\nb\": {use: write}\n",
    "a stage named by a number": "stages:\n  1: {use: load}\n  2: {use: write}\n",
    "stages as a list": "stages: [load, write]\n",
    "a plugin": "plugins: [os]\n" + TAIL,
    "code as a stage": "stages:\n  load: {use: os.system}\n  write: {use: write}\n",
    "code as an expression": "stages:\n  load: {use: load}\n  f: {use: filter, where: \"__import__('os').system('x')\"}\n  write: {use: write}\n",
    "code as a format": "stages:\n  load: {use: load}\n  write: {use: write, format: 'os:system'}\n",
    "code as an engine": "engine: {use: os.system}\n" + TAIL,
    "columns as a list": "columns: [a]\n" + TAIL,
    "columns as a text": "columns: a\n" + TAIL,
    "examples as a list": "examples: [a]\n" + TAIL,
}  # fmt: skip
HARMLESS: dict[str, str | bytes] = {
    "a package in a comment": "# @package hydra\n" + TAIL,
    "a byte order mark": b"\xef\xbb\xbf" + TAIL.encode(),
    "a number with underscores": "limit: 1_000\n" + TAIL,
    "yes where a switch is": "sidecars: yes\n" + TAIL,
    "a few aliases": "a: &a [reward]\nstages:\n  load: {use: load, task_fields: *a}\n  write: {use: write, columns: '${a}'}\n",
    "a merge key": "stages:\n  load: {use: load}\n  a: &f {use: filter, completed: true}\n  b: {<<: *f, min_reward: 0.5}\n  write: {use: write}\n",
    "a required knob that has a default": "name: ???\n" + TAIL,
    "a target as a value": "stages:\n  load: {use: load, input: _target_}\n  write: {use: write}\n",
}  # fmt: skip

GUARD = """
import json, sys, time
from pathlib import Path
from gymrecipe.errors import GymrecipeError
from gymrecipe.plan import plan
from gymrecipe.recipe import compose, locate

def attempt(path):
    started = time.perf_counter()
    try:
        plan(compose(locate(path), []))
        said = None
    except GymrecipeError as error:
        said = str(error)
    except BaseException as error:
        said = "BUG " + repr(error)
    return said, time.perf_counter() - started

folder, warm = sys.argv[1:]
for path in sorted(Path(warm).iterdir()):
    attempt(str(path))
events = []
def hook(event, arguments):
    if event == "open":
        mode, flags = arguments[1] or "", arguments[2] or 0
        if not set(mode) & set("wax+") and not flags & 0o1103:
            return
    elif event == "exec":
        # The module of a library that is imported late.
        if getattr(arguments[0], "co_filename", "").startswith((sys.prefix, sys.base_prefix)):
            return
    elif event == "compile":
        if arguments[1] == "<unknown>":  # `ast.parse` of an expression: read, never run
            return
    elif not event.startswith((
        "subprocess", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "pty",
        "socket", "urllib", "http", "ftplib", "webbrowser", "ctypes", "pickle", "marshal.loads",
        "os.putenv", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink",
        "os.chmod", "os.truncate", "shutil", "tempfile",
    )):
        return
    events.append(event + " " + repr(arguments)[:200])
sys.addaudithook(hook)
results = {}
for path in sorted(Path(folder).iterdir()):
    said, seconds = attempt(str(path))
    results[path.stem] = {"said": said, "seconds": seconds, "events": events[:5]}
    events.clear()
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of every hostile recipe, in a process that notes what it does."""
    folder, warm, cwd = (tmp_path_factory.mktemp(name) for name in ("hostile", "warm", "cwd"))
    for number, text in enumerate([*REFUSED.values(), *HARMLESS.values()]):
        write(folder, text, f"{number}.yaml")
    write(warm, DPO.read_text(), "good.yaml")
    write(warm, "limit: x\n" + TAIL, "bad.yaml")
    write(warm, "columns: {c: {path: a, regex: '('}}\n" + TAIL, "regex.yaml")
    command = [sys.executable, "-c", GUARD, str(folder), str(warm)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not list(cwd.iterdir())
    results: dict[str, Any] = json.loads(done.stdout)
    names = [*REFUSED, *HARMLESS]
    return {names[int(number)]: result for number, result in results.items()}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_recipe_is_refused_in_words(name: str, guarded: dict[str, Any]) -> None:
    said = guarded[name]["said"]
    assert said is not None
    assert not said.startswith("BUG"), said
    assert ".yaml: " in said


@pytest.mark.parametrize("name", HARMLESS)
def test_an_odd_recipe_is_taken(name: str, guarded: dict[str, Any]) -> None:
    assert guarded[name]["said"] is None


@pytest.mark.parametrize("name", [*REFUSED, *HARMLESS])
def test_a_hostile_recipe_does_nothing_and_does_it_soon(name: str, guarded: dict[str, Any]) -> None:
    assert guarded[name]["events"] == []
    assert guarded[name]["seconds"] < 1


def test_the_guard_would_notice(tmp_path: Path) -> None:
    program = GUARD.replace("plan(compose(locate(path), []))", "open('canary', 'w').close(); eval('1')")  # fmt: skip
    for name in ("hostile", "warm"):
        (tmp_path / name).mkdir()
    write(tmp_path / "hostile", TAIL, "0.yaml")
    command = [sys.executable, "-c", program, str(tmp_path / "hostile"), str(tmp_path / "warm")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    events = json.loads(done.stdout)["0"]["events"]
    assert [event.split()[0] for event in events] == ["open", "compile", "exec"]


def test_a_recipe_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").mkdir()
    with pytest.raises(RecipeError, match=r"r\.yaml: cannot be read"):
        compose(tmp_path / "r.yaml", [])


def test_what_yaml_reads_as_true_is_not_a_one(tmp_path: Path) -> None:
    assert compose(write(tmp_path, "a: yes\n" + TAIL), []).values["a"] is True


def test_a_knob_that_has_to_be_given_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, "n: ???\nstages:\n  load: {use: load, limit: '${n}'}\n")
    with pytest.raises(RecipeError, match=r"n: has to be given. Write n=value"):
        compose(path, [])
    assert compose(path, ["n=4"]).values["stages"]["load"]["limit"] == 4


def test_every_reference_to_nothing_is_told_with_its_place_and_a_guess(tmp_path: Path) -> None:
    text = (
        "stages:\n  load: {use: load, input: '${inptu}'}\n  write: {use: write, order: '${x.y}'}\n"
    )
    with pytest.raises(RecipeError) as caught:
        compose(write(tmp_path, text), [])
    first, second = caught.value.problems
    assert first.endswith("stages.load.input: there is no knob 'inptu'. Did you mean 'input'?")
    assert second.endswith("stages.write.order: there is no knob 'x.y'.")


def test_a_caller_that_uses_hydra_finds_its_own_again(tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text("value: 1\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        compose(locate("ppo"), [])
        with pytest.raises(RecipeError):
            compose(locate("ppo"), ["engine=nowhere"])
        assert hydra_compose("theirs").value == 1
    assert not GlobalHydra.instance().is_initialized()
    compose(locate("ppo"), [])
    assert not GlobalHydra.instance().is_initialized()
