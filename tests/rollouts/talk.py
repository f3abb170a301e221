"""Lines of items for the tests of messages, and what becomes of them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gymrecipe.rollouts.bad_reasons import BAD_LINE
from gymrecipe.rollouts.chat import UNUSABLE, Conversation, Reading, Unusable
from gymrecipe.rollouts.messages import USUAL, conversation

ASKED = {"role": "user", "content": "2+2?"}
MORE = {"role": "user", "content": "sure?"}
TOOLS = [
    {"type": "function", "name": name, "parameters": {"type": "object"}} for name in ("calc", "f")
]


def said(text: str, **more: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text}]
    return {"type": "message", "role": "assistant", "content": content, **more}


def thought(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}], **more}


def called(id: str, arguments: Any = "{}", name: str = "calc", **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": id, "name": name, "arguments": arguments, **more}


def answered(id: str, output: Any = "4") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": id, "output": output}


def refused(text: str) -> dict[str, Any]:
    return said("") | {"content": [{"type": "refusal", "refusal": text}]}


def line(*output: Any, input: Any = (ASKED,), top: Any = None, **request: Any) -> bytes:
    """A rollout line; `top` are further fields of it."""
    params = {"input": input if isinstance(input, str) else list(input), "tools": TOOLS, **request}
    response = {"output": list(output)}
    return json.dumps(
        {"responses_create_params": params, "response": response, "reward": 1.0, **(top or {})}
    ).encode()


def talk(*output: Any, reading: Reading = USUAL, **more: Any) -> Conversation:
    return conversation(line(*output, **more), reading)


def reason(*output: Any, reading: Reading = USUAL, **more: Any) -> str:
    with pytest.raises(Unusable) as caught:
        talk(*output, reading=reading, **more)
    assert caught.value.reason in UNUSABLE.keys() | BAD_LINE.keys()
    return caught.value.reason


def plain(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))


def roles(conversation: Conversation) -> list[str]:
    return [message.role for message in [*conversation.prompt, *conversation.completion]]
