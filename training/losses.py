"""Cross entropy over large vocabularies, without a float32 copy of all logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from training.batches import IGNORED

VALUES_AT_ONCE = {"cpu": 2**20}
"""Logits that are in float32 at a time, by kind of device: what a processor's caches hold."""
VALUES_ELSEWHERE = 2**26
"""On other devices: 256 MiB of them."""


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        shaped = torch.empty(targets.shape, dtype=torch.float32, device=logits.device)
        # What is returned is no view: FSDP hooks what a module returns, and warns of views.
        losses, targets = shaped.view(-1), targets.reshape(-1)
        normalisers = torch.empty_like(losses)
        for rows in _slices(logits):
            part, wanted = logits[rows].float(), targets[rows]
            normalisers[rows] = part.logsumexp(1)
            chosen = part.gather(1, wanted.clamp(min=0)[:, None])[:, 0]
            losses[rows] = (normalisers[rows] - chosen).masked_fill(wanted == IGNORED, 0.0)
        ctx.save_for_backward(logits, targets, normalisers)
        return shaped

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        logits, targets, normalisers = ctx.saved_tensors
        made = torch.empty_like(logits)
        weights = gradients[0].reshape(-1).masked_fill(targets == IGNORED, 0.0)
        for rows in _slices(logits):
            # Logits of 16 bits become float32 here: what they are taken from is.
            part = (logits[rows] - normalisers[rows, None]).exp_()
            part.scatter_add_(1, targets[rows].clamp(min=0)[:, None], part.new_full((len(part), 1), -1.0))
            made[rows] = part.mul_(weights[rows, None])
        return made, None


def _slices(logits: Tensor) -> list[slice]:
    values = VALUES_AT_ONCE.get(logits.device.type, VALUES_ELSEWHERE)
    rows = max(values // max(logits.shape[1], 1), 1)
    return [slice(start, start + rows) for start in range(0, len(logits), rows)]


def token_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """The loss of each target in nats, float32, 0 where it is ignored.

    Logits of 16 bits are summed in float32; besides them and their gradient only a slice is held, where
    torch's own function holds three copies in float32 or sums to 16 bits.

    Args:
        logits: (..., vocabulary), of any floating dtype.
        targets: (...), int64; -100 is ignored.
    """
    flat = logits.reshape(-1, logits.shape[-1])
    losses: Tensor = _CrossEntropy.apply(flat, targets)  # type: ignore[no-untyped-call]
    return losses
