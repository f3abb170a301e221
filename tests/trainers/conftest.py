"""A tokenizer and a model built on the spot, and the rollouts that the trainers are given.

`make test-trainers` runs this folder in an environment of its own; elsewhere it is left out.
"""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import gymrecipe
from gymrecipe.rollouts.chat import Conversation, Unusable
from gymrecipe.rollouts.messages import conversation

if find_spec("trl") is None:
    collect_ignore_glob = ["test_*.py"]

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

CHAT = """\
{%- if tools %}
{{- "<|im_start|>tools\\n" }}
{%- for tool in tools %}
{{- tool | tojson + "\\n" }}
{%- endfor %}
{{- "<|im_end|>\\n" }}
{%- endif %}
{%- for message in messages %}
{{- "<|im_start|>" + message.role + "\\n" }}
{%- if message.role == "assistant" %}
{%- generation %}
{%- if message.reasoning_content is defined %}
{{- "<think>\\n" + message.reasoning_content + "\\n</think>\\n" }}
{%- endif %}
{{- message.content }}
{%- for call in message.tool_calls or [] %}
{{- "\\n<tool_call>\\n{" }}
{{- '"name": ' + call.function.name | tojson + ", " }}
{{- '"arguments": ' + call.function.arguments | tojson }}
{{- "}\\n</tool_call>" }}
{%- endfor %}
{{- "<|im_end|>" }}
{%- endgeneration %}
{%- else %}
{{- message.content + "<|im_end|>" }}
{%- endif %}
{{- "\\n" }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- "<|im_start|>assistant\\n" }}
{%- endif %}
"""
"""A template in the manner of ChatML. It prints all that a message and a tool have."""


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of a few thousand weights and a tokenizer of bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<|pad|>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=65536,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer(model: Path) -> Any:
    """The tokenizer of that folder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model)


@pytest.fixture(scope="session")
def lines(real: Path) -> list[bytes]:
    """The sample and the real rollouts with calls, of a length to train on.

    Beside each real one stands the same with another answer and a lower reward, so that it is half
    of a pair; the real files have few repeats.
    """
    sample = (Path(gymrecipe.__file__).parent / "rollouts/sample.jsonl").read_bytes().split(b"\n")
    found = [line for line in sample if usable(line)]
    for path in sorted(real.glob("*.jsonl")):
        for line in path.read_bytes().split(b"\n"):
            if b'"function_call"' in line and usable(line):
                found += [one for one in (line, worse(line)) if usable(one)]
    return found


def usable(line: bytes) -> bool:
    try:
        made = conversation(line)
    except Unusable:
        return False
    return sum(len(turn.content) for turn in (*made.prompt, *made.completion)) < 6_000


def worse(line: bytes) -> bytes:
    other = json.loads(line)
    said = {"type": "output_text", "text": "I would rather not."}
    other["response"]["output"] = [{"type": "message", "role": "assistant", "content": [said]}]
    other["reward"] = (other["reward"] or 0.0) - 1.0
    return json.dumps(other).encode()


@pytest.fixture(scope="session")
def rollouts(lines: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """These lines as a file."""
    path = tmp_path_factory.mktemp("rollouts") / "rollouts.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


@pytest.fixture(scope="session")
def spoken(lines: list[bytes]) -> list[Conversation]:
    """Their conversations."""
    return [conversation(line) for line in lines]
