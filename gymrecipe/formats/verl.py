"""The format `verl`: parquet for its SFT, reward-model and RL datasets.

In SFT rows messages and tools are JSON text, read by a dataset class that is written beside the
data: verl's own reads a table, which fills nulls into the arguments of one tool and the parameters
of another, and renders each message by itself, which most templates print otherwise
(`utils/dataset/multiturn_sft_dataset.py` of 0.9.1). RL prompts are true lists of structs
(`utils/dataset/rl_dataset.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gymrecipe.formats.example import Example
from gymrecipe.formats.ground_truth import ground_truth
from gymrecipe.formats.guide import Guide, Written, tokens
from gymrecipe.formats.text import json_text
from gymrecipe.formats.turns import plain
from gymrecipe.registry import format
from gymrecipe.rollouts.chat import Message, Unusable

DATASET = Path(__file__).with_name("verl_dataset.py.txt")
"""The dataset class; it imports verl, so it is no module of ours."""


def guide(written: Written) -> Guide:
    """The options of its trainers that name the files, and for SFT the dataset class."""
    train, validation = (_list(written.files.get(split, [])) for split in ("train", "validation"))
    most = tokens(written)
    if written.purpose == "sft":
        lines = [
            "torchrun --nproc_per_node=8 -m verl.trainer.sft_trainer",
            f"data.train_files={train}",
            *([f"data.val_files={validation}"] if validation else []),
            f"data.custom_cls.path={written.inside}/verl_dataset.py",
            "data.custom_cls.name=JsonTextSFTDataset",
            f"data.max_length={most}",
            f"data.max_token_len_per_gpu={max(most, 8192)}",
        ]
        return Guide(
            load=[("sh", " \\\n  ".join(lines))],
            notes=_sft_notes(written),
            files={"verl_dataset.py": DATASET.read_text()},
        )
    if written.purpose == "reward_model":
        lines = [
            "from verl.utils.dataset.rm_dataset import RMDataset",
            f"RMDataset({written.files['train']!r}, tokenizer, max_length={most})",
        ]
        return Guide(
            load=[("python", "\n".join(lines))],
            notes=[
                "Prompt and answers are joined as they stand, without a chat template.",
                "`max_length` (1024 if not given) cuts the end of longer rows without a word.",
            ],
        )
    lines = [
        "python -m verl.trainer.main_ppo",
        f"data.train_files={train}",
        f"data.val_files={validation or train}",
        *([] if validation else ["trainer.val_before_train=False trainer.test_freq=-1"]),
        "data.prompt_key=prompt data.return_raw_chat=True",
        f"data.max_prompt_length={most} data.filter_overlong_prompts=True",
        "reward.custom_reward_function.path=reward.py",
        *(["actor_rollout_ref.rollout.multi_turn.enable=True"] if written.has_tools else []),
        *(
            ["actor_rollout_ref.rollout.multi_turn.tool_config_path=tools.yaml"]
            if written.has_tools
            else []
        ),
    ]
    return Guide(load=[("sh", " \\\n  ".join(lines))], notes=_rl_notes(written))


def _list(files: list[str]) -> str:
    return files[0] if len(files) == 1 else f"'[{','.join(files)}]'" if files else ""


def _sft_notes(written: Written) -> list[str]:
    notes = [
        "Every assistant message is trained with its end of turn, its calls and its thoughts, as"
        " the chat template prints it in the whole conversation.",
        "`max_length` counts 3 bytes of the longest row a token; a longer one stops it.",
    ]
    if written.has_reasoning:
        notes.append(
            "A template that leaves the thoughts of earlier rounds out (Qwen 3) has them neither"
            " shown nor trained on."
        )
    else:
        notes.append(
            "Where the template prints an empty thought before an answer (Qwen 3), it is trained on"
            " unless `data.enable_thinking_default=False` is given."
        )
    return notes


def _rl_notes(written: Written) -> list[str]:
    notes = [
        "The reward function is given `data_source` (the agent's name), `ground_truth` and"
        " `extra_info`, in which `verifier` is the JSON text of all that the verifier needs.",
        "A prompt that the template cannot render, or a longer one than `max_prompt_length`, is"
        " left out with a printed line only.",
    ]
    if "validation" not in written.files:
        notes.append(
            "verl does not start without a file of held-out prompts, so `data.val_files` names the"
            " training one, and nothing is validated; `validation_fraction` holds some out."
        )
    if written.has_tools:
        notes.append(
            "verl takes tools from `tool_config_path`; `extra_info.tool_selection` says which of"
            " them a row has, `extra_info.tools` holds their schemas as JSON text."
        )
    return notes


@format(
    purposes=("sft", "reward_model", "rl"),
    version=4,
    guide=guide,
    files=("parquet",),
    without_ids=("reward_model", "rl"),
    advice={
        "dpo": "verl has no DPO; its reward model reads pairs: `+recipe=reward_model_pairs"
        " format=verl`",
        "kto": "verl has no KTO; `format=trl`, `format=llama_factory` and `format=ms_swift` do",
        "buffer": "verl makes its own answers to prompts: `+recipe=verl_rl`",
    },
)
def verl(example: Example) -> dict[str, Any]:
    """verl: parquet; SFT messages as JSON text with a dataset class for them beside the data."""
    if example.purpose == "sft":
        record = {"messages": json_text([*example.prompt, *example.completion])}
        if example.tools is not None:
            record["tools"] = json_text(example.tools)
    elif example.purpose == "reward_model":
        if example.tools:
            raise Unusable("needs_template")
        record = {
            "prompt": plain(example.prompt, "user"),
            "chosen": plain(example.chosen, "assistant"),
            "rejected": plain(example.rejected, "assistant"),
        }
    else:
        return _task(example) | example.values
    return record | example.values


def _task(example: Example) -> dict[str, Any]:
    extra: dict[str, Any] = {
        "index": example.index,
        "split": example.split,
        "verifier": json_text(example.verifier),
    }
    if example.tools is not None:
        extra["tool_selection"] = [tool["function"]["name"] for tool in example.tools]
        extra["tools"] = json_text(example.tools)
    return {
        "data_source": example.agent or "gymrecipe",
        "prompt": [_turn(message) for message in example.prompt],
        "ability": "tool_use" if example.tools else "chat",
        "reward_model": {"style": "rule", "ground_truth": ground_truth(example.verifier)},
        "extra_info": extra,
        "agent_name": "tool_agent" if example.tools else "single_turn_agent",
    }


def _turn(message: Message) -> dict[str, str]:
    """Role and content: more keys would be null in the other messages of the table."""
    if message.reasoning_content:
        raise Unusable("reasoning_beside_text")
    if message.tool_calls or message.role == "tool":
        raise Unusable("calls_in_prompt")
    return {"role": message.role, "content": message.content}
