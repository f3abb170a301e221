"""What NeMo RL makes of what the format `nemo_rl` wrote, by the rules of its source.

Its package is not on the package index. The rules, as of August 2026: `PreservingDataset` decodes
each line by itself; `openai_format` wants the last message to be the assistant's;
`preference_preprocessor` wants two completions of different ranks, and hands no tools on;
`get_formatted_message_log` renders ever longer beginnings of the messages and takes of each what
differs from the one before; in SFT every chunk of the assistant is trained on, in DPO the last one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

END = "<|im_end|>"
HEADER = "<|im_start|>assistant\n"


def rows(path: str) -> list[Any]:
    """Each line by itself; a blank line raises."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def chunks(messages: list[Any], tokenizer: Any, tools: Any = None) -> list[str]:
    """`get_formatted_message_log`, as text."""
    found, before = [], ""
    for place in range(len(messages)):
        text = tokenizer.apply_chat_template(messages[: place + 1], tools=tools, tokenize=False)
        pairs = zip(before, text, strict=False)
        same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(before), len(text)))
        chunk = text[same:]
        if place == len(messages) - 1:
            chunk = chunk.rstrip("\n")
            chunk += "" if chunk.endswith(END) else END
        found.append(chunk)
        before = text
    return found


def answer(chunk: str) -> str:
    """What the assistant said in a chunk; the header of its turn is trained on, too."""
    assert chunk.startswith(HEADER)
    return chunk.removeprefix(HEADER).removesuffix("\n").removesuffix(END)


def test_sft_chunks_of_the_assistant_are_its_answers(
    lines: list[bytes],
    write: Any,
    tokenizer: Any,
    render: Callable[..., str],
    answers: Callable[..., list[str]],
) -> None:
    data = write("nemo_rl", "sft", lines)
    assert not data.refused
    found = rows(data.files[0])
    assert len(found) == len(data.examples)
    for row, example in zip(found, data.examples, strict=True):
        assert row["messages"][-1]["role"] == "assistant"
        tools = row.get("tools") or None
        assert (tools or []) == (example.tools or [])
        made = chunks(row["messages"], tokenizer, tools)
        said = [
            answer(chunk)
            for chunk, message in zip(made, row["messages"], strict=True)
            if message["role"] == "assistant"
        ]
        messages = [*example.prompt, *example.completion]
        assert said == answers(messages, tools=example.tools)
        roles = [message.role for message in messages]
        if "tool tool" not in " ".join(roles):
            # Outputs of parallel calls are closed after each one: the chunks hold one end more.
            assert "".join(made) == render(messages, tools).removesuffix("\n")


@pytest.mark.parametrize("purpose", ["dpo", "reward_model"])
def test_the_last_chunk_of_a_completion_is_the_message_at_the_decision(
    purpose: Any,
    lines: list[bytes],
    write: Any,
    tokenizer: Any,
    answers: Callable[..., list[str]],
) -> None:
    data = write("nemo_rl", purpose, lines)
    assert not data.refused
    found = rows(data.files[0])
    assert len(found) == len(data.examples)
    for row, example in zip(found, data.examples, strict=True):
        better, worse = sorted(row["completions"], key=lambda one: one["rank"])
        assert better["rank"] < worse["rank"]
        for one, expected in ((better, example.chosen), (worse, example.rejected)):
            assert len(one["completion"]) == 1
            last = chunks([*row["context"], *one["completion"]], tokenizer)[-1]
            messages = [*example.prompt, *expected]
            assert [answer(last)] == answers(messages, len(example.prompt), tools=example.tools)
        if example.tools:
            text = row["context"][0]["content"]
            assert all(tool["function"]["name"] in text for tool in example.tools)


def test_prompts_are_lines_of_nemo_gym(version: Any) -> None:
    made = version("rl_prompts")
    (train,) = (output for output in made.manifest.outputs if "train" in output.path)
    found = rows(train.path)
    assert len(found) == train.rows > 0
    assert all(row["responses_create_params"]["input"] for row in found)
    assert all(row["agent_ref"]["name"] for row in found)
