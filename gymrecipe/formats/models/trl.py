"""A line of the formats `trl` and `trl_prompt_completion`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from gymrecipe.formats.models import rendered
from gymrecipe.formats.models.cautions import Caution, alike, cautions, environment, no_tools
from gymrecipe.formats.models.chat import Answered, Pair, Prompted, Sides, Whole
from gymrecipe.formats.models.line import Line
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


class Implied(Sides[Message]):
    """A pair of whole conversations: TRL takes what both begin with for the prompt."""

    tools: Tools | ToolsText = None


class Margin(Preference):
    """A pair, and its margin where all have one."""

    margin: float = 0.0


class ImpliedMargin(Implied):
    """A pair of whole conversations, and its margin where all have one."""

    margin: float = 0.0


class Text(Line):
    """A text of any kind, all of which is trained on, and nothing that TRL would take first."""

    messages: None = None
    prompt: None = None
    text: str


class Ranked(rendered.Preference):
    """A pair of texts, and its margin where all have one."""

    margin: float = 0.0


class Asked(Line):
    """A prompt as text."""

    prompt: rendered.Text


LINES: dict[Purpose, type[BaseModel] | tuple[type[BaseModel], ...]] = {
    "sft": (Demonstration, Completed, rendered.Completed, Text),
    "dpo": (Preference, Implied, rendered.Preference),
    "kto": (Labelled, Preference, rendered.Labelled),
    "reward_model": (Margin, ImpliedMargin, Ranked),
    "rl": (Prompted[Message], Asked),
}


def traps(record: dict[str, Any], purpose: Purpose) -> Iterator[str]:
    """What TRL 1.16 changes, trains on unasked or stops at."""
    if not any(isinstance(record.get(name), list) for name in ("messages", "prompt", "chosen")):
        yield from rendered.traps(record, purpose)
        return
    columns = ("messages", "prompt", "completion", "chosen", "rejected")
    yield from cautions(record, *columns, shown=purpose != "rl")  # there the trainer has the tools
    if purpose in ("dpo", "reward_model"):
        yield from alike(record)
    if "chat_template_kwargs" in record and record["chat_template_kwargs"] is None:
        yield "chat_template_kwargs: null stops TRL. Leave the column out, or write {}"
    if "messages" in record and "prompt" in record:
        yield "messages: TRL takes 'prompt' instead, which stands beside it. Leave one out"
    yield from no_tools(record)
    if purpose == "dpo" and "prompt" not in record:
        yield _implied(record["chosen"], record["rejected"])
        return
    yield from environment(record, purpose)


def _implied(chosen: list[dict[str, Any]], rejected: list[dict[str, Any]]) -> str:
    """What TRL makes of a pair without a prompt; where no side goes on alone, they part by then."""
    said = (
        "prompt: is missing, and TRL takes the turns for it that both sides begin with, ids of"
        " calls included"
    )
    most = min(len(chosen), len(rejected)) - 1
    shared = next((i for i in range(most) if chosen[i] != rejected[i]), most)
    if not shared:
        return f"{said}: here there are none. Write it"
    if (role := chosen[shared - 1]["role"]) not in ("user", "tool"):
        return f"{said}: here they end on '{role}'. Write it, up to what the model answers"
    return Caution(said)
