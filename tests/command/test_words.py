"""A command line, sorted."""

from pathlib import Path

import pytest

from gymrecipe.command.words import VERBS, Words, at_most, parse, taken
from gymrecipe.errors import RecipeError


def test_overrides_options_and_verbs_are_told_apart() -> None:
    words = parse(["+recipe=a", "~stages.check", "-m", "--cfg", "job", "--resolve", "min_gap=1,2"])
    assert words.overrides == ["+recipe=a", "~stages.check", "min_gap=1,2"]
    assert (words.multirun, words.cfg, words.resolve, words.verb) == (True, "job", True, None)


@pytest.mark.parametrize(
    "line", [["--config-dir", "a"], ["--config-dir=a"], ["-cd", "a"], ["show", "-cd", "a"]]
)
def test_an_option_takes_its_value_from_the_next_word_or_behind_the_sign(line: list[str]) -> None:
    assert parse(line).config_dirs == [Path("a")]


def test_an_option_may_stand_more_than_once() -> None:
    words = parse(["--plugin", "a", "--plugin=b", "-cd", "c", "-cd", "d"])
    assert words.plugins == ["a", "b"]
    assert words.config_dirs == [Path("c"), Path("d")]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_known_also_behind_a_knob(verb: str) -> None:
    assert parse([verb]).verb == verb
    assert parse(["output_dir=x", verb]).verb == verb


@pytest.mark.parametrize(
    "word", ["lr=3/a.jsonl:17", "/runs/lr=3", "a b=c/d.jsonl", "runs=1.jsonl:2", "./x=y"]
)
def test_a_path_with_an_equals_sign_is_an_argument_of_a_verb(word: str) -> None:
    assert parse(["explain", "v0001", word]).arguments == ["v0001", word]


def test_a_file_that_exists_is_an_argument_though_it_looks_like_a_knob(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse(["columns", "a=b.jsonl"]).overrides == ["a=b.jsonl"]
    Path("a=b.jsonl").touch()
    assert parse(["columns", "a=b.jsonl"]).arguments == ["a=b.jsonl"]


def test_a_word_of_any_length_or_bytes_is_sorted() -> None:
    long, odd = "x" * 100_000, "caf\udce9.jsonl"
    assert parse(["show", long, odd, ""]).arguments == [long, odd, ""]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["reciepes"], "'reciepes' is neither a verb nor name=value.*Did you mean 'recipes'"),
        ([""], "'' is neither a verb"),
        (["--cgf", "job"], "unknown option '--cgf'. Did you mean '--cfg'"),
        (["--help=yes"], "unknown option '--help=yes'"),
        (["-x"], "unknown option '-x'"),
        (["+recipe=ppo", "--min_gap=0.3"], "option '--min_gap=0.3'. A knob has no dashes: min_gap"),
        (["versions", "--json"], r"option '--json'. A knob has no dashes: json=true$"),
        (["gc", "--dry-run"], r"option '--dry-run'. A knob has no dashes: dry_run=true$"),
        (["columns", "--limit", "5"], r"option '--limit'. A knob has no dashes: limit=VALUE$"),
        (["gc", "--older=3"], "option '--older=3'. A knob has no dashes: older=3"),
        (["rejects", "--reson=x"], r"option '--reson=x'. Did you mean '--reason'\?"),
        (["+recipe=ppo", "min_gap", "0.3"], r"A knob is written min_gap=VALUE\.$"),
        (["where=a", "and", "b"], r"A value with spaces is written in quotes: 'where=a and'\.$"),
        (["foo"], r"Verbs: [\w, ]+\.$"),
        (["--cfg"], "--cfg needs a value"),
        (["--cfg="], "--cfg needs a value"),
        (["--cfg", "--resolve"], "--cfg needs a value"),
        (["--plugin", "-m"], "--plugin needs a value"),
        (["--config-dir"], "--config-dir needs a value"),
        (["-sc"], "-sc needs a value"),
        (["--cfg", "hydra"], "--cfg shows only 'job', got 'hydra'"),
    ],
)
def test_what_fits_nowhere_is_an_error(line: list[str], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        parse(line)


def verb(*line: str) -> Words:
    return parse(["columns", *line])


def test_the_knobs_of_a_verb_have_the_type_of_their_defaults() -> None:
    columns = taken(verb("limit=5", "+sidecars=true", "++input=3"))
    assert columns == {"input": ["3"], "limit": 5, "sidecars": True, "json": False}
    assert taken(parse(["show", "output_dir=3"]))["output_dir"] == "3"


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("a.jsonl", ["a.jsonl"]),
        ("[a.jsonl,b c.jsonl]", ["a.jsonl", "b c.jsonl"]),
        ("[*.jsonl, 'x.jsonl']", ["*.jsonl", "x.jsonl"]),
        ("[3]", ["3"]),
        ("[a", ["[a"]),
        ("a: b, c.jsonl", ["a: b, c.jsonl"]),
        ("[]", []),
        ("", []),
    ],
)
def test_an_input_of_a_verb_is_one_path_or_a_list(text: str, entries: list[str]) -> None:
    assert taken(verb(f"input_jsonl_fpath={text}"))["input"] == entries


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "limti=5",
            "columns: unknown knob 'limti'; it takes input, limit, sidecars, json.*'limit'",
        ),
        ("~limit=3", "unknown knob '~limit'"),
        ("limit=x", "columns: limit should be a whole number from 1 on, got 'x'"),
        ("limit=", "limit should be a whole number from 1 on, got ''"),
        ("limit=1.5", "limit should be a whole number from 1 on, got '1.5'"),
        ("limit=true", "limit should be a whole number from 1 on, got 'true'"),
        ("limit=0", "limit should be a whole number from 1 on, got '0'"),
        ("limit=-4", "limit should be a whole number from 1 on, got '-4'"),
        ("limit=[1", r"limit should be a whole number from 1 on, got '\[1'"),
        ("limit=!!python/name:os.system", "limit should be a whole number"),
        ("sidecars=1", "sidecars should be true or false, got '1'"),
    ],
)
def test_a_wrong_knob_of_a_verb_is_an_error(override: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        taken(verb(override))


def test_a_text_of_a_verb_is_not_empty() -> None:
    with pytest.raises(RecipeError, match=r"show: output_dir has no value\. Write"):
        taken(parse(["show", "output_dir="]))


def test_a_verb_refuses_more_arguments_than_it_takes() -> None:
    assert at_most(verb("a"), 1) == ["a"]
    with pytest.raises(RecipeError, match="columns: takes 1 at most, got 'a b'"):
        at_most(verb("a", "b"), 1)
    with pytest.raises(RecipeError, match="columns: takes no argument, got 'a'"):
        at_most(verb("a"), 0)


def test_a_recipe_by_its_bare_name_is_offered_as_one() -> None:
    with pytest.raises(RecipeError, match=r"runs as \+recipe=dpo_same_prompt\.$"):
        parse(["dpo_same_prompt"])
    with pytest.raises(RecipeError, match=r"Did you mean 'stages'\?$"):
        parse(["stags"])


def test_a_date_that_there_is_not_is_no_number() -> None:
    with pytest.raises(RecipeError, match=r"limit should be a whole number .*got '2026-02-30'"):
        taken(verb("limit=2026-02-30"))
