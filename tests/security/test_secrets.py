"""No credential of the user's is in anything that a run leaves or prints."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gymrecipe.credentials import hidden, holds_one
from gymrecipe.errors import RecipeError
from gymrecipe.experiments import environment as environments
from gymrecipe.recipe.composing import compose
from tests.experiments.conftest import graded, save
from tests.forked import python

CANARY = "kQ7wZ3nB9xV2mL5tR8yC"
"""What must not show up; each payload has it."""

TOKENS = [
    f"hf_{CANARY}", f"sk-{CANARY}", f"sk-ant-api03-{CANARY}", f"sk-proj-{CANARY}",
    f"nvapi-{CANARY}", f"ghp_{CANARY}", f"github_pat_{CANARY}", f"glpat-{CANARY}",
    f"xoxb-{CANARY}", f"gsk_{CANARY}", f"npm_{CANARY}", f"pypi-{CANARY}",
    f"AIza{CANARY}{CANARY}", f"eyJhbGciOiJI.eyJ{CANARY}.{CANARY}", f"Bearer {CANARY}",
    f"s3://AKIAIOSFODNN7EXAMPLE:{CANARY}@bucket/a.jsonl", f"https://user:{CANARY}@host/a.jsonl",
    f"https://{CANARY}@host/a.jsonl", f"https://b.host/a?X-Amz-Signature={CANARY}&x=1",
    f"https://b.host/a.jsonl?sv=2020&sig={CANARY}", f"https://b.host/a?token={CANARY}",
    f"https://b.host/a?access_token={CANARY}", f"postgres://me:{CANARY}@db/x",
]  # fmt: skip

LINES = [
    *(f"{knob}={token}" for token in TOKENS for knob in ("+x", "input", "system")),
    *(f"{name}={CANARY}" for name in ("hf_token", "+api_key", "++password", "token", "secret")),
    f"+stages.load.token=hf_{CANARY}", f"+recipe=hf_{CANARY}", f"min_gap=sk-{CANARY}",
    f"input=[a.jsonl,https://u:{CANARY}@h/x]", f"~hf_{CANARY}", f"columns={{a: hf_{CANARY}}}",
    f"x=${{oc.env:hf_{CANARY}}}", f"+x={{_target_: sk-{CANARY}}}", f"output_dir=s3://a:{CANARY}@b",
    f"tag=hf_{CANARY}", f"name=hf_{CANARY}", f"hydra.x=sk-{CANARY}", f"a=hf_{CANARY},b",
]  # fmt: skip

HARMLESS = [
    "input=task-a-very-long-name-of-a-file-indeed.jsonl", "token_ids=keep", "tokenizer=models/a",
    "stages.f.where=signature == 'x'", "stages.f.where=secret=='x'", "min_output_tokens=100",
    "columns={token: metadata.token}", "input=disk-0123456789abcdefghijklmnop.jsonl",
    "input=shf_0123456789abcdefghijklmnopqrs.jsonl", "system=Your secret: be brief.",
    "input=https-copy/a@b/x.jsonl", "stages.f.where=model == 'meta/llama-3.1-8b-instruct'",
]  # fmt: skip


@pytest.mark.parametrize("text", TOKENS)
def test_what_looks_like_a_credential_is_known_and_hidden(text: str) -> None:
    assert holds_one(text)
    for around in ("{}", "x={}", "'{}'", "a {} b", "[{},b]"):
        assert CANARY not in hidden(around.format(text))


@pytest.mark.parametrize("text", HARMLESS)
def test_what_a_command_line_has_usually_is_none(text: str) -> None:
    assert not holds_one(text)
    assert hidden(text) == text


RUN = """
import json, sys
from gymrecipe.cli import main
for line in json.loads(sys.argv[1]):
    print(">", main(["+recipe=dpo_same_prompt", "output_dir=out", *line]))
"""


def traces(folder: Path) -> list[str]:
    """Where the canary is below a folder: in a name or in the bytes of a file."""
    found = []
    for path in folder.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        if CANARY in path.name or CANARY.encode() in data:
            found.append(str(path))
    return found


def test_no_credential_on_a_command_line_is_told_or_kept(tmp_path: Path) -> None:
    save(tmp_path / "a.jsonl", graded(2))
    lines = [["input=a.jsonl", line] for line in LINES]
    done = python("-c", RUN, json.dumps(lines), cwd=tmp_path)
    assert done.stdout == "> 2\n" * len(lines)
    assert CANARY not in done.stderr
    assert traces(tmp_path) == []


def test_no_credential_of_the_environment_is_told_or_kept(tmp_path: Path) -> None:
    save(tmp_path / "a.jsonl", [*graded(2), b"broken"])
    names = ("HF_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "NGC_API_KEY", "CANARY",
             "WANDB_API_KEY", "GITHUB_TOKEN", "SSH_AUTH_SOCK", "https_proxy")  # fmt: skip
    secret = {name: f"http://u:{CANARY}@h" if "proxy" in name else CANARY for name in names}
    said = ""
    for words in (
        ["+recipe=dpo_same_prompt", "input=a.jsonl", "max_bad_rows=5", "json=true"],
        ["+recipe=dpo_same_prompt", "input=a.jsonl", "min_gap=${oc.env:CANARY}"],
        ["+recipe=dpo_same_prompt", "input=$CANARY"],
        ["show", "dpo_same_prompt", "json=true"],
    ):
        done = python("-m", "gymrecipe", *words, cwd=tmp_path, **secret)
        said += done.stdout + done.stderr
    assert "v0001" in said
    assert CANARY not in said
    assert traces(tmp_path) == []


@pytest.mark.parametrize("token", TOKENS)
def test_no_credential_in_a_recipe_is_told(token: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        f"system: {json.dumps(token)}\nstages:\n  load: {{use: load}}\n  write: {{use: write}}\n"
    )
    with pytest.raises(RecipeError, match="looks like a credential") as caught:
        compose(path, [])
    assert CANARY not in str(caught.value)


def test_the_record_of_a_command_hides_what_slips_through(tmp_path: Path) -> None:
    found = environments.environment(f"gymrecipe x=hf_{CANARY}", (f"a=sk-{CANARY}",), "")
    assert (found.command, found.overrides) == ("gymrecipe x=[hidden]", ["a=[hidden]"])


def test_without_this_a_credential_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gymrecipe import cli, guards
    from gymrecipe.recipe import overrides

    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.jsonl", graded(2))
    for module in (guards, overrides):
        monkeypatch.setattr(module, "holds_one", lambda text: False)
    monkeypatch.setattr(environments, "hidden", lambda text: text)
    line = ["+recipe=sft_threshold", "input=a.jsonl", f"system=hf_{CANARY}"]
    assert cli.main(line) == 0
    kept = {os.path.basename(path) for path in traces(tmp_path)}
    assert {"manifest.json", "versions.jsonl", "recipe.yaml", "README.md"} <= kept
