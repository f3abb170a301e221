"""Identity: the id of a version, by which the same one is found again."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import msgspec

from gymrecipe.experiments.environment import plugins
from gymrecipe.formats.template import Template
from gymrecipe.planning.plan import Plan
from gymrecipe.planning.steps import writes_of
from gymrecipe.registry import FORMATS
from gymrecipe.rollouts.files import Source
from gymrecipe.rollouts.table import Table
from gymrecipe.stages.load import Load
from gymrecipe.stages.write import Write

NOT_IN_ID = {
    "input", "sidecars", "materialized_inputs", "max_bad_rows", "tokenizer", "chat_template",
    "chat_template_kwargs",
}  # fmt: skip
"""Parameters of load and write that say where something is or what is tolerated, not what comes
out, or that enter with the chat template. What a plugin's stage means by such a name nobody can
know.
"""


def version_id(
    plan: Plan, files: list[Source], table: Table, templates: dict[str, Template]
) -> str:
    """A hash of what decides the bytes of a version.

    That is the stages with their parameters and versions, the formats' versions, and the inputs'
    digests in order, the chat templates with their arguments, and the code of the plugins; not
    paths, folders, the name, the engine or how output looks. With a plugin whose code cannot be
    read no two are the same.
    """
    formats = {
        step.write.format: FORMATS[step.write.format].version for step in writes_of(plan.steps)
    }
    stages = [
        {
            "name": step.name,
            "use": step.stage.name,
            "version": step.stage.version,
            "source": step.source,
            "parameters": {
                name: _in_order(value) if name == "columns" else value
                for name, value in step.params.model_dump(mode="json").items()
                if name not in NOT_IN_ID or not isinstance(step.params, Load | Write)
            },
        }
        for step in plan.steps
    ]
    reads = zip(files, [*table.read, *table.inputs], strict=True)
    inputs: list[list[int | str]] = [[file.run, read.digest] for file, read in reads]
    for tasks in inputs[len(table.read) :]:  # else they would be taken for more rollouts
        tasks.append("tasks")
    named = {name: column.model_dump() for name, column in plan.named.items()}
    digests = [
        part
        for template in templates.values()
        for part in (template.digest, template.arguments)
        if part != "{}"
    ]
    code: list[Any] = [found] if (found := plugins()) else []
    if "" in found.values():  # code that nobody can read may be other code the next time
        code.append(secrets.token_hex())
    decided = [stages, formats, inputs, named, *digests, *code]
    return hashlib.sha256(msgspec.json.encode(decided, order="deterministic")).hexdigest()


def _in_order(columns: Any) -> Any:
    """The columns of a write so that their order, which is that of a record's keys, counts too."""
    return [*columns.items()] if isinstance(columns, dict) and columns else columns
