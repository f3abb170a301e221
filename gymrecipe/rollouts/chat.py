"""Chat: the messages that a rollout becomes, the settings that decide how, and why some do not."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from gymrecipe.registry import Reasoning

UNUSABLE = {
    "masked": "the line says `mask_sample`: not to be trained on",
    "truncated": "the response was cut off, by a token limit or a filter",
    "no_prompt": "nothing was asked: no user message or tool output before the first answer",
    "context_elsewhere": "the line says that the model was shown something else than it holds: a"
    " stored response or prompt, a later question, or turns that were taken away",
    "told_twice": "`response` tells again what `messages` hold, but not as a whole",
    "prompt_answered": "a prompt that is wanted alone, or stands at `prompt_from`, ends on a"
    " message of the model",
    "no_answer": "the model's last message has neither text nor a call, or there is none",
    "ends_on_environment": "the conversation ends on a user message or a tool output",
    "unanswered_call": "a call has no output before the next message",
    "orphan_tool_output": "a tool output that no call waits for",
    "duplicate_call_id": "two calls have the same id",
    "arguments_not_json": "the arguments of a call are not a JSON object",
    "missing_tools": "a call of a tool that no schema in the line describes",
    "hosted_tool": "an item or tool without a form in chat (web search, MCP, computer use)",
    "not_text": "a part of what was shown or said is not text (an image, audio, a file)",
    "refusal": "the model's API marked a part of the answer as a refusal",
    "late_system": "a system or developer message after the conversation began",
    "bad_item": "an item or tool lacks what its type needs, or has it in an unknown form",
    "prompts_differ": "the two sides of a pair were shown different prompts or tools",
    "identical_answers": "the two sides of a pair say the same",
    "parted_by_environment": "the sides of a pair do not part at one answer of the model, but at"
    " what the environment said, or where only one of them goes on",
    "no_form_for_tools": "has tools or calls, which the trainer's files have no place for",
    "number_too_wide": "an argument or a column is an integer beyond 64 bits, on which the"
    " trainer's loader breaks",
    "picture_tag": "a text holds `<image>`, which the trainer takes for a picture",
    "turns_do_not_alternate": "the trainer takes question, answer, question, … and nothing else",
    "format_markers": "a text holds what the trainer marks calls, outputs or places to fill with",
    "needs_template": "the trainer reads plain texts here, one question and its answer",
    "calls_in_prompt": "the trainer's prompts hold roles and texts, and this one calls or outputs",
    "reasoning_beside_text": "has thoughts beside the text, where the trainer does not read them",
    "inputs_differ": "the input row with its index asks something else: is the file of another"
    " run?",
    "no_request": "the line has no `responses_create_params` to ask it again with",
    "no_agent": "the line does not say which agent ran it (`agent_ref.name`)",
    "missing_reward": "it has no value for reward",
    "not_a_continuation": "the template prints the prompt otherwise when an answer follows",
    "not_rendered": "the template does not print a text, a call or a tool of it",
    "template_refused": "the chat template raised an error on these messages",
}
"""Why a good line gives no example; the closed list of `write`'s reasons, beside BAD_LINE."""

CHANGED_BY = {
    "truncated": "truncated=keep",
    "no_prompt": "prompt_from=PATH",
    "no_answer": "ending=trim or trim_to_call",
    "ends_on_environment": "ending=trim or trim_to_call",
    "unanswered_call": "unanswered_calls=trim or keep",
    "duplicate_call_id": "repeated_call_ids=number",
    "arguments_not_json": "empty_arguments=object",
    "missing_tools": "missing_tools=keep",
    "not_text": "format=raw",
    "refusal": "refusals=keep",
    "parted_by_environment": "pairs_at=trajectory",
    "no_form_for_tools": "format=rendered",
    "number_too_wide": "format=messages or rendered",
    "picture_tag": "format=rendered",
    "turns_do_not_alternate": "format=rendered",
    "format_markers": "format=rendered",
    "needs_template": "format=rendered",
    "calls_in_prompt": "format=rendered",
    "reasoning_beside_text": "reasoning=think_tags or drop",
    "not_a_continuation": "chat_template_kwargs",
    "no_agent": "agent=NAME",
}
"""The setting of `write` that may let such a rollout through, the value that lets fewer through
first; no setting does for other reasons."""

NO_SETTING = "which no setting lets through"
"""How a cause ends that stands against the one of `CHANGED_BY`."""


class Function(msgspec.Struct, gc=False):
    """What is called; `arguments` is the parsed object."""

    name: str
    arguments: Any


class ToolCall(msgspec.Struct, kw_only=True, gc=False):
    """One call of a function."""

    id: str
    type: str = "function"
    function: Function


def numbered_id(id: str, numbers: dict[str, int], *taken: set[str]) -> str:
    """The id of a call with a number behind it that makes it another than those taken: the first
    from the one on that it got last, which is in `numbers`.
    """
    number = numbers.get(id, 2)
    while any(f"{id}_{number}" in ids for ids in taken):
        number += 1
    numbers[id] = number
    return f"{id}_{number}"


class Message(msgspec.Struct, omit_defaults=True, gc=False):
    """A chat message. What it does not have is not written, except `content`.

    The token ids and log-probs are those of a model call, where they are asked for.
    """

    role: str
    content: str
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    prompt_token_ids: list[int] | None = None
    generation_token_ids: list[int] | None = None
    generation_log_probs: list[float] | None = None


class Conversation(msgspec.Struct):
    """What the model was shown, ending on a user message or tool output, and all that followed.

    The completion begins and ends with an assistant message. `refused`: the model's API marked a
    part of it as a refusal. `joined`: some message of it is several of the response in a row.
    """

    prompt: list[Message]
    completion: list[Message]
    tools: list[dict[str, Any]]
    refused: bool = False
    joined: bool = False


RepeatedIds = Literal["reject", "number"]
"""What becomes of calls that have the id of an earlier turn's call."""


class Reading(msgspec.Struct, frozen=True):
    """The settings of a write that decide how a line becomes messages."""

    developer: Literal["system", "keep"] = "system"
    system: str = "keep"
    reasoning: Reasoning = "field"
    ending: Literal["reject", "trim", "trim_to_call"] = "reject"
    unanswered_calls: Literal["reject", "trim", "keep"] = "reject"
    repeated_call_ids: RepeatedIds = "reject"
    empty_arguments: Literal["reject", "object"] = "reject"
    missing_tools: Literal["reject", "keep"] = "reject"
    refusals: Literal["keep", "reject"] = "keep"
    truncated: Literal["reject", "keep"] = "reject"
    token_ids: Literal["drop", "keep"] = "drop"
    prompt_from: str | None = None


class Unusable(Exception):
    """A rollout or pair that gives no example; `reason` is in UNUSABLE or `why.BAD_LINE`.

    `side` is the side of a pair that is at fault, 0 for the pair itself. `cause` says more, on one
    line of at most CAUSE characters, where the reason alone would leave one guessing.
    """

    def __init__(self, reason: str, side: int = 0, cause: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.side = side
        self.cause = cause


CAUSE = 200
"""The most characters of a cause: a stranger's template may have written it."""


def on_a_line(text: str) -> str:
    """A text of any origin as a cause: one line, cut, and half pairs written out."""
    line = " ".join(text[: 4 * CAUSE].split()).encode(errors="backslashreplace").decode()
    return line if len(line) <= CAUSE and len(text) <= 4 * CAUSE else f"{line[: CAUSE - 1]}…"
