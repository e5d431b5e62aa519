"""Texts of all lengths through a model in even batches, without cutting any."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

K = TypeVar("K")
T = TypeVar("T")
R = TypeVar("R")

WINDOW = 8192
"""Pairs tokenised at a time: enough to sort by length, and what bounds the memory of a call."""

# A vocabulary's tokens hold 2 to 6 characters on average; a text beyond this is not worth tokenising.
_CHARACTERS_PER_TOKEN = 32


def token_budget(device: torch.device) -> int:
    """Tokens of a batch, padding included: a CPU is no faster with more than 1,024, a GPU wants many."""
    return 1024 if device.type == "cpu" else 32768


def windows(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """At most `WINDOW` items at a time, in order."""
    for start in range(0, len(items), WINDOW):
        yield items[start : start + WINDOW]


def readable(text: str) -> str:
    """The text as a tokenizer takes it: stripped, and lone surrogates, which have no UTF-8, replaced."""
    return text.strip().encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def too_long(text: str, limit: int) -> bool:
    """Whether it cannot fit into `limit` tokens, seen from its characters alone."""
    return len(text) > limit * _CHARACTERS_PER_TOKEN


def in_batches(
    items: Sequence[T], lengths: Sequence[int], budget: int, run: Callable[[list[T]], Sequence[R]]
) -> list[R]:
    """`run` over all items, the longest first (memory runs out at once or never); results in their order.

    Args:
        items: what a batch is made of; their number of tokens is `lengths`.
        budget: a batch's items times its longest; one item alone may exceed it.
        run: a batch to as many results.
    """
    order = sorted(range(len(items)), key=lambda index: (-lengths[index], index))
    results: dict[int, R] = {}
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        chosen = order[start : start + size]
        results.update(zip(chosen, run([items[index] for index in chosen]), strict=True))
        start += size
    return [results[index] for index in range(len(items))]


def scored(
    texts: Iterable[K],
    inputs: Mapping[K, list[int]],
    device: torch.device,
    run: Callable[[list[list[int]]], Sequence[float]],
) -> list[float | None]:
    """`run` over all inputs in batches; per text the value of its input, None where it has none.

    Args:
        inputs: token ids by text, only of texts that fit into the model.
    """
    sequences = list(inputs.values())
    values = in_batches(sequences, list(map(len, sequences)), token_budget(device), run)
    scores = dict(zip(inputs, values, strict=True))
    return [scores.get(text) for text in texts]


def padded(
    sequences: Sequence[Sequence[int]], padding: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, each (batch, longest), int64."""
    import torch

    longest = max(len(sequence) for sequence in sequences)
    ids = torch.full((len(sequences), longest), padding)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    return ids.to(device), mask.to(device)
