"""Writing: the rows that reach a write become its files, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gymrecipe.experiments import fates
from gymrecipe.experiments.data import write_data, write_metrics
from gymrecipe.experiments.statistics import CATEGORIES, FIGURES, Grounds, grounds, statistics
from gymrecipe.experiments.written import WriteResult
from gymrecipe.formats.template import Template
from gymrecipe.lazy_polars import pl
from gymrecipe.planning.extra_columns import columns_of
from gymrecipe.planning.plan import Plan
from gymrecipe.planning.steps import Step, writes_of
from gymrecipe.rollouts.columns import INPUT, PAIR_COLUMNS, split_side
from gymrecipe.rollouts.engine import Map
from gymrecipe.rollouts.files import Source
from gymrecipe.rollouts.frames import LARGE_ROWS, Spill, give_back
from gymrecipe.rollouts.table import Table
from gymrecipe.running import remarks
from gymrecipe.running.plugin_faults import blaming
from gymrecipe.running.progress import Progress
from gymrecipe.running.stage_result import StageResult

_READ = ("row", "source", "offset", "bytes", "id_hi", "id_lo", "has_tools", "reward", "label")
"""What a write needs of each rollout, beside the columns that it writes and has figures of."""


class Writer(msgspec.Struct, frozen=True):
    """What the writes of a plan have in common."""

    plan: Plan
    table: Table
    files: list[Source]
    staged: Path
    engine: Map
    progress: Progress
    templates: dict[str, Template]
    spill: Spill

    def write(self, step: Step, result: StageResult) -> WriteResult:
        """Write the rows of a result into files of the step. After the last write the table has
        left of its rows where they lie.
        """
        several = len(writes_of(self.plan.steps)) > 1
        inside = f"data/{step.name}" if several else "data"
        by = grounds(step.above)
        rows = self._collected(result, _needed(step, by, result))
        if step is self.plan.steps[-1]:
            self.table.rows = self.table.rows.select(fates.LINES)
        if step.takes == "metrics":
            assert result.figures_of is not None
            return write_metrics(rows, result.figures_of, self.staged, inside)
        self.progress.begin(f"writing {step.name}", rows.height, "rows")
        with blaming(step):
            written = write_data(
                step,
                rows,
                self.plan.named,
                self.templates.get(step.name),
                self.files,
                self.staged,
                inside,
                self.engine,
                self.progress.advance,
            )
        self.progress.end()
        give_back()
        if step.purpose == "rl":
            remarks.check_verifier(step.write, written)
        if several and not written.rows:  # where it is the only one, the run ends with that
            written.warnings.append(f"{step.name}: wrote no rows; the stages above it say why.")
        written.warnings += remarks.of_write(self.plan, step, rows, written)
        del rows  # as many again as were written
        written.figures = statistics(written, by)
        return written

    def _collected(self, result: StageResult, names: list[str]) -> pl.DataFrame:
        """Columns of a result. Of many rows each is in memory alone, for those of a pair take 160
        bytes together.
        """
        wide = result.wide(self.table.rows)
        if result.held.height < LARGE_ROWS:
            return wide.select(names).collect()
        columns = [self.spill(wide.select(name).collect()) for name in names]
        return pl.concat(columns, how="horizontal")


def _needed(step: Step, by: Grounds, rows: StageResult) -> list[str]:
    """The columns that a write needs of its rows."""
    if step.takes == "metrics":
        return list(rows.names)
    needed = {*rows.held.columns, *PAIR_COLUMNS, *_READ, *CATEGORIES}
    figures = (*by.metrics, *by.groups, *FIGURES[step.takes].values())
    beside = columns_of(step.write, step.purpose)
    needed |= {split_side(name)[1] for name in (*figures, *beside)}
    return [
        name
        for name in rows.names
        if {name, split_side(name)[1]} & needed or name.startswith(INPUT)
    ]
