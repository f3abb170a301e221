"""What a worker makes of a slice of chosen rollouts."""

from __future__ import annotations

import json
import os
import pickle
from array import array
from pathlib import Path
from typing import Any

import pytest
import xxhash

from gymrecipe.errors import ChangedError, RecipeError
from gymrecipe.formats.encode import encode
from gymrecipe.formats.job import Encoded, Fault, Side, WriteJob
from gymrecipe.formats.template import read_template
from gymrecipe.registry import FORMATS, PLUGINS
from gymrecipe.rollouts import batches

Row = tuple[int, int, bytes]
TOOL = {"type": "function", "name": "f", "parameters": {}}


def rollout(said: str, /, asked: str = "2+2?", reward: float = 1.0, **more: Any) -> bytes:
    tools = more.pop("tools", [])
    message = {"type": "message", "role": "assistant", "content": said}
    return json.dumps(
        {
            "responses_create_params": {"input": asked, "tools": tools},
            "response": {"output": [message]},
            "reward": reward,
            **more,
        }
    ).encode()


def stored(path: Path, *lines: bytes) -> list[Row]:
    path.write_bytes(b"\n".join(lines) + b"\n")
    rows, offset = [], 0
    for line in lines:
        rows.append((0, offset, line))
        offset += len(line) + 1
    return rows


def side(rows: list[Row]) -> Side:
    ids = [xxhash.xxh3_128_intdigest(line) for _, _, line in rows]
    return Side(
        source=array("I", [source for source, _, _ in rows]),
        offset=array("Q", [offset for _, offset, _ in rows]),
        bytes=array("Q", [len(line) for _, _, line in rows]),
        id_hi=array("Q", [id >> 64 for id in ids]),
        id_lo=array("Q", [id & 2**64 - 1 for id in ids]),
    )


def single(path: Path, *lines: bytes, **job: Any) -> Encoded:
    rows = stored(path, *lines)
    return written(path, (side(rows),), {"format": "trl", "purpose": "sft"} | job)


def pair(path: Path, chosen: bytes, rejected: bytes, **job: Any) -> Encoded:
    rows = stored(path, chosen, rejected)
    sides = (side(rows[:1]), side(rows[1:]))
    return written(path, sides, {"format": "trl", "purpose": "dpo"} | job)


def written(path: Path, sides: tuple[Side, ...], job: dict[str, Any]) -> Encoded:
    target = str(path.with_name("written.jsonl"))
    return encode(WriteJob(target=target, sources={0: str(path)}, sides=sides, **job))


def test_a_slice_of_many_files_has_few_of_them_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {number: str(tmp_path / f"{number}.jsonl") for number in range(9)}
    rows = [
        (number, *row[1:])
        for number, file in files.items()
        for row in stored(Path(file), rollout(f"a{number}"), rollout(f"b{number}"))
    ]
    rows = rows[::2] + rows[1::2]
    opened: set[int] = set()
    own, close = os.open, os.close

    def opening(path: Any, flags: int, *more: Any, **named: Any) -> int:
        descriptor = own(path, flags, *more, **named)
        opened.add(descriptor)
        assert len(opened) <= 3
        return descriptor

    def closing(descriptor: int) -> None:
        opened.discard(descriptor)
        close(descriptor)

    monkeypatch.setattr("gymrecipe.formats.sources.MOST_OPEN", 3)
    monkeypatch.setattr("gymrecipe.formats.sources.os.open", opening)
    monkeypatch.setattr("gymrecipe.formats.sources.os.close", closing)
    target = str(tmp_path / "written.jsonl")
    encode(WriteJob(target=target, sources=files, sides=(side(rows),), format="trl", purpose="sft"))
    assert not opened
    texts = [line.split('"')[-2] for line in Path(target).read_text().splitlines()]
    assert texts == [f"{letter}{number}" for letter in "ab" for number in files]


def job_of(path: Path, rows: list[Row], **job: Any) -> WriteJob:
    target = str(path.with_name("written.jsonl"))
    known = {"target": target, "format": "trl", "purpose": "sft"} | job
    return WriteJob(sources={0: str(path)}, sides=(side(rows),), **known)


def data(found: Encoded) -> bytes:
    return Path(found.target).read_bytes()


def records(found: Encoded) -> list[Any]:
    return [json.loads(line) for line in data(found).splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rollouts.jsonl"


def test_rows_come_in_order_with_their_lengths(path: Path) -> None:
    found = single(path, rollout("4"), rollout("5"))
    answers = [record["messages"][-1]["content"] for record in records(found)]
    assert answers == ["4", "5"]
    assert [len(line) + 1 for line in data(found).splitlines()] == list(found.lengths)


def test_an_unusable_row_has_length_0_and_a_reason(path: Path) -> None:
    found = single(path, rollout("4"), rollout(" "), rollout("5"))
    assert found.reasons == {1: Fault("no_answer", 0)}
    assert found.lengths[1] == 0
    assert len(records(found)) == 2


def test_a_line_that_is_not_good_all_through_is_unusable(path: Path) -> None:
    broken = rollout("4", unread="X").replace(b'"X"', b'"\\ud800"')
    for name in ("trl", "raw"):
        assert single(path, broken, format=name).reasons == {0: Fault("surrogate", 0)}


def test_a_pair_names_the_side_that_is_unusable(path: Path) -> None:
    assert pair(path, rollout("4"), rollout("")).reasons == {0: Fault("no_answer", 1)}
    assert pair(path, rollout(""), rollout("")).reasons == {0: Fault("no_answer", 0)}


def test_a_pair_names_the_side_that_its_format_refuses(path: Path, tmp_path: Path) -> None:
    said = "messages | map(attribute='content')"
    (tmp_path / "chat.jinja").write_text(
        "{% if '5' in " + said + " or '6' in " + said + " %}{{ raise_exception('odd') }}{% endif %}"
        "{{ " + said + " | join(' ') }}{{ ' ' if add_generation_prompt }}"
    )
    template = read_template(None, str(tmp_path / "chat.jinja"), {})

    def fault(chosen: str, rejected: str) -> Fault:
        return pair(
            path, rollout(chosen), rollout(rejected), format="rendered", template=template
        ).reasons[0]

    assert fault("4", "5") == Fault("template_refused", 1, "odd")
    assert fault("5", "4") == fault("5", "6") == Fault("template_refused", 0, "odd")


def test_a_fault_of_the_pair_itself_is_of_side_0(path: Path) -> None:
    same = pair(path, rollout("4"), rollout("4", reward=0.0))
    assert same.reasons == {0: Fault("identical_answers", 0)}
    other = pair(path, rollout("4"), rollout("5", asked="3+3?"))
    assert other.reasons == {0: Fault("prompts_differ", 0)}


def test_across_prompts_each_side_is_a_whole_conversation(path: Path) -> None:
    lines = rollout("4"), rollout("6", asked="3+3?")
    columns = {"good": "chosen", "bad": "rejected"}
    found = pair(path, *lines, format="custom", across_prompts=True, columns=columns)
    (record,) = records(found)
    assert [message["content"] for message in record["good"]] == ["2+2?", "4"]
    assert [message["content"] for message in record["bad"]] == ["3+3?", "6"]


def test_a_line_that_changed_is_an_error_that_names_it(path: Path) -> None:
    rows = stored(path, rollout("4"), rollout("5"))
    job = job_of(path, rows)
    path.write_bytes(path.read_bytes().replace(b'"5"', b'"6"'))
    with pytest.raises(ChangedError, match=f"rollouts.jsonl: the line at byte {rows[1][1]} "):
        encode(job)
    path.write_bytes(b"")
    with pytest.raises(ChangedError):
        encode(job)
    path.unlink()
    with pytest.raises(ChangedError, match="gone"):
        encode(job)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_files_are_closed_also_after_an_error(path: Path) -> None:
    rows = stored(path, rollout("4"))
    job = job_of(path, rows)
    before = len(os.listdir("/proc/self/fd"))
    encode(job)
    path.write_bytes(b"")
    with pytest.raises(ChangedError):
        encode(job)
    assert len(os.listdir("/proc/self/fd")) == before


def test_columns_are_table_values_or_paths_into_the_line(path: Path) -> None:
    columns = {"score": "reward", "n": "info.n", "gone": "missing"}
    line = rollout("4", info={"n": 1}).replace(b'"n": 1', b'"n": 1.50')
    found = single(path, line, columns=columns, values={"reward": [0.25]})
    assert data(found).endswith(b',"score":0.25,"n":1.50,"gone":null}\n')


def test_paths_of_a_pair_name_their_side(path: Path) -> None:
    lines = rollout("4", n=1), rollout("5", n=2)
    columns = {"n_chosen": "chosen.n", "n_rejected": "rejected.n", "reward_gap": "gap"}
    (record,) = records(pair(path, *lines, columns=columns, values={"gap": [0.5]}))
    assert list(record)[3:] == ["n_chosen", "n_rejected", "reward_gap"]
    assert (record["n_chosen"], record["n_rejected"], record["reward_gap"]) == (1, 2, 0.5)


def test_a_path_of_a_pair_without_a_side_is_an_error_of_the_recipe(path: Path) -> None:
    with pytest.raises(RecipeError, match=r"write chosen\.n or rejected\.n"):
        pair(path, rollout("4"), rollout("5"), columns={"n": "n"})


def test_custom_makes_columns_of_parts_of_the_conversation(path: Path) -> None:
    columns = {"question": "user", "answer": "answer", "score": "reward", "topic": "topic"}
    found = single(
        path, rollout("4", topic="sums"), format="custom", columns=columns, values={"reward": [1.0]}
    )
    expected = {"question": "2+2?", "answer": "4", "score": 1.0, "topic": "sums"}
    assert records(found) == [expected]


def test_only_custom_takes_the_name_of_a_part_for_the_part(path: Path) -> None:
    (record,) = records(single(path, rollout("4", answer="B"), columns={"answer": "answer"}))
    assert record["answer"] == "B"


def test_custom_needs_no_conversation_unless_a_column_does(path: Path) -> None:
    line = json.dumps({"reward": 1.0, "topic": "sums"}).encode()
    found = single(path, line, format="custom", columns={"topic": "topic"})
    assert records(found) == [{"topic": "sums"}]


def test_raw_copies_lines_that_are_no_conversation(path: Path) -> None:
    line = b'{"reward":  1.50}'
    assert data(single(path, line, format="raw")) == line + b"\n"


PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}


def task_with_a_picture() -> bytes:
    asked: Any = [{"role": "user", "content": [PICTURE]}]
    return rollout("a cat", asked, agent_ref={"name": "a"})


def test_a_format_that_copies_the_request_keeps_its_pictures(path: Path) -> None:
    (record,) = records(single(path, task_with_a_picture(), format="nemo_rl", purpose="rl"))
    request = json.loads(task_with_a_picture())["responses_create_params"]
    assert record["responses_create_params"] == request


def test_a_prompt_that_is_made_of_messages_can_have_no_picture(path: Path) -> None:
    found = single(path, task_with_a_picture(), format="trl", purpose="rl")
    assert found.reasons == {0: Fault("not_text", 0, "a part of the type 'input_image'")}


def test_tools_are_written_where_the_dataset_has_tools(path: Path) -> None:
    with_tools, without = rollout("4", tools=[TOOL]), rollout("4")
    first, second = records(single(path, with_tools, without, has_tools=True))
    assert json.loads(first["tools"]) == [
        {"type": "function", "function": {"name": "f", "parameters": {}}}
    ]
    assert second["tools"] is None


def test_plugins_bring_formats(path: Path, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "plugin_of_test_encode.py").write_text(
        "from gymrecipe.registry import format\n"
        "@format(purposes=('sft',), version=1)\n"
        "def shout(example):\n"
        "    return {'text': example.completion[-1].content.upper()}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = single(path, rollout("four"), format="shout", plugins=("plugin_of_test_encode",))
    del FORMATS["shout"], PLUGINS[:]
    assert records(found) == [{"text": "FOUR"}]


def test_jobs_results_and_errors_survive_pickling(path: Path) -> None:
    rows = stored(path, rollout("4"))
    job = pickle.loads(pickle.dumps(job_of(path, rows)))
    assert pickle.loads(pickle.dumps(encode(job))) == encode(job)
    error = pickle.loads(pickle.dumps(RecipeError("a", "b")))
    assert (error.problems, str(error)) == (("a", "b"), "a\nb")
    assert str(pickle.loads(pickle.dumps(ChangedError("a: changed")))) == "a: changed"


def test_every_real_line_is_written_or_has_a_reason(real: Path, tmp_path: Path) -> None:
    for source in sorted(real.glob("*.jsonl")):
        rows, offset = [], 0
        for line in source.read_bytes().split(b"\n"):
            if line:
                rows.append((0, offset, line))
            offset += len(line) + 1
        for name in ("trl", "messages", "raw"):
            found = encode(job_of(source, rows, target=str(tmp_path / "written"), format=name))
            assert data(found).count(b"\n") + len(found.reasons) == len(rows)
            assert name != "raw" or not found.reasons


def test_rows_that_are_taken_together_give_what_each_gives_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = rollout("x").replace(b'"x"', b"[" * 2000 + b"]" * 2000)
    asked = [rollout("a"), rollout(""), rollout("b", tools=[TOOL]), deep, rollout("c", note=1)]
    lines = [line for _ in range(3) for line in asked]
    together = single(tmp_path / "a.jsonl", *lines, has_tools=True)
    text = Path(together.target).read_bytes()
    monkeypatch.setattr(batches, "BATCH_ROWS", 1)
    assert single(tmp_path / "a.jsonl", *lines, has_tools=True) == together
    assert Path(together.target).read_bytes() == text
    assert sorted(together.reasons) == list(together.reasons) == [1, 3, 6, 8, 11, 13]
