"""The format `nemo_rl`: what NeMo RL's data sets read."""

from __future__ import annotations

from typing import Any

import msgspec

from gymrecipe.formats.example import Example
from gymrecipe.formats.guide import MUST_KEEP, Guide, Written, tokens
from gymrecipe.formats.numbers import check
from gymrecipe.formats.text import json_text
from gymrecipe.registry import format
from gymrecipe.rollouts.chat import Message, Unusable
from gymrecipe.rollouts.lines import is_null

HEAD = "You can call these functions. They are given as JSON, one a line, within <tools></tools>:"
REQUEST = ("responses_create_params", "agent_ref")
"""What a line of NeMo Gym has beside the fields of its verifier."""

PROGRAMS = {
    "sft": ("examples/run_sft.py, over examples/configs/sft.yaml", "sft"),
    "dpo": ("examples/run_dpo.py, over examples/configs/dpo.yaml", "dpo"),
    "reward_model": ("examples/run_rm.py, over examples/configs/rm.yaml", "rm"),
    "rl": ("examples/nemo_gym/run_grpo_nemo_gym.py, over a config of examples/nemo_gym", "grpo"),
}
"""What trains, over which of its configs, and what the section of the trainer is called there."""

TRAINS = {
    "sft": "Every assistant message is trained on, the thoughts in `reasoning_content` as far as"
    " the template prints them. `use_preserving_dataset: true` is needed: without it nulls are"
    " filled into the arguments of calls.",
    "dpo": "The last message of each completion is trained on, which is why a completion is one"
    " message (`pairs_at: decision`). Its tools do not reach the template there, so their schemas"
    " stand in the system message.",
    "reward_model": "The last message of each completion is scored. Tools do not reach the template"
    " there, so their schemas stand in the system message. There is no margin.",
    "rl": "Each line is handed to the agent that `agent_ref` names; NeMo RL sets temperature and"
    " top_p itself. The agent and its verifier must run with the fields that the line has.",
}


def guide(written: Written) -> Guide:
    """What to write over the example config of NeMo RL that is named."""
    program, section = PROGRAMS[written.purpose]
    is_rl = written.purpose == "rl"
    lines = [f"# {program}"]
    if not is_rl:  # there it is prompt and answers together, and nobody knows yet how long
        lines += ["policy:", f"  max_total_sequence_length: {tokens(written)}"]
    if "validation" not in written.files:  # the examples have some, and stop without
        lines += [f"{section}:", "  val_period: 0", "  val_at_start: false", "  val_at_end: false"]
    length = "null" if is_rl else "${policy.max_total_sequence_length}"
    lines += ["data:", f"  max_input_seq_length: {length}"]
    for split in ("train", "validation"):
        if split in written.files:
            entry = _entry(written, written.files[split][0])
            lines += [f"  {split}:", *(f"    {key}" for key in entry)]
        else:
            lines.append(f"  {split}: null")
    usual = ["prompt_file: null", "system_prompt_file: null"]
    if written.purpose == "sft":
        usual.append("processor: sft_processor")
    if is_rl:
        usual += ["env_name: nemo_gym", "processor: nemo_gym_data_processor"]
    lines += ["  default:", *(f"    {key}" for key in usual)]
    return Guide(load=[("yaml", "\n".join(lines))], notes=_notes(written))


def _entry(written: Written, path: str) -> list[str]:
    """A data set. What it is stands in it and not among the defaults, which do not count where the
    example below has a data set of its own; the split, since it has one there, too.
    """
    match written.purpose:
        case "sft":
            more = ["chat_key: messages", "tool_key: tools", "use_preserving_dataset: true"]
            return ["dataset_name: openai_format", f"data_path: {path}", *more]
        case "rl":
            return ["dataset_name: NemoGymDataset", f"data_path: {path}"]
        case _:
            return ["dataset_name: PreferenceDataset", f"data_path: {path}", "split: train"]


def _notes(written: Written) -> list[str]:
    notes = [TRAINS[written.purpose]]
    if written.purpose in ("dpo", "reward_model"):
        notes.append(
            "It reads pairs with `datasets`, of which older ones than 4.7 fill nulls into the"
            " arguments of calls, and which keeps ten decimals of a number there."
        )
    if written.purpose != "rl":
        notes.append(f"{MUST_KEEP}: `policy.tokenizer.chat_template`.")
        notes.append(
            "`max_total_sequence_length` counts 3 bytes of the longest row a token; longer rows"
            " are left out of the loss."
        )
    if written.purpose != "rl" and written.has_tools:
        notes.append(
            "Where the template puts the outputs of parallel calls into one turn (Qwen, Nemotron),"
            " it ends that turn after each of them, a mark more than the model is shown in use."
        )
    if any(len(paths) > 1 for paths in written.files.values()):
        notes.append("It reads one file a split: write without `shard_rows`.")
    return notes


@format(
    purposes=("sft", "dpo", "reward_model", "rl"),
    version=3,
    guide=guide,
    files=("jsonl",),
    pairs_at=("decision",),
    copies_request=True,
    without_ids=("rl",),
    advice={
        "kto": "NeMo RL trains on pairs: `+recipe=nemo_rl_dpo`",
        "buffer": "NeMo RL makes its own answers to prompts: `+recipe=rl_prompts`",
    },
)
def nemo_rl(example: Example) -> dict[str, Any]:
    """NeMo RL: `messages`, `context` with ranked `completions`, or a line of NeMo Gym."""
    if example.purpose == "sft":
        record: dict[str, Any] = {"messages": [*example.prompt, *example.completion]}
        if example.tools is not None:
            record["tools"] = example.tools or None  # it hands an empty list to the template
    elif example.purpose == "rl":
        record = _gym_line(example)
        return record | example.values | record  # what its verifier needs before what we add
    else:
        check(example.values)
        for turn in (*example.prompt, *example.chosen, *example.rejected):
            for call in turn.tool_calls or ():
                check(call.function.arguments)  # pairs it reads with `datasets`
        record = {
            "context": with_tools(example.prompt, example.tools),
            "completions": [
                {"rank": 0, "completion": example.chosen},
                {"rank": 1, "completion": example.rejected},
            ],
        }
    return record | example.values


def _gym_line(example: Example) -> dict[str, Any]:
    if is_null(example.request):
        raise Unusable("no_request")
    if example.agent is None:
        raise Unusable("no_agent")
    agent = {"type": "responses_api_agents", "name": example.agent}
    return {"responses_create_params": example.request, "agent_ref": agent} | example.verifier


def with_tools(prompt: list[Message], tools: list[dict[str, Any]] | None) -> list[Message]:
    """The prompt with the schemas of its tools at the end of the system message."""
    if not tools:
        return prompt
    schemas = [json_text(tool) for tool in tools]
    text = "\n".join([HEAD, "<tools>", *schemas, "</tools>"])
    if prompt and prompt[0].role == "system":
        text = f"{prompt[0].content}\n\n{text}" if prompt[0].content else text
        return [msgspec.structs.replace(prompt[0], content=text), *prompt[1:]]
    return [Message("system", text), *prompt]
