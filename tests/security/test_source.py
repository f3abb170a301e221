"""What the package itself never does: unpickle, evaluate, load YAML that builds objects."""

# ruff: noqa: E501 (a payload reads best on one line)
from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "gymrecipe"
MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "code", "pty"}
CALLS = {"eval", "exec", "compile", "__import__", "execfile", "input"}
METHODS = {
    "unsafe_load", "full_load", "load_all", "UnsafeLoader", "FullLoader", "instantiate",
    "deserialize", "map_elements", "sql", "SQLContext", "sql_expr", "popen", "read_pickle",
}  # fmt: skip
FILES = sorted(PACKAGE.rglob("*.py"))


def faults(text: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found += [node.func.id] if node.func.id in CALLS else []
        elif isinstance(node, ast.Attribute) and (
            node.attr in METHODS or (node.attr == "system" and ast.unparse(node) == "os.system")
        ):
            found.append(node.attr)
        elif isinstance(node, ast.keyword) and node.arg in ("shell", "allow_pickle"):
            found.append(node.arg)
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func) == "yaml.load"
        ):
            loaders = [ast.unparse(word.value) for word in node.keywords if word.arg == "Loader"]
            found += ["yaml.load"] if loaders != ["_Loader"] else []
    return found


def test_the_package_evaluates_and_unpickles_nothing() -> None:
    assert len(FILES) > 200
    assert {path: found for path in FILES if (found := faults(path.read_text()))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "from marshal import loads", "import joblib.memory", "eval('1')", "exec(x)",
        "yaml.load(x)", "yaml.load(x, Loader=yaml.Loader)", "yaml.unsafe_load(x)", "os.system('x')",
        "subprocess.run(x, shell=True)", "pl.LazyFrame.deserialize(x)", "frame.sql('select 1')",
        "np.load(x, allow_pickle=True)", "hydra.utils.instantiate(x)",
    ],
)  # fmt: skip
def test_it_would_be_seen(text: str) -> None:
    assert faults(text) != []


def test_the_loader_of_recipes_builds_nothing_but_plain_values() -> None:
    import yaml

    from gymrecipe import guards
    from gymrecipe.recipe import reading

    for loader in (reading._Loader, guards._LOADER):
        assert issubclass(loader, yaml.constructor.SafeConstructor)
        made = {*loader.yaml_constructors, *loader.yaml_multi_constructors}
        assert not [tag for tag in made if tag and "python" in tag and ":pathlib." not in tag]
    with pytest.raises(ValueError, match=r"the tag .* is refused"):
        guards.measure("a: !!python/object/apply:pathlib.Path [x]")
