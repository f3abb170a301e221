"""What NeMo RL trains on, by the rules of its source, as its package is not to be had.

`get_formatted_message_log` (`nemo_rl/data/llm_message_utils.py`) prints the first message, the
first two, and so on, and takes what each adds as that message's text. SFT trains on the texts of
the assistant's messages; DPO and the reward model, which call it without tools, on the last one of
`context` and a completion (`preference_preprocessor`, `only_unmask_final`).
"""

from __future__ import annotations

import json
from itertools import takewhile
from typing import Any

import msgspec
from hypothesis import assume, given, reject

from gymrecipe.formats.example import Example
from gymrecipe.formats.nemo_rl import nemo_rl
from gymrecipe.formats.template_sandbox import environment
from gymrecipe.rollouts.chat import Message, Unusable
from tests.formats.conversations import examples

CHAT = """\
{%- if tools %}{{ tools | tojson + "\n" }}{% endif %}
{%- for message in messages %}
{{- "<|" + message.role + "|>" + (message.reasoning_content or "") + message.content }}
{%- for call in message.tool_calls or [] %}
{{- "<call>" + call.function.name + call.function.arguments | tojson }}
{%- endfor %}
{{- "<|end|>\n" }}
{%- endfor %}"""
_template = environment().from_string(CHAT)


def message_log(messages: list[Any], tools: Any = None) -> list[str]:
    """The text of each message, as NeMo RL cuts it."""
    texts, before = [], ""
    for i in range(len(messages)):
        printed = _template.render(messages=messages[: i + 1], tools=tools)
        same = takewhile(lambda pair: pair[0] == pair[1], zip(before, printed, strict=False))
        texts.append(printed[sum(1 for _ in same) :])
        before = printed
    return [*texts[:-1], texts[-1].rstrip("\n")]


def said(message: Message) -> str:
    text = f"<|assistant|>{message.reasoning_content or ''}{message.content}"
    for call in message.tool_calls or []:
        text += f"<call>{call.function.name}"
        text += json.dumps(call.function.arguments, ensure_ascii=False)
    return f"{text}<|end|>\n"


def loaded(example: Example) -> Any:
    """With `use_preserving_dataset: true` a line is what `json.loads` makes of it."""
    return json.loads(msgspec.json.encode(nemo_rl(example)))


@given(examples("sft"))
def test_sft_trains_on_what_the_assistant_said(example: Example) -> None:
    line = loaded(example)
    turns = [*example.prompt, *example.completion]
    texts = message_log(line["messages"], line.get("tools"))
    trained = [
        text
        for message, text in zip(line["messages"], texts, strict=True)
        if message["role"] == "assistant"
    ]
    wanted = [said(turn) for turn in turns if turn.role == "assistant"]
    assert "".join(trained) == "".join(wanted).rstrip("\n")
    if example.tools:
        assert texts[0].startswith(json.dumps(example.tools, ensure_ascii=False))


@given(examples("dpo"))
def test_dpo_trains_on_one_answer_a_side_and_shows_the_tools(example: Example) -> None:
    chosen, rejected = example.chosen[0], example.rejected[0]
    assume(msgspec.json.encode(chosen) != msgspec.json.encode(rejected))
    example.chosen, example.rejected = [chosen], [rejected]
    try:
        line = loaded(example)
    except Unusable:  # a number on which its loader breaks
        reject()
    for one, side in zip(line["completions"], (chosen, rejected), strict=True):
        texts = message_log([*line["context"], *one["completion"]])
        assert texts[-1] == said(side).rstrip("\n")
        shown = "".join(texts[:-1])
        for tool in example.tools or []:
            assert msgspec.json.encode(tool).decode() in shown
    assert [one["rank"] for one in line["completions"]] == [0, 1]
