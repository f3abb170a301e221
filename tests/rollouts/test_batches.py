"""What comes one after the other, taken some at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gymrecipe.rollouts.batches import BATCH_ROWS, batches


@given(st.lists(st.integers(0, 50), max_size=2 * BATCH_ROWS + 9), st.integers(1, 4_000))
def test_batches_are_the_items_in_order_and_none_is_larger_than_allowed(
    sizes: list[int], most: int
) -> None:
    made = list(batches(sizes, int, most))
    assert [size for batch in made for size in batch] == sizes
    for batch in made:
        assert 0 < len(batch) <= BATCH_ROWS
        assert sum(batch[:-1]) < most


def test_a_batch_is_made_before_more_than_it_holds_is_asked_for() -> None:
    asked: list[int] = []

    def items() -> object:
        for size in (5, 5, 5):
            asked.append(size)
            yield size

    assert next(iter(batches(items(), int, 10))) == [5, 5]  # type: ignore[arg-type]
    assert asked == [5, 5]
