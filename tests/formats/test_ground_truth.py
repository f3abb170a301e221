"""Which text a reward function is given."""

from __future__ import annotations

import pytest
from msgspec import Raw

from gymrecipe.formats.ground_truth import ground_truth


@pytest.mark.parametrize(
    ("verifier", "text"),
    [
        ({"expected_answer": Raw(b'"4\\n\\u00e9"')}, "4\né"),
        ({"answer": Raw(b"1.50"), "id": Raw(b"3")}, "1.50"),
        ({"answer": Raw(b'"b"'), "ground_truth": Raw(b'["a"]')}, '["a"]'),
        ({"ground_truth": Raw(b"null"), "answer": Raw(b'""')}, ""),
        ({"rows": Raw(b"[1]"), "id": Raw(b'"x"')}, '{"rows":[1],"id":"x"}'),
        ({}, "{}"),
    ],
)
def test_it_is_the_right_answer_or_all_that_the_verifier_needs(
    verifier: dict[str, Raw], text: str
) -> None:
    assert ground_truth(verifier) == text
