"""Records: what a manifest says of a stage that ran."""

from __future__ import annotations

from msgspec import UNSET

from gymrecipe.experiments.manifest import StageRecord
from gymrecipe.formats.template import Template
from gymrecipe.parameters import changed
from gymrecipe.planning.steps import Step
from gymrecipe.registry import FORMATS
from gymrecipe.stages.checks import Told
from gymrecipe.stages.write import Write


def stage_record(
    step: Step,
    rows_in: int,
    rows_out: int,
    rejected: dict[str, int],
    facts: Told,
    template: Template | None = None,
) -> StageRecord:
    """What a step did, for the manifest: `rejected` counts by reason in the step's own unit."""
    format = FORMATS[step.params.format] if isinstance(step.params, Write) else None
    return StageRecord(
        name=step.name,
        use=step.stage.name,
        version=step.stage.version,
        takes=step.takes,
        makes=step.makes,
        source=step.source or "",
        parameters=step.params.model_dump(mode="json"),
        changed=changed(step.params),
        rows_in=rows_in,
        rows_out=rows_out,
        rejected=dict(sorted(rejected.items())),
        facts=facts,
        format_version=UNSET if format is None else format.version,
        template=UNSET if template is None else template.digest,
    )
