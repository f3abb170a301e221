"""A hostile recipe or command line runs nothing, opens nothing elsewhere, connects to nothing."""

# ruff: noqa: E501 (a payload reads best on one line)
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.experiments.conftest import graded, save
from tests.full import often
from tests.recipe.test_hostile import HARMLESS, REFUSED

AUDITED = Path(__file__).parent / "audited.py"
CALL = "{_target_: os.system, _args_: ['touch canary']}"
# fmt: off
OVERRIDES = [
    f"+x={CALL}", f"stages.pair={CALL}", "stages.pair._target_=os.system", "+_target_=os.system",
    "+stages.x={use: filter, after: load, _target_: os.system}", f"min_gap={CALL}",
    "+a={b: {c: [{_target_: builtins.eval}]}}", "++stages.load={_target_: builtins.open}",
    "+x={_partial_: true}", "+x={_recursive_: true}", "+x={_args_: [1]}", "+x={target: os.system}",
    "+x={(): builtins.open}", "hydra.run.dir=/tmp/x", "+hydra.callbacks={c: {_target_: x}}",
    "hydra/launcher=joblib", "+hydra/sweeper=ax", "hydra.job.env_set.X=1", "hydra.searchpath=[/etc]",
    "+hydra.job_logging.handlers.h={(): builtins.open}", "hydra.output_subdir=/tmp", "--hydra=x",
    "+defaults=[/etc/x]", "defaults=[x]", "+a@_global_=x", "+recipe@hydra=ppo", "engine@_global_=local",
    "min_gap=${oc.env:HOME}", "min_gap=${oc.decode:1}", "min_gap=${oc.create:{}}", "a=${now:%Y}",
    "min_gap=${eval:'1+1'}", "min_gap=${hydra:runtime.cwd}", "min_gap=${oc.select:x}",
    "min_gap=${oc.deprecated:seed}", "min_gap=${${seed}}", "min_gap=${min_gap}", "x=${.y}",
    "input=!!python/object/apply:os.system ['touch canary']", "+x=[!!python/name:os.system]",
    "+x={a: !!python/object/new:os.system [x]}", "+stages.load.use=os.system", "format=os:system",
    "engine={use: os.system}", "engine=../../x", "+plugins=[os]", "--plugin=os.path:x",
    "--plugin=../canary", "--config-dir=/nowhere", "+recipe=/etc/passwd", "+recipe=../../x.yaml",
    "+recipe=file:///etc/x.yaml", "+recipe=pkg://os", "name=../../canary", "tag=/tmp/canary",
    "stages.usable.where=__import__('os').system('touch canary')", "output_jsonl_fpath=/nowhere/x",
    "stages.usable.where=open('canary','w')", "stages.usable.where=().__class__.__bases__[0]",
    "+stages.s={use: filter, after: load, where: \"eval('1')\"}", "+columns.a={path: a, regex: '(a'}",
    "columns={a: {path: a, regex: '(?{system(1)})'}}", "group_by=__class__.x", "~stages",
    "+x=" + "[" * 300 + "]" * 300, "+x=" + "{a:" * 200 + "1" + "}" * 200, "x=choice(1,2)",
    "x=glob(*)", "x=shuffle(1,2)", "x=sort(2,1)", "x=extend_list(1)", "x=int(2)", "x=json_str(1)",
    "input='file:///etc/passwd'", "input=/dev/stdin", "input=/dev/zero",
    "input=/etc", "chat_template=/dev/zero", "tokenizer=/etc", "materialized_inputs=/dev/zero",
    "output_dir=/dev/null", "seed=9e999999999",
    "limit=99999999999999999999", "engine.workers=99999999", "file=../x", "order='; touch canary'",
]
# fmt: on
LINE = ["+recipe=dpo_same_prompt", "input=a.jsonl", "output_dir=out", "again=true"]
TAIL = "stages:\n  load: {use: load}\n  write: {use: write}\n"


def audited(folder: Path, lines: list[list[str]]) -> list[tuple[Any, str, list[str]]]:
    """The exit code, the words and the unexpected events of each command line."""
    save(folder / "a.jsonl", graded(2))
    (folder / "r0.yaml").write_text(TAIL)
    harmless = [
        [*LINE], ["+recipe=r0.yaml", *LINE[1:]], [*LINE, "min_gap=x"],
        [*LINE, "columns={a: {path: reward, regex: '(a)'}}"], ["recipes", "--config-dir=."],
    ]  # fmt: skip
    (folder / "lines.json").write_text(json.dumps(lines))
    words = [json.dumps(harmless), str(folder), "lines.json"]
    done = subprocess.run(
        [sys.executable, "-B", str(AUDITED), *words],
        cwd=folder, capture_output=True, timeout=300, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(lines)
    return results


def check(lines: list[list[str]], results: list[tuple[Any, str, list[str]]], folder: Path) -> None:
    for line, (code, said, events) in zip(lines, results, strict=True):
        assert events == [], (line, said)
        assert "Traceback" not in said, line
        assert code in (0, 2, 3), (line, code, said)
    assert not list(folder.rglob("*canary*"))


def test_a_hostile_recipe_does_nothing_that_a_harmless_one_does_not(tmp_path: Path) -> None:
    lines = []
    texts = [*REFUSED.values(), *HARMLESS.values()]
    for number, text in enumerate(texts[:: often(5, 1)], start=1):
        path = tmp_path / f"hostile/r{number}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        lines.append([f"+recipe={path}", *LINE[1:]])
        if number % often(8, 1) == 0:
            lines.append(["--config-dir=hostile", f"+recipe=r{number}", *LINE[1:]])
    lines += [["recipes", "--config-dir=hostile"], ["--config-dir=hostile"]]
    results = audited(tmp_path, lines)
    check(lines, results, tmp_path)
    assert len(lines) > often(20, 100)
    assert [code for code, _, _ in results].count(2) > 0.8 * len(lines)


def test_a_hostile_override_does_nothing_that_a_harmless_one_does_not(tmp_path: Path) -> None:
    lines = [[*LINE, override] for override in OVERRIDES[:: often(5, 1)]]
    lines += [[*LINE, override, "-m"] for override in OVERRIDES[1 :: often(12, 1)]]
    lines += [[*LINE, override, "--cfg", "job"] for override in OVERRIDES[3 :: often(12, 1)]]
    check(lines, audited(tmp_path, lines), tmp_path)


SEEN = {
    "os.system": "import os; os.system('true')",
    "subprocess": "import subprocess; subprocess.run(['true'])",
    "socket": "import socket; socket.socket().close()",
    "open": "open('/tmp/gymrecipe-canary-of-a-test', 'w').close()",
    "exec": "eval('1+1')",
    "module": "import sys; sys.path.insert(0, '.'); import stranger",
    "os.putenv": "import os; os.environ['X'] = '1'",
    "os.mkdir": "import os; os.path.isdir('d') or os.mkdir('d')",
    "pickle": "import pickle; pickle.loads(b'cos\\nsystem\\n.')",
    "ctypes": "import ctypes; ctypes.CDLL(None).getpid()",
}


def test_the_hook_sees_what_happens(tmp_path: Path) -> None:
    (tmp_path / "stranger.py").write_text("")
    results = audited(tmp_path, [["now", code] for code in SEEN.values()])
    for event, (_, _, events) in zip(SEEN, results, strict=True):
        assert any(seen.startswith(event) for seen in events), (event, events)
