"""A line of the format `nemo_rl`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, model_validator

from gymrecipe.formats.models.cautions import Caution, alike, cautions, no_tools
from gymrecipe.formats.models.chat import Whole, faults
from gymrecipe.formats.models.line import Line, refuse
from gymrecipe.formats.models.parts import Message, Tools
from gymrecipe.registry import Purpose

LOADER: dict[Purpose, str] = {"sft": "lines", "rl": "lines"}
"""With `use_preserving_dataset: true`, and for NeMo Gym, it decodes each line by itself."""


class Demonstration(Whole[Message]):
    """`openai_format`: `messages`, and `tools` as a list."""

    tools: Tools = None


class Answered(Line):
    """`ResponseDataset`: a question and its answer."""

    input: str
    output: str


class Ranked(Line):
    """A completion and its rank; the lower one is preferred."""

    rank: int
    completion: list[Message]


class Preference(Line):
    """`PreferenceDataset`: `context` and two `completions`."""

    context: list[Message]
    completions: Annotated[list[Ranked], Field(min_length=2, max_length=2)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        found: dict[str, None] = {}
        for i, one in enumerate(self.completions):
            name = f"completions.{i}.completion"
            found |= dict.fromkeys(faults({"context": [*self.context], name: [*one.completion]}))
        refuse(found)
        return self


class Binary(Line):
    """`BinaryPreferenceDataset`: a prompt and two texts."""

    prompt: str | list[Message]
    chosen: str
    rejected: str


class Tool(Line):
    """A tool in the flat schema of the Responses API; hosted ones have no name."""

    type: str
    function: None = None

    @model_validator(mode="before")
    @classmethod
    def _is_flat(cls, tool: Any) -> Any:
        if isinstance(tool, dict) and tool.get("function") is not None:
            raise ValueError(
                "should be flat, {'type': 'function', 'name': …, 'parameters': …}: NeMo Gym takes"
                " no nested schema"
            )
        if isinstance(tool, dict) and tool.get("type") == "function":
            for key in ("name", "parameters", "strict"):
                if key not in tool:
                    raise ValueError(f"should have '{key}', without which NeMo Gym refuses it")
        return tool


class Request(Line):
    """What NeMo Gym asks the model."""

    input: str | list[dict[str, Any]]
    tools: Annotated[list[Tool], Field(default_factory=list)]


class Agent(Line):
    """The agent that runs it."""

    name: Annotated[str, Field(min_length=1)]


class GymLine(Line):
    """`NemoGymDataset`: a line of NeMo Gym's input."""

    responses_create_params: Request
    agent_ref: Agent


LINES: dict[Purpose, type[BaseModel] | tuple[type[BaseModel], ...]] = {
    "sft": (Demonstration, Answered),
    "dpo": (Preference, Binary),
    "reward_model": (Preference, Binary),
    "rl": GymLine,
}


def traps(record: dict[str, Any], purpose: Purpose) -> Iterator[str]:
    """What NeMo RL drops or stops at."""
    if purpose in ("dpo", "reward_model"):
        yield from cautions(record, "context", shown=False)
        yield from _of_pair(record)
    else:
        yield from cautions(record, "messages")
    if purpose == "sft":
        yield from no_tools(record)


def _of_pair(record: dict[str, Any]) -> Iterator[str]:
    if record.get("tools"):
        yield "tools: do not reach the model here. Describe them in the system message"
    if "completions" not in record:
        yield from alike(record)
        return
    first, second = record["completions"]
    if first["rank"] == second["rank"]:
        yield "completions: have the same rank, at which NeMo RL stops"
    if first["completion"] == second["completion"]:
        yield "completions: say the same: nothing to prefer"
    for i, one in enumerate(record["completions"]):
        if len(one["completion"]) > 1:
            yield Caution(f"completions.{i}.completion: only its last message is trained on")
