"""The settings of a write that decide how a line becomes messages, and prompts alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gymrecipe.rollouts.chat import (
    Conversation,
    Function,
    Message,
    Reading,
    ToolCall,
    Unusable,
)
from gymrecipe.rollouts.messages import USUAL, _number, asked
from gymrecipe.rollouts.sides import part
from tests.rollouts.talk import (
    ASKED,
    MORE,
    TOOLS,
    answered,
    called,
    line,
    plain,
    reason,
    refused,
    roles,
    said,
    talk,
    thought,
)

SYSTEM = {"role": "system", "content": "s"}
DEVELOPER = {"role": "developer", "content": "d"}


def contents(found: Conversation) -> list[str]:
    return [message.content for message in [*found.prompt, *found.completion]]


# developer, system


def test_a_developer_message_is_a_system_message_by_default() -> None:
    found = talk(said("4"), input=[DEVELOPER, ASKED])
    assert plain(found.prompt[0]) == {"role": "system", "content": "d"}


def test_a_developer_message_can_be_kept() -> None:
    keep = Reading(developer="keep")
    found = talk(said("4"), input=[DEVELOPER, SYSTEM, ASKED], instructions="i", reading=keep)
    assert [(m.role, m.content) for m in found.prompt] == [
        ("system", "i\n\ns"), ("developer", "d"), ("user", "2+2?"),
    ]  # fmt: skip
    late = [ASKED, DEVELOPER, MORE]
    assert reason(said("4"), input=late, reading=keep) == "late_system"


def test_the_system_message_can_be_dropped() -> None:
    drop = Reading(system="drop")
    found = talk(said("4"), input=[SYSTEM, ASKED], instructions="i", reading=drop)
    assert contents(found) == ["2+2?", "4"]


@pytest.mark.parametrize("given", [[SYSTEM, ASKED], [ASKED]])
def test_a_text_takes_the_place_of_the_system_message(given: list[Any]) -> None:
    found = talk(said("4"), input=given, reading=Reading(system="be brief"))
    assert [(m.role, m.content) for m in found.prompt] == [
        ("system", "be brief"), ("user", "2+2?"),
    ]  # fmt: skip


def test_a_system_message_alone_asks_nothing_whatever_it_says() -> None:
    assert reason(said("4"), input=[], reading=Reading(system="be brief")) == "no_prompt"


# reasoning


def test_thoughts_can_stand_in_tags_before_the_text() -> None:
    tags = Reading(reasoning="think_tags")
    items = (thought("hm"), called("a"), answered("a"), thought("so"), said("4"))
    first, _, last = talk(*items, reading=tags).completion
    assert first.content == "<think>\nhm\n</think>\n\n"
    assert last.content == "<think>\nso\n</think>\n\n4"
    assert first.reasoning_content is last.reasoning_content is None


def test_thoughts_can_be_dropped_of_history_too() -> None:
    given = [ASKED, thought("old"), said("a"), MORE]
    found = talk(thought("hm"), said("4"), input=given, reading=Reading(reasoning="drop"))
    assert contents(found) == ["2+2?", "a", "sure?", "4"]
    assert not any(m.reasoning_content for m in found.prompt + found.completion)


@pytest.mark.parametrize("reasoning", ["field", "think_tags", "drop"])
def test_thoughts_alone_are_no_answer(reasoning: Any) -> None:
    assert reason(thought("hm"), reading=Reading(reasoning=reasoning)) == "no_answer"


# ending, unanswered_calls


def test_an_end_can_be_trimmed_to_the_last_answer() -> None:
    trim = Reading(ending="trim")
    assert contents(talk(said("4"), MORE, reading=trim)) == ["2+2?", "4"]
    tail = (MORE, called("a"), answered("a"))
    assert contents(talk(said("4"), *tail, reading=trim)) == ["2+2?", "4"]
    assert contents(talk(said("4"), MORE, thought("hm"), reading=trim)) == ["2+2?", "4"]


def test_an_end_that_leaves_no_answer_is_not_trimmed() -> None:
    trim = Reading(ending="trim")
    assert reason(called("a"), answered("a"), reading=trim) == "ends_on_environment"
    assert reason(thought("hm"), reading=trim) == "no_answer"
    given = [ASKED, said("history"), MORE, called("a")]
    assert reason(answered("a"), input=given, reading=trim) == "no_answer"


def test_history_is_not_what_a_trimmed_rollout_answers() -> None:
    both = Reading(ending="trim", unanswered_calls="trim")
    given = [ASKED, said("history")]
    assert reason(MORE, input=given, reading=both) == "no_answer"
    assert reason(called("a"), input=given, reading=both) == "unanswered_call"


def test_an_end_can_be_trimmed_to_the_call_that_submits() -> None:
    to_call = Reading(ending="trim_to_call")
    submits = [said("so"), called("b"), thought("done"), answered("b", "ok")]
    found = talk(called("a"), answered("a"), *submits, reading=to_call)
    assert roles(found) == ["user", "assistant", "tool", "assistant"]
    assert plain(found.completion[-1])["tool_calls"][0]["id"] == "b"
    assert talk(*submits, said(" "), reading=to_call).completion == found.completion[-1:]
    assert contents(talk(*submits, said("4"), reading=to_call)) == ["2+2?", "so", "ok", "4"]
    assert contents(talk(*submits, said("4"), MORE, reading=to_call))[-1] == "4"
    assert reason(*submits, called("c"), reading=to_call) == "unanswered_call"


def test_a_call_that_nothing_answers_is_cut_as_ever_where_ends_are_trimmed_to_calls() -> None:
    cut = Reading(ending="trim_to_call", unanswered_calls="trim")
    found = talk(said("4"), MORE, called("a"), answered("a"), called("b"), reading=cut)
    assert contents(found) == ["2+2?", "4"]


def test_calls_that_every_turn_counts_anew_can_be_numbered() -> None:
    number = Reading(repeated_call_ids="number")
    turn = [called("0"), called("1"), answered("1", "y"), answered("0", "x")]
    found = talk(*turn, *turn, called("0_2"), answered("0_2"), said("4"), reading=number)
    calls = [[call.id for call in m.tool_calls or ()] for m in found.completion]
    assert calls == [["0", "1"], [], [], ["0_2", "1_2"], [], [], ["0_2_2"], [], []]
    outputs = [(m.tool_call_id, m.content) for m in found.completion if m.role == "tool"]
    assert outputs == [
        ("0", "x"), ("1", "y"), ("0_2", "x"), ("1_2", "y"), ("0_2_2", "4"),
    ]  # fmt: skip
    assert reason(*turn, *turn, said("4")) == "duplicate_call_id"
    twice = [called("0"), called("0"), answered("0"), said("4")]
    assert reason(*twice, reading=number) == "duplicate_call_id"
    again = [called("0"), answered("0"), called("0"), answered("0"), answered("0"), said("4")]
    assert reason(*again, reading=number) == "orphan_tool_output"


@pytest.mark.parametrize("text", ["", " "])
def test_arguments_that_are_an_empty_text_can_be_an_object(text: str) -> None:
    items = [called("a", text), answered("a"), said("4")]
    with pytest.raises(Unusable, match="arguments_not_json") as caught:
        talk(*items)
    assert caught.value.cause == "they are an empty text"
    found = talk(*items, reading=Reading(empty_arguments="object"))
    (call,) = found.completion[0].tool_calls or ()
    assert call.function.arguments == {}
    chat = {"id": "a", "function": {"name": "calc", "arguments": text}}
    answer = {"role": "assistant", "content": "", "tool_calls": [chat]}
    found = talk(answer, answered("a"), said("4"), reading=Reading(empty_arguments="object"))
    (call,) = found.completion[0].tool_calls or ()
    assert call.function.arguments == {}


@pytest.mark.parametrize("text", ["{", "[]", "null", "x"])
def test_no_setting_takes_other_arguments_than_an_object(text: str) -> None:
    with pytest.raises(Unusable, match="arguments_not_json") as caught:
        talk(called("a", text), answered("a"), said("4"), reading=Reading(empty_arguments="object"))
    assert caught.value.cause == "they are no JSON object, which no setting lets through"


class Asked(set[str]):
    """Ids of calls, which count how often one is looked for."""

    times = 0

    def __contains__(self, id: object) -> bool:
        self.times += 1
        return super().__contains__(id)


def test_the_number_of_an_id_is_looked_for_behind_the_last_one() -> None:
    seen, numbers = Asked(["0"]), {"0": 1}
    for turn in range(1, 1001):
        call = ToolCall(id="0", function=Function("f", {}))
        _number([call], [], seen, numbers)
        assert call.id == f"0_{turn}"
        seen.add(call.id)
    assert seen.times < 4000


def test_an_unanswered_call_can_be_trimmed_with_all_that_follows() -> None:
    trim = Reading(unanswered_calls="trim")
    assert contents(talk(said("4"), MORE, called("a"), reading=trim)) == ["2+2?", "4"]
    tail = (MORE, called("a"), MORE, answered("a"), said("5"))
    assert contents(talk(said("4"), *tail, reading=trim)) == ["2+2?", "4"]
    assert reason(called("a"), reading=trim) == "unanswered_call"


def test_an_unanswered_call_can_be_kept() -> None:
    keep = Reading(unanswered_calls="keep")
    found = talk(said("4"), MORE, called("a"), reading=keep)
    assert roles(found) == ["user", "assistant", "user", "assistant"]
    assert found.completion[-1].tool_calls is not None
    found = talk(called("a"), called("b"), answered("b"), said("4"), reading=keep)
    assert [m.tool_call_id for m in found.completion] == [None, "b", None]


def test_keeping_calls_lets_no_other_fault_through() -> None:
    keep = Reading(unanswered_calls="keep")
    assert reason(called("a"), MORE, answered("a"), said("4"), reading=keep) == "orphan_tool_output"
    assert reason(called("a"), MORE, called("a"), reading=keep) == "duplicate_call_id"
    assert reason(called("a"), MORE, reading=keep) == "ends_on_environment"


def test_a_message_of_mere_thoughts_goes_with_them() -> None:
    """`simple_agent` asks again where nothing was said; token ids tell the two calls apart."""
    ids = {"generation_token_ids": [1]}
    output = (thought("hm", **ids), said("4", **ids))
    assert [m.content for m in talk(*output).completion] == ["", "4"]
    dropped = talk(*output, reading=Reading(reasoning="drop"))
    assert plain(dropped.completion) == [{"role": "assistant", "content": "4"}]
    asked_again = talk(thought("hm"), MORE, said("4"), reading=Reading(reasoning="drop"))
    assert [m.content for m in asked_again.completion] == ["", "sure?", "4"]


# missing_tools, refusals, truncated


def test_calls_without_a_schema_can_be_kept() -> None:
    keep = Reading(missing_tools="keep")
    found = talk(called("a"), answered("a"), said("4"), tools=None, reading=keep)
    assert found.tools == []


def test_a_call_that_was_trimmed_misses_no_tool() -> None:
    trim = Reading(unanswered_calls="trim")
    assert talk(said("4"), MORE, called("a", name="g"), reading=trim)


def test_refusals_can_be_rejected() -> None:
    assert reason(refused("I can't."), reading=Reading(refusals="reject")) == "refusal"
    given = [ASKED, refused("I can't."), MORE]
    assert talk(said("4"), input=given, reading=Reading(refusals="reject"))


def test_truncated_rollouts_can_be_kept_masked_ones_not() -> None:
    keep = Reading(truncated="keep")
    cut = {"response": {"output": [said("4")], "status": "incomplete"}}
    assert talk(top=cut, reading=keep)
    assert reason(top=cut | {"mask_sample": True}, reading=keep) == "masked"


# token_ids

IDS = {"prompt_token_ids": [1, 2], "generation_token_ids": [3], "generation_log_probs": [-0.25]}


def test_token_ids_are_left_out_by_default() -> None:
    assert plain(talk(said("4", **IDS)).completion) == [{"role": "assistant", "content": "4"}]


def test_token_ids_can_be_carried_on_the_message_of_their_call() -> None:
    keep = Reading(token_ids="keep")
    items = (thought("hm"), called("a", **IDS), answered("a"), said("4"))
    first, tool, last = plain(talk(*items, reading=keep).completion)
    assert {name: first[name] for name in IDS} == IDS
    assert not IDS.keys() & (tool.keys() | last.keys())


def test_empty_token_ids_are_absent() -> None:
    empty = {name: [] for name in IDS}
    found = talk(said("4", **empty), reading=Reading(token_ids="keep"))
    assert plain(found.completion) == [{"role": "assistant", "content": "4"}]


def test_token_ids_of_an_unknown_form_are_refused_where_they_are_kept() -> None:
    odd = said("4", generation_token_ids="packed")
    assert talk(odd)
    assert reason(odd, reading=Reading(token_ids="keep")) == "bad_item"


# prompt_from


@pytest.mark.parametrize("place", ["question", "task.0.text", 'field["a b"]'])
def test_a_prompt_can_be_read_from_a_path(place: str) -> None:
    top = {"question": "2+2?", "task": [{"text": "2+2?"}], "a b": "2+2?"}
    found = talk(said("4"), input=[], top=top, reading=Reading(prompt_from=place))
    assert plain(found.prompt) == [ASKED]


def test_a_prompt_at_a_path_may_be_items() -> None:
    top = {"shown": [SYSTEM, {"role": "user", "content": [{"type": "input_text", "text": "x"}]}]}
    found = talk(said("4"), input=[], top=top, reading=Reading(prompt_from="shown"))
    assert contents(found) == ["s", "x", "4"]


def test_a_path_adds_nothing_to_a_prompt_that_asks() -> None:
    found = talk(said("4"), top={"question": "?"}, reading=Reading(prompt_from="question"))
    assert plain(found.prompt) == [ASKED]


def test_a_prompt_at_a_path_says_the_system_message_of_the_request_once() -> None:
    shown = Reading(prompt_from="shown")
    found = talk(said("4"), input=[SYSTEM], top={"shown": [SYSTEM, ASKED]}, reading=shown)
    assert contents(found) == ["s", "2+2?", "4"]
    found = talk(said("4"), input=[SYSTEM], top={"shown": [ASKED]}, reading=shown)
    assert contents(found) == ["s", "2+2?", "4"]


def test_a_prompt_at_a_path_cannot_be_the_whole_conversation() -> None:
    top = {"shown": [ASKED, said("4")]}
    reading = Reading(prompt_from="shown")
    assert reason(said("4"), input=[], top=top, reading=reading) == "prompt_answered"


@pytest.mark.parametrize(
    ("value", "why"), [(None, "no_prompt"), ("", "no_prompt"), (3, "bad_item"), ({}, "bad_item")]
)
def test_what_is_no_prompt_at_the_path_is_said(value: Any, why: str) -> None:
    reading = Reading(prompt_from="question")
    assert reason(said("4"), input=[], top={"question": value}, reading=reading) == why
    assert reason(said("4"), input=[], reading=reading) == "no_prompt"


# Prompts alone


def input_row(**request: Any) -> bytes:
    return json.dumps({"responses_create_params": {"tools": TOOLS, **request}}).encode()


def fault(text: bytes, reading: Reading = USUAL) -> str:
    with pytest.raises(Unusable) as caught:
        asked(text, reading)
    return caught.value.reason


def test_an_input_row_asks_what_its_rollout_was_asked() -> None:
    given = [SYSTEM, ASKED, called("a"), answered("a"), said("4"), MORE]
    found = talk(said("5"), input=given)
    assert asked(line(said("5"), input=given)) == (found.prompt, found.tools)
    assert asked(input_row(input=given)) == (found.prompt, found.tools)


def test_what_the_environment_says_first_is_asked() -> None:
    prompt, _ = asked(line(MORE, called("a"), answered("a")))
    assert [message.content for message in prompt] == ["2+2?", "sure?"]
    prompt, _ = asked(line(answered("a"), said("4"), input=[ASKED, called("a")]))
    assert [message.role for message in prompt] == ["user", "assistant", "tool"]


def test_how_the_rollout_went_does_not_matter_to_its_prompt() -> None:
    for text in (line(), line(called("a")), line(said("4"), top={"mask_sample": True})):
        assert plain(asked(text)[0]) == [ASKED]


def test_a_prompt_has_the_same_settings() -> None:
    reading = Reading(system="t", reasoning="drop", prompt_from="question")
    text = json.dumps({"responses_create_params": {"input": []}, "question": "2+2?"}).encode()
    prompt, tools = asked(text, reading)
    assert (plain(prompt), tools) == ([{"role": "system", "content": "t"}, ASKED], [])


PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}


def test_a_picture_in_a_prompt_is_not_text() -> None:
    assert fault(input_row(input=[{"role": "user", "content": [PICTURE]}])) == "not_text"
    assert fault(input_row(input="2+2?", metadata={"audio_url": "data:audio/wav,"})) == "not_text"


@pytest.mark.parametrize(
    "given",
    [
        {"input": [{"role": "user", "content": [PICTURE, {"type": "input_text", "text": "2+2?"}]}]},
        {"input": [{"role": "user", "content": [{"type": "input_video"}]}, ASKED]},
        {"input": [ASKED], "metadata": {"audio_url": "data:audio/wav,"}},
        {"input": [ASKED, called("a"), answered("a", [PICTURE])]},
    ],
)
def test_media_are_passed_over_where_the_request_is_copied(given: dict[str, Any]) -> None:
    prompt, _ = asked(input_row(**given), media=True)
    assert "2+2?" in [message.content for message in prompt]


def test_a_request_with_media_is_held_against_the_other_rules() -> None:
    with pytest.raises(Unusable, match="prompt_answered"):
        asked(input_row(input=[{"role": "user", "content": [PICTURE]}, said("4")]), media=True)


def test_why_there_is_no_prompt() -> None:
    assert fault(input_row(input=[])) == "no_prompt"
    assert fault(input_row(input=[ASKED, said("4")])) == "prompt_answered"
    given = [ASKED, called("a"), MORE]
    assert fault(input_row(input=given)) == "unanswered_call"
    assert fault(input_row(input=given), Reading(unanswered_calls="trim")) == "unanswered_call"
    assert fault(b'{"detail": "no such route"}') == "not_a_rollout"
    assert fault(b'{"reward": 1e999}') == "non_finite"


# Pairs at their decision


def decided(chosen: Conversation, rejected: Conversation) -> tuple[list[Message], ...]:
    prompt, ours, theirs = part(chosen, rejected, "decision")
    assert len(ours) == len(theirs) == 1
    return prompt, ours, theirs


def parting(chosen: Conversation, rejected: Conversation) -> str:
    with pytest.raises(Unusable) as caught:
        part(chosen, rejected, "decision")
    return caught.value.reason


def test_a_decision_is_the_first_answer_that_differs() -> None:
    chosen = talk(called("a"), answered("a"), called("b", '{"x": 1}'), answered("b"), said("4"))
    rejected = talk(called("c"), answered("c"), said("5"), MORE, said("6"))
    prompt, ours, theirs = decided(chosen, rejected)
    assert [message.role for message in prompt] == ["user", "assistant", "tool"]
    assert ours[0].tool_calls is not None
    assert theirs[0].content == "5"


def test_what_the_environment_decided_is_no_decision() -> None:
    chosen = talk(called("a"), answered("a", "4"), said("4"))
    rejected = talk(called("a"), answered("a", "5"), said("5"))
    assert parting(chosen, rejected) == "parted_by_environment"
    assert parting(talk(said("4")), talk(said("4"), MORE, said("5"))) == "parted_by_environment"


def test_a_decision_answers_someone() -> None:
    def twice(text: str) -> Conversation:
        return talk(said("a", generation_token_ids=[1]), said(text))

    assert parting(twice("b"), twice("c")) == "parted_by_environment"


def test_a_decision_needs_the_same_prompt_and_different_answers() -> None:
    assert parting(talk(said("4")), talk(said("4"))) == "identical_answers"
    assert parting(talk(said("4")), talk(said("5"), input="3+3?")) == "prompts_differ"


def test_token_ids_do_not_part_two_sides() -> None:
    keep = Reading(token_ids="keep")
    sides = [
        talk(said("a", generation_token_ids=[id]), MORE, said(text), reading=keep)
        for id, text in ((1, "b"), (2, "c"))
    ]
    prompt, _, _ = decided(*sides)
    assert [message.content for message in prompt] == ["2+2?", "a", "sure?"]
    assert prompt[1].generation_token_ids == [1]
