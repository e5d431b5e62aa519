"""Examples and decoded pictures -> the tensors of one training step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from training.examples import Example

IGNORED = -100
"""Label of what no loss is taken of, as in torch's cross entropy."""


@dataclass(frozen=True)
class Batch:
    """N examples of like lengths, and their pictures."""

    index: int
    """In the epoch's global order."""
    ids: tuple[str, ...]
    tasks: tuple[str, ...]
    languages: tuple[str, ...]
    """NLLB codes of the targets."""
    pixel_values: Tensor
    """(pictures, 3, height, width), uint8, channels last in memory: those of the first example, then of the
    second, ...; see `training.pictures.normalised`."""
    image_counts: Tensor
    """(N,), int64: how many of `pixel_values` each example has; 0 for text alone."""
    image_position: int
    """How many tokens of the prompt stand before the visual ones; the same for all."""
    input_ids: Tensor
    """(N, T), int64: prompts, or prompts and targets for a decoder-only model; padded on the right."""
    attention_mask: Tensor
    """(N, T), int64: 1 for tokens, 0 for padding."""
    labels: Tensor
    """(N, L), int64: targets, or for a decoder-only model (N, T) with prompts masked; -100 is ignored."""

    joined: bool
    """`input_ids` hold the targets too."""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def target_counts(self) -> list[int]:
        """Tokens of each example that a loss is taken of; to be asked for in main memory."""
        counts: list[int] = (self.labels != IGNORED).sum(1).tolist()
        return counts

    @property
    def tokens(self) -> int:
        """Text tokens, of prompts and targets, that are no padding."""
        targets = 0 if self.joined else sum(self.target_counts)
        return int(self.attention_mask.sum()) + targets

    @property
    def places(self) -> int:
        """Text tokens with padding."""
        return self.input_ids.numel() + (0 if self.joined else self.labels.numel())

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The same batch with its tensors on a device."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=non_blocking)
            for name in ("pixel_values", "image_counts", "input_ids", "attention_mask", "labels")
        }
        return replace(self, **moved)


def batch_of(
    index: int,
    examples: Sequence[Example],
    pixel_values: Tensor,
    *,
    pad_id: int,
    joined: bool,
    image_position: int,
    pad_to_multiple: int = 1,
) -> Batch:
    """The batch of examples whose pictures were all decoded.

    Args:
        pixel_values: of all pictures, in order.
        joined: prompt and target make one sequence (decoder-only models).
        pad_to_multiple: lengths are padded to a multiple of it.

    Raises:
        ValueError: there are not as many pictures as the examples have.
    """
    counts = [len(example.pictures) for example in examples]
    if sum(counts) != len(pixel_values):
        raise ValueError(f"{len(pixel_values)} pictures for examples that have {sum(counts)}")
    prompts = [example.prompt.ids for example in examples]
    targets = [example.target.ids for example in examples]
    if joined:
        inputs = [(*prompt, *target) for prompt, target in zip(prompts, targets, strict=True)]
        labels = [
            (*([IGNORED] * len(prompt)), *target) for prompt, target in zip(prompts, targets, strict=True)
        ]
    else:
        inputs, labels = prompts, targets
    return Batch(
        index,
        tuple(example.id for example in examples),
        tuple(example.task for example in examples),
        tuple(example.language for example in examples),
        pixel_values,
        torch.tensor(counts),
        image_position,
        _padded(inputs, pad_id, pad_to_multiple),
        _padded([(1,) * len(ids) for ids in inputs], 0, pad_to_multiple),
        _padded(labels, IGNORED, pad_to_multiple),
        joined,
    )


def _padded(sequences: Sequence[Sequence[int]], filler: int, multiple: int) -> Tensor:
    longest = max(len(ids) for ids in sequences)
    width = -(-longest // multiple) * multiple
    return torch.tensor([[*ids, *([filler] * (width - len(ids)))] for ids in sequences], dtype=torch.int64)
