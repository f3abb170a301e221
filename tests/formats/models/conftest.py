"""Messages as the models read them."""

from __future__ import annotations

from typing import Any

from gymrecipe.checking.purpose import form_of

Turn = dict[str, Any]
ASK: Turn = {"role": "user", "content": "6 * 7?"}
RULE: Turn = {"role": "system", "content": "Be brief."}
SAY: Turn = {"role": "assistant", "content": "42"}
ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


def call(*ids: str, name: str = "add", arguments: Any = None) -> Turn:
    function = {"name": name, "arguments": {"a": 1} if arguments is None else arguments}
    calls = [{"id": id, "type": "function", "function": function} for id in ids]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def output(id: str) -> Turn:
    return {"role": "tool", "tool_call_id": id, "name": "add", "content": "3"}


def validate(models: Any, record: dict[str, Any]) -> None:
    """Hold a record against the form of a line that it has; raises ValidationError."""
    form_of(record, models).model_validate(record)
