import io
import re
import unicodedata
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET
from rich.console import Console

import gymrecipe
from gymrecipe.experiments.diff import Change, Difference, Moved, Rows
from gymrecipe.experiments.manifest import Environment, Input, Lines, Manifest, Output, StageRecord
from gymrecipe.report.bars import Bars
from gymrecipe.report.listing import listing
from gymrecipe.report.safe import asked, compact, number, safe, size
from gymrecipe.report.summary import summary
from gymrecipe.report.terminal import SweepRow, difference, example, sweep

HOSTILE = [
    "\x1b]8;;http://evil.test\x1b\\here\x1b]8;;\x1b\\",  # OSC 8: a link
    "\x1b]52;c;cm0gLXJm\x07",  # OSC 52: the clipboard
    "\x1b[2J\x1b[31mred",  # CSI
    "\x9b31mC1 \x9d0;title\x9c",
    "abc\u202etxt.exe\u2066\u200b\ufeff\U000e0041\u2800",
    "[link=http://evil.test]x[/link]",
    "[/x] unbalanced [bold",
    "a\r\nb\tc\x00\x7f\ud800\u2028",
]
STYLE = re.compile(r"\x1b\[[0-9;]*m")
WRITTEN = {
    "rows": 48,
    "train": 40,
    "validation": 8,
    "tasks": 36,
    "gap": {
        "n": 48, "missing": 0, "distinct": 9, "mean": 0.78333333, "std": 0.2355, "p0": 0.32,
        "p10": 0.48, "p25": 0.5, "p50": 0.78, "p75": 1.0, "p90": 1.0, "p100": 1.0,
    },
    "category": {"code": 15, "math": 33},
}  # fmt: skip


def stage(name: str, use: str, takes: str, makes: str, source: str = "", **fields: Any) -> Any:
    known: dict[str, Any] = {
        "version": 1,
        "parameters": {"use": use},
        "rows_in": 0,
        "rows_out": 0,
        "rejected": {},
        "facts": {},
        "changed": [*fields.get("parameters", {})],
    }
    return StageRecord(
        name=name, use=use, takes=takes, makes=makes, source=source, **known | fields
    )


def made(**fields: Any) -> Manifest:
    """The manifest of a small run with a pair."""
    stages = [
        stage(
            "load", "load", "", "rollouts",
            rows_in=1203, rows_out=1200, rejected={"bad_json": 2, "not_a_rollout": 1},
            facts={"grouping": [{"unclear": 0, "prompts_of_several_tasks": 0}]},
        ),
        stage(
            "usable", "filter", "rollouts", "rollouts", "load",
            parameters={"use": "filter", "completed": True, "min_reward": "p90", "where": None},
            rows_in=1200, rows_out=196, rejected={"masked": 1, "truncated": 1003},
            facts={"resolved": [{"parameter": "min_reward", "asked": "p90", "resolved": 0.95}]},
        ),
        stage(
            "pair", "pair", "rollouts", "pairs", "usable",
            parameters={"use": "pair", "strategy": "mirrored", "by": "reward", "min_gap": 0.3},
            rows_in=196, rows_out=48, rejected={"all_equal": 28, "not_selected": 43},
            facts={
                "tasks": [
                    {"fate": "all_equal", "tasks": 7, "rollouts": 28},
                    {"fate": "paired", "tasks": 36, "rollouts": 96},
                ],
                "rates": [
                    {"tasks_with_two": 50, "tasks_with_pair": 36, "pairs": 48, "pair_rate": 0.72,
                     "pairs_per_task": 1.3333333333333333}
                ],
            },
        ),
        stage(
            "check", "validate", "pairs", "pairs", "pair", rows_in=48, rows_out=48,
            facts={
                "checks": [
                    {"check": "mean_gap", "figure": 0.78333333, "min": 0.2, "max": None,
                     "level": "warn", "ok": True},
                    {"check": "rows", "figure": 48.0, "min": 100.0, "max": None,
                     "level": "stop", "ok": False},
                    {"check": "pair_rate", "figure": 0.72, "min": 0.2, "max": 0.6,
                     "level": "warn", "ok": False},
                ]
            },
        ),
        stage(
            "write", "write", "pairs", "nothing", "check",
            parameters={"use": "write", "format": "trl", "order": "source"}, changed=["format"],
            rows_in=48, rows_out=48,
        ),
    ]  # fmt: skip
    known: dict[str, Any] = {
        "schema": 1,
        "name": "dpo_same_prompt",
        "version": "v0002",
        "id": "0123abcd",
        "parameters": {"min_gap": 0.3},
        "stages": stages,
        "lines": Lines(1203, 96, 1107),
        "inputs": [Input("/home/me/rollouts.jsonl", 0, 434_000, 1203, "ee")],
        "outputs": [Output("data/train.jsonl", 40, 30, "aa")],
        "statistics": {
            "write": WRITTEN,
            "metrics": {"accuracy": {"n": 176, "mean": 0.69602, "min": 0.0, "max": 1.0}},
        },
        "warnings": ["check: pair_rate is 0.72, should be at most 0.6."],
        "environment": Environment(),
    }
    return Manifest(**known | fields)


def with_stage(manifest: Manifest, name: str, **fields: Any) -> Manifest:
    stages = [
        msgspec.structs.replace(stage, **fields) if stage.name == name else stage
        for stage in manifest.stages
    ]
    return msgspec.structs.replace(manifest, stages=stages)


def hostile(text: str) -> Manifest:
    """A manifest that has the text wherever a text of the user's or the data's can stand."""
    spread = dict(WRITTEN["gap"])
    return made(
        name=text,
        version=text,
        stages=[
            stage(
                text, use, "rollouts", text, text,
                parameters={"use": use, text: text, "where": [text, {text: text}]},
                rejected={text: 3, "not_selected": 1},
                facts={
                    "tasks": [{"fate": text, "tasks": text, "rollouts": text}],
                    "rates": [{"pair_rate": text, "tasks_with_pair": text, "pairs_per_task": text}],
                    "checks": [{"check": text, "figure": text, "min": text, "max": text}],
                    "metrics": [{"metric": text, "count": text}],
                    "resolved": [{"parameter": text, "resolved": text}],
                    "causes": [
                        {"reason": text, "cause": text, "rows": text},
                        {"reason": text, "cause": f"{text}.", "rows": 2},
                    ],
                },
            )
            for use in ("load", "filter", "pair", "validate", "write", "a plugin's")
        ],
        inputs=[Input(f"/home/{text}/{text}", 0, 1, 1, text)],
        statistics={
            text: {"rows": text, "train": text, text: spread, "category": {text: 2}},
            "metrics": {text: {"n": text, "mean": text}},
        },
        warnings=[text],
    )  # fmt: skip


def plain(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=False)


def terminal(width: int = 100) -> Console:
    return Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor",
        _environ={"TERM": "xterm-256color"},
    )  # fmt: skip


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class Row(msgspec.Struct):
    the_name: str
    rows: int
    why: list[str]


def draw_everything(text: str, console: Console) -> None:
    summary(hostile(text), console)
    sweep(
        [SweepRow((text,), None, text, 3), SweepRow((text, "x"), hostile(text), None, 0)], console
    )
    moved = [Moved(text, text, 2, [text])]
    changes = [Change(text, text, {text: text})]
    inputs = [Change(text, Input(text, 0, 1, 1, text), UNSET)]
    rows = [Rows(text, 1, 1)]
    difference(Difference(text, text, changes, changes, inputs, moved, moved, rows), console)
    listing([Row(text, 1, [text])], console)
    example(text, text, console)
    example(text, msgspec.json.encode({"content": text.replace("\ud800", "")}).decode(), console)


def harmless(text: str) -> bool:
    return all(
        sign == "\n" or unicodedata.category(sign) not in ("Cc", "Cf", "Cs", "Zl") for sign in text
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_the_data_reaches_a_terminal_unescaped(text: str):
    console = terminal()
    draw_everything(text, console)
    assert harmless(STYLE.sub("", shown(console)))


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_the_data_reaches_a_log_unescaped(text: str):
    console = plain()
    draw_everything(text, console)
    assert harmless(shown(console))


def test_markup_is_shown_and_never_read():
    console = terminal(200)
    draw_everything("[red]x[/red][/y][link=z]:smile:", console)
    said = STYLE.sub("", shown(console))
    assert "! " in said
    assert said.count("[red]x[/red][/y][link=z]:smile:") > 20


def test_a_plain_console_has_no_escape_no_box_and_no_wrapping():
    narrow, wide = plain(20), plain(300)
    summary(made(), narrow)
    summary(made(), wide)
    assert shown(narrow) == shown(wide)
    assert "\x1b" not in shown(narrow)
    assert not re.search("[\u2500-\u259f]", shown(narrow))
    assert all(line == line.rstrip() for line in shown(narrow).split("\n"))


def test_a_terminal_shows_the_same_words_as_a_log():
    log, screen = plain(), terminal(80)
    summary(made(), log)
    summary(made(), screen)
    assert STYLE.sub("", shown(screen)).replace("·", "").split() == (
        shown(log).replace("·", "").split()
    )


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_summary_fits_the_terminal(width: int):
    console = terminal(width)
    summary(made(), console)
    assert max(map(len, STYLE.sub("", shown(console)).split("\n"))) <= width


def test_a_dumb_terminal_is_treated_as_a_log():
    console = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    summary(made(), console)
    assert "\x1b" not in shown(console)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_table_that_is_too_wide_goes_on_below_between_two_columns(width):
    console = terminal(width)
    summary(made(), console)
    lines = STYLE.sub("", shown(console)).split("\n")
    kept = lines[next(n for n, line in enumerate(lines) if line.startswith("Kept")) :]
    table = kept[: kept.index("")]
    assert all(len(line) <= width for line in table)
    assert " ".join(" ".join(table).split()).startswith("Kept n mean std p0 p10 p50 p90 p100 ")


def test_a_console_without_unicode_gets_ascii():
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(file=file)
    summary(made(warnings=["café → 日本"]), console)
    file.flush()
    said = file.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    assert "1,203 lines read - 96 used" in said
    assert "min_reward=p90 -> 0.95" in said
    assert "caf\\xe9 -> \\u65e5\\u672c" in said


def test_a_console_of_one_alphabet_gets_what_it_has():
    file = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    summary(made(warnings=["café → 日本"]), Console(file=file))
    file.flush()
    said = file.buffer.getvalue().decode("latin-1")  # type: ignore[attr-defined]
    assert "café -> \\u65e5\\u672c" in said


def lines_of(manifest: Manifest) -> list[str]:
    console = plain()
    summary(manifest, console)
    return [" ".join(line.split()) for line in shown(console).split("\n")]


def test_the_summary_says_how_many_lines_went_where():
    said = lines_of(made())
    assert said[0] == "dpo_same_prompt v0002 · 1,203 lines read · 96 used · 1,107 rejected"
    assert "usable filter 1,200 196 rollouts 1,003 truncated · 1 masked" in said
    assert "write 48 48 rows" in said


def test_what_was_not_published_is_called_so():
    dry = made(version="", parameters={"dry_run": True})
    assert lines_of(dry)[0].startswith("dpo_same_prompt dry run · ")
    assert lines_of(made(version=""))[0].startswith("dpo_same_prompt not published · ")


def test_the_summary_shows_what_was_asked_for_and_what_it_came_to():
    said = lines_of(made())
    assert "load input=rollouts.jsonl (434.0 kB)" in said
    assert "usable completed=true · min_reward=p90 → 0.95" in said
    assert "pair strategy=mirrored · by=reward · min_gap=0.3" in said
    assert "write format=trl" in said
    assert "gap 48 0.7833 0.2355 0.32 0.48 0.78 1 1" in said


def test_many_inputs_are_counted():
    inputs = [Input(f"runs/{name}.jsonl", 0, 1_000, 1, "ee") for name in "abcde"]
    said = lines_of(made(inputs=inputs))
    names = "a.jsonl (1.0 kB) · b.jsonl (1.0 kB) · c.jsonl (1.0 kB)"
    assert f"load input={names} · and 2 more files, 5.0 kB together" in said


def test_tiers_are_shown_where_they_are_the_default():
    parameters = {"use": "pair", "strategy": "tiers", "high": 0.7, "low": 0.4, "max_gap": None}
    said = lines_of(with_stage(made(), "pair", parameters=parameters))
    assert "pair strategy=tiers · high=0.7 · low=0.4" in said


def test_the_summary_shows_the_result_and_why_tasks_gave_no_pair():
    said = lines_of(made())
    assert "rows 48 · 40 train · 8 validation" in said
    assert "category 33 math · 15 code" in said
    rate = "72% · 36 of 50 tasks with two usable rollouts or more · 1.333 pairs per task"
    assert f"pair rate {rate}" in said
    assert "all_equal 7 28 all rollouts of the task have the same value" in said
    assert "bad_json 2 text that is not JSON" in said
    assert not any(line.startswith("paired") for line in said)


def test_a_reason_of_a_write_stands_with_its_most_frequent_causes():
    causes = [
        {"reason": "template_refused", "cause": f"No {number}.", "rows": 9 - number}
        for number in range(8)
    ]
    rejected = {"template_refused": 44, "no_answer": 2}
    said = lines_of(with_stage(made(), "write", rejected=rejected, facts={"causes": causes}))
    first = said.index("template_refused 44 the chat template raised an error on these messages")
    assert said[first + 1 : first + 8] == [
        "9 · No 0.", "8 · No 1.", "7 · No 2.", "6 · No 3.", "5 · No 4.", "9 · and other causes",
        "no_answer 2 the model's last message has neither text nor a call, or there is none",
    ]  # fmt: skip


def test_rollouts_of_an_unclear_task_are_not_counted_as_one_task():
    facts = {"tasks": [{"fate": "task_unclear", "tasks": 1, "rollouts": 9}]}
    said = lines_of(with_stage(made(), "pair", facts=facts))
    assert any(line.startswith("task_unclear - 9 ") for line in said)


def test_no_rate_is_said_where_there_was_nothing_to_pair():
    facts = {"rates": [{"tasks_with_two": 0, "pair_rate": None, "pairs_per_task": None}]}
    said = lines_of(with_stage(made(), "pair", facts=facts))
    assert "pair rate no task has two usable rollouts" in said


def test_pairs_across_prompts_have_no_pair_rate():
    facts = {"rates": [{"tasks_with_two": 50, "pair_rate": None, "pairs_per_task": 1.0}]}
    said = lines_of(with_stage(made(), "pair", facts=facts, parameters={"across_prompts": True}))
    assert "pair rate none across prompts, where a task needs no second rollout" in said


@pytest.mark.parametrize(
    ("recipe", "shown"),
    [
        ("kto_threshold", "label by=reward · high=0.7 · low=0.4"),
        ("rl_prompts", "tasks success_at=1"),
        ("sft_strict", "strict min_reward=0.8 · require_tool_usage=true · success_at=1 "),
    ],
)
def test_the_thresholds_of_a_recipe_are_shown_where_they_are_defaults(
    recipe: str, shown: str, tmp_path: Path
):
    version = gymrecipe.run(recipe, output_dir=str(tmp_path), dry_run=True)
    assert any(line.startswith(shown) for line in lines_of(version.manifest))


def test_nothing_kept_has_no_quantiles():
    figures = {"rows": 0, "tasks": 0, "gap": dict.fromkeys(WRITTEN["gap"], None) | {"n": 0}}
    said = lines_of(made(statistics={"write": figures}))
    assert not any(line.startswith("Kept") for line in said)


def test_nothing_kept_has_no_categories():
    figures = {"rows": 0, "tasks": 0, "task_type": {}}
    assert not any("task_type" in line for line in lines_of(made(statistics={"write": figures})))


def test_each_check_stands_with_its_limit_and_verdict():
    said = lines_of(made())
    assert "mean_gap 0.7833 at least 0.2 ok" in said
    assert "rows 48 at least 100 stop" in said
    assert "pair_rate 0.72 0.2 to 0.6 warn" in said


def test_a_figure_and_the_limit_that_it_does_not_keep_never_look_alike():
    limits = {"min": 0.3, "max": 0.7, "level": "warn", "ok": False}
    facts = {"checks": [{"check": "mean_success", "figure": 0.29999} | limits]}
    stages = [stage("check", "validate", "tasks", "tasks", facts=facts)]
    assert "mean_success 0.29999 0.3 to 0.7 warn" in lines_of(made(stages=stages))


def test_red_flags_come_last_each_behind_a_mark():
    said = lines_of(made())
    assert said[-3:] == ["Red flags", "! check: pair_rate is 0.72, should be at most 0.6.", ""]
    assert "Red flags" not in lines_of(made(warnings=[]))


def test_the_mean_of_every_metric_stands_with_its_n():
    said = lines_of(made())
    assert "Metrics read n mean min max" in said
    assert "accuracy 176 0.696 0 1" in said


def test_a_recipe_that_aggregates_shows_its_own_table():
    row = {"metric": "reward", "count": 3, "mean": 0.5, "std": None, "min": 0.0, "max": 1.0}
    figures = stage("figures", "aggregate", "rollouts", "metrics", facts={"metrics": [row]})
    said = lines_of(made(stages=[figures]))
    assert "Metrics count mean std min max" in said
    assert "reward 3 0.5 - 0 1" in said


def test_grouping_is_spoken_of_only_where_its_ways_disagree():
    assert "Grouping" not in lines_of(made())
    facts = {"grouping": [{"unclear": 0, "indices_with_several_prompts": 1}]}
    said = lines_of(with_stage(made(), "load", facts=facts))
    assert "1 task index one index, several prompts: each prompt is a task of its own" in said
    assert not any(line.startswith("0 ") for line in said)


def test_lines_that_are_there_again_are_told_with_what_keeps_one():
    said = lines_of(with_stage(made(), "load", facts={"grouping": [{"copies": 2}]}))
    assert "2 rollouts a line that was there before, byte for byte: dedup keeps one of each" in said


def test_lines_with_the_indices_of_an_earlier_one_are_told_with_what_keeps_the_last():
    said = lines_of(with_stage(made(), "load", facts={"grouping": [{"repeated_indices": 2}]}))
    assert (
        "2 rollouts the indices and prompt of an earlier line, other bytes: each counts; dedup"
        " same=_ng_rollout_index keep=last keeps the last"
    ) in said


def test_indices_and_agents_that_some_lines_lack_are_told():
    facts = {"prompts_with_several_indices": 1, "prompts_with_and_without_index": 2}
    said = lines_of(with_stage(made(), "load", facts={"grouping": [facts]}))
    assert (
        "1 prompt one prompt, several task indices or agents: each is a task of its own;"
        " group_by=_ng_task_index joins the agents"
    ) in said
    assert (
        "2 prompts with a task index on some lines alone: those without one are a task of their own"
    ) in said


def test_what_is_made_of_an_index_is_not_said_of_tasks_that_are_told_apart_otherwise():
    facts = {"grouping": [{"prompts_with_several_indices": 1, "incomplete_groups": 1}]}
    given = {"group_by": "consecutive", "num_repeats": 3}
    said = lines_of(with_stage(made(), "load", facts=facts, parameters=given))
    assert "1 prompt one prompt, several task indices or agents" in said
    assert "1 group fewer rollouts than num_repeats: kept as it is" in said


def test_a_branch_says_what_it_takes_from():
    said = lines_of(with_stage(made(), "write", source="usable"))
    assert "write write of usable 48 48 rows" in said


def test_several_writes_have_a_result_each():
    manifest = made()
    sft = stage("sft", "write", "rollouts", "nothing", "usable", rows_out=9)
    said = lines_of(msgspec.structs.replace(manifest, stages=[*manifest.stages, sft]))
    assert {"Result of write", "Result of sft"} <= set(said)
    assert "Kept in write n mean std p0 p10 p50 p90 p100" in said


def test_a_sweep_compares_its_members_and_names_the_failed():
    console = plain()
    rows = [
        SweepRow(("seed=1", "min_gap=0.3"), made(), None, 0),
        SweepRow(("seed=1", "min_gap=7"), made(), "nothing to write:\nmore", 3),
    ]
    sweep(rows, console)
    said = [" ".join(line.split()) for line in shown(console).split("\n")]
    assert said[1] == "Sweep version used rejected rows tasks mean gap"
    assert said[2] == "min_gap=0.3 v0002 96 1,107 48 36 0.7833"
    assert said[3] == "min_gap=7 exit 3 nothing to write:"


def test_a_difference_shows_knobs_counts_and_why_rollouts_went():
    console = plain()
    difference(
        Difference(
            a="dpo/v0001",
            b="dpo/v0002",
            knobs=[Change("min_gap", 0.2, 0.3)],
            counts=[Change("lines.used", 1114, 96), Change("data/x.jsonl", UNSET, 4)],
            inputs=[Change("b.jsonl", UNSET, Input("b.jsonl", 0, 2_000, 7, "abcdef"))],
            gained=[],
            lost=[Moved("pair", "gap_too_small", 8, ["a.jsonl:4"])],
            rows=[Rows("data/sft/train", 0, 9), Rows("data/sft/validation", 1_000, 2)],
        ),
        console,
    )
    said = [" ".join(line.split()) for line in shown(console).split("\n")]
    assert said[0] == "dpo/v0001 → dpo/v0002"
    assert "min_gap 0.2 → 0.3" in said
    assert "lines.used 1,114 96 -1,018" in said
    assert "data/x.jsonl - 4" in said
    assert "b.jsonl + 7 lines · 2.0 kB · abcdef" in said
    assert "pair -8 gap_too_small a.jsonl:4, …" in said
    assert "data/sft/train - -9" in said
    assert "data/sft/validation +1,000 -2" in said


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (UNSET, None, "- → null"),
        (0.3, 0.30000000000000004, "0.3 → 0.30000000000000004"),
        (1, 1.0, "1 → 1.0"),
        ("1", 1, '"1" → 1'),
        (["p" * 90 + "a"], ["p" * 90 + "b"], f'["{"p" * 90}a"] → ["{"p" * 90}b"]'),
        ("p" * 900 + "a", "p" * 900 + "b", f'…{"p" * 200}a" → …{"p" * 200}b"'),
    ],
)
def test_two_knobs_that_differ_are_told_apart(a: object, b: object, said: str):
    console = plain()
    difference(Difference("a", "b", [Change("knob", a, b)], [], [], [], [], []), console)
    assert shown(console).split("knob", 1)[1].strip() == said


def test_no_difference_is_said_in_words():
    console = plain()
    difference(Difference("a", "b", [], [], [], [], [], []), console)
    assert "No difference" in shown(console)


def test_a_listing_aligns_numbers_to_the_right():
    console = plain()
    listing([Row("a", 1_200, []), Row("bb", 7, ["x", "y"])], console)
    assert shown(console) == "the name  rows  why\na         1200\nbb           7  x, y\n"


def test_a_listing_leaves_out_a_column_that_is_empty_and_draws_one_as_it_is_told():
    console = plain()
    listing([Row("a", 1_200, [])], console, rows=lambda count: f"{count:,}")
    assert shown(console) == "the name   rows\na         1,200\n"


def test_an_example_is_indented_and_its_long_texts_are_cut():
    console = plain()
    example("write", '{"prompt": "' + "p" * 5_000 + '", "reward": 1.0}', console)
    assert "Example of write" in shown(console)
    assert '    "reward": 1.0\n' in shown(console)
    assert len(shown(console)) < 1_000


def run_bars(console: Console) -> str:
    with Bars(console) as bars:
        bars.begin("reading", 434_000, "bytes")
        bars.advance(400_000)
        bars.advance(34_000)
        bars.end()
        bars.begin("writing [b]\x1b", 48, "rows")
        bars.advance(48)
        bars.end()
    return shown(console)


def test_off_a_terminal_each_phase_is_one_plain_line():
    assert run_bars(plain()) == "reading: 434.0 kB\nwriting [b]\\x1b: 48 rows\n"


def test_bars_go_away_and_give_the_cursor_back():
    said = run_bars(terminal())
    assert "434.0 kB/434.0 kB" in said
    assert "48/48 rows" in said
    assert "writing [b]\\x1b" in said
    assert said.count("\x1b[?25l") == said.count("\x1b[?25h") == 2
    assert said.endswith("\x1b[1A\x1b[2K")


def test_bars_go_away_when_the_run_breaks():
    console = terminal()
    bars = Bars(console)

    def broken() -> None:
        with bars:
            bars.begin("reading", 0, "bytes")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert shown(console).rstrip("\r\n").endswith("\x1b[2K")
    assert "\x1b[?25h" in shown(console)


@pytest.mark.parametrize("text", HOSTILE)
def test_safe_text_is_one_visible_line(text: str):
    assert harmless(safe(text))
    assert "\n" not in safe(text)


def test_safe_text_writes_out_what_is_not_seen():
    assert safe("a\x1b\x9b\u202e\ud800\U000e0041\ufe0f") == (
        "a\\x1b\\x9b\\u202e\\ud800\\U000e0041\\ufe0f"
    )
    assert safe("Grüße 日本 é 🎉 [x]") == "Grüße 日本 é 🎉 [x]"


def test_safe_text_is_cut_and_never_within_an_escape():
    assert safe("x" * 200) == "x" * 200
    assert safe("x" * 201) == "x" * 199 + "…"
    assert safe("abc\x1bdef", 7) == "abc…"
    assert safe("abc\x1bd", 8) == "abc\\x1bd"
    assert len(safe("\x1b" * 100_000_000)) <= 200


def test_numbers_are_short():
    values = [0.69602272, 1204, 1234.5, 1.0, -0.0, 1e-5, None, True, float("nan"), "[x"]
    assert [number(value) for value in values] == (
        ["0.696", "1,204", "1,234", "1", "0", "1e-05", "-", "true", "nan", "[x"]
    )
    assert [size(count) for count in (7, 434_000, 999_960, 3 * 10**9)] == (
        ["7 B", "434.0 kB", "1.0 MB", "3.0 GB"]
    )


def test_knobs_are_not_rounded():
    assert asked(0.12345678) == "0.12345678"
    assert asked(["a", {"b": 0.1}]) == "[a, {b: 0.1}]"
    nested: list[Any] = []
    for _ in range(900):
        nested = [nested]
    assert compact(nested) == "[[[[[…]]]]]"
