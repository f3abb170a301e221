"""How the items of a line become messages, and why some do not."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gymrecipe.rollouts.chat import Conversation, Message, Reading, Unusable
from gymrecipe.rollouts.messages import conversation
from gymrecipe.rollouts.sides import part, same
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
    said,
    talk,
    thought,
)

# What becomes of the items


def test_a_text_input_and_an_answer_are_two_messages() -> None:
    found = talk(said("4"), input="2+2?")
    assert plain(found.prompt) == [ASKED]
    assert plain(found.completion) == [{"role": "assistant", "content": "4"}]


def test_instructions_and_leading_systems_are_one_system_message() -> None:
    system = {"role": "system", "content": "b"}
    developer = {"role": "developer", "content": [{"type": "input_text", "text": "c"}]}
    found = talk(said("4"), input=[system, developer, ASKED], instructions="a")
    assert plain(found.prompt) == [{"role": "system", "content": "a\n\nb\n\nc"}, ASKED]


def test_instructions_that_only_the_response_has_were_shown() -> None:
    told: dict[str, Any] = {"response": {"output": [said("4")], "instructions": "be brief"}}
    found = conversation(json.dumps({"messages": [ASKED], **told}).encode())
    assert [m.content for m in found.prompt] == ["be brief", "2+2?"]
    system = {"role": "system", "content": "s"}
    for known in ({"instructions": "s"}, {"input": [system, ASKED]}):
        assert [m.content for m in talk(top=told, **known).prompt] == ["s", "2+2?"]
    told["response"]["instructions"] = [ASKED]
    assert reason(top=told) == "bad_item"


def test_parts_are_joined_with_nothing_between() -> None:
    parts = [{"type": "input_text", "text": "2+"}, {"type": "input_text", "text": "2?"}]
    assert plain(talk(said("4"), input=[{"role": "user", "content": parts}]).prompt) == [ASKED]


def test_an_empty_refusal_is_none() -> None:
    found = talk({"role": "assistant", "content": "4", "refusal": ""})
    assert (found.completion[0].content, found.refused) == ("4", False)


def test_a_refusal_is_its_text_and_flagged() -> None:
    assert talk(refused("I can't.")).completion[0].content == "I can't."
    assert talk(refused("I can't.")).refused
    assert not talk(said("I can't.")).refused


def test_one_model_call_is_one_message_with_its_parallel_calls() -> None:
    found = talk(
        thought("hm"),
        thought("so"),
        said("\n\n"),
        called("a", '{"x": 1}'),
        called("b"),
        answered("a", "1"),
        answered("b", "2"),
        said("done"),
    )
    first, one, two, last = plain(found.completion)
    assert first["reasoning_content"] == "hm\nso"
    assert first["content"] == ""
    assert [call["id"] for call in first["tool_calls"]] == ["a", "b"]
    assert first["tool_calls"][0] == {
        "id": "a",
        "function": {"name": "calc", "arguments": {"x": 1}},
        "type": "function",
    }
    assert one == {"role": "tool", "content": "1", "tool_call_id": "a", "name": "calc"}
    assert two["content"] == "2"
    assert last == {"role": "assistant", "content": "done"}


def test_reasoning_is_the_summary_and_else_the_content() -> None:
    content = {"type": "reasoning", "summary": [], "content": [{"type": "text", "text": "c"}]}
    both = thought("s") | {"content": [{"type": "reasoning_text", "text": "c"}]}
    assert talk(content, said("4")).completion[0].reasoning_content == "c"
    assert talk(both, said("4")).completion[0].reasoning_content == "s"


def test_encrypted_reasoning_leaves_nothing() -> None:
    hidden = {"type": "reasoning", "summary": [], "encrypted_content": "x"}
    assert plain(talk(hidden, said("4")).completion) == [{"role": "assistant", "content": "4"}]


def test_texts_of_one_model_call_are_joined_with_nothing_between() -> None:
    assert talk(said("a "), said("b")).completion[0].content == "a b"


def test_token_ids_end_a_model_call() -> None:
    found = talk(said("a", generation_token_ids=[1]), said("b"))
    assert [message.content for message in found.completion] == ["a", "b"]


def test_calls_behind_a_text_with_the_token_ids_of_all_are_of_its_model_call() -> None:
    ids = {"generation_token_ids": [1, 2]}
    items = (said("", **ids), called("a"), called("b"), answered("a"), answered("b"))
    found = talk(*items, said("4", **ids), reading=Reading(token_ids="keep"))
    first, _, _, last = plain(found.completion)
    assert [call["id"] for call in first["tool_calls"]] == ["a", "b"]
    assert first["generation_token_ids"] == [1, 2]
    assert last["content"] == "4"


def test_calls_that_end_on_token_ids_of_their_own_are_another_model_call() -> None:
    ids = {"generation_token_ids": [1]}
    calls = (called("a"), called("b", **ids), answered("a"), answered("b"))
    found = talk(said("a", **ids), *calls, said("4", **ids))
    assert [len(message.tool_calls or []) for message in found.completion[:2]] == [0, 2]


def test_what_stands_in_for_an_answer_is_none() -> None:
    nothing = {"prompt_token_ids": [0], "generation_token_ids": [0], "generation_log_probs": [0.0]}
    found = talk(said("4"), said("", **nothing), reading=Reading(token_ids="keep"))
    assert plain(found.completion) == [{"role": "assistant", "content": "4"}]
    assert reason(said("no server", **nothing)) == "no_answer"
    assert reason(called("a"), answered("a"), said("x", **nothing)) == "ends_on_environment"


def test_empty_token_ids_end_nothing() -> None:
    found = talk(said("a", generation_token_ids=[]), said("b"))
    assert [message.content for message in found.completion] == ["ab"]


@pytest.mark.parametrize("ids", [[], [1]])
def test_reasoning_between_a_call_and_its_output_belongs_to_the_call(ids: list[int]) -> None:
    found = talk(called("a", generation_token_ids=ids), thought("hm"), answered("a"), said("4"))
    assert [message.role for message in found.completion] == ["assistant", "tool", "assistant"]
    assert found.completion[0].reasoning_content == "hm"


def test_outputs_stand_in_the_order_of_their_calls() -> None:
    found = talk(called("a"), called("b"), answered("b", "2"), answered("a", "1"), said("3"))
    assert [message.content for message in found.completion] == ["", "1", "2", "3"]


def test_an_output_is_its_text_or_its_parts_or_its_json() -> None:
    outputs = ["s", [{"type": "input_text", "text": "p"}], {"n": 0.3946063684687171}, [1, 2]]
    items = [
        item
        for i, output in enumerate(outputs)
        for item in (called(str(i)), answered(str(i), output))
    ]
    tools = [m.content for m in talk(*items, said("4")).completion if m.role == "tool"]
    assert tools == ["s", "p", '{"n": 0.3946063684687171}', "[1, 2]"]


def test_user_messages_in_the_output_are_turns() -> None:
    found = talk(said("a"), {"type": "message", "role": "user", "content": "go on"}, said("b"))
    assert [message.role for message in found.completion] == ["assistant", "user", "assistant"]


def test_what_the_environment_says_before_the_first_answer_is_prompt() -> None:
    found = talk({"role": "user", "content": "board"}, said("left"))
    assert [message.content for message in found.prompt] == ["2+2?", "board"]


def test_history_in_the_input_is_prompt() -> None:
    history = [ASKED, called("a"), answered("a"), said("4"), {"role": "user", "content": "and?"}]
    found = talk(said("5"), input=history)
    assert [m.role for m in found.prompt] == ["user", "assistant", "tool", "assistant", "user"]
    assert [m.content for m in found.completion] == ["5"]


def test_a_call_of_the_input_and_its_output_are_prompt() -> None:
    found = talk(answered("a"), said("4"), input=[ASKED, called("a")])
    assert [m.role for m in found.prompt] == ["user", "assistant", "tool"]


def test_chat_messages_with_calls_are_read() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    messages = [
        ASKED,
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"},
        {"role": "tool", "tool_call_id": "a", "content": "4"},
        {"role": "assistant", "content": "4"},
    ]
    found = conversation(json.dumps({"messages": messages, "tools": TOOLS, "reward": 1}).encode())
    assert plain(found.completion[0]) == {
        "role": "assistant",
        "content": "",
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "a", "function": {"name": "f", "arguments": {"x": 1}}, "type": "function"}
        ],
    }
    assert found.completion[1].name == "f"


@pytest.mark.parametrize("shape", ["messages", "response"])
@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_the_thought_of_a_chat_message_is_kept_by_either_name(shape: str, name: str) -> None:
    spoken = {"role": "assistant", "content": "4", name: "hm"}
    line = {"messages": [ASKED, spoken], "reward": 1}
    if shape == "response":
        line = {"messages": [ASKED], "response": spoken, "reward": 1}
    found = conversation(json.dumps(line).encode())
    assert found.completion[0].reasoning_content == "hm"


@pytest.mark.parametrize("name", ["reasoning", "thinking"])
def test_a_thought_that_is_no_text_is_not_left_out_in_silence(name: str) -> None:
    spoken = {"role": "assistant", "content": "4", name: ["hm"]}
    with pytest.raises(Unusable, match="bad_item"):
        conversation(json.dumps({"messages": [ASKED, spoken], "reward": 1}).encode())


def test_flat_tools_become_nested_without_strict_and_nulls() -> None:
    schema = {"type": "object", "properties": {"x": {"default": None}}}
    flat = {"type": "function", "name": "f", "parameters": schema, "strict": True}
    nested = {"type": "function", "function": {"name": "f", "parameters": schema}}
    assert talk(said("4"), tools=[flat | {"description": None}, nested]).tools == [nested, nested]


@pytest.mark.parametrize("number", ["0.3946063684687171", "1e22", str(2**53 + 1), str(10**30)])
def test_numbers_stay_as_they_are(number: str) -> None:
    arguments = f'{{"x": {number}}}'
    tool = {"type": "function", "name": "calc", "parameters": {"maximum": json.loads(number)}}
    found = talk(called("a", arguments), answered("a"), said("4"), tools=[tool])
    assert plain(found)["completion"][0]["tool_calls"][0]["function"]["arguments"] == json.loads(
        arguments
    )
    assert plain(found)["tools"][0]["function"]["parameters"]["maximum"] == json.loads(number)


# Why there is no conversation


def test_nothing_asked_is_no_prompt() -> None:
    assert reason(said("4"), input=[]) == "no_prompt"
    assert reason(said("4"), input=[{"role": "system", "content": "a"}]) == "no_prompt"


def test_nothing_said_is_no_answer() -> None:
    assert reason() == "no_answer"
    assert reason(input=[ASKED, said("history")]) == "no_answer"
    assert reason(thought("hm")) == "no_answer"
    assert reason(said(" \n")) == "no_answer"


def test_an_end_that_is_not_the_model_ends_on_environment() -> None:
    assert reason(called("a"), answered("a")) == "ends_on_environment"
    assert reason(said("4"), {"role": "user", "content": "wrong"}) == "ends_on_environment"


def test_a_call_without_an_output_is_unanswered() -> None:
    assert reason(called("a")) == "unanswered_call"
    assert reason(called("a"), called("b"), answered("b"), said("4")) == "unanswered_call"
    late = {"role": "user", "content": "?"}
    assert reason(called("a"), late, answered("a"), said("4")) == "unanswered_call"


def test_an_output_without_a_call_is_an_orphan() -> None:
    assert reason(answered("a"), said("4")) == "orphan_tool_output"
    assert reason(said("4"), answered("a"), said("4")) == "orphan_tool_output"
    assert reason(called("a"), answered("a"), answered("a"), said("4")) == "orphan_tool_output"


def test_an_id_used_twice_is_a_duplicate() -> None:
    twice = (called("a"), answered("a"))
    assert reason(*twice, *twice, said("4")) == "duplicate_call_id"
    with pytest.raises(Unusable, match="duplicate_call_id") as caught:
        talk(called("a"), called("a"), answered("a"), said("4"))
    assert caught.value.cause == "both are of one turn, which no setting lets through"


@pytest.mark.parametrize("arguments", ["", "{", "[1]", '{"x": NaN}', '{"x": 1e999}', 3, None])
def test_arguments_that_are_no_json_object_are_refused(arguments: Any) -> None:
    assert reason(called("a", arguments), answered("a"), said("4")) == "arguments_not_json"


def test_hosted_items_and_tools_have_no_chat_form() -> None:
    assert reason({"type": "web_search_call", "id": "x"}, said("4")) == "hosted_tool"
    assert reason(said("4"), tools=[{"type": "web_search"}]) == "hosted_tool"


@pytest.mark.parametrize(
    ("output", "more", "cause"),
    [
        ({"type": "compaction"}, {}, "an item of the type 'compaction'"),
        (said("4"), {"tools": [{"type": "web_search"}]}, "a tool of the type 'web_search'"),
        ({"role": "assistant", "content": [{"type": "thinking"}]}, {}, "of the type 'thinking'"),
        ({"role": "assistant", "tool_calls": [{"function": {}}]}, {}, "a call without an id"),
        ({"role": "critic", "content": "x"}, {}, "a message of the role 'critic'"),
        ({"content": "x"}, {}, "a message without a role"),
        (called("1", name="mcp__x"), {"tools": []}, "no schema of 'mcp__x'"),
    ],
    ids=str,
)
def test_what_has_no_form_is_named(output: Any, more: dict[str, Any], cause: str) -> None:
    with pytest.raises(Unusable) as caught:
        talk(output, reading=Reading(unanswered_calls="keep"), **more)
    assert cause in caught.value.cause


@pytest.mark.parametrize("kind", ["input_image", "input_video", "input_audio", "input_file"])
def test_an_image_is_not_text(kind: str) -> None:
    image = [{"type": "input_text", "text": "see"}, {"type": kind, "url": "data:…"}]
    assert reason(said("4"), input=[{"role": "user", "content": image}]) == "not_text"
    with pytest.raises(Unusable, match="not_text") as caught:
        talk(called("a"), answered("a", image), said("4"))
    assert caught.value.cause == f"a part of the type '{kind}' in an output"


def test_a_system_message_after_the_start_is_late() -> None:
    late = {"role": "system", "content": "be brief"}
    assert reason(said("4"), input=[ASKED, late, ASKED]) == "late_system"
    assert reason(said("4"), late, said("5")) == "late_system"


def test_an_item_without_what_it_needs_is_bad() -> None:
    assert reason({"content": "?"}, said("4")) == "bad_item"
    assert reason({"role": "narrator", "content": "?"}, said("4")) == "bad_item"
    assert reason(called(""), said("4")) == "bad_item"
    assert reason(said("4"), tools="calc") == "bad_item"
    assert reason(said("4"), input=[{"role": "user", "content": None}]) == "bad_item"


def test_a_part_that_nobody_reads_must_be_json_too() -> None:
    good = line(said("4"))
    broken = good.replace(b'"reward": 1.0', b'"reward": 1.0, "unread": {"x": "\\ud800"}')
    with pytest.raises(Unusable, match="surrogate"):
        conversation(broken)


# Pairs


def test_same_looks_past_call_ids_only() -> None:
    def calls(id: str, arguments: str) -> list[Message]:
        return talk(called(id, arguments), answered(id), said("4")).completion

    assert same(calls("a", '{"x": 1, "y": 2}'), calls("b", '{"y":2, "x":1}'))
    assert not same(calls("a", '{"x": 1}'), calls("a", '{"x": true}'))
    assert not same(calls("a", "{}"), calls("a", "{}")[:-1])


def test_shared_turns_move_into_the_prompt() -> None:
    chosen = talk(thought("t"), called("a"), answered("a"), said("4"))
    rejected = talk(thought("t"), called("b"), answered("b"), said("5"))
    prompt, ours, theirs = part(chosen, rejected)
    assert [m.role for m in prompt] == ["user", "assistant", "tool"]
    assert prompt[2].tool_call_id == "a"
    assert (ours[0].content, theirs[0].content) == ("4", "5")


def test_where_the_environment_parts_them_both_keep_the_turn_that_led_there() -> None:
    chosen = talk(called("a"), answered("a", "4"), said("4"))
    rejected = talk(called("a"), answered("a", "5"), said("5"))
    prompt, ours, theirs = part(chosen, rejected)
    assert [m.role for m in prompt] == ["user"]
    assert ours[0].role == theirs[0].role == "assistant"
    assert len(ours) == len(theirs) == 3


def test_a_side_that_stops_earlier_keeps_its_last_turn() -> None:
    more = {"role": "user", "content": "sure?"}
    chosen, rejected = talk(said("4")), talk(said("4"), more, said("5"))
    prompt, ours, theirs = part(chosen, rejected)
    assert (len(prompt), len(ours), len(theirs)) == (1, 1, 3)


def test_a_prompt_never_ends_on_the_assistant() -> None:
    def two_calls(text: str) -> Conversation:
        return talk(said("a", generation_token_ids=[1]), said(text))

    prompt, ours, _ = part(two_calls("b"), two_calls("c"))
    assert prompt[-1].role == "user"
    assert len(ours) == 2


def test_other_prompts_or_tools_make_no_pair() -> None:
    tool = {"type": "function", "name": "f", "parameters": {}}
    for other in (talk(said("5"), input="3+3?"), talk(said("5"), tools=[tool])):
        with pytest.raises(Unusable, match="prompts_differ"):
            part(talk(said("4")), other)


def test_equal_answers_make_no_pair() -> None:
    with pytest.raises(Unusable, match="identical_answers"):
        part(talk(said("4")), talk(said("4")))


# Where the prompt is, and what makes a whole line unusable


def test_the_problem_statement_is_asked_where_nobody_asks() -> None:
    system = {"role": "system", "content": "be brief"}
    about = {"problem_statement": "fix it"}
    assert plain(talk(said("4"), input=[], metadata=about).prompt) == [
        {"role": "user", "content": "fix it"}
    ]
    found = talk(said("4"), input=[system], metadata=about)
    assert [m.content for m in found.prompt] == ["be brief", "fix it"]
    assert [m.content for m in talk(said("4"), metadata=about).prompt] == ["2+2?"]


def test_the_prompt_may_stand_at_the_head_of_the_output() -> None:
    system = {"role": "system", "content": "be brief"}
    found = talk(system, ASKED, said("4"), input=[])
    assert [m.role for m in found.prompt] == ["system", "user"]


def test_an_answer_is_another_message_than_history_before_it() -> None:
    found = talk(said("4"), input=[ASKED, said("history")])
    assert [m.content for m in found.completion] == ["history", "4"]


def test_the_last_of_nested_transcripts_is_the_whole() -> None:
    first = [ASKED, said("a")]
    found = talk(first, [*first, MORE, said("b")], input=[])
    assert [m.content for m in found.prompt + found.completion] == ["2+2?", "a", "sure?", "b"]


def test_an_item_behind_transcripts_is_of_an_unknown_form() -> None:
    assert reason([ASKED, said("a")], said("b")) == "bad_item"
    assert [m.content for m in talk(said("a"), [said("b")]).completion] == ["b"]


def test_a_transcript_that_tells_the_prompt_again_says_it_once() -> None:
    system = {"role": "system", "content": "be brief"}
    found = talk([system, ASKED, said("4")], input=[system, ASKED])
    assert [m.content for m in found.prompt + found.completion] == ["be brief", "2+2?", "4"]
    found = talk([ASKED, said("4"), ASKED, said("5")], input=[ASKED])
    assert [m.content for m in found.prompt + found.completion] == ["2+2?", "4", "2+2?", "5"]
    assert [m.content for m in talk(ASKED, said("4")).prompt] == ["2+2?", "2+2?"]


def test_a_transcript_may_tell_what_was_asked_without_the_system_message() -> None:
    system = {"role": "system", "content": "be brief"}
    found = talk([ASKED, said("4"), ASKED, said("5")], input=[system, ASKED])
    assert [m.content for m in found.prompt] == ["be brief", "2+2?"]
    assert [m.content for m in found.completion] == ["4", "2+2?", "5"]


def test_a_transcript_may_spell_what_was_asked_otherwise() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "calc", "arguments": "{}"}}
    asked = [
        ASKED,
        {"role": "assistant", "content": "let me see", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "4"},
        {"role": "assistant", "content": "it is 4"},
        MORE,
    ]
    again = [ASKED, thought("hm"), said("let me "), said("see"), called("a"), answered("a")]
    again += [said("it is "), said("4"), MORE]
    for input, transcript in ((asked, again), (again, asked)):
        found = talk([*transcript, said("yes")], input=input)
        assert [m.role for m in found.prompt] == ["user", "assistant", "tool", "assistant", "user"]
        assert plain(found.completion) == [{"role": "assistant", "content": "yes"}]


def test_a_transcript_that_tells_the_instructions_again_says_them_once() -> None:
    system = {"role": "system", "content": "be brief"}
    asked: dict[str, Any] = {"instructions": "be brief", "input": [ASKED]}
    for transcript in ([system, ASKED, said("4")], [ASKED, said("4")], [said("4")]):
        found = talk(transcript, **asked)
        assert [m.content for m in found.prompt + found.completion] == ["be brief", "2+2?", "4"]
    both = {"role": "developer", "content": "be brief\n\nbe kind"}
    found = talk(
        [both, ASKED, said("4")], **asked | {"input": [system | {"content": "be kind"}, ASKED]}
    )
    assert [m.content for m in found.prompt] == ["be brief\n\nbe kind", "2+2?"]
    for output in ([system, ASKED, said("4")], [[system, ASKED, said("4")]]):
        found = talk(*output, instructions="be brief", input=[])
        assert [m.content for m in found.prompt] == ["be brief", "2+2?"]
    assert reason([system | {"content": "be loud"}, ASKED, said("4")], **asked) == "late_system"


@pytest.mark.parametrize("mask", [True, 1, 1.0, "true", "no_answer"])
def test_a_masked_line_is_never_used(mask: Any) -> None:
    assert reason(said("4"), top={"mask_sample": mask}) == "masked"
    assert reason(said("4"), top={"instance_config": {"mask_sample": mask}}) == "masked"


@pytest.mark.parametrize("mask", [False, None, 0, ""])
def test_a_mask_that_says_no_masks_nothing(mask: Any) -> None:
    assert talk(said("4"), top={"mask_sample": mask, "instance_config": {"mask_sample": mask}})


@pytest.mark.parametrize(
    "cut", [{"status": "incomplete"}, {"incomplete_details": {"reason": "max_output_tokens"}}]
)
def test_a_response_that_was_cut_off_is_truncated(cut: dict[str, Any]) -> None:
    assert reason(top={"response": {"output": [said("4")], **cut}}) == "truncated"


@pytest.mark.parametrize("whole", [{"status": "completed"}, {"incomplete_details": None}])
def test_a_response_that_ended_is_not_truncated(whole: dict[str, Any]) -> None:
    assert talk(top={"response": {"output": [said("4")], **whole}})


def test_a_call_of_a_tool_that_is_not_described_misses_its_tool() -> None:
    calls = (called("a", name="g"), answered("a"), said("4"))
    assert reason(*calls) == "missing_tools"
    assert reason(*calls, tools=None) == "missing_tools"
    assert talk(*calls, tools=[{"type": "function", "name": "g"}])


def test_tools_may_stand_in_the_response_only() -> None:
    response = {"output": [called("a"), answered("a"), said("4")], "tools": TOOLS}
    found = talk(tools=[], top={"response": response})
    assert [tool["function"]["name"] for tool in found.tools] == ["calc", "f"]


def test_tools_that_only_the_response_has_come_behind_those_of_the_request() -> None:
    flat = {"type": "function", "name": "g", "strict": True}
    other = {"type": "function", "function": {"name": "f", "description": "another f"}}
    shown = [flat, other, {"type": "web_search"}, {"name": None}]
    output = [called("a", name="g"), answered("a"), said("4")]
    found = talk(top={"response": {"output": output, "tools": shown}})
    assert [tool["function"]["name"] for tool in found.tools] == ["calc", "f", "g"]
    assert plain(found.tools[1:]) == [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
        {"type": "function", "function": {"name": "g"}},
    ]


@pytest.mark.parametrize(
    "about",
    [
        {"audio_url": "https://x/a.wav"},
        {"clip": "data:audio/wav;base64,UklG"},
        {"audio_path": "musan/noise/a.wav"},
        {"audio_paths": ["a.wav", "b.wav"]},
    ],
    ids=str,
)
def test_media_in_the_metadata_of_the_request_are_not_text(about: dict[str, Any]) -> None:
    with pytest.raises(Unusable, match="not_text") as caught:
        talk(said("4"), metadata=about)
    assert caught.value.cause == f"`{next(iter(about))}` in the request's metadata"


def test_other_metadata_is_left_alone() -> None:
    assert talk(said("4"), metadata={"audio_url": None, "seed": "data:text/plain,1"})
    assert talk(said("4"), metadata={"audio_paths": [], "audio_path": ""})


def test_messages_of_the_model_in_a_row_are_one_which_is_said() -> None:
    assert talk(said("plan"), thought("so"), said("4")).joined
    for output in (
        [said("\n\n"), said("4")],
        [said("a"), MORE, said("4")],
        [thought("a"), said("4")],
    ):
        assert not talk(*output).joined
    assert not talk(said("4"), input=[ASKED, said("a"), said("b"), MORE]).joined


@pytest.mark.parametrize("is_response", [False, True])
def test_a_chat_message_that_refuses_says_why(is_response: bool) -> None:
    message = {"role": "assistant", "content": None, "refusal": "I can't."}
    line = {"messages": [ASKED, message]}
    if is_response:
        line = {"messages": [ASKED], "response": message}
    found = conversation(json.dumps(line).encode())
    assert (found.completion[0].content, found.refused) == ("I can't.", True)


def test_a_response_of_one_chat_message_may_refuse_and_has_its_token_ids() -> None:
    ids = {"prompt_token_ids": [1], "generation_token_ids": [2], "generation_log_probs": [-0.5]}
    message = {"role": "assistant", "content": None, "refusal": "I can't."} | ids
    line = json.dumps({"messages": [ASKED], "response": message}).encode()
    found = conversation(line, Reading(token_ids="keep"))
    assert found.refused
    assert msgspec.to_builtins(found.completion) == [
        {"role": "assistant", "content": "I can't."} | ids
    ]


def test_reasoning_of_several_parts_is_a_line_a_part() -> None:
    parts = [{"type": "summary_text", "text": text} for text in ("a", "", "b")]
    item = {"type": "reasoning", "summary": parts}
    assert talk(item, said("4")).completion[0].reasoning_content == "a\nb"


def test_an_empty_summary_gives_way_to_the_content() -> None:
    item = thought("") | {"content": [{"type": "reasoning_text", "text": "c"}]}
    assert talk(item, said("4")).completion[0].reasoning_content == "c"


def test_a_thought_with_token_ids_that_are_kept_is_a_call_of_its_own() -> None:
    ids = {"generation_token_ids": [1]}
    items = (called("a", **ids), thought("hm", **ids), answered("a"), said("4"))
    assert reason(*items, reading=Reading(token_ids="keep")) == "unanswered_call"
    assert talk(*items).completion[0].reasoning_content == "hm"


def test_sides_that_thought_differently_part_there() -> None:
    chosen = talk(thought("a"), called("x"), answered("x"), said("4"))
    rejected = talk(thought("b"), called("x"), answered("x"), said("4"))
    assert [m.role for m in part(chosen, rejected)[0]] == ["user"]


def test_an_id_of_the_shared_turns_cannot_name_another_call() -> None:
    chosen = talk(called("a"), answered("a"), said("4"))
    rejected = talk(called("b"), answered("b"), called("a"), answered("a"), said("5"))
    with pytest.raises(Unusable, match="duplicate_call_id"):
        part(chosen, rejected)
    _, better, worse = part(chosen, rejected, repeated_call_ids="number")
    assert [message.content for message in better] == ["4"]
    assert worse[0].tool_calls is not None
    assert [worse[0].tool_calls[0].id, worse[1].tool_call_id] == ["a_2", "a_2"]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("1e999", "non_finite"),
        ("NaN", "non_finite"),
        ('"\\ud800"', "surrogate"),
        ('"a\tb"', "control_char"),
        ("[" * 5_000 + "]" * 5_000, "too_deep"),
        ("[1,]", "bad_json"),
    ],
)
def test_a_fault_where_nobody_reads_is_found(value: str, why: str) -> None:
    good = line(said("4", annotations={"unread": [0]}))
    assert conversation(good)
    with pytest.raises(Unusable) as caught:
        conversation(good.replace(b"[0]", value.encode()))
    assert caught.value.reason == why


FOUR = {"role": "assistant", "content": "4"}


@pytest.mark.parametrize("shape", ["messages", "response", "shown"])
def test_a_call_of_the_time_before_tool_calls_is_refused(shape: str) -> None:
    spoken = FOUR | {"function_call": {"name": "calc", "arguments": "{}"}}
    line = {
        "messages": {"messages": [ASKED, spoken]},
        "response": {"messages": [ASKED], "response": spoken},
        "shown": {"messages": [ASKED, spoken, MORE], "response": "4"},
    }[shape]
    with pytest.raises(Unusable, match="bad_item"):
        conversation(json.dumps(line).encode())
    text = json.dumps(line).replace(json.dumps(spoken["function_call"]), "null")
    assert conversation(text.encode()).completion[0].content == "4"


# Messages that a response tells again

CALLING = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "a", "function": {"name": "calc", "arguments": "{}"}}],
}
OUTPUT = {"role": "tool", "tool_call_id": "a", "content": "4"}


def handed(messages: list[Any], response: Any) -> Conversation:
    line = {"messages": messages, "response": response, "tools": TOOLS, "reward": 1}
    return conversation(json.dumps(line).encode(), Reading(token_ids="keep"))


@pytest.mark.parametrize(
    "response",
    ["4", " 4\n", FOUR, [FOUR], [said("4")], {"output": [said("4")]}, [ASKED, FOUR]],
    ids=str,
)
def test_an_answer_that_messages_and_response_hold_is_told_once(response: Any) -> None:
    found = handed([ASKED, FOUR], response)
    assert plain(found.prompt) == [ASKED]
    assert [message.content.strip() for message in found.completion] == ["4"]


@pytest.mark.parametrize("known", [[FOUR], [CALLING, OUTPUT, FOUR]], ids=["answer", "turns"])
def test_a_response_that_goes_on_after_what_messages_hold_tells_it_once(known: Any) -> None:
    found = handed([ASKED, *known], [*known, MORE, {"role": "assistant", "content": "yes"}])
    assert plain(found.prompt) == [ASKED]
    assert len(found.completion) == len(known) + 2


def test_a_response_that_is_all_of_the_conversation_tells_it_once() -> None:
    system = {"role": "system", "content": "s"}
    for known in ([system, ASKED], [system, ASKED, FOUR]):
        found = handed(known, [system, ASKED, FOUR])
        assert plain([*found.prompt, *found.completion]) == [system, ASKED, FOUR]


def test_of_an_answer_told_twice_the_fuller_one_stays() -> None:
    thinking = FOUR | {"reasoning_content": "hm"}
    spoken = [thought("hm"), said("4")]
    for found in (handed([ASKED, thinking], "4"), handed([ASKED, FOUR], spoken)):
        assert plain(found.completion) == [thinking]
    counted = said("4", generation_token_ids=[1])
    assert handed([ASKED, FOUR], [counted]).completion[0].generation_token_ids == [1]


@pytest.mark.parametrize(
    ("known", "response"),
    [
        ([FOUR | {"reasoning_content": "a"}], [FOUR | {"reasoning_content": "b"}]),
        ([FOUR], "The answer is 4"),
        ([FOUR], "4, for two and two are four."),
        ([FOUR], [CALLING, OUTPUT, FOUR]),
        ([CALLING, OUTPUT, FOUR], [CALLING, OUTPUT, {"role": "assistant", "content": "5"}]),
        ([FOUR, MORE], [FOUR, MORE, {"role": "assistant", "content": "5"}]),
    ],
)
def test_an_answer_told_again_in_part_is_told_twice(known: Any, response: Any) -> None:
    with pytest.raises(Unusable, match="told_twice"):
        handed([ASKED, *known], response)


def test_a_question_that_messages_and_response_hold_is_told_once() -> None:
    found = handed([ASKED, FOUR, MORE], [MORE, {"role": "assistant", "content": "yes"}])
    assert plain(found.prompt) == [ASKED, FOUR, MORE]


def test_another_answer_after_one_in_messages_is_not_left_out() -> None:
    assert [m.content for m in handed([ASKED, FOUR], "five").completion] == ["4", "five"]


def test_a_second_model_call_that_says_the_same_after_a_request_stays() -> None:
    found = talk(said("4"), input=[ASKED, FOUR])
    assert [message.content for message in found.completion] == ["4", "4"]
