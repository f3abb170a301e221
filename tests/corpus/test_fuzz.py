"""Bad input: mutated and made-up lines are read as a strict decoder reads them, or not at all.

`make fuzz` does the same for minutes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gymrecipe.rollouts import known_fields, messages, reader, response_span
from tests.corpus.fuzz import LINES, good_lines, tried
from tests.corpus.mutations import text_of
from tests.corpus.oracle import faults
from tests.faults.conftest import figure
from tests.full import often
from tests.rollouts.test_json_members import VALUES

REAL = Path(__file__).parents[3] / "shared" / "rollouts"
RUNS = often(5, 400)


@pytest.mark.parametrize("seed", range(RUNS))
def test_what_is_read_of_a_mutated_line_is_there(seed: int, tmp_path: Path) -> None:
    assert tried(good_lines(REAL if seed % 2 else None), seed, tmp_path) == []
    figure("bad input", "mutated lines", LINES, "0 crashes, 0 other values")


SAID = {"type": "message", "role": "assistant", "content": "an answer"}
FIELDS = st.sampled_from(
    ["responses_create_params", "response", "reward", "accuracy", "metadata", "instance_config",
     "agent_ref", "messages", "output", "tools", "flag", "other"]
)  # fmt: skip
CALL = {"type": "function_call", "call_id": "c", "name": "f"}


def rollout(members: Any, request: Any, response: Any, arguments: Any, in_text: bool) -> Any:
    """A rollout as nested pairs, with more members in some of its objects."""
    shown = text_of(arguments) if in_text else arguments
    call = (*CALL.items(), ("arguments", shown))
    answer = tuple(SAID.items())
    output = [call, (("type", "function_call_output"), ("call_id", "c"), ("output", "x")), answer]
    tools = [(("type", "function"), ("name", "f"))]
    return (
        ("responses_create_params", (("input", "a question"), ("tools", tools), *request)),
        ("response", (("output", output), *response)),
        *members,
    )


NAMED = st.lists(st.tuples(FIELDS, VALUES), max_size=4).map(tuple)
INNER = st.lists(
    st.tuples(st.sampled_from(["input", "output", "status", "model", "usage", "a"]), VALUES),
    max_size=2,
).map(tuple)
ARGUMENTS = st.lists(st.tuples(st.sampled_from("abc"), VALUES), max_size=4).map(tuple)
ROLLOUTS = st.builds(rollout, NAMED, INNER, INNER, ARGUMENTS, st.booleans())


@settings(
    max_examples=often(24, 400),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rollouts=st.lists(st.tuples(ROLLOUTS, st.booleans()), min_size=1, max_size=8))
def test_what_is_read_of_a_made_up_line_is_there(
    rollouts: list[tuple[Any, bool]], tmp_path: Path
) -> None:
    least = response_span.LEAST_BYTES
    response_span.LEAST_BYTES = 10
    try:
        lines = [text_of(value, ascii).encode() for value, ascii in rollouts]
        assert faults(lines, tmp_path) == []
    finally:
        response_span.LEAST_BYTES = least


def found(folder: Path) -> int:
    lines = good_lines(None)
    return sum(len(tried(lines, seed, folder)) for seed in range(3))


def test_control_a_decoder_that_takes_the_last_of_equal_keys_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = msgspec.json.Decoder(dict[str, msgspec.Raw])
    monkeypatch.setattr(known_fields, "members", plain.decode)
    assert found(tmp_path)


def test_control_a_kept_line_that_is_not_decoded_whole_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "check", lambda line: json.loads(line, strict=False))
    line = b'{"messages": [{"role": "user", "content": "a"}], "response": "b", "x": [1e999]}'
    assert faults([line], tmp_path)


def test_control_a_rounded_reward_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rounded(raw: Any, kind: str) -> Any:
        value = None if raw is None else json.loads(bytes(raw))
        return round(value, 1) if isinstance(value, float) else value

    monkeypatch.setattr(reader, "typed", rounded)
    assert faults([b'{"messages": [], "response": "b", "reward": 9007199254740993}'], tmp_path)
