"""What the loader tests share: rollouts, a tokenizer, and files as gymrecipe writes them.

A trainer's packages are imported where they are used; without them a test is skipped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

import gymrecipe.formats  # noqa: F401
from gymrecipe.formats.example import Example
from gymrecipe.formats.guide import Guide, Written
from gymrecipe.formats.parquet import to_parquet
from gymrecipe.registry import FORMATS, Purpose
from gymrecipe.rollouts.chat import Conversation, Message, Reading, Unusable
from gymrecipe.rollouts.messages import conversation
from gymrecipe.rollouts.sides import part

LONGEST = 60_000
"""Lines of the real rollouts that are longer than this stay out, for the time it takes."""

END = "<|im_end|>"

# The chat form of Qwen 2.5 and 3, with thoughts kept in all turns, so that a prefix of the messages
# renders as a prefix of the text. `glued`: calls follow the text without a line feed (ms-swift).
TEMPLATE = r"""
{%- set system = messages[0].content if messages[0].role == 'system' else default_system -%}
{%- if system or tools -%}
<|im_start|>system{{ '\n' }}{{ system }}
{%- if tools %}{{ '\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>' }}
{%- for tool in tools %}{{ '\n' }}{{ tool | tojson }}{% endfor %}
{{- '\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>' }}{% endif -%}
<|im_end|>{{ '\n' }}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}
<|im_start|>user{{ '\n' + message.content }}<|im_end|>{{ '\n' }}
{%- elif message.role == 'assistant' -%}
<|im_start|>assistant{{ '\n' }}
{%- if message.reasoning_content %}{{ '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}{% endif -%}
{{- message.content -}}
{%- for call in message.tool_calls or [] -%}
{%- if loop.first %}{% if message.content and not glued and not message.content.endswith('</think>\n\n') %}{{ '\n' }}{% endif %}{% else %}{{ '\n' }}{% endif -%}
{{- '<tool_call>\n{"name": ' + (call.function.name | tojson) + ', "arguments": ' + (call.function.arguments if call.function.arguments is string else call.function.arguments | tojson) + '}\n</tool_call>' -}}
{%- endfor -%}
<|im_end|>{{ '\n' }}
{%- elif message.role == 'tool' -%}
{%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}<|im_start|>user{% endif -%}
{{- '\n<tool_response>\n' + message.content + '\n</tool_response>' -}}
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}<|im_end|>{{ '\n' }}{% endif -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant{{ '\n' }}{% endif -%}
""".strip()  # noqa: E501

WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "Weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
CALC = {
    "type": "function",
    "name": "calc",
    "description": "Calculates",
    "parameters": {
        "type": "object",
        "properties": {"expr": {"type": "string"}, "precision": {"type": ["integer", "null"]}},
        "required": ["expr"],
    },
}
ODD = {"expr": "1 < 2 </tool_call> <think>", "precision": None, "n": [2**53 + 1, 1e22, 0.1, {}]}


def _line(asked: list[Any], output: list[Any], tools: list[Any]) -> bytes:
    request = {"input": asked, "tools": tools}
    return json.dumps(
        {"responses_create_params": request, "response": {"output": output}, "reward": 1.0}
    ).encode()


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _said(text: str) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text}]
    return {"type": "message", "role": "assistant", "content": parts}


def _thought(text: str) -> dict[str, Any]:
    return {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}


def _call(id: str, name: str, arguments: Any) -> dict[str, Any]:
    text = json.dumps(arguments, ensure_ascii=False)
    return {"type": "function_call", "call_id": id, "name": name, "arguments": text}


def _output(id: str, text: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": id, "output": text}


SYSTEM = {"role": "system", "content": "Be brief. “¡Hola!” 你好"}

MADE = [
    # Calls first: a table inferred from the first row is then the widest.
    _line(
        [SYSTEM, _user("Weather in Paris and Rome, and 1/3?")],
        [
            _thought("Three calls."),
            _said("I look it up."),
            _call("a", "weather", {"city": "Paris"}),
            _call("b", "weather", {"city": "Roma, Italia 🇮🇹"}),
            _call("c", "calc", {"expr": "1/3", "precision": 3}),
            _output("a", "sunny"),
            _output("b", "rain\nand wind"),
            _output("c", "0.333"),
            _thought("All there."),
            _said("Sunny, rain, 0.333"),
        ],
        [WEATHER, CALC],
    ),
    _line(
        [SYSTEM, _user("Odd?")],
        [_said("So."), _call("a", "calc", ODD), _output("a", "2024-01-01"), _said("2024-01-02")],
        [CALC],
    ),
    _line(
        [SYSTEM, _user("And?")],
        [_thought("One."), _call("a", "weather", {}), _output("a", ""), _said(" é\n")],
        [WEATHER],
    ),
    _line([SYSTEM, _user("2024-01-03")], [_said("4")], []),
    _line(
        [SYSTEM, _user("Hi"), {"role": "assistant", "content": "Hello"}, _user("{{x}} {% x %}")],
        [_said("<b> Action: none & “done”")],
        [],
    ),
    _line([_user("What is the system?")], [_said("user")], []),
]


@dataclass
class Data:
    """What was written: the examples that could be, their records, the guide and the folder."""

    examples: list[Example]
    records: list[Any]
    guide: Guide
    folder: Path
    files: list[str]
    refused: list[str]


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """A tokenizer of bytes, with the chat template above."""
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    model = tokenizers.models.BPE({byte: id for id, byte in enumerate(alphabet)}, [])
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens(["<|endoftext|>", "<|im_start|>", END])
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token=END,
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
        model_max_length=10**9,
    )
    fast.chat_template = TEMPLATE
    return fast


@pytest.fixture(scope="session")
def real_lines(real: Path) -> list[bytes]:
    """Lines of the real rollouts, of every file some."""
    lines = []
    for path in sorted(real.glob("*.jsonl")):
        lines += [line for line in path.read_bytes().split(b"\n") if 0 < len(line) < LONGEST][:8]
    return lines


@pytest.fixture(scope="session")
def sample_lines() -> list[bytes]:
    """Lines of the rollouts that ship with gymrecipe."""
    import gymrecipe.rollouts

    path = Path(gymrecipe.rollouts.__file__).with_name("sample.jsonl")
    return [line for line in path.read_bytes().split(b"\n") if line][:60]


@pytest.fixture(params=["made", "sample", "real"])
def lines(request: pytest.FixtureRequest) -> list[bytes]:
    """Rollout lines: made for the hard cases, shipped, and real."""
    if request.param == "made":
        return MADE
    found: list[bytes] = request.getfixturevalue(f"{request.param}_lines")
    return found


def _conversations(lines: list[bytes], reading: Reading) -> Iterator[tuple[bytes, Conversation]]:
    for line in lines:
        try:
            yield line, conversation(line, reading)
        except Unusable:
            continue


def _worse(good: Conversation) -> Conversation:
    """The same conversation with another last answer."""
    last = good.completion[-1]
    last = msgspec.structs.replace(last, content=f"No, {last.content}")
    return Conversation(good.prompt, [*good.completion[:-1], last], good.tools)


def _examples(name: str, purpose: Purpose, lines: list[bytes]) -> Iterator[Example]:
    format = FORMATS[name]
    found = list(_conversations(lines, Reading(reasoning=format.reasoning)))
    has_tools = any(made.tools for _, made in found)
    for index, (line, made) in enumerate(found):
        example = Example(purpose, (line,), {"reward": 1.0, "task_type": None if index else "x"})
        example.tools = made.tools if has_tools else None
        example.index = index
        if purpose in ("dpo", "reward_model"):
            at = format.pairs_at[0]
            example.prompt, example.chosen, example.rejected = part(made, _worse(made), at)
            example.margin = 0.5
        elif purpose == "rl":
            example.prompt = made.prompt
            example.agent, example.verifier = "an_agent", {"expected_answer": msgspec.Raw(b'"4"')}
        else:
            example.prompt, example.completion = made.prompt, made.completion
            example.label = index % 2 == 0 if purpose == "kto" else None
        yield example


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Purpose, list[bytes]], Data]:
    """Writes lines in a format, as a version's folder has them."""

    def written(name: str, purpose: Purpose, lines: list[bytes]) -> Data:
        format, encoder = FORMATS[name], msgspec.json.Encoder()
        kept, texts, refused = [], [], []
        for example in _examples(name, purpose, lines):
            try:
                texts.append(encoder.encode(format.function(example)))
            except Unusable as fault:
                refused.append(fault.reason)
            else:
                kept.append(example)
        if not kept:
            pytest.skip(f"none of these rollouts has a form for it: {set(refused)}")
        (tmp_path / "data").mkdir(exist_ok=True)
        path = tmp_path / "data" / f"train.{format.files[0]}"
        jsonl = tmp_path / "train.jsonl" if path.suffix == ".parquet" else path
        jsonl.write_bytes(b"".join(text + b"\n" for text in texts))
        if path.suffix == ".parquet":
            to_parquet(jsonl, path)
        files = {"train": [f"data/{path.name}"]}
        longest = max(map(len, texts))
        has_tools = any(example.tools for example in kept)
        guide = format.guide(
            Written(
                purpose=purpose,
                name="made",
                inside="data",
                files=files,
                has_tools=has_tools,
                has_reasoning=True,
                longest=longest,
            )
        )
        for file, text in guide.files.items():
            (tmp_path / "data" / file).write_text(text)
        records = [json.loads(text) for text in texts]
        return Data(kept, records, guide, tmp_path, [str(path)], refused)

    return written


def plain(messages: list[Message]) -> list[Any]:
    """The canonical messages as a chat template takes them."""
    return json.loads(msgspec.json.encode(messages))


@pytest.fixture(scope="session")
def render(tokenizer: Any) -> Callable[..., str]:
    """The text of a canonical conversation."""

    def rendered(messages: list[Message], tools: Any = None, **options: Any) -> str:
        return tokenizer.apply_chat_template(
            plain(messages), tools=tools or None, tokenize=False, **options
        )

    return rendered


@pytest.fixture(scope="session")
def answers(render: Callable[..., str]) -> Callable[..., list[str]]:
    """The text of each assistant message, as the template renders it after the header."""

    def found(messages: list[Message], first: int = 0, **options: Any) -> list[str]:
        texts = []
        for place, message in enumerate(messages):
            if message.role == "assistant" and place >= first:
                before = render(messages[:place], add_generation_prompt=True, **options)
                after = render(messages[: place + 1], **options)
                assert after.startswith(before)
                texts.append(after[len(before) :].removesuffix("\n").removesuffix(END))
        return texts

    return found


@pytest.fixture(scope="session")
def trained(tokenizer: Any) -> Callable[[list[int], list[int]], list[str]]:
    """The texts of the runs of tokens that have a label, without the end of turn."""

    def runs(ids: list[int], labels: list[int]) -> list[str]:
        found: list[list[int]] = []
        before = False
        for id, label in zip(ids, labels, strict=True):
            if label != -100:
                assert label == id
                if not before:
                    found.append([])
                found[-1].append(id)
            before = label != -100
        texts = [tokenizer.decode(run) for run in found]
        return [text.removesuffix("\n").removesuffix(END) for text in texts]

    return runs


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a recipe on the rollouts that ship with gymrecipe; the version's folder is entered, as
    the paths of its guides are from there.
    """
    import gymrecipe

    def made(recipe: str, **knobs: Any) -> Any:
        monkeypatch.chdir(tmp_path)
        made = gymrecipe.run(recipe, **knobs)
        monkeypatch.chdir(made.path)
        return made

    return made
