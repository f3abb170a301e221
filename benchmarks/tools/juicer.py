"""data-juicer: its filter by a number. It has no pairs and no figures, so it does `sft` only.

    python benchmarks/tools/juicer.py sft ROLLOUTS OUTPUT THRESHOLD

Its reader stops at a bad line, so lines are read as in `datasets_map.py`. Where ray or torch are
missing it installs them in the midst of a run; it is not measured then.
"""

from __future__ import annotations

import json
import sys
import tempfile

from data_juicer.core.data import NestedDataset
from data_juicer.ops.filter.specified_numeric_field_filter import SpecifiedNumericFieldFilter
from datasets import disable_progress_bars
from datasets_map import rollouts

if __name__ == "__main__":
    job, source, target, threshold = sys.argv[1:]
    assert job == "sft"
    disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache, open(target, "w") as out:
        data = rollouts(source, cache).rename_column("prompt", "text")
        usable = NestedDataset(data.filter(lambda usable: usable, input_columns="usable"))
        good = SpecifiedNumericFieldFilter(field_key="reward", min_value=float(threshold))
        for row in usable.process([good]):
            kept = {"reward": row["reward"], "task_type": row["task_type"]}
            out.write(json.dumps({"messages": json.loads(row["output"]), **kept}) + "\n")
