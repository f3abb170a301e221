"""One DuckDB query for each job.

    python benchmarks/tools/duckdb_query.py pairs|sft|aggregate ROLLOUTS OUTPUT THRESHOLD

Only the parts that the query needs are named as columns, which is what makes it fast. The rows hold
the response's items as they are: making messages of them is no job for SQL.
"""

from __future__ import annotations

import sys

import duckdb

READ = """read_ndjson('{source}', ignore_errors = true, columns = {{
    responses_create_params: 'STRUCT(input JSON)',
    response: 'STRUCT(output JSON, incomplete_details STRUCT(reason VARCHAR))',
    reward: 'DOUBLE', accuracy: 'DOUBLE', score: 'DOUBLE', metadata: 'STRUCT(task_type VARCHAR)'
}})"""

USABLE = "response IS NOT NULL AND reward IS NOT NULL AND response.incomplete_details IS NULL"

PAIRS = """
WITH prompts AS (
    SELECT responses_create_params.input AS prompt,
           list({{'output': response.output, 'reward': reward}} ORDER BY reward DESC) AS ranked
    FROM {read} WHERE {usable} GROUP BY prompt
), sides AS (
    SELECT prompt, ranked[place] AS chosen, ranked[len(ranked) + 1 - place] AS rejected
    FROM (SELECT *, unnest(range(1, len(ranked) // 2 + 1)) AS place FROM prompts)
)
SELECT prompt, chosen.output AS chosen, rejected.output AS rejected,
       chosen.reward AS reward_chosen, rejected.reward AS reward_rejected
FROM sides WHERE chosen.reward - rejected.reward >= {threshold} - 1e-9
"""

SFT = """
SELECT response.output AS messages, reward, coalesce(metadata.task_type, 'general') AS task_type
FROM {read} WHERE reward >= {threshold} AND {usable}
"""

AGGREGATE = " UNION ALL ".join(
    f"""SELECT '{name}' AS metric, count({name}) AS count, avg({name}) AS mean,
               stddev_samp({name}) AS std, min({name}) AS min, max({name}) AS max FROM figures"""
    for name in ("reward", "accuracy", "score")
)
AGGREGATE = "WITH figures AS MATERIALIZED (SELECT reward, accuracy, score FROM {read}) " + AGGREGATE


if __name__ == "__main__":
    job, source, target, threshold = sys.argv[1:]
    query = {"pairs": PAIRS, "sft": SFT, "aggregate": AGGREGATE}[job]
    read = READ.format(source=source)
    query = query.format(read=read, usable=USABLE, threshold=float(threshold))
    duckdb.connect().execute(f"COPY ({query}) TO '{target}' (FORMAT json)")
