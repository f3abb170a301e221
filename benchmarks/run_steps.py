"""Where the time of a whole run goes, step by step, by the wall and by this process's CPU.

    python benchmarks/run_steps.py rollouts.jsonl --recipe dpo_same_prompt --workers 2 min_gap=0.3

`start` is until the recipe is composed and Polars is there, which a run imports while its workers
begin to scan. `--json` prints the wall seconds as an object, which `start.py` reads.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def clocks() -> tuple[float, float]:
    """The wall's and the processor's."""
    return time.perf_counter(), time.process_time()


BEGAN = clocks()


class Steps:
    """Seconds by step, of both clocks; a step within another one is taken from that."""

    def __init__(self) -> None:
        self.seconds: dict[str, tuple[float, float]] = {}
        self.inner = [(0.0, 0.0)]

    def add(self, name: str, began: tuple[float, float]) -> None:
        """What passed since then, without the steps within."""
        took = _less(clocks(), began)
        inner = self.inner.pop()
        if self.inner:
            self.inner[-1] = _less(self.inner[-1], _less((0.0, 0.0), took))
        before = self.seconds.get(name, (0.0, 0.0))
        self.seconds[name] = _less(before, _less(inner, took))

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, as a step."""

        def run(*args: Any, **kwargs: Any) -> Any:
            began = clocks()
            self.inner.append((0.0, 0.0))
            try:
                return function(*args, **kwargs)
            finally:
                self.add(name, began)

        return run


def _less(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    return a[0] - b[0], a[1] - b[1]


def steps(recipe: str, words: list[str]) -> dict[str, Any]:
    """The steps of one run, in the order in which they first end."""
    seen = Steps()
    from gymrecipe.recipe.composing import compose
    from gymrecipe.recipe.finding import locate
    from gymrecipe.running import ahead

    composed = compose(locate(recipe), words)
    with ahead.engine(composed) as engine:
        import polars  # noqa: F401

        from gymrecipe.api import prepare
        from gymrecipe.experiments import publishing
        from gymrecipe.running import executor, loading, recording, stepping, writing

        seen.add("start", BEGAN)
        seen.inner = [(0.0, 0.0)]
        places = [
            (loading, "read_table", "scan"),
            (stepping, "call", "stages"),
            (writing, "write_data", "write"),
            (writing, "write_metrics", "write"),
            (writing, "statistics", "figures"),
            (recording, "write_records", "records of lines"),
            (recording, "environment", "environment"),
            (executor, "rehearse", "rehearsal"),
            (publishing, "publish", "publish"),
            (executor, "_finish", "ledger"),
        ]
        for owner, name, step in places:
            setattr(owner, name, seen.timed(step, getattr(owner, name)))
        plan = seen.timed("plan", prepare)(composed)
        seen.timed("the rest", executor.run)(plan, engine)
    return seen.seconds


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--recipe", default="dpo_same_prompt")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("knobs", nargs="*", help="such as min_gap=0.3")
    given = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as folder:
        words = [f"input={given.path}", f"output_dir={folder}", f"engine.workers={given.workers}"]
        seconds = steps(given.recipe, [*words, *given.knobs])
    if given.json:
        print(json.dumps({name: wall for name, (wall, _) in seconds.items()}))
        return
    walls, cpus = zip(*seconds.values(), strict=True)
    print(f"{'':18}{'wall':>8}{'CPU':>8}")
    for name, (wall, cpu) in [*seconds.items(), ("all", (sum(walls), sum(cpus)))]:
        print(f"{name:18}{wall:8.3f}{cpu:8.3f}")


if __name__ == "__main__":
    main()
