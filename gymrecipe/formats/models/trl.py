"""A line of the formats `trl` and `trl_prompt_completion`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from gymrecipe.formats.models.cautions import Caution, alike, cautions, no_tools
from gymrecipe.formats.models.chat import Answered, Pair, Prompted, Whole
from gymrecipe.formats.models.parts import Message, Tools, ToolsText
from gymrecipe.registry import Purpose


class Demonstration(Whole[Message]):
    """`messages`."""

    tools: Tools | ToolsText = None


class Completed(Answered[Message]):
    """`prompt` and `completion`."""

    tools: Tools | ToolsText = None


class Preference(Pair[Message]):
    """`prompt`, `chosen` and `rejected`."""

    tools: Tools | ToolsText = None


class Labelled(Completed):
    """`prompt`, `completion` and a boolean `label`."""

    label: bool


class Margin(Preference):
    """A pair with its margin."""

    margin: float


LINES: dict[Purpose, type[BaseModel] | tuple[type[BaseModel], ...]] = {
    "sft": (Demonstration, Completed),
    "dpo": Preference,
    "kto": Labelled,
    "reward_model": Margin,
    "rl": Prompted[Message],
}


def traps(record: dict[str, Any], purpose: Purpose) -> Iterator[str]:
    """What TRL 1.16 changes, trains on unasked or stops at."""
    yield from cautions(record, "messages", "prompt", "completion", "chosen", "rejected")
    if purpose in ("dpo", "reward_model"):
        yield from alike(record)
    if "chat_template_kwargs" in record and record["chat_template_kwargs"] is None:
        yield "chat_template_kwargs: null stops TRL. Leave the column out, or write {}"
    if "messages" in record and "prompt" in record:
        yield "messages: TRL takes 'prompt' instead, which stands beside it. Leave one out"
    yield from no_tools(record)
    for name in ("completion", "chosen", "rejected") if purpose != "reward_model" else ():
        if any(turn["role"] != "assistant" for turn in record.get(name) or []):
            yield Caution(
                f"{name}: has turns of the environment, which are trained on like answers, except"
                " in SFT with assistant_only_loss"
            )
