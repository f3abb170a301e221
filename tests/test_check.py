"""What `check` finds in a file, and that it finds no error in what gymrecipe writes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import gymrecipe
from gymrecipe import check
from gymrecipe.check import ROLLOUTS, Checking, formats, model_of
from gymrecipe.checking.faults import faults
from gymrecipe.checking.finding import Finding
from gymrecipe.checking.purpose import forms, guess
from gymrecipe.checking.rows import rows
from gymrecipe.errors import InputError, RecipeError
from gymrecipe.formats.ms_swift import PLACES
from gymrecipe.registry import FORMATS
from gymrecipe.rollouts.files import open_source, sample_path
from tests.full import often

ASK = {"role": "user", "content": "6 * 7?"}
SAY = {"role": "assistant", "content": "42"}
NO = {"role": "assistant", "content": "43"}
SFT = {"messages": [ASK, SAY]}
DPO = {"prompt": [ASK], "chosen": [SAY], "rejected": [NO]}
KTO = {"prompt": [ASK], "completion": [SAY], "label": True}
Records = list[Any]


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Writes rows, each an object or a line as it stands, to a file."""

    def to(*rows: Any, name: str = "rows.jsonl") -> str:
        lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        path = tmp_path / name
        data = b"".join(line + b"\n" for line in lines)
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return str(path)

    return to


def found(path: str, format: str = "trl", purpose: str | None = None) -> list[Finding]:
    return list(check.check(path, format, purpose).findings)


def told(path: str, format: str = "trl", purpose: str | None = None) -> list[tuple[int, str, str]]:
    return [(one.line, one.level, one.what) for one in found(path, format, purpose)]


# What it is for


@pytest.mark.parametrize(
    ("record", "purpose"),
    [
        (SFT, "sft"),
        ({"prompt": [], "completion": []}, "sft"),
        (KTO, "kto"),
        (DPO, "dpo"),
        ({**DPO, "margin": 0.5}, "reward_model"),
        ({"prompt": [], "answer": 5}, "rl"),
        ({"promt": [], "choosen": [], "rejected": []}, "dpo"),
        ({"text": "x"}, "sft"),
        ({"words": "x"}, None),
        ({"promt": []}, None),
        ({}, None),
    ],
)
def test_the_columns_say_what_a_file_is_for(record: dict[str, Any], purpose: str | None) -> None:
    assert guess(record, model_of("trl").LINES) == purpose


def test_json_lines_are_told_where_the_trainer_reads_parquet_and_the_reverse(
    write: Any, tmp_path: Path
) -> None:
    said = "JSON lines, where the trainer reads nothing but parquet"
    assert said in [finding.what for finding in found(write(SFT), "verl", "sft")]
    pl.DataFrame({"messages": [SFT["messages"]]}).write_parquet(tmp_path / "a.parquet")
    said = "parquet, where the trainer reads nothing but JSON lines"
    assert said in [
        finding.what for finding in found(str(tmp_path / "a.parquet"), "nemo_rl", "sft")
    ]


def test_a_reward_beside_messages_does_not_make_them_a_buffer(write: Any) -> None:
    assert check.check(write({**SFT, "reward": 1.0}), "messages").purpose == "sft"
    assert not found(write({**SFT, "reward": 1.0}), "messages", "buffer")


def test_the_purpose_that_is_given_wins(write: Any) -> None:
    checking = check.check(write(DPO), "trl", "rl")
    assert (checking.purpose, checking.is_told) == ("rl", True)
    assert not check.check(write(DPO), "trl").is_told


def test_the_first_row_that_is_an_object_decides(write: Any) -> None:
    assert check.check(write(b"", b"[1]", DPO), "trl").purpose == "dpo"


@pytest.mark.parametrize(
    ("format", "purpose", "said"),
    [
        ("", None, "check: write format=NAME. There are .*messages.*rollouts"),
        ("tlr", None, "no format is named 'tlr'.*Did you mean 'trl'"),
        ("rollout", None, "Did you mean 'rollouts'"),
        ("raw", None, "'raw' has no lines of a form of its own"),
        ("trl", "dop", "'trl' has no form for 'dop'; it has sft, dpo.*Did you mean 'dpo'"),
        ("trl", None, "its columns do not say what it is for, got words. Write purpose=sft"),
        ("rollouts", "dpo", "rollouts have none yet"),
    ],
)
def test_what_cannot_be_checked_is_an_error_that_names_the_nearest(
    format: str, purpose: str | None, said: str, write: Any
) -> None:
    with pytest.raises(RecipeError, match=said):
        check.check(write({"words": "x"}), format, purpose)


def test_a_missing_file_is_an_error_that_names_the_nearest(write: Any) -> None:
    path = write(SFT)
    with pytest.raises(InputError, match=r"no such file. Did you mean '.*rows.jsonl'"):
        check.check(path.replace("rows", "row"), "trl")


# Rows


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_a_file_that_is_right_has_no_findings(name: str, write: Any) -> None:
    checking = check.check(write(DPO, {**DPO, "chosen": [ASK | SAY]}, name=name), "trl")
    assert list(checking.findings)[:-1] == []
    assert checking.rows == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"", "a blank line"),
        (b"\xef\xbb\xbf{}", "a byte order mark"),
        (b"{", "bad_json"),
        (b"NaN", "non_finite"),
        (b'{"a": "\xff"}', "not_utf8"),
        (b'{"a": 1} x', "trailing_data"),
        (b"5", "not_object"),
        (b"[{}]", "a list. Write each of its objects on a line"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b"[" * 5_000, "too_deep"),
    ],
)
def test_a_line_that_is_no_object_is_an_error(line: bytes, said: str, write: Any) -> None:
    first, *rest = found(write(SFT, line, {"messages": [ASK, NO]}))
    assert (first.line, first.level, first.what[: len(said)]) == (2, "error", said)
    assert rest == []


def test_a_tail_that_is_cut_off_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(json.dumps(SFT).encode() + b'\n{"messages": [')
    assert [(one.line, one.what[:14]) for one in found(str(path))] == [(2, "truncated_tail")]


def test_a_line_that_is_too_long_is_not_held(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gymrecipe.rollouts.files.MAX_LINE_BYTES", 100)
    path = write(SFT, {"messages": [ASK, {**SAY, "content": "x" * 200}]})
    ((line, level, what),) = told(path)
    assert (line, level) == (2, "warning")
    assert what.endswith("not looked into")


def test_a_file_without_rows_is_an_error(write: Any) -> None:
    assert told(write()) == [(0, "error", "no rows")]
    assert (0, "error", "no rows") in told(write(b"{"))


def test_a_fault_has_its_line_its_place_and_what_is_there(write: Any) -> None:
    bad = {**DPO, "chosen": [{**SAY, "content": None}]}
    assert told(write(DPO, bad)) == [(2, "error", "chosen.0.content: should be a text, got 'null'")]


def test_of_two_forms_of_a_value_the_one_it_has_is_told(write: Any) -> None:
    tools = [{"type": "function", "name": "add"}]  # a list, or else JSON text
    assert told(write({**SFT, "tools": tools})) == [(1, "error", "tools.0.function: is missing")]
    ((_, _, what),) = told(write({**SFT, "tools": 5}))
    assert what == "tools: should be a list, got '5' or should be a text, got '5'"


def test_a_value_is_cut(write: Any) -> None:
    ((_, _, what),) = told(write({**DPO, "chosen": "x" * 10_000}))
    assert len(what) < 120


def test_a_missing_column_names_the_nearest_one(write: Any) -> None:
    (said, *_) = told(write({"prompt": [ASK], "choosen": [SAY], "rejected": [NO]}))
    assert said == (1, "error", "chosen: is missing. Did you mean 'choosen'?")


def test_faults_that_differ_in_values_only_are_of_one_kind(write: Any) -> None:
    rows = [{**DPO, "chosen": [SAY, {"role": "user", "content": str(i)}]} for i in range(3)]
    assert len({one.kind for one in found(write(*rows))}) == 1
    rows = [{**DPO, "rejected": text} for text in "ab"]
    assert len({one.kind for one in found(write(*rows))}) == 1


def test_labels_have_to_be_booleans(write: Any) -> None:
    path = write({**KTO, "label": "no"})
    assert (1, "error", "label: should be true or false, got '\"no\"'") in told(path, "trl", "kto")


def test_sides_that_say_the_same_are_an_error(write: Any) -> None:
    ((line, level, what),) = told(write({**DPO, "rejected": [SAY]}))
    assert (line, level, what[:30]) == (1, "error", "chosen and rejected say the sa")


def test_one_of_two_forms_is_taken_by_the_first_row(write: Any) -> None:
    path = write({"prompt": [ASK], "completion": [SAY]}, {"prompt": [ASK], "completion": []})
    assert [line for line, *_ in told(path, "trl", "sft")] == [2]


def test_rollouts_are_told_apart_from_training_rows() -> None:
    ((line, level, what),) = told(str(sample_path()))
    assert (line, level) == (1, "error")
    assert "+recipe=NAME" in what


# All rows together


@pytest.mark.parametrize("column", ["margin", "chat_template_kwargs"])
@pytest.mark.parametrize("null", [True, False])
def test_a_column_that_is_all_or_none_is_on_some_rows(column: str, null: bool, write: Any) -> None:
    other = {**DPO, "rejected": [ASK | NO | {"content": "44"}], **({column: None} if null else {})}
    path = write({**DPO, column: 0.5 if column == "margin" else {}}, other)
    assert (2, "error", f"{column}: on 1 of 2 rows, and trainers need it on all or none") in told(
        path, "trl", "dpo"
    )


def test_what_openrlhf_makes_of_a_row_without_a_margin_is_said(write: Any) -> None:
    path = write({**DPO, "margin": 0.5}, {**DPO, "rejected": [ASK, NO], "margin": None})
    said = "margin: on 1 of 2 rows, and OpenRLHF takes 0 for it on the others. Write it on all or"
    assert (2, "error", f"{said} none") in told(path, "openrlhf", "reward_model")


def test_a_column_on_some_rows_is_a_warning_where_it_is_missing(write: Any) -> None:
    other = {"messages": [ASK, NO]}
    for both in [({**SFT, "a": 1}, other), (SFT, {**other, "a": 1})]:
        ((line, level, what),) = told(write(*both))
        assert (line, level, what[:17]) == (2, "warning", "a: on 1 of 2 rows")


def test_rows_that_are_decoded_one_by_one_may_have_columns_of_their_own(write: Any) -> None:
    assert told(write({**SFT, "a": 1}, {"messages": [ASK, NO]}), "nemo_rl") == []


def test_pairs_of_nemo_rl_are_read_with_datasets(write: Any) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": {"x": 2**64}}}
    sides = [[ASK | NO], [{"role": "assistant", "content": "", "tool_calls": [call]}]]
    ranked = [{"rank": rank, "completion": side} for rank, side in enumerate(sides)]
    ((line, level, what),) = told(write({"context": [ASK], "completions": ranked}), "nemo_rl")
    assert (line, level) == (1, "error")
    assert "beyond 64 bits" in what


def test_labels_of_one_class_are_a_warning(write: Any) -> None:
    other = {**KTO, "completion": [NO]}
    ((line, level, what),) = told(write(KTO, other))
    assert (line, level, what[:22]) == (1, "warning", "all labels are 'true':")
    assert told(write(KTO, {**other, "label": False})) == []


def test_rows_that_are_there_twice_are_a_warning(write: Any) -> None:
    path = write(SFT, {"messages": [ASK, NO]}, SFT, SFT)
    assert told(path) == [
        (3, "warning", "the same row as line 1"),
        (4, "warning", "the same row as line 1"),
    ]


def test_what_the_loader_infers_is_told_for_formats_it_loads(write: Any) -> None:
    rows = [{**SFT, "day": "2024-01-01"}, {"messages": [ASK, NO], "day": "2024-01-02"}]
    ((line, level, what),) = told(write(*rows))
    assert (line, level, what[:34]) == (1, "error", "day: texts that are all dates with")
    assert told(write(*rows), "nemo_rl") == []


def test_what_is_read_is_not_held(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    monkeypatch.setattr("gymrecipe.checking.inferred.BATCH_BYTES", 2**16)
    rows = ({"messages": [ASK, {**SAY, "content": f"{i} " + "x" * 1_000}]} for i in range(3_500))
    path = write(*rows)
    checking = check.check(path, "trl")
    next(checking.findings, None)  # what is imported on the way is imported now
    checking = check.check(path, "trl")
    tracemalloc.start()
    assert not list(checking.findings)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * 2**20 < Path(path).stat().st_size


# Parquet


def test_a_parquet_file_is_checked_by_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    right = {"messages": [{**ASK, "name": "ann"}, SAY], "reward": 0.5}
    wrong = {"messages": [SAY, ASK], "reward": 0.5}
    pl.DataFrame([right, wrong]).write_parquet(path)
    assert told(str(path)) == [
        (2, "error", "messages: should end on the assistant, ends on 'user'")
    ]


def test_rows_of_parquet_that_differ_in_infinity_and_nan_are_not_the_same(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    scores = [float("inf"), float("nan"), None, float("nan")]
    pl.DataFrame([SFT | {"score": score} for score in scores], strict=False).write_parquet(path)
    twice = [found for found in told(str(path), "trl", "sft") if "the same row" in found[2]]
    assert twice == [(4, "warning", "the same row as line 2")]


def test_what_is_nested_may_be_json_text_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    tool = {"type": "function", "function": {"name": "add"}}
    rows = [{**SFT, "tools": text} for text in (json.dumps([tool]), json.dumps([{}]), "x")]
    pl.DataFrame(rows).write_parquet(path)
    assert [line for line, level, _ in told(str(path), "messages") if level == "error"] == [2, 3]


def test_a_null_that_parquet_puts_into_a_call_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    calls = [{"type": "function", "function": {"name": "f", "arguments": {key: 1}}} for key in "ab"]
    rows = [
        {"messages": [ASK, {"role": "assistant", "content": "", "tool_calls": [call]}]}
        for call in calls
    ]
    pl.DataFrame(rows).write_parquet(path)
    errors = [(line, what) for line, level, what in told(str(path)) if level == "error"]
    place = "messages.1.tool_calls.0.function.arguments"
    assert [line for line, _ in errors] == [1, 2]
    assert errors[0][1].startswith(f"{place}.b: null, for a struct of parquet has")


def test_a_broken_parquet_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="not a parquet file that can be read"):
        check.check(str(path), "trl")


# Rollouts


def test_the_lines_of_the_sample_that_no_run_uses_are_told() -> None:
    checking = check.check(str(sample_path()), ROLLOUTS)
    findings = list(checking.findings)
    assert [(one.line, one.what.split(":")[0]) for one in findings if one.level == "error"] == [
        (41, "bad_json"),
        (99, "not_a_rollout"),
        (154, "non_finite"),
    ]
    warned = [one.what for one in findings if one.level == "warning"]
    assert sum("rejects it as truncated" in what for what in warned) == 3
    assert sum(what.startswith("no reward") for what in warned) == 1
    assert checking.notes[0] == "203 lines: 200 rollouts, 196 that can be written as messages"
    assert checking.notes[2].startswith("tasks: 50 of 4 rollouts; 43 with")


def rollout(said: str = "42", **changes: Any) -> dict[str, Any]:
    answer = {"type": "message", "role": "assistant", "content": said}
    asked = {"input": [ASK]}
    return {
        "responses_create_params": asked,
        "response": {"output": [answer]},
        "reward": 1,
        **changes,
    }


def test_each_rollout_that_a_stage_leaves_out_has_a_warning(write: Any) -> None:
    path = write(
        rollout(),
        rollout(reward=None),
        rollout(_ng_failure_class="transient", reward=0.0),
        rollout(response={"output": []}),
        b"",
        rollout(),
    )
    assert {(line, what.split(":")[0]) for line, level, what in told(path, ROLLOUTS)} == {
        (2, "no reward"),
        (3, "the run broke"),
        (4, "'write' rejects it as no_answer"),
        (5, "blank"),
        (6, "the same line as one before it. {use"),
    }
    assert {one.level for one in found(path, ROLLOUTS)} == {"warning"}


def test_what_of_a_rollout_is_at_fault_is_told(write: Any) -> None:
    asked = {"input": "2+2?", "metadata": {"audio_path": "a.wav"}}
    (one,) = found(write(rollout(responses_create_params=asked)), ROLLOUTS)
    assert one.what.endswith(". Here: `audio_path` in the request's metadata")


def test_too_many_bad_lines_stop_a_run_and_are_told(write: Any) -> None:
    findings = found(write(rollout(), *[b"x"] * 11), ROLLOUTS)
    assert [one.what for one in findings if not one.line] == [
        "11 of 12 lines are no rollouts, and a run stops at more than 10. Mend the file, or set"
        " max_bad_rows"
    ]


def test_a_file_without_rollouts_is_an_error(write: Any) -> None:
    assert (0, "error", "no rollouts") in told(write({"detail": "busy"}), ROLLOUTS)


def test_a_sidecar_is_told(write: Any) -> None:
    path = write(rollout(), name="a_failures.jsonl")
    assert told(path, ROLLOUTS)[0][1:] == (
        "warning",
        "a sidecar file, which a run refuses unless sidecars=true",
    )


# What gymrecipe writes

STAGES = {
    "sft": "usable: {use: filter, completed: true}",
    "buffer": "usable: {use: filter, completed: true, scored: true}",
    "dpo": "pair: {use: pair, min_gap: 0.3}",
    "reward_model": "pair: {use: pair, min_gap: 0.3}",
    "kto": "labelled: {use: label}",
    "rl": "asked: {use: tasks}",
}
WRITTEN = [(name, purpose) for name in formats() for purpose in FORMATS[name].purposes]
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}"
    "{{ message.tool_calls | tojson if message.tool_calls else '' }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def made(folder: Path, purpose: str, formats: list[str], **knobs: Any) -> list[Path]:
    """The file that each of the formats makes for a purpose, of the sample or another input."""
    (folder / "template.jinja").write_text(TEMPLATE)
    stage, _, _ = STAGES[purpose].partition(":")
    writes = "".join(
        f"  to_{format}: {{use: write, from: {stage}, format: {format}, purpose: {purpose}"
        f"{f', chat_template: {folder}/template.jinja' if format == 'rendered' else ''}}}\n"
        for format in formats
    )
    recipe = folder / "mine.yaml"
    recipe.write_text(f"stages:\n  load: {{use: load}}\n  {STAGES[purpose]}\n{writes}")
    version = gymrecipe.run(recipe, output_dir=str(folder / "out"), **knobs)
    assert version.path is not None
    data = version.path / "data"
    places = [data / f"to_{format}" for format in formats] if formats[1:] else [data]
    return [path for place in places for path in place.glob("train.*[lt]")]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The file that a format and purpose make; those of a purpose are made once and together."""

    @lru_cache
    def make(purpose: str) -> dict[str, Path]:
        names = [name for name, each in WRITTEN if each == purpose]
        if purpose != "reward_model":
            return dict(zip(names, made(folder_of(purpose), purpose, names), strict=True))
        # verl reads bare texts, of which the sample has none.
        folder = folder_of("plain")
        plain = [rollout(reward=reward, said=str(reward)) for reward in (0, 1)]
        path = folder / "plain.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in plain))
        names.remove("verl")
        others = made(folder_of(purpose), purpose, names)
        (verl,) = made(folder, purpose, ["verl"], input=str(path))
        return {**dict(zip(names, others, strict=True)), "verl": verl}

    def folder_of(name: str) -> Path:
        return tmp_path_factory.mktemp(name)

    return lambda format, purpose: make(purpose)[format]


@pytest.mark.parametrize(("format", "purpose"), WRITTEN, ids=["-".join(one) for one in WRITTEN])
def test_what_is_written_of_the_sample_has_no_error(
    format: str, purpose: str, written: Any
) -> None:
    checking: Checking = check.check(str(written(format, purpose)), format, purpose)
    assert [one.what for one in checking.findings if one.level == "error"] == []
    assert checking.rows > 0


@pytest.mark.parametrize(("format", "purpose"), WRITTEN, ids=["-".join(one) for one in WRITTEN])
def test_what_is_written_is_guessed_to_be_for_what_it_is(
    format: str, purpose: str, written: Any
) -> None:
    guessed = check.check(str(written(format, purpose)), format).purpose
    alike = {"buffer": "sft", "reward_model": "dpo"}  # the same rows, read for another purpose
    assert guessed in (purpose, alike.get(purpose), {"llama_factory": "sft"}.get(format))


@pytest.mark.parametrize(
    ("format", "purpose"),
    [
        ("trl", "sft"),
        ("trl", "kto"),
        ("nemo_rl", "rl"),
        ("verl", "rl"),
        ("llama_factory", "sft"),
        ("ms_swift", "sft"),
    ],
)
def test_what_is_written_of_real_rollouts_has_no_error(
    format: str, purpose: str, real: Path, tmp_path: Path
) -> None:
    files = [str(path) for path in sorted(real.glob("*.jsonl"))]
    (path,) = made(tmp_path, purpose, [format], input=files, max_bad_rows="100%")
    checking = check.check(str(path), format, purpose)
    assert [one.what for one in checking.findings if one.level == "error"] == []
    assert checking.rows > 50


def test_each_line_of_real_rollouts_is_used_or_told(real: Path) -> None:
    for path in sorted(real.glob("*.jsonl")):
        checking = check.check(str(path), ROLLOUTS)
        unwritten = {
            one.line
            for one in checking.findings
            if one.line and (one.level == "error" or "'write' rejects" in one.what)
        }
        lines = len(path.read_bytes().removesuffix(b"\n").split(b"\n"))
        good = lines - len(unwritten)
        assert not checking.notes or f" {good:,} that can be written" in checking.notes[0]
        assert checking.notes or good == 0


@pytest.mark.parametrize(("format", "purpose"), WRITTEN, ids=["-".join(one) for one in WRITTEN])
def test_no_value_in_any_place_stops_the_check(format: str, purpose: str, written: Any) -> None:
    module = model_of(format)
    source = open_source(str(written(format, purpose)), 0)
    first = next(row.record for row in rows(source, lambda count: None) if row.record)
    for record in islice(spoiled(first), 0, None, often(3, 1)):
        if not isinstance(record, dict):
            continue  # no row
        for form in forms(module.LINES[purpose]):
            if not list(faults(record, form)):
                list(module.traps(record, purpose))


def spoiled(value: Any) -> Iterator[Any]:
    """The value with one place in it taken out, or another thing there."""
    yield from (None, True, 5, "x", "", [], {}, [{}], {"role": "user"}, "[{}]", '{"a": 1}')
    if isinstance(value, dict):
        for key in value:
            yield {k: v for k, v in value.items() if k != key}
            yield from ({**value, key: part} for part in spoiled(value[key]))
    elif isinstance(value, list):
        for i in range(min(len(value), 4)):
            yield value[:i] + value[i + 1 :]
            yield from ([*value[:i], part, *value[i + 1 :]] for part in spoiled(value[i]))


@pytest.mark.parametrize("place", PLACES)
def test_a_place_that_ms_swift_fills_is_told(place: str, tmp_path: Path) -> None:
    said = [{"role": "user", "content": f"what is {place}?"}, {"role": "assistant", "content": "x"}]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": said}) + "\n")
    found = check.check(str(tmp_path / "a.jsonl"), "ms_swift", "sft")
    assert [one.what for one in found.findings] == [f"messages.0: '{place}' is replaced"]


def test_a_call_that_ms_swift_takes_for_react_is_told(tmp_path: Path) -> None:
    call = json.dumps({"name": "f", "arguments": {"x": "Action: a", "y": "Action Input: b"}})
    roles = {"user": "hi", "tool_call": call, "tool_response": "x", "assistant": "done"}
    said = [{"role": role, "content": content} for role, content in roles.items()]
    tools = json.dumps([{"type": "function", "function": {"name": "f"}}])
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": said, "tools": tools}) + "\n")
    (found,) = check.check(str(tmp_path / "a.jsonl"), "ms_swift", "sft").findings
    assert found.what == (
        "messages.1: Action: and Action Input: in a call are taken for one in ReAct form"
    )
