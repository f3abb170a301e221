"""Terminal bar: a bar that a terminal draws."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from gymrecipe.report.safe import size


def bar(console: Console) -> Progress:
    """A bar for one task, whose field `unit` is bytes or rows.

    It is drawn as work comes in: no thread of its own, none to forget when a run breaks.
    """
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(None, complete_style="cyan", finished_style="cyan"),
        _Amount(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        expand=True,
    )


class _Amount(ProgressColumn):
    """Bytes with their rate, or rows."""

    def render(self, task: Task) -> Text:
        done, total = int(task.completed), int(task.total or 0)
        if task.fields["unit"] != "bytes":
            return Text(f"{done:,}/{total:,} rows")
        speed = task.finished_speed or task.speed
        rate = f"  {size(int(speed))}/s" if speed else ""
        return Text(f"{size(done)}/{size(total)}{rate}")
