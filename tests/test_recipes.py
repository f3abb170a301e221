"""Laws that every shipped recipe keeps."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import gymrecipe
from gymrecipe.errors import RecipeError
from gymrecipe.planning.plan import plan
from gymrecipe.reasons import meaning
from gymrecipe.recipe.composing import compose
from gymrecipe.recipe.finding import description, recipes
from gymrecipe.rollouts.files import sample_path
from tests.full import often

NAMES = sorted(recipes())
HALF, OTHERS = NAMES[:: often(2, 1)], NAMES[often(1, 0) :: often(2, 1)]
"""In every test run a law that takes a run is held against half of the recipes."""
USER = {"role": "user", "content": "What is it?"}


def run(name: str, folder: Path, source: Path | None = None, **knobs: object) -> gymrecipe.Version:
    rollouts = {} if source is None else {"input": str(source)}
    return gymrecipe.run(name, output_dir=str(folder), **rollouts, **knobs)


def data(version: gymrecipe.Version) -> dict[str, bytes]:
    assert version.path is not None
    return {
        str(path.relative_to(version.path)): path.read_bytes()
        for path in sorted((version.path / "data").rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_has_a_page_that_the_manual_lists(name: str) -> None:
    docs = Path(__file__).parents[1] / "docs"
    assert (docs / "recipes" / f"{name}.md").is_file()
    assert f"[{name}](recipes/{name}.md)" in (docs / "index.md").read_text()


def rows(file: str, data: bytes) -> list[bytes]:
    """The rows of a data file in an order of their own, without the place that they stand at."""
    if not file.endswith(".parquet"):
        return sorted(data.splitlines())
    table = pl.read_parquet(data)
    if "extra_info" in table.columns:
        table = table.with_columns(pl.col("extra_info").struct.with_fields(index=None))
    return sorted(json.dumps(row, default=str).encode() for row in table.to_dicts())


@pytest.fixture(scope="module", params=NAMES)
def made(
    request: pytest.FixtureRequest, of_the_sample: Callable[[str], gymrecipe.Version]
) -> gymrecipe.Version:
    """Each recipe's version of the sample."""
    return of_the_sample(request.param)


def test_every_line_of_the_sample_is_used_or_rejected(made: gymrecipe.Version) -> None:
    version = made
    lines = version.manifest.lines
    assert version.path is not None
    rejects = pl.read_parquet(version.path / "rejects.parquet")
    used = pl.read_parquet(version.path / "used.parquet").select("source", "line").unique()
    assert lines.read == 203
    assert lines.read == lines.used + lines.rejected == used.height + rejects.height
    assert rejects.select("source", "line").is_unique().all()
    assert used.join(rejects, on=["source", "line"]).is_empty()
    assert rejects["reason"].null_count() == 0


def test_each_stage_of_a_recipe_accounts_for_its_rows(made: gymrecipe.Version) -> None:
    for stage in made.manifest.stages:
        if stage.makes in (stage.takes, "nothing") or stage.use == "load":
            assert stage.rows_in == stage.rows_out + sum(stage.rejected.values()), stage.name


@pytest.mark.parametrize("made", HALF, indirect=True)
def test_lines_in_another_order_give_the_same_rows(made: gymrecipe.Version, tmp_path: Path) -> None:
    lines = sample_path().read_bytes().splitlines(keepends=True)
    random.Random(5).shuffle(lines)
    shuffled = tmp_path / "shuffled.jsonl"
    shuffled.write_bytes(b"".join(lines))
    one, other = data(made), data(run(made.manifest.name, tmp_path, shuffled))
    assert one.keys() == other.keys()
    for file in one:
        assert rows(file, one[file]) == rows(file, other[file])


def test_every_reason_has_a_meaning(made: gymrecipe.Version) -> None:
    for stage in made.manifest.stages:
        for reason in stage.rejected:
            assert meaning(reason), f"{stage.name}: {reason}"


@pytest.mark.parametrize("made", OTHERS, indirect=True)
def test_asking_for_the_same_again_writes_nothing(made: gymrecipe.Version) -> None:
    assert made.path is not None
    again = run(made.manifest.name, made.path.parent.parent)
    assert again.existed
    assert again.path == made.path


@pytest.mark.parametrize("made", OTHERS, indirect=True)
def test_the_recipe_kept_in_a_version_runs_and_gives_the_same_version(
    made: gymrecipe.Version, tmp_path: Path
) -> None:
    assert made.path is not None
    again = gymrecipe.run(made.path / "recipe.yaml", output_dir=str(tmp_path))
    assert again.manifest.id == made.manifest.id
    assert data(again) == data(made)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_opens_with_its_command_and_when_to_use_it(name: str) -> None:
    text = description(recipes()[name])
    head, _, rest = text.partition("\n\n")
    assert f"python -m gymrecipe +recipe={name} " in head
    assert len(rest.split()) > 15


def test_two_recipes_carry_examples() -> None:
    with_examples = [name for name in NAMES if "\nexamples:" in recipes()[name].read_text()]
    assert len(with_examples) >= 2


@pytest.mark.parametrize(
    "name",
    ["kto_threshold", "verl_rl", "reward_model_pairs", "rl_prompts", "nemo_rl_dpo"][:: often(2, 1)],
)
def test_every_real_line_is_used_or_rejected(name: str, real: Path, tmp_path: Path) -> None:
    version = run(name, tmp_path, real / "*.jsonl")
    lines = version.manifest.lines
    assert version.path is not None
    rejects = pl.read_parquet(version.path / "rejects.parquet")
    used = pl.read_parquet(version.path / "used.parquet").select("source", "line").unique()
    assert lines.used + lines.rejected == lines.read == 230
    assert used.height + rejects.height == 230
    assert used.join(rejects, on=["source", "line"]).is_empty()


def test_all_rollouts_of_a_task_are_used_by_its_row(tmp_path: Path) -> None:
    version = run("rl_prompts", tmp_path)
    assert version.path is not None
    used = pl.read_parquet(version.path / "used.parquet")
    written = [json.loads(line) for line in data(version)["data/train.jsonl"].splitlines()]
    counts = dict(used.group_by("row").len().iter_rows())
    assert [counts[at] for at in sorted(counts)] == [row["rollouts"] for row in written]


def test_a_buffer_is_refused_by_a_trainer_that_takes_prompts(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="rl_prompts"):
        run("ppo", tmp_path, format="nemo_rl")


def test_the_manual_names_the_recipes_that_have_examples() -> None:
    page = (Path(__file__).parents[1] / "docs" / "recipes.md").read_text()
    (said,) = [line for line in page.splitlines() if line.endswith(" have examples.")]
    with_examples = {name for name, path in recipes().items() if plan(compose(path, [])).examples}
    assert set(re.findall("`([^`]+)`", said)) == with_examples


@pytest.mark.parametrize("name", ["balanced", "sft_demonstrations"])
def test_a_category_is_what_is_said_to_be_one_and_no_prompt_of_one_word(
    name: str, tmp_path: Path
) -> None:
    said = [{"type": "input_text", "text": "Be brief.\nCategory: MATH"}]
    asked = [
        ({"responses_create_params": {"input": [{"role": "user", "content": "2+2"}]}}, "general"),
        ({"messages": [{"role": "user", "content": "strawberry"}]}, "general"),
        ({"messages": [{"role": "system", "content": "x\nCategory: CODE"}, USER]}, "CODE"),
        (
            {"responses_create_params": {"input": [{"role": "system", "content": said}, USER]}},
            "MATH",
        ),
        ({"messages": [USER], "metadata": {"task_type": "math-500"}}, "math-500"),
        ({"messages": [USER], "metadata": {"category": 3}}, "3"),
        ({"messages": [USER], "metadata": "math"}, "general"),
    ]
    answer = {"output": [{"type": "message", "role": "assistant", "content": "4"}]}
    source = tmp_path / "rollouts.jsonl"
    lines = [json.dumps({**line, "response": answer, "reward": 1.0}) for line, _ in asked]
    source.write_text("\n".join(lines) + "\n")
    version = run(name, tmp_path, source, order="strict")
    rows = map(json.loads, data(version)["data/train.jsonl"].splitlines())
    assert [row["category"] for row in rows] == [category for _, category in asked]
