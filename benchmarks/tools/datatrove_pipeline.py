"""A datatrove pipeline: a reader, a filter and a writer. It has no group-by, so it does `sft` only.

    python benchmarks/tools/datatrove_pipeline.py sft ROLLOUTS OUTPUT THRESHOLD

One file is one task, which is one process.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters import LambdaFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from loguru import logger


def adapted(_: Any, data: dict[str, Any], path: str, place: int | str) -> dict[str, Any]:
    """A line as a document, whose text must not be empty."""
    return {"text": "rollout", "id": f"{path}/{place}", "metadata": data}


def row(_: Any, document: Document) -> dict[str, Any]:
    """What is written of a document."""
    rollout = document.metadata
    return {
        "messages": rollout["response"]["output"],
        "reward": rollout["reward"],
        "task_type": (rollout.get("metadata") or {}).get("task_type", "general"),
    }


if __name__ == "__main__":
    job, source, target, threshold = sys.argv[1:]
    assert job == "sft"

    def good(document: Document) -> bool:
        rollout = document.metadata
        return (
            rollout.get("reward") is not None
            and rollout["reward"] >= float(threshold)
            and not rollout["response"]["incomplete_details"]
        )

    logger.remove()
    given, made = Path(source), Path(target)
    with tempfile.TemporaryDirectory() as logs:
        LocalPipelineExecutor(
            pipeline=[
                JsonlReader(str(given.parent), glob_pattern=given.name, adapter=adapted),
                LambdaFilter(good),
                JsonlWriter(str(made.parent), made.name, compression=None, adapter=row),
            ],
            logging_dir=logs,
        ).run()
