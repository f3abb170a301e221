"""A hostile recipe is refused or harmless."""

# ruff: noqa: E501 (a payload reads best on one line)
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gymrecipe.guards import MAX_SIZE
from tests.recipe.conftest import DPO, TAIL, write


def bomb(levels: int, template: str, first: str = "x") -> str:
    lines = [f"l0: &l0 [{first}, {first}]"]
    lines += [f"l{i}: " + template.replace("N", str(i)).replace("P", str(i - 1)) for i in range(1, levels)]  # fmt: skip
    return "\n".join(lines) + "\n"


CALL = "_target_: os.system, _args_: ['touch canary']"

REFUSED: dict[str, str | bytes] = {
    "target at the top": "_target_: os.system\n_args_: [touch canary]\n" + TAIL,
    "target in a stage": f"stages:\n  load: {{use: load, {CALL}}}\n  write: {{use: write}}\n",
    "target instead of a stage": f"stages:\n  load: {{{CALL}}}\n  write: {{use: write}}\n",
    "target in a list": f"a: [1, {{b: [{{{CALL}}}]}}]\n" + TAIL,
    "target in a named column": f"columns: {{c: {{path: a, {CALL}}}}}\n" + TAIL,
    "target in an example": f"examples: {{e: {{rollouts: [{{{CALL}}}], becomes: [used]}}}}\n" + TAIL,
    "target quoted": "'_target_': os.system\n" + TAIL,
    "target escaped": '"\\x5ftarget\\u005f": os.system\n' + TAIL,
    "target as a complex key": "? _target_\n: os.system\n" + TAIL,
    "target by an alias of a key": "a: &t _target_\nb: {*t : os.system}\n" + TAIL,
    "target by an anchor": f"a: &p {{{CALL}}}\nstages:\n  load: *p\n  write: {{use: write}}\n",
    "target by a merge key": f"a: &p {{{CALL}}}\nstages:\n  load: {{<<: *p, use: load}}\n",
    "target by a list of merges": f"a: &p {{{CALL}}}\nb: &q {{c: 1}}\nd: {{<<: [*q, *p]}}\n" + TAIL,
    "target by a reference": f"p: {{{CALL}}}\nstages:\n  load: '${{p}}'\n  write: {{use: write}}\n",
    "target with a package": "_target_@_global_: os.system\n" + TAIL,
    "partial": "a: {_partial_: true}\n" + TAIL,
    "recursive": "a: {_recursive_: true}\n" + TAIL,
    "convert": "a: {_convert_: all}\n" + TAIL,
    "the legacy key": "a: {target: os.system}\n" + TAIL,
    "a factory of logging": "a: {(): builtins.open, file: canary, mode: w}\n" + TAIL,
    "hydra": "hydra: {run: {dir: canary}}\n" + TAIL,
    "callbacks": f"hydra: {{callbacks: {{c: {{{CALL}}}}}}}\n" + TAIL,
    "job logging": "hydra: {job_logging: {handlers: {h: {(): builtins.open, file: canary, mode: w}}}}\n" + TAIL,
    "a search path": "hydra: {searchpath: [file:///etc, pkg://os]}\n" + TAIL,
    "an environment": "hydra: {job: {env_set: {CANARY: '1'}}}\n" + TAIL,
    "a hydra group": "hydra/launcher: joblib\n" + TAIL,
    "an overriding group": "defaults:\n  - override hydra/launcher: joblib\n" + TAIL,
    "defaults": "defaults: [../../outside, _self_]\n" + TAIL,
    "defaults nested": "stages: {defaults: [x], load: {use: load}, write: {use: write}}\n",
    "an environment variable": "a: '${oc.env:HOME}'\nname: '${a}'\n" + TAIL,
    "a clock": "name: 'x${now:%Y}'\n" + TAIL,
    "an eval": "a: '${eval:1+1}'\n" + TAIL,
    "a decode": "a: '${oc.decode:\"1\"}'\n" + TAIL,
    "a create": "a: '${oc.create:{x: 1}}'\n" + TAIL,
    "hydra by a resolver": "a: '${hydra:runtime.cwd}'\n" + TAIL,
    "a resolver inside a text": "a: 'x ${oc.env:HOME} y'\n" + TAIL,
    "a resolver in a reference": "b: HOME\na: '${oc.env:${b}}'\n" + TAIL,
    "nested references": "b: c\na: '${${b}}'\n" + TAIL,
    "a relative reference": "a: {b: '${.c}', c: 1}\n" + TAIL,
    "an index": "b: [1]\na: '${b[0]}'\n" + TAIL,
    "an open brace": "a: '${b'\n" + TAIL,
    "doubling texts": "l0: xx\n" + "".join(f"l{i}: '${{l{i - 1}}}${{l{i - 1}}}'\n" for i in range(1, 30)),
    "doubling lists": bomb(30, "['${lP}', '${lP}']") + TAIL,
    "doubling mappings": bomb(30, "{a: '${lP}', b: '${lP}'}") + TAIL,
    "a large text many times": f"b: {'x' * 100_000}\nl: [" + ", ".join(["'y${b}'"] * 500) + "]\n" + TAIL,
    "deep by references": "".join(f"l{i}: [[[['${{l{i + 1}}}']]]]\n" for i in range(40)) + "l40: x\n" + TAIL,
    "a long chain of references": "".join(f"l{i}: '${{l{i + 1}}}'\n" for i in range(3000)) + "l3000: x\n" + TAIL,
    "a circle of references": "a: '${b}'\nb: '${a}'\n" + TAIL,
    "a reference to itself": "stages: {load: {use: load, input: '${stages}'}, write: {use: write}}\n",
    "an apply tag": "a: !!python/object/apply:os.system ['touch canary']\n" + TAIL,
    "a new tag": "a: !!python/object/new:os.system ['touch canary']\n" + TAIL,
    "a name tag": "a: !!python/name:os.system\n" + TAIL,
    "a module tag": "a: !!python/module:antigravity\n" + TAIL,
    "a tag of a tuple": "a: !!python/tuple [1]\n" + TAIL,
    "a tag by a directive": "%TAG !y! tag:yaml.org,2002:python/\n---\na: !y!object/apply:os.system [x]\n",
    "a tag of its own": "a: !foo x\n" + TAIL,
    "a binary tag": "name: !!binary aGVsbG8=\n" + TAIL,
    "an alias bomb": bomb(9, "&lN [*lP, *lP, *lP, *lP, *lP, *lP, *lP, *lP, *lP]") + TAIL,
    "a thin alias bomb": bomb(40, "&lN [*lP, *lP]") + TAIL,
    "a merge bomb": "l0: &l0 {x: 1}\n" + "".join(f"l{i}: &l{i} {{<<: [*l{i - 1}, *l{i - 1}]}}\n" for i in range(1, 30)),
    "an alias of itself": "a: &a [*a]\n" + TAIL,
    "a mapping of itself": "a: &a\n  b: *a\n" + TAIL,
    "deep by aliases": "l0: &l0 [x]\n" + "".join(f"l{i}: &l{i} [[[[[*l{i - 1}]]]]]\n" for i in range(1, 40)),
    "100,000 levels": "[" * 100_000 + "]" * 100_000,
    "100,000 mappings": "{a: " * 50_000,
    "100,000 dashes": "- " * 100_000 + "x",
    "100,000 levels of blocks": "\n".join(" " * i + "a:" for i in range(600)),
    "2 MiB": "a: " + "x" * 2**21,
    "just too large": "# " + "x" * MAX_SIZE,
    "too many values": "a: [" + ", ".join(["x"] * 40_000) + "]\n" + TAIL,
    "too many keys": "".join(f"k{i}: x\n" for i in range(20_000)),
    "NUL bytes": b"a: \x00\n",
    "an escaped NUL": 'output_dir: "a\\0b"\n' + TAIL,
    "a bell": b"a: \x07\n",
    "a lone surrogate": 'name: "\\ud800"\n' + TAIL,
    "duplicate keys": "a: 1\na: 2\n" + TAIL,
    "duplicate stages": "stages:\n  load: {use: load}\n  load: {use: load}\n",
    "Latin-1": "name: é\n".encode("latin-1"),
    "UTF-16": TAIL.encode("utf-16"),
    "a list": "- a\n- b\n",
    "a text": "hello\n",
    "a number": "5\n",
    "null": "null\n",
    "empty": "",
    "a comment": "# nothing\n",
    "two documents": TAIL + "---\n" + TAIL,
    "a tab": "a:\n\t- b\n",
    "a list as a key": "? [a]\n: 1\n" + TAIL,
    "null as a key": "null: 1\n" + TAIL,
    "octal": "limit: 010\n" + TAIL,
    "hexadecimal": "limit: 0x1F\n" + TAIL,
    "binary digits": "limit: 0b11\n" + TAIL,
    "sexagesimal": "limit: 12:30:00\n" + TAIL,
    "a long sexagesimal": "limit: 1" + ":1" * 100_000 + "\n" + TAIL,
    "a date": "limit: 2020-01-01\n" + TAIL,
    "a date that is none": "limit: 2020-13-45\n" + TAIL,
    "not a number": "validation_fraction: .nan\n" + TAIL,
    "infinity": "validation_fraction: .inf\n" + TAIL,
    "too large to be finite": "validation_fraction: 1e999\n" + TAIL,
    "a large number": "seed: 99999999999999999999\n" + TAIL,
    "a very large number": "limit: " + "9" * 200_000 + "\n" + TAIL,
    "no as a name": "name: no\n" + TAIL,
    "on as a number": "seed: on\n" + TAIL,
    "a number in quotes": "seed: '1'\n" + TAIL,
    "a name that climbs": "name: ../../canary\n" + TAIL,
    "an absolute name": "name: /tmp/canary\n" + TAIL,
    "a tag that climbs": "tag: ../../canary\n" + TAIL,
    "a stage that climbs": "stages:\n  load: {use: load}\n  ../../../canary: {use: write}\n  b: {use: write, from: load}\n",
    "a stage of odd letters": "stages:\n  load: {use: load}\n  \"a\\nb\": {use: write}\n",
    "a stage named by a number": "stages:\n  1: {use: load}\n  2: {use: write}\n",
    "stages as a list": "stages: [load, write]\n",
    "a plugin": "plugins: [os]\n" + TAIL,
    "code as a stage": "stages:\n  load: {use: os.system}\n  write: {use: write}\n",
    "code as an expression": "stages:\n  load: {use: load}\n  f: {use: filter, where: \"__import__('os').system('x')\"}\n  write: {use: write}\n",
    "code as a format": "stages:\n  load: {use: load}\n  write: {use: write, format: 'os:system'}\n",
    "code as an engine": "engine: {use: os.system}\n" + TAIL,
    "columns as a list": "columns: [a]\n" + TAIL,
    "columns as a text": "columns: a\n" + TAIL,
    "examples as a list": "examples: [a]\n" + TAIL,
}  # fmt: skip

HARMLESS: dict[str, str | bytes] = {
    "a package in a comment": "# @package hydra\n" + TAIL,
    "a byte order mark": b"\xef\xbb\xbf" + TAIL.encode(),
    "a number with underscores": "limit: 1_000\n" + TAIL,
    "yes where a switch is": "sidecars: yes\n" + TAIL,
    "a few aliases": "a: &a [reward]\nstages:\n  load: {use: load, task_fields: *a}\n  write: {use: write, columns: '${a}'}\n",
    "a merge key": "stages:\n  load: {use: load}\n  a: &f {use: filter, completed: true}\n  b: {<<: *f, min_reward: 0.5}\n  write: {use: write}\n",
    "a required knob that has a default": "name: ???\n" + TAIL,
    "a target as a value": "stages:\n  load: {use: load, input: _target_}\n  write: {use: write}\n",
}  # fmt: skip

GUARD = """
import json, sys, time
from pathlib import Path
from gymrecipe.errors import GymrecipeError
from gymrecipe.planning.plan import plan
from gymrecipe.recipe.composing import compose
from gymrecipe.recipe.finding import locate

def attempt(path):
    started = time.process_time()
    try:
        plan(compose(locate(path), []))
        said = None
    except GymrecipeError as error:
        said = str(error)
    except BaseException as error:
        said = "BUG " + repr(error)
    return said, time.process_time() - started

folder, warm = sys.argv[1:]
for path in sorted(Path(warm).iterdir()):
    attempt(str(path))
events = []
def hook(event, arguments):
    if event == "open":
        mode, flags = arguments[1] or "", arguments[2] or 0
        if not set(mode) & set("wax+") and not flags & 0o1103:
            return
    elif event == "exec":
        # The module of a library that is imported late.
        if getattr(arguments[0], "co_filename", "").startswith((sys.prefix, sys.base_prefix)):
            return
    elif event == "compile":
        if arguments[1] == "<unknown>":  # `ast.parse` of an expression: read, never run
            return
    elif not event.startswith((
        "subprocess", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "pty",
        "socket", "urllib", "http", "ftplib", "webbrowser", "ctypes", "pickle", "marshal.loads",
        "os.putenv", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink",
        "os.chmod", "os.truncate", "shutil", "tempfile",
    )):
        return
    events.append(event + " " + repr(arguments)[:200])
sys.addaudithook(hook)
results = {}
for path in sorted(Path(folder).iterdir()):
    said, seconds = attempt(str(path))
    results[path.stem] = {"said": said, "seconds": seconds, "events": events[:5]}
    events.clear()
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of every hostile recipe, in a process that notes what it does."""
    folder, warm, cwd = (tmp_path_factory.mktemp(name) for name in ("hostile", "warm", "cwd"))
    for number, text in enumerate([*REFUSED.values(), *HARMLESS.values()]):
        write(folder, text, f"{number}.yaml")
    write(warm, DPO.read_text(), "good.yaml")
    write(warm, "limit: x\n" + TAIL, "bad.yaml")
    write(warm, "columns: {c: {path: a, regex: '('}}\n" + TAIL, "regex.yaml")
    command = [sys.executable, "-c", GUARD, str(folder), str(warm)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not list(cwd.iterdir())
    results: dict[str, Any] = json.loads(done.stdout)
    names = [*REFUSED, *HARMLESS]
    return {names[int(number)]: result for number, result in results.items()}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_recipe_is_refused_in_words(name: str, guarded: dict[str, Any]) -> None:
    said = guarded[name]["said"]
    assert said is not None
    assert not said.startswith("BUG"), said
    assert ".yaml: " in said


@pytest.mark.parametrize("name", HARMLESS)
def test_an_odd_recipe_is_taken(name: str, guarded: dict[str, Any]) -> None:
    assert guarded[name]["said"] is None


@pytest.mark.parametrize("name", [*REFUSED, *HARMLESS])
def test_a_hostile_recipe_does_nothing_and_does_it_soon(name: str, guarded: dict[str, Any]) -> None:
    assert guarded[name]["events"] == []
    assert guarded[name]["seconds"] < 1


def test_the_guard_would_notice(tmp_path: Path) -> None:
    program = GUARD.replace("plan(compose(locate(path), []))", "open('canary', 'w').close(); eval('1')")  # fmt: skip
    for name in ("hostile", "warm"):
        (tmp_path / name).mkdir()
    write(tmp_path / "hostile", TAIL, "0.yaml")
    command = [sys.executable, "-c", program, str(tmp_path / "hostile"), str(tmp_path / "warm")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    events = json.loads(done.stdout)["0"]["events"]
    assert [event.split()[0] for event in events] == ["open", "compile", "exec"]
