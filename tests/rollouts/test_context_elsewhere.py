"""Lines that say of themselves that the model was shown something else than they hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gymrecipe.rollouts.chat import Unusable
from gymrecipe.rollouts.messages import asked, conversation
from tests.rollouts.talk import ASKED, MORE, TOOLS, answered, called, line, plain, said, talk

OPENED = {"role": "user", "content": "You are in a hall."}
SEEN = {"role": "user", "content": "A door."}
HIDDEN = {"role": "user", "content": "[Previous environment state - hidden]"}


def cause(line: bytes) -> str:
    with pytest.raises(Unusable) as caught:
        conversation(line)
    assert caught.value.reason == "context_elsewhere"
    return caught.value.cause


def shown(line: bytes) -> Any:
    return plain(asked(line)[0])


@pytest.mark.parametrize(
    "request_",
    [{"previous_response_id": "resp_1"}, {"conversation": "conv_1"}, {"prompt": {"id": "pmpt_1"}}],
    ids=str,
)
def test_what_the_model_was_shown_has_to_be_in_the_line(request_: dict[str, Any]) -> None:
    assert cause(line(said("4"), **request_)) == f"it has `{next(iter(request_))}`"
    assert talk(said("4"), **dict.fromkeys(request_))


def test_responses_to_be_judged_were_shown_in_roles_of_their_own() -> None:
    judged = {"response_1": "4", "response_2": "5", "principle": "Be right."}
    assert cause(line(said("1"), metadata=judged)).startswith("its `metadata` has `response_1`")
    assert talk(said("1"), metadata={"response_1": "4"})


def proof(turns: int, attempts: Any = None) -> bytes:
    return line(said("4"), top={"total_turns": turns, "all_attempts": attempts})


def test_an_answer_to_a_correction_is_none_to_the_request() -> None:
    assert cause(proof(2)) == (
        "`total_turns` is 2: the response answers a correction, not the request"
    )
    assert shown(proof(2)) == [ASKED]
    assert conversation(proof(1, [{"turn_index": 0}]))
    assert talk(said("4"), top={"total_turns": 2})  # whose word that is, nobody knows


def test_an_attempt_of_a_proof_is_a_line_of_its_own() -> None:
    """As `docs/rollouts.md` says of them, with the `jq` that makes these lines."""
    attempt = {"input": {"input": [MORE]}, "response": {"output": [said("4")]}, "reward": 1.0}
    line = {"responses_create_params": attempt["input"], "response": attempt["response"]}
    found = conversation(json.dumps(line | {"reward": attempt["reward"]}).encode())
    assert plain(found.prompt) == [MORE]


def browsed(resets: Any) -> bytes:
    output = [called("a"), answered("a"), said("4")]
    return line(top={"response": {"output": output, "reset_count": resets}})


def test_turns_that_were_taken_away_were_not_shown() -> None:
    assert cause(browsed(2)).startswith("`response.reset_count` is 2: ")
    assert shown(browsed(2)) == [ASKED]
    for none in (0, None, "2"):
        assert conversation(browsed(none))


def transitions(*lists: list[Any]) -> bytes:
    response = {"output": list(lists), "contains_transitions": True, "tools": TOOLS}
    return line(input=[], top={"response": response})


def test_a_transcript_that_hides_what_an_earlier_one_told_is_not_the_whole() -> None:
    first = [OPENED, called("a"), answered("a"), SEEN]
    whole = transitions(first, [*first, said("north")])
    assert [message.content for message in conversation(whole).completion][-1] == "north"
    hides = transitions(first, [*first[:-1], HIDDEN, said("north")])
    assert (
        cause(hides) == "a list in `response.output` tells turns otherwise than the list before it"
    )
    assert shown(hides) == [OPENED]


@pytest.mark.parametrize("calls", [1, 2])
def test_model_calls_that_were_made_of_tokens_have_nothing_between_them(calls: int) -> None:
    output = [said("4", generation_token_ids=[n]) for n in range(calls)]
    captured = {"_ng_token_capture": {"n_calls": calls}}
    alone = line(*output, top=captured)
    assert shown(alone) == [ASKED]
    if calls == 1:
        assert conversation(alone)
        return
    assert cause(alone).startswith("`_ng_token_capture`: the response has its model calls alone")
    assert talk(*output)
    assert talk(output[0], MORE, output[1], top=captured)


def test_a_line_without_its_first_observation_has_no_prompt() -> None:
    response = {"output": [called("a"), answered("a"), MORE, said("4")]}
    without = line(top={"response": response | {"contains_transitions": False}})
    assert cause(without).startswith("`response.contains_transitions` is false: ")
    with pytest.raises(Unusable, match="context_elsewhere"):
        asked(without)
    assert asked(without, media=True)  # a request that is copied is asked again, with all of it
