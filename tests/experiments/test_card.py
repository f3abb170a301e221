import ast
import re
from typing import Any

import pytest
import yaml

from gymrecipe.experiments.card import card, escape
from gymrecipe.experiments.manifest import Environment, Input, Lines, Manifest, Output, StageRecord

HOSTILE = "a|b`c\n# d\r<script>&lt;[x](javascript:y) ![z](http://t) \u202e\x1b[2J\ud800*_~"


def stage(name: str, use: str, takes: str = "rollouts", **parameters: Any) -> StageRecord:
    return StageRecord(
        name, use, 1, takes, takes, "", parameters, 9, 6, {"low": 2, "failed": 1}, {}
    )


def manifest(**fields: Any) -> Manifest:
    known: dict[str, Any] = {
        "schema": 1,
        "name": "dpo_same_prompt",
        "version": "",
        "id": "0123abcd",
        "parameters": {"min_gap": 0.2},
        "stages": [
            stage("load", "load", input=["/home/me/rollouts.jsonl"], task_fields=["id"]),
            stage("pair", "pair", min_gap=0.2, strategy="mirrored"),
            stage("write", "write", "pairs", format="trl"),
        ],
        "lines": Lines(20, 12, 8),
        "inputs": [Input("/home/me/rollouts.jsonl", 0, 999, 20, "ee")],
        "outputs": [
            Output("data/train-00000-of-00002.jsonl", 3, 30, "aa"),
            Output("data/train-00001-of-00002.jsonl", 2, 20, "bb"),
            Output("data/validation.jsonl", 1, 10, "cc"),
            Output("rejects.parquet", 8, 80, "dd"),
        ],
        "statistics": {"pair": {"gap": {"p50": 0.5}}},
        "warnings": ["1 task has a single rollout"],
        "environment": Environment(created="2026-02-03T04:05:06Z"),
    }
    return Manifest(**known | fields)


def front_matter(text: str) -> Any:
    return yaml.safe_load(text.split("---\n")[1])


def test_hugging_face_finds_the_splits():
    assert front_matter(card(manifest())) == {
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {
                        "split": "train",
                        "path": [
                            "data/train-00000-of-00002.jsonl",
                            "data/train-00001-of-00002.jsonl",
                        ],
                    },
                    {"split": "validation", "path": ["data/validation.jsonl"]},
                ],
            }
        ]
    }


def test_each_write_is_a_config_and_a_split_without_rows_is_left_out():
    text = card(
        manifest(
            stages=[
                stage("yes", "write", "rollouts", format="trl"),
                stage("dpo", "write", "pairs", format="custom"),
            ],
            outputs=[
                Output("data/yes/train.jsonl", 3, 30, "aa"),
                Output("data/dpo/train.parquet", 2, 20, "bb"),
                Output("data/dpo/validation.parquet", 0, 20, "bb"),
                Output("data/dpo/dataset_info.json", 0, 20, "cc"),
            ],
        )
    )
    configs = front_matter(text)["configs"]
    assert [config["config_name"] for config in configs] == ["yes", "dpo"]
    assert [len(config["data_files"]) for config in configs] == [1, 1]
    assert "# trl sft --config" in text
    assert 'load_dataset("parquet", data_files={"train": ["data/dpo/train.parquet"]})' in text


def test_a_version_without_data_has_no_front_matter():
    assert card(manifest(outputs=[])).startswith("# dpo_same_prompt\n")


def test_the_card_says_how_the_version_was_made():
    text = card(manifest())
    assert "Of 20 lines read, 12 are used and 8 rejected" in text
    assert "6 pairs for dpo in the format `trl`" in text
    assert "| pair | pair | 9 | 6 | 1 failed, 2 low |" in text
    assert "| pair | min_gap | 0.2 |" in text
    assert "| pair.gap.p50 | 0.5 |" in text
    assert "- 1 task has a single rollout\n" in text
    assert "| rollouts.jsonl | 20 | 999 | ee |" in text
    assert "python -m gymrecipe reproduce .\n" in text
    assert "# trl dpo --config" in text


def test_a_quantile_stands_with_the_number_it_came_to():
    facts = {"resolved": [{"parameter": "min_gap", "asked": "p90", "resolved": 0.25}]}
    one = StageRecord("pair", "pair", 1, "", "", "", {"min_gap": "p90"}, 9, 9, {}, facts)
    text = card(manifest(stages=[one]))
    assert "| pair | min_gap | 0.25 (p90) |" in text
    assert "asked" not in text


def test_metrics_are_for_no_trainer():
    one = stage("write", "write", "metrics", format="messages")
    text = card(manifest(stages=[one], outputs=[Output("data/metrics.jsonl", 6, 9, "aa")]))
    assert "rollouts: 6 metrics. Of" in text
    assert "load_dataset" not in text


def test_facts_are_tables_cut_after_twenty_rows():
    checks = [{"check": f"c{number}", "figure": number} for number in range(25)]
    one = StageRecord(
        "check", "validate", 1, "pairs", "pairs", "", {}, 9, 9, {}, {"checks": checks}
    )
    text = card(manifest(stages=[one]))
    assert "check: checks (the first 20 of 25)\n\n| check | figure |\n| --- | --- |\n" in text
    assert "| c19 | 19 |" in text
    assert "| c20 | 20 |" not in text


def test_of_thousands_of_inputs_the_first_hundred_are_listed():
    inputs = [Input(f"/runs/{number}.jsonl", 0, 9, 1, "ee") for number in range(2_000)]
    text = card(manifest(inputs=inputs))
    assert "## Inputs (the first 100 of 2000)\n" in text
    assert "| 99.jsonl |" in text
    assert "| 100.jsonl |" not in text


def test_neither_time_nor_place_is_in_the_card():
    text = card(manifest())
    assert "2026" not in text
    assert "/home/me" not in text
    assert text == card(manifest(version="v0007", environment=Environment(created="later")))


@pytest.mark.parametrize(
    "text",
    [HOSTILE, "x" * 9999, "|" * 400, "```\nrm\n```", "---\nlicense: mit\n---", "\\|", "`|`"],
)
def test_text_from_data_stays_in_its_cell(text):
    plain = card(
        manifest(
            name="x",
            warnings=["x"],
            statistics={"x": "x"},
            stages=[
                StageRecord(
                    "x", "x", 1, "x", "x", "", {"x": "x"}, 1, 1, {"x": 1}, {"x": [{"x": 1}]}
                )
            ],
            inputs=[Input("x", 0, 1, 1, "x")],
        )
    )
    facts = {text: [{text: text}]}
    attacked = card(
        manifest(
            name=text,
            warnings=[text],
            statistics={text: text},
            stages=[
                StageRecord(text, text, 1, text, text, "", {text: text}, 1, 1, {text: 1}, facts)
            ],
            inputs=[Input(text, 0, 1, 1, text)],
        )
    )
    attacked.encode()
    assert len(attacked.splitlines()) == len(plain.splitlines())
    cells = re.compile(r"(?<!\\)(?:\\\\)*\|")
    for line, model in zip(attacked.splitlines(), plain.splitlines(), strict=True):
        assert len(cells.findall(line)) == len(cells.findall(model)), line
        assert line.startswith("```") == model.startswith("```")
        assert "<" not in line
        prose = re.sub("`[^`]*`", "", line)
        assert "](" not in prose.replace("\\](", "")
        assert not re.search(r"://|www\.|@", prose)


def test_escape_shows_a_value_as_it_is():
    assert escape("a|b`c\n<d>&[e]") == "a\\|b\\`c &lt;d&gt;&amp;\\[e\\]"
    assert escape("gap_too_small") == "gap_too_small"
    assert escape("_keep_ é_è __x__") == "\\_keep\\_ é_è \\_\\_x\\_\\_"


@pytest.mark.parametrize("text", ["https://a.b", "www.a.b", "a@b.c", "ftp://x", "mailto:a"])
def test_what_markdown_would_make_a_link_of_is_shown_as_code(text):
    assert escape(text) == f"`{text}`"
    assert escape(0.2) == "0.2"
    assert escape(None) == "null"
    assert escape({"a": [1, "é"]}) == '{"a": \\[1, "é"\\]}'
    assert escape("a\u202eb\x1b[2J") == "a b \\[2J"
    assert len(escape("x" * 5000)) == 301


def test_the_python_to_load_it_is_python():
    text = card(manifest())
    snippet = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert snippet
    assert "datasets" in compile(snippet[1], "card", "exec").co_names
    files = ast.literal_eval(re.search(r"data_files=(\{.*\})\)", snippet[1])[1])  # type: ignore[index]
    assert list(files) == ["train", "validation"]
