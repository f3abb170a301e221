"""Context elsewhere: lines that say themselves that the model was shown something else.

    the request goes on from a response, a conversation or a prompt that the API keeps
    the first observation was left out (aviary, ToolSandbox)
    two responses were shown for judgment in roles that chat has not (GenRM)
    the answer is to a later question than the request's (proof refinement)
    turns were taken away, or changed, on the way (BrowseComp, aviary)
    the response was made of the tokens of the model's calls, and has nothing else

The first three leave no prompt either; the others only no conversation.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from gymrecipe.rollouts.chat import Unusable

_KEPT = ("previous_response_id", "conversation", "prompt")
"""Parts of a request that name what the model was shown and the API keeps; a prompt by its id."""


def refuse_elsewhere(value: Any, answered: bool) -> None:
    """Raise Unusable for a decoded line whose prompt, or if it is to be `answered` whose answers,
    follow on what it does not hold.
    """
    cause = next(_of_prompt(value), None)
    if cause is None and answered:
        cause = next(_of_answers(value), None)
    if cause is not None:
        raise Unusable("context_elsewhere", cause=cause)


def _of_prompt(value: Any) -> Iterator[str]:
    request, response = value.get("responses_create_params") or {}, value.get("response")
    for name in _KEPT:
        if (place := request.get(name)) and not (name == "prompt" and type(place) is not dict):
            yield f"it has `{name}`"
    about = request.get("metadata")
    if type(about) is dict and about.get("response_1") and about.get("response_2"):
        yield "its `metadata` has `response_1` and `response_2`, shown in roles that chat has not"
    if type(response) is dict and response.get("contains_transitions") is False:
        yield "`response.contains_transitions` is false: the first observation is left out"


def _of_answers(value: Any) -> Iterator[str]:
    response = value.get("response")
    if "all_attempts" in value and _count(turns := value.get("total_turns")) > 1:
        yield f"`total_turns` is {turns}: the response answers a correction, not the request"
    if type(response) is not dict:
        return
    if _count(resets := response.get("reset_count")):
        yield f"`response.reset_count` is {resets}: the model saw the last turns alone"
    output = response.get("output")
    if type(output) is not list:
        return
    if type(value.get("_ng_token_capture")) is dict and _are_calls_alone(output):
        yield "`_ng_token_capture`: the response has its model calls alone, not what came between"
    transcripts = [each for each in output if type(each) is list]
    if any(after[: len(before)] != before for before, after in pairwise(transcripts)):
        yield "a list in `response.output` tells turns otherwise than the list before it"


def _are_calls_alone(output: list[Any]) -> bool:
    """Whether there are several model calls, each with its tokens, and nothing of anybody else."""
    items = [item for item in output if type(item) is dict]
    calls = sum(1 for item in items if item.get("generation_token_ids"))
    return calls > 1 and not any(
        item.get("type") == "function_call_output" or item.get("role") not in (None, "assistant")
        for item in items
    )


def _count(value: Any) -> int:
    return value if type(value) is int else 0
