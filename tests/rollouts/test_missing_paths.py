"""Paths that no line has: what is refused, what is told, and what nobody misses."""

from __future__ import annotations

from typing import Any

import pytest

from gymrecipe.errors import RecipeError
from gymrecipe.rollouts.columns import Column, parse_path
from tests.rollouts.conftest import Write, read, rollout


def test_a_path_on_no_line_is_an_error_with_the_fields_and_the_nearest(jsonl: Write) -> None:
    columns = [Column("acuracy", (("acuracy",),), "number"), Column("zz", (("zz",),), "text")]
    with pytest.raises(RecipeError) as caught:
        read(jsonl(rollout(accuracy=1)), columns=columns)
    assert caught.value.problems == (
        "columns: 'acuracy' is on no line that was read. Fields seen: accuracy, reward."
        " Did you mean 'accuracy'?",
        "columns: 'zz' is on no line that was read. Fields seen: accuracy, reward.",
    )


@pytest.mark.parametrize("expression", ["model == math", "model!=math and reward > 0"])
def test_a_text_without_its_quotes_is_told_as_one(expression: str, jsonl: Write) -> None:
    column, place = Column("math", (("math",),), "text"), "command line: stages.f.where"
    with pytest.raises(RecipeError) as caught:
        read(jsonl(rollout()), columns=[column], places={"math": place}, given={place: expression})
    assert str(caught.value).endswith(
        ' Fields seen: reward. A text has quotes, which the shell has to leave there: "math".'
    )


def test_a_path_that_is_filtered_by_and_written_is_told_once(jsonl: Write) -> None:
    column = Column("zz", (("zz",),), "text")
    with pytest.raises(RecipeError) as caught:
        read(jsonl(rollout()), columns=[column], present=(("zz",),))
    assert len(caught.value.problems) == 1


def test_a_path_on_no_line_is_compared_with_the_fields_beside_it(jsonl: Write) -> None:
    column = Column("metadata.categry", (("metadata", "categry"),), "text")
    places = {"metadata.categry": "stages.balance.by"}
    with pytest.raises(RecipeError) as caught:
        read(
            jsonl(rollout(metadata={"category": "a", "level": 1})), columns=[column], places=places
        )
    assert str(caught.value) == (
        "stages.balance.by: 'metadata.categry' is on no line that was read. Fields seen in"
        " metadata: category, level. Did you mean 'metadata.category'?"
    )


def test_a_column_that_is_its_default_on_every_line_is_told(jsonl: Write) -> None:
    path = jsonl(rollout(metadata={"domain": "law"}))
    typo = Column("c", (("metadata", "domian"),), "text", default="general")
    (said,) = read(path, columns=[typo], places={"c": "columns.c.path"}).warnings
    assert said == (
        "columns.c.path: 'metadata.domian' is on no line that was read, so that every row is"
        " 'general'. Fields seen in metadata: domain. Did you mean 'metadata.domain'?"
    )
    right = Column("c", (("metadata", "domain"),), "text", default="general")
    assert read(path, columns=[right]).warnings == []


def test_a_column_that_is_looked_for_in_several_places_may_be_in_none(jsonl: Write) -> None:
    several = Column("c", (("metadata", "kind"), ("kind",)), "text", default="general")
    assert read(jsonl(rollout()), columns=[several]).warnings == []


def test_a_score_on_no_line_is_an_error(jsonl: Write) -> None:
    path = jsonl(rollout(accuracy=0.5))
    with pytest.raises(RecipeError, match=r"^reward: 'acuracy' is on no .* mean 'accuracy'\?$"):
        read(path, reward="acuracy")
    assert read(path, reward="accuracy").rows["reward"].to_list() == [0.5]


def test_a_path_of_a_list_that_no_line_has_is_told_with_the_nearest(jsonl: Write) -> None:
    path = jsonl(rollout(task_id=1), rollout(task_id=2, uuid="a"))
    listed = (("task_idd",), ("uuid",))
    (said,) = read(path, present=listed, hoped={"task_fields": listed}).warnings
    assert said == (
        "task_fields: 'task_idd' is on no line that was read. Fields seen: reward, task_id, uuid."
        " Did you mean 'task_id'?"
    )


def test_a_score_called_like_a_built_in_column_is_told_as_no_field(jsonl: Write) -> None:
    with pytest.raises(RecipeError) as caught:
        read(jsonl(rollout(accuracy=0.5)), reward="draw")
    assert str(caught.value) == (
        "reward: 'field[\"draw\"]' is on no line that was read. The column 'draw' is built in, and"
        " a field of the lines is asked for here. Fields seen: accuracy, reward."
    )
    assert read(jsonl(rollout(draw=0.5)), reward="draw").rows["reward"].to_list() == [0.5]


def test_a_named_column_is_no_built_in_one(jsonl: Write) -> None:
    with pytest.raises(RecipeError, match=r"The column 'turns' is built in.*reward\.$"):
        read(jsonl(rollout()), columns=[Column("c", (("turns",),), "number")])


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("responses_create_params.input.0", "an object"),
        ("responses_create_params.input.0.content", "a text"),
        ("a.b.c.d.e", "a list"),
        ("gone", "null"),
    ],
)
def test_a_score_is_told_as_what_it_is_however_deep_it_lies(
    path: str, there: str, jsonl: Write
) -> None:
    asked = [{"role": "user", "content": "2+2?"}]
    line = rollout(asked, a={"b": {"c": {"d": {"e": [1]}}}}, gone=None)
    with pytest.raises(RecipeError, match=f"^reward: '{path}' is {there}, and on no line that was"):
        read(jsonl(line), reward=path)


ASKED = " An expression may ask for it: where, or high and low of label."


@pytest.mark.parametrize(
    ("value", "there", "more"), [(True, "a boolean", ASKED), ("0.5", "a text", "")]
)
def test_a_score_that_is_no_number_is_told_as_what_it_is(
    value: Any, there: str, more: str, jsonl: Write
) -> None:
    with pytest.raises(RecipeError) as caught:
        read(jsonl(rollout(passed=value)), reward="passed")
    assert str(caught.value) == (
        f"reward: 'passed' is {there}, and on no line that was read a number. Name a field of"
        f" numbers: `gymrecipe columns` lists them.{more}"
    )


def test_a_column_that_is_nowhere_of_its_kind_is_told(jsonl: Write) -> None:
    column = Column("level", (("level",),), "number")
    asked: Any = {
        "columns": [column],
        "places": {"level": "command line: stages.f.where"},
        "given": {"command line: stages.f.where": "level > 3"},
    }
    said = (
        "stages.f.where: 'level' is a text, and on no line that was read a number, so that it is"
        " missing on every line, got 'level > 3'."
    )
    assert read(jsonl(rollout(level="4"), rollout(level=None)), **asked).warnings == [said]
    assert read(jsonl(rollout(level="4"), rollout(level=5)), **asked).warnings == []
    assert read(jsonl(rollout(level=None)), **asked).warnings == []


def test_a_default_is_told_where_no_line_has_another_value(jsonl: Write) -> None:
    column = Column("c", (("level",),), "text", default="general")
    assert read(jsonl(rollout(level=3)), columns=[column]).warnings == [
        "columns: 'level' is a number, and on no line that was read a text, so that every row is"
        " 'general'."
    ]
    assert read(jsonl(rollout(level="general")), columns=[column]).warnings == []


def test_a_pattern_that_fits_nowhere_is_told(jsonl: Write) -> None:
    column = Column("c", (("kind",),), "text", pattern="Kind: (.*)")
    path = jsonl(rollout(kind="Kinds: x"))
    (said,) = read(path, columns=[column]).warnings
    assert said == (
        "columns: the regex finds nothing in 'kind', so that it is missing on every line."
    )
    assert read(jsonl(rollout(kind="Kind: x")), columns=[column]).warnings == []


def test_a_pattern_that_fits_no_text_of_a_list_is_told(jsonl: Write) -> None:
    column = Column("c", (("tags",),), "texts", pattern="^(b)$")
    (said,) = read(jsonl(rollout(tags=["a", "ab"])), columns=[column]).warnings
    assert (
        said == "columns: the regex finds nothing in 'tags', so that it is missing on every line."
    )
    (said,) = read(jsonl(rollout(tags={"b": 1})), columns=[column]).warnings
    assert said.startswith("columns: the regex finds nothing in 'tags'")


def test_a_pattern_looks_at_each_text_of_a_list(jsonl: Write) -> None:
    column = Column("c", (("tags",),), "texts", pattern="(?m)^(b)$")
    path = jsonl(rollout(tags=["a", "b"]), rollout(tags=["ab"]), rollout(tags="b"), rollout())
    assert read(path, columns=[column]).rows["c"].to_list() == ["b", None, "b", None]


def test_a_group_on_no_line_is_a_warning_for_the_prompt_stands_in(jsonl: Write) -> None:
    path = jsonl(rollout(task_id=1), rollout())
    (warning,) = read(path, group_by="tsk_id").warnings
    assert warning == (
        "group_by: 'tsk_id' is on no line that was read, so the prompt says which rollouts belong"
        " together. Did you mean 'task_id'?"
    )
    assert read(path, group_by="task_id").warnings == []


def test_no_line_needs_a_score_where_it_is_by_default(jsonl: Write) -> None:
    content = rollout()
    del content["reward"]
    assert read(jsonl(content)).rows["reward"].to_list() == [None]


def test_scores_that_are_texts_are_told_where_no_line_has_another(jsonl: Write) -> None:
    assert read(jsonl(rollout(reward="1.0"))).warnings == [
        "reward: 'reward' is a text, and on no line that was read a number, so that every reward"
        " is missing."
    ]
    assert read(jsonl(rollout(reward="1.0"), rollout(reward=0))).warnings == []
    assert read(jsonl(rollout(reward=None))).warnings == []


def test_a_category_is_told_where_no_line_has_one_value(jsonl: Write) -> None:
    level = Column("level", (("level",),), "category")
    assert not read(jsonl(rollout(level=3)), columns=[level]).warnings
    assert read(jsonl(rollout(level=[3])), columns=[level]).warnings == [
        "columns: 'level' is a list, and on no line that was read a text, a number or a boolean, so"
        " that it is missing on every line."
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("reward_gap", "gap"),
        ("chosen.metadata.level", "chosen_metadata.level"),
        ("rejected_metadata.level", "rejected.metadata.level"),  # of a write
    ],
)
def test_a_column_of_pairs_by_the_name_of_the_file_is_told_by_its_own(
    name: str, meant: str, jsonl: Write
) -> None:
    column = Column(name, (parse_path(name),), "number")
    with pytest.raises(RecipeError, match=rf"Did you mean '{meant}'\?$"):
        read(jsonl(rollout()), columns=[column], names=("gap", "draw"))
