"""The data files: splits, shards, formats, columns, and the same bytes from compressed inputs."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from gymrecipe.errors import RecipeError
from gymrecipe.rollouts.files import sample_path, zstd
from tests.experiments.conftest import graded, records, rollout, run, save
from tests.full import often


def data(version: Any) -> dict[str, bytes]:
    return {
        str(path.relative_to(version.path)): path.read_bytes()
        for path in sorted((version.path / "data").rglob("*.jsonl"))
    }


@pytest.mark.parametrize(
    ("recipe", "order", "pack"),
    [
        ("dpo_same_prompt", "source", gzip.compress),
        ("dpo_same_prompt", "shuffled", zstd.compress),
        ("sft_threshold", "shuffled", gzip.compress),
        ("sft_threshold", "source", zstd.compress),
        ("sft_and_dpo", "shuffled", zstd.compress),
        ("sft_and_dpo", "source", gzip.compress),
    ][:: often(2, 1)],
)
def test_compressed_inputs_give_the_same_bytes_as_plain_ones(
    recipe: str, order: str, pack: Any, tmp_path: Path
) -> None:
    lines = sample_path().read_bytes().splitlines(keepends=True)
    halves = [b"".join(lines[:90]), b"".join(lines[90:])]
    for folder, make in (("plain", bytes), ("packed", pack)):
        (tmp_path / folder).mkdir()
        for number, half in enumerate(halves):
            # Of the packed ones, one is left plain.
            content = make(half) if number else half
            (tmp_path / folder / f"{number}.jsonl").write_bytes(content)
    knobs: dict[str, Any] = {"order": order, "validation_fraction": 0.3, "shard_rows": 20}
    one, other = (
        run(tmp_path / name, recipe, input=[str(tmp_path / name / f"{n}.jsonl") for n in (0, 1)],
            **knobs)
        for name in ("plain", "packed")
    )  # fmt: skip
    assert data(one) == data(other)
    assert len(data(one)) > 2
    assert other.path is not None
    assert not list(other.path.rglob(".*"))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_column_says_where_a_line_lies_in_the_uncompressed_file(
    pack: Any, tmp_path: Path
) -> None:
    lines = save(tmp_path / "a.jsonl", graded(2, 2)).read_bytes().splitlines(keepends=True)
    (tmp_path / "a.jsonl").write_bytes(pack(b"".join(lines)))
    columns = {"chosen_offset": "chosen", "rejected_offset": "rejected"}
    knobs: dict[str, Any] = {"format": "custom", "stages.write.columns": columns}
    written = records(run(tmp_path, input=str(tmp_path / "a.jsonl"), **knobs))
    starts = {sum(map(len, lines[:number])) for number in range(4)}
    assert {place for row in written for place in row.values()} == starts


@pytest.mark.parametrize(
    ("order", "pack"),
    [
        ("source", gzip.compress),
        ("shuffled", zstd.compress),
        ("source", zstd.compress),
        ("shuffled", gzip.compress),
    ][: often(2, 4)],
)
def test_a_limit_cuts_compressed_inputs_where_it_cuts_plain_ones(
    order: str, pack: Any, tmp_path: Path
) -> None:
    content = sample_path().read_bytes()
    (tmp_path / "plain.jsonl").write_bytes(content)
    (tmp_path / "packed.jsonl").write_bytes(pack(content))
    one, other = (
        run(tmp_path / name, input=str(tmp_path / f"{name}.jsonl"), limit=90, order=order)
        for name in ("plain", "packed")
    )
    assert data(one) == data(other)
    assert other.manifest.lines.read == 90
    assert other.path is not None
    assert not list(other.path.rglob(".*"))


def prompts(rows: list[dict[str, Any]]) -> set[str]:
    return {json.dumps(row.get("prompt") or row["messages"][0]) for row in rows}


def test_no_prompt_is_in_both_splits_in_any_branch_or_recipe(tmp_path: Path) -> None:
    source = str(save(tmp_path / "a.jsonl", graded(60, 4)))
    held: set[str] = set()
    for recipe in ("sft_threshold", "dpo_same_prompt", "dpo_top_two"):
        version = run(tmp_path, recipe, input=source, validation_fraction=0.3, format="messages")
        train, validation = (
            {row["messages"][0]["content"] if "messages" in row else row["prompt"][0]["content"]
             for row in records(version, name)}
            for name in ("train", "validation")
        )  # fmt: skip
        assert train
        assert validation
        assert not train & validation
        assert not held or held == validation
        held = validation


def test_a_larger_share_holds_out_more_and_never_others(tmp_path: Path) -> None:
    source = str(save(tmp_path / "a.jsonl", graded(60, 2)))
    before: set[str] = set()
    for share in (0.1, 0.3, 0.6, 0.9):
        version = run(tmp_path, "sft_threshold", input=source, validation_fraction=share)
        now = prompts(records(version, "validation"))
        assert before < now
        assert abs(len(now) - share * 60) < 15
        before = now


def test_another_seed_holds_out_others(tmp_path: Path) -> None:
    source = str(save(tmp_path / "a.jsonl", graded(60, 2)))
    splits = [
        prompts(records(run(tmp_path, "sft_threshold", input=source, validation_fraction=0.5,
                            seed=seed), "validation"))
        for seed in (0, 1)
    ]  # fmt: skip
    assert splits[0] != splits[1]


def test_source_order_stands_where_the_chosen_line_stands_and_shuffled_does_not(
    tmp_path: Path,
) -> None:
    rows = graded(20, 2)
    random.Random(1).shuffle(rows)
    source = str(save(tmp_path / "a.jsonl", rows))
    place = {row["response"]: at for at, row in enumerate(rows)}
    versions = [run(tmp_path, input=source, order=order) for order in ("source", "shuffled")]
    stands = [
        [place[row["chosen"][0]["content"]] for row in records(version)] for version in versions
    ]
    assert stands[0] == sorted(stands[0])
    assert stands[1] != sorted(stands[1])
    assert sorted(stands[1]) == stands[0]


def test_shuffled_rows_do_not_depend_on_how_the_lines_stand(tmp_path: Path) -> None:
    rows = graded(20, 4)
    one = run(tmp_path / "a", input=str(save(tmp_path / "a.jsonl", rows)), order="shuffled")
    random.Random(3).shuffle(rows)
    other = run(tmp_path / "b", input=str(save(tmp_path / "b.jsonl", rows)), order="shuffled")
    assert data(one) == data(other)


@pytest.mark.parametrize("recipe", ["dpo_same_prompt", "sft_threshold"])
def test_parquet_holds_what_jsonl_does(recipe: str, tmp_path: Path) -> None:
    one = run(tmp_path, recipe, format="messages", order="strict")
    other = run(tmp_path, recipe, format="messages", file="parquet")
    assert other.path is not None
    table = pl.read_parquet(other.path / "data/train.parquet").to_dicts()
    rows = records(one)
    assert len(table) == len(rows)
    for row, shown in zip(rows, table, strict=True):
        assert row.keys() == shown.keys()
        for name, value in row.items():
            if name in ("messages", "prompt", "chosen", "rejected"):
                assert [_talk(turn) for turn in shown[name]] == [_talk(turn) for turn in value]
            elif isinstance(value, dict | list):
                assert json.loads(shown[name]) == value
            else:
                assert shown[name] == value


@pytest.mark.parametrize("wide", ["train", "validation"])
def test_both_splits_in_parquet_have_the_types_that_hold_all_rows(
    wide: str, tmp_path: Path
) -> None:
    knobs = {"validation_fraction": 0.5, "stages.write.columns": ["score", "note"]}
    rows = [rollout(f"{n}", f"{n}", score=1, note="a") for n in range(20)]
    plain = run(tmp_path, "sft_threshold", input=str(save(tmp_path / "a.jsonl", rows)), **knobs)
    there = {row["messages"][0]["content"] for row in records(plain, wide)}
    for row in rows:
        if row["response"] in there:
            row |= {"score": 1.5, "note": 1}
    source = str(save(tmp_path / "b.jsonl", rows))
    version = run(tmp_path, "sft_threshold", input=source, file="parquet", **knobs)
    assert version.path is not None
    for split in ("train", "validation"):
        table = pl.read_parquet(version.path / "data" / f"{split}.parquet")
        score, note = (1.5, "1") if split == wide else (1.0, '"a"')
        assert set(table["score"]) == {score}
        assert set(table["note"]) == {note}


def scored(scores: list[Any], tmp_path: Path, **knobs: Any) -> tuple[Any, list[str], list[str]]:
    """A version of rollouts with these scores beside the messages, and its lines by split."""
    rows = [rollout(f"{n}", f"{n}", score=score) for n, score in enumerate(scores)]
    source = str(save(tmp_path / "a.jsonl", rows))
    knobs = {"stages.write.columns": ["score"], "validation_fraction": 0.5} | knobs
    version = run(tmp_path, "sft_threshold", input=source, **knobs)
    assert version.path is not None
    lines: dict[str, list[str]] = {"train": [], "validation": []}
    for path in sorted((version.path / "data").iterdir()):
        lines[path.name[: -len(path.suffix)].partition("-")[0]] += path.read_text().splitlines()
    return version, lines["train"], lines["validation"]


@pytest.mark.parametrize("wide", ["train", "validation", "both"])
@pytest.mark.parametrize("shard_rows", [None, 3])
def test_a_column_of_numbers_has_one_type_in_both_splits_and_all_shards(
    wide: str, shard_rows: int | None, tmp_path: Path
) -> None:
    knobs: dict[str, Any] = {"shard_rows": shard_rows}
    _, train, validation = scored([3] * 20, tmp_path, **knobs)
    assert all('"score":3}' in line for line in train + validation)
    of_train = {json.loads(line)["messages"][0]["content"] for line in train}
    scores: list[Any] = [
        0.5 if wide == "both" or (str(n) in of_train) == (wide == "train") else 3 for n in range(20)
    ]
    scores[:2] = [None, None]
    scores[2:4] = [3, 3]
    version, train, validation = scored(scores, tmp_path, **knobs)
    found = {}
    for line in train + validation:
        row = json.loads(line)
        assert row["score"] is None or type(row["score"]) is float
        found[int(row["messages"][0]["content"])] = row["score"]
    assert [found[n] for n in range(20)] == scores
    assert not any("2^53" in said for said in version.manifest.warnings)


def test_the_example_of_a_dry_run_has_the_types_of_the_file(tmp_path: Path) -> None:
    rows = [rollout(f"{n}", "4", reward=1, score=score) for n, score in enumerate([3, 0.5])]
    source = str(save(tmp_path / "a.jsonl", rows))
    knobs = {"stages.write.columns": ["score"], "dry_run": True}
    version = run(tmp_path, "sft_threshold", input=source, **knobs)
    assert version.examples["write"].endswith('"score":3.0}')


def test_integers_beyond_those_of_floats_keep_their_digits_and_are_a_red_flag(
    tmp_path: Path,
) -> None:
    version, train, validation = scored([2**53 + 1, 3] + [0.5] * 18, tmp_path)
    assert any("'score' has fractions, and integers" in said for said in version.manifest.warnings)
    text = "".join(train + validation)
    assert f'"score":{2**53 + 1}}}' in text
    assert '"score":3}' in text


def test_where_all_rows_are_held_out_no_column_is_of_another_type(tmp_path: Path) -> None:
    version, train, _ = scored([3] * 5, tmp_path, validation_fraction=0.9999)
    assert not train
    assert not any("other keys or types" in said for said in version.manifest.warnings)


def test_a_validation_split_with_other_types_is_a_red_flag(tmp_path: Path) -> None:
    _, train, _ = scored([3] * 20, tmp_path)
    of_train = {json.loads(line)["messages"][0]["content"] for line in train}
    scores = [3 if str(n) in of_train else "three" for n in range(20)]
    version, *_ = scored(scores, tmp_path)
    said = "write: 'score' has other keys or types in the validation rows than in those of train"
    assert any(warning.startswith(said) for warning in version.manifest.warnings)


def _talk(turn: dict[str, Any]) -> dict[str, Any]:
    """A message without what is null, its call arguments as objects."""
    turn = {name: value for name, value in turn.items() if value is not None}
    for call in turn.get("tool_calls", ()):
        arguments = call["function"]["arguments"]
        call["function"]["arguments"] = (
            json.loads(arguments) if isinstance(arguments, str) else arguments
        )
    return turn


def test_raw_writes_the_source_lines_byte_for_byte(tmp_path: Path) -> None:
    rows = [
        b'{ "messages":[{"role":"user","content":"p"}] ,"response":"\\u00e9 \xc3\xa9", "reward":1}',
        b'{"reward":1e0,"response":"b","messages":[{"role":"user","content":"q"}]}',
    ]
    source = save(tmp_path / "a.jsonl", rows)
    version = run(tmp_path, "sft_threshold", input=str(source), format="raw")
    assert data(version)["data/train.jsonl"] == source.read_bytes()


def test_standard_columns_are_renamed_left_out_and_added(tmp_path: Path) -> None:
    rows = [
        row | {"metadata": {"level": number, "task_type": "maths"}, "judge": number / 2}
        for number, row in enumerate(graded(3, 2))
    ]
    source = str(save(tmp_path / "a.jsonl", rows))
    columns = {"reward_gap": "quality_difference", "reward_chosen": None, "judge": "judge",
               "chosen.metadata.level": "level", "task_key": "task"}  # fmt: skip
    row = records(run(tmp_path, input=source, **{"stages.write.columns": columns}))[0]
    assert set(row) == {"prompt", "chosen", "rejected", "tools", "reward_rejected",
                        "quality_difference", "level", "judge", "task"} - (
        set() if "tools" in row else {"tools"}
    )  # fmt: skip
    assert (row["level"], row["judge"], row["quality_difference"]) == (3, 1.5, 1.0)
    assert len(row["task"]) == 16
    single = records(run(tmp_path, "sft_threshold", input=source,
                         **{"stages.write.columns": {"reward": "quality_score"}}))  # fmt: skip
    assert (single[0]["quality_score"], single[0]["task_type"]) == (1.0, "maths")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"metadata.a": "prompt"}, "'trl' writes 'prompt' itself"),
        ({"metadata.a": "tools"}, "'trl' writes 'tools' itself"),
        ({"metadata.a": "reward_gap"}, "two columns are named 'reward_gap'"),
    ],
)
def test_a_column_hides_neither_messages_nor_another(
    columns: dict[str, str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=said):
        run(tmp_path, **{"stages.write.columns": columns})
    assert not list(tmp_path.glob("experiments/*/*"))


def test_custom_writes_the_columns_that_are_named_and_no_other(tmp_path: Path) -> None:
    source = str(save(tmp_path / "a.jsonl", graded(2, 2)))
    columns = {"user": "question", "answer": "solution", "reward": "score", "response": "raw"}
    knobs: dict[str, Any] = {"format": "custom", "stages.write.columns": columns}
    assert records(run(tmp_path, "sft_threshold", input=source, **knobs))[0] == {
        "question": "prompt 0", "solution": "answer 0 1", "score": 1.0, "raw": "answer 0 1",
    }  # fmt: skip


def test_one_example_of_each_write_is_kept_for_a_dry_run(tmp_path: Path) -> None:
    source = str(save(tmp_path / "a.jsonl", graded(2, 2)))
    version = run(tmp_path, "sft_and_dpo", input=source, dry_run=True)
    assert version.path is None
    assert set(version.examples) == {"sft", "dpo"}
    assert json.loads(version.examples["dpo"])["chosen"][0]["content"] == "answer 0 1"
    assert not (tmp_path / "experiments").exists()


def test_a_line_in_many_pairs_is_written_in_each(tmp_path: Path) -> None:
    source = str(save(tmp_path / "a.jsonl", graded(1, 4)))
    version = run(tmp_path, input=source, strategy="all", min_gap=0.0)
    rows = records(version)
    assert len(rows) == 6
    assert len({(r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in rows}) == 6
    assert version.manifest.lines.used == 4


def test_a_prompt_without_text_is_no_reason_to_hold_it_out_twice(tmp_path: Path) -> None:
    # Equal lines are told apart by occurrence; they share the split of their prompt.
    row = rollout("same", "answer", 1.0)
    source = str(save(tmp_path / "a.jsonl", [row] * 6))
    version = run(tmp_path, "sft_threshold", input=source, validation_fraction=0.5)
    sizes = {len(records(version, name)) for name in ("train", "validation")}
    assert sizes == {0, 6}
