"""Batches of texts of all lengths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translation.quality import batches

torch = pytest.importorskip("torch")


@given(st.lists(st.integers(0, 50)), st.integers(1, 100))
def test_results_come_in_the_order_of_the_items(lengths: list[int], budget: int) -> None:
    items = [f"{index}:{length}" for index, length in enumerate(lengths)]
    assert batches.in_batches(items, lengths, budget, lambda batch: [f"<{item}>" for item in batch]) == [
        f"<{item}>" for item in items
    ]


@given(st.lists(st.integers(1, 50)), st.integers(1, 100))
def test_no_batch_exceeds_the_budget_unless_it_is_one_item(lengths: list[int], budget: int) -> None:
    seen: list[list[int]] = []

    def run(batch: list[int]) -> list[int]:
        seen.append(batch)
        return batch

    batches.in_batches(lengths, lengths, budget, run)
    assert all(len(batch) == 1 or len(batch) * max(batch) <= budget for batch in seen)
    assert [batch[0] for batch in seen] == sorted((batch[0] for batch in seen), reverse=True)


def test_a_model_that_loses_an_item_is_noticed() -> None:
    with pytest.raises(ValueError, match="shorter"):
        batches.in_batches([1, 2], [1, 1], 10, lambda batch: batch[:1])


def test_padding_is_masked() -> None:
    ids, mask = batches.padded([[5, 6, 7], [8]], 1, torch.device("cpu"))
    assert ids.tolist() == [[5, 6, 7], [8, 1, 1]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    ("text", "read"), [(" a\n", "a"), ("\ud83d", "�"), ("\ud83d\ude00", "😀"), ("​", "​"), ("", "")]
)
def test_tokenizers_get_what_they_can_read(text: str, read: str) -> None:
    assert batches.readable(text) == read
