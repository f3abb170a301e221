"""Write: which format the rows become, in what order, and which are held out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, field_validator

from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import Params, registered
from gymrecipe.registry import FORMATS, File, PairsAt, Purpose, Reasoning, stage, unit_of
from gymrecipe.rollouts.chat import RepeatedIds
from gymrecipe.rollouts.columns import SPLIT, key_of
from gymrecipe.rollouts.hashes import uniform


class Write(Params):
    """How the rows that arrive become files."""

    use: Literal["write"] = "write"
    format: Annotated[str, registered(FORMATS)] = "messages"
    """What the trainer reads (`gymrecipe formats` lists them)."""
    purpose: Purpose | None = None
    """What the file is for; by default `sft` for rollouts, `dpo` for pairs and `rl` for tasks."""
    file: File | None = None
    """The kind of file, jsonl or parquet; by default what the format is usually written as."""
    shard_rows: Annotated[int, Field(ge=1)] | None = None
    """The most rows in one file; more become train-00000-of-00003.jsonl and so on."""
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of prompts held out as validation. A prompt held out in one branch or recipe is
    held out in all, and a larger share holds out more of them, never others."""
    order: Literal["source", "shuffled", "strict"] = "source"
    """`source`: as the lines stand (a pair where its chosen line stands); `shuffled`: by draw. The
    fewest rows that together show every key and type lead each jsonl file, for loaders that infer
    the columns from its first 10 MB; `strict` is `source` without that."""
    pairs_at: PairsAt | None = None
    """Where the two sides of a pair part. `trajectory`: the shared turns move into the prompt and
    the rest of both stays; `decision`: one assistant message a side. By default the first that
    the format can carry."""
    reasoning: Reasoning | None = None
    """The model's thoughts: `field` (`reasoning_content`), `think_tags` (`<think>…</think>` before
    the text) or `drop`. By default what the format's trainer can read."""
    developer: Literal["system", "keep"] = "system"
    """Whether a developer message becomes a system message, which every template knows."""
    system: str = "keep"
    """The system message: `keep`, `drop`, or a text to put in its place."""
    ending: Literal["reject", "trim", "trim_to_call"] = "reject"
    """What becomes of a rollout that does not end on the model: rejected, cut after its last
    answer, or after the model's last message, which may be a call, such as that of a tool that
    submits."""
    unanswered_calls: Literal["reject", "trim", "keep"] = "reject"
    """What becomes of a call without an output: the rollout is rejected, cut back to the last
    answer without calls, or kept as it is."""
    repeated_call_ids: RepeatedIds = "reject"
    """What becomes of calls that have the id of an earlier turn's call: the rollout is rejected, or
    they are numbered (`call_0`, `call_0_2`)."""
    empty_arguments: Literal["reject", "object"] = "reject"
    """What becomes of calls whose arguments are an empty text: the rollout is rejected, or they are
    an empty object, with which most tools are run then."""
    missing_tools: Literal["keep", "reject"] = "reject"
    """What becomes of a rollout that calls a tool which no schema describes."""
    refusals: Literal["keep", "reject"] = "keep"
    """What becomes of a rollout in which the model's API marked a refusal."""
    truncated: Literal["reject", "keep"] = "reject"
    """What becomes of a rollout that was cut off, by a token limit or a filter."""
    token_ids: Literal["drop", "keep"] = "drop"
    """Whether messages carry the token ids and log-probs that the line has of them."""
    prompt_from: str | None = None
    """The path of the prompt in lines that have none where it usually stands."""
    verifier_fields: list[str] | None = None
    """For RL prompts: the fields that the verifier needs, such as `expected_answer`; by default
    all of the task's input row (`materialized_inputs`), or those of a rollout that say what was
    asked."""
    agent: str | None = None
    """For RL prompts: the agent of lines that do not name one."""
    tokenizer: str | None = None
    """`format: rendered`: the folder of the tokenizer whose chat template is applied."""
    chat_template: str | None = None
    """`format: rendered`: a file with the chat template, in place of a tokenizer."""
    chat_template_kwargs: dict[str, JsonValue] = {}
    """`format: rendered`: what the template takes beside messages and tools, as transformers calls
    it: `{enable_thinking: false}`."""
    columns: dict[str, str | None] | list[str] = {}
    """What stands beside the messages, as `source: name`. Renames the columns that are there
    (`reward_gap: quality_difference`), leaves one out (`task_type: null`), and adds fields of the
    line (`metadata.category: category`). A list adds fields under their own names (`pass@1` is that
    of `field["pass@1"]`). With `format: custom` these are all the columns."""
    seed: int = 0
    """What the split is drawn with."""

    @property
    def written_as(self) -> File:
        """The kind of file: as it says, or what the format is usually written as."""
        return self.file or FORMATS[self.format].files[0]

    @field_validator("verifier_fields")
    @classmethod
    def _apart(cls, value: list[str] | None) -> list[str] | None:
        first: dict[str, str] = {}
        for name in value or ():
            if (other := first.setdefault(key_of(name), name)) != name:
                said = f"'{other}' and '{name}' end alike"
                raise ValueError(f"{said}, and a verifier knows a field by its last key")
        return value


@stage(takes=("rollouts", "tasks", "pairs", "metrics"), makes="nothing", version=10)
def write(rows: pl.LazyFrame, params: Write) -> pl.LazyFrame:
    """Write the rows as `train` and `validation` in a trainer's format.

    Rejects what cannot become a right example, each with its own reason (see `docs/messages.md`);
    when one side of a pair cannot, the other is `partner_rejected`.
    """
    unit = unit_of(rows.collect_schema())
    if unit == "metrics":
        return rows.with_columns(pl.lit("metrics").alias(SPLIT))
    key = pl.coalesce("prompt_key", "task_key", (pl.col("draw") * 2**53).cast(pl.UInt64))
    held_out = uniform(key, params.seed, "split") < params.validation_fraction
    pairs = unit == "pairs"
    order = ["chosen_row", "rejected_row"] if pairs else ["row"]
    if params.order == "shuffled":
        order = ["draw", *(["rejected_draw"] if pairs else []), *order]
    split = pl.when(held_out).then(pl.lit("validation")).otherwise(pl.lit("train"))
    return rows.with_columns(split.alias(SPLIT)).sort(order)
