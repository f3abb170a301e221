"""Files as other people write them: what a trainer's loader reads is no error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from gymrecipe import check
from gymrecipe.errors import RecipeError

Row = dict[str, Any]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
ASK, SAY, NO = (
    {"role": "user", "content": "6 * 7?"},
    {"role": "assistant", "content": "42"},
    {"role": "assistant", "content": "43"},
)
FUNCTION_CALL = {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}
HUMAN, GPT = {"from": "human", "value": "6 * 7?"}, {"from": "gpt", "value": "42"}
CALLED = {"role": "tool_call", "content": '{"name": "f", "arguments": {}}'}
PAIR = {"prompt": [ASK], "chosen": [SAY], "rejected": [NO]}
WHOLE = {"chosen": [ASK, SAY], "rejected": [ASK, NO]}
TEXTS = {"prompt": "6 * 7 =", "chosen": " 42", "rejected": " 43"}
TASK = {"data_source": "gsm8k", "prompt": [ASK], "reward_model": {"ground_truth": "42"}}


def acted(arguments: Any, id: str = "", **more: Any) -> list[Row]:
    """A call and its output; without an id as the documentation of TRL and Axolotl has them."""
    call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    call |= {"id": id} if id else {}
    turn = {"role": "assistant", "tool_calls": [call]} | more
    return [ASK, turn, {"role": "tool", "name": "f", "content": "42"}, SAY]


def levels(path: Path, format: str, purpose: str | None) -> list[tuple[str, str]]:
    return [(one.level, one.what) for one in check.check(str(path), format, purpose).findings]


@pytest.mark.parametrize(
    ("format", "purpose", "row"),
    [
        ("trl", None, {"text": "6 * 7 = 42"}),
        ("trl", None, {"messages": [ASK, SAY], "text": "for people"}),
        ("messages", None, {"messages": [ASK, SAY], "prompt": "6 * 7?", "chosen": {"id": 1}}),
        ("openrlhf", None, {"input": [ASK, SAY], "prompt": "6 * 7?", "rejected": ["a"]}),
        ("axolotl", None, {"messages": [ASK, SAY], "prompt": "6 * 7?", "completion": [{}]}),
        ("nemo_rl", None, {"messages": [ASK, SAY], "context": "for people"}),
        ("trl", None, {"prompt": [ASK], "completion": [SAY], "chosen": [SAY | {"tool_calls": 1}]}),
        ("trl", None, {"messages": [ASK, SAY], "chosen": [ASK, {"role": 1}]}),
        ("trl", None, {"prompt": "6 * 7 =", "completion": " 42"}),
        ("trl", None, {"messages": acted({}, "a", content=""), "tools": [TOOL]}),
        ("trl", None, PAIR),
        ("trl", None, TEXTS),
        ("trl", "reward_model", PAIR),
        ("trl", "reward_model", WHOLE),
        ("trl", "reward_model", TEXTS),
        ("trl", "kto", PAIR),
        ("trl", None, {"prompt": "6 * 7?", "answer": "42"}),
        ("openrlhf", None, {"input": "6 * 7?", "output": "42"}),
        ("openrlhf", None, {"input": [ASK], "output": [SAY]}),
        ("openrlhf", None, {"input": [ASK]}),
        ("openrlhf", None, {"input": "6 * 7?", "label": 42}),
        ("openrlhf", "reward_model", PAIR),
        ("openrlhf", "reward_model", WHOLE),
        ("llama_factory", None, {"conversations": [HUMAN, GPT]}),
        ("llama_factory", None, {"conversations": [HUMAN, GPT], "tools": None}),
        (
            "llama_factory",
            None,
            {"conversations": [{"from": "system", "value": "Be brief."}, HUMAN, GPT]},
        ),
        ("llama_factory", None, {"conversations": [HUMAN], "chosen": GPT, "rejected": HUMAN | GPT}),
        ("axolotl", None, TEXTS),
        ("axolotl", None, {"prompt": "6 * 7 =", "completion": " 42", "label": True}),
        ("ms_swift", None, {"messages": [ASK, SAY], "rejected_response": "43"}),
        ("ms_swift", "reward_model", {"messages": [ASK, SAY], "rejected_response": [NO]}),
        ("ms_swift", "reward_model", {"messages": [ASK, SAY], "rejected_messages": [ASK, NO]}),
        ("ms_swift", None, {"messages": acted("{}", "a", content=None), "tools": [TOOL]}),
        (
            "ms_swift",
            None,
            {
                "messages": [ASK, CALLED, {"role": "tool", "content": "42"}, SAY],
                "tools": json.dumps([TOOL]),
            },
        ),
        ("trl", "rl", {"prompt": acted({}, "a", content="")[:3]}),
        ("nemo_rl", None, {"input": "6 * 7?", "output": "42"}),
        ("nemo_rl", None, TEXTS),
        ("verl", None, TASK),
        ("verl", None, TASK | {"reward_model": {"ground_truth": ["42", "42.0"], "style": "rule"}}),
        ("verl", None, TASK | {"extra_info": {"answer": "42"}, "ability": "math"}),
    ],
)
def test_what_its_loader_reads_has_no_findings(
    format: str, purpose: str | None, row: Row, tmp_path: Path
) -> None:
    if row.get("rejected") == HUMAN | GPT:
        row = row | {"rejected": GPT | {"value": "43"}}
    path = tmp_path / "rows.jsonl"
    labels = [row, row | {"label": False, "completion": " 43"}]
    rows = labels if row.get("label") is True else [row]
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    assert levels(path, format, purpose) == []


@pytest.mark.parametrize(
    ("format", "row", "said"),
    [
        (
            "trl",
            {"tools": [TOOL]} | {"messages": acted({}, "a", content=None)},
            "no content beside its calls",
        ),
        (
            "messages",
            {"tools": [TOOL]} | {"messages": acted("{}", "a")},
            "no content beside its calls",
        ),
        ("axolotl", {"tools": [TOOL]} | {"messages": acted({}, content="")}, "no id"),
        ("trl", {"messages": acted({}, "a", content="")}, "calls 'f', a name that no tool has"),
        ("nemo_rl", {"messages": acted({}, "a", content="")}, "calls 'f', a name that no tool has"),
        ("trl", WHOLE, "takes the turns for it that both sides begin with"),
        ("verl", TASK | {"agent_name": "mine"}, "no agent loop of verl's own"),
    ],
)
def test_what_costs_something_with_some_is_a_warning(
    format: str, row: Row, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    ((level, what),) = levels(path, format, None)
    assert level == "warning"
    assert said in what


@pytest.mark.parametrize(
    ("format", "row", "said"),
    [
        ("trl", PAIR | {"prompt": "6 * 7?"}, "prompt: should be a list"),
        ("ms_swift", {"messages": [ASK, SAY], "rejected_response": "42"}, "nothing to prefer"),
        ("llama_factory", {"conversations": [GPT, HUMAN]}, "leaves the row out"),
        ("nemo_rl", TEXTS | {"rejected": " 42"}, "nothing to prefer"),
        ("verl", {"data_source": "a", "prompt": [ASK], "reward_model": {}}, "ground_truth"),
        ("trl", {"messages": [ASK, SAY], "completion": "for people"}, "completion: no messages"),
        ("trl", PAIR | {"messages": None}, "messages: no messages"),
        ("trl", {"text": "6 * 7 = 42", "prompt": None}, "prompt: null"),
        ("trl", WHOLE | {"prompt": None}, "prompt: null"),
        ("trl", {"messages": [ASK, FUNCTION_CALL]}, "has a 'function_call'"),
        ("messages", {"messages": [ASK, FUNCTION_CALL | {"content": None}]}, "'function_call'"),
    ],
)
def test_what_its_loader_fails_at_or_alters_is_an_error(
    format: str, row: Row, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    assert any(level == "error" and said in what for level, what in levels(path, format, None))


def test_a_table_of_messages_is_read_by_verls_own_dataset(tmp_path: Path) -> None:
    pl.DataFrame(
        [{"messages": [ASK, SAY], "tools": [TOOL | {"function": {"name": "f"}}]}]
    ).write_parquet(path := tmp_path / "rows.parquet")
    assert levels(path, "verl", None) == []


def test_two_sides_beside_messages_are_a_pair(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": [ASK, SAY]} | WHOLE) + "\n")
    assert check.check(str(tmp_path / "a.jsonl"), "trl", None).purpose == "dpo"
    row = {"messages": [ASK], "chosen": SAY, "rejected": NO}
    (tmp_path / "b.jsonl").write_text(json.dumps(row) + "\n")
    assert ("error", "prompt: is missing") in levels(tmp_path / "b.jsonl", "axolotl", None)


@pytest.mark.parametrize(
    ("format", "row", "said"),
    [
        ("trl", {"messages": [{"role": "human", "content": "6 * 7?"}, SAY]}, "mean 'user'?"),
        ("trl", {"messages": [ASK, {"role": "model", "content": "42"}]}, "mean 'assistant'?"),
        ("llama_factory", {"conversations": [HUMAN, GPT | {"from": "model"}]}, "mean 'gpt'?"),
        ("llama_factory", {"conversations": [HUMAN | {"from": "user"}, GPT]}, "mean 'human'?"),
    ],
)
def test_a_role_of_another_format_is_told_as_what_it_is_here(
    format: str, row: Row, said: str, tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    ((level, what),) = levels(tmp_path / "rows.jsonl", format, None)
    assert level == "error"
    assert what.endswith(said)


def test_columns_that_another_format_reads_name_it(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"conversations": [HUMAN, GPT]}) + "\n")
    with pytest.raises(RecipeError, match="read by format=llama_factory"):
        check.check(str(path), "trl")
    path.write_text(json.dumps({"input": {"messages": [ASK]}, "preferred_output": [SAY]}) + "\n")
    with pytest.raises(RecipeError, match=r"Write purpose=sft\S*$"):
        check.check(str(path), "trl")
    path.write_text(json.dumps({"words": "x"}) + "\n")
    with pytest.raises(RecipeError, match=r"Write purpose=sft\S*$"):
        check.check(str(path), "trl")


@pytest.mark.parametrize("format", ["axolotl", "llama_factory", "ms_swift", "nemo_rl", "openrlhf"])
def test_columns_of_alpaca_are_not_taken_for_others(format: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"instruction": "6 * 7?", "input": "", "output": "42"}) + "\n")
    with pytest.raises(RecipeError, match="type: alpaca"):
        check.check(str(path), format)


def test_of_two_forms_the_one_with_fewer_faults_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"prompt": "6 * 7?", "completion": "42", "label": "yes"}) + "\n")
    assert all(what.startswith("label: ") for _, what in levels(path, "trl", None))
