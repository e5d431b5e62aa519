"""The smoothed cross-entropy of the small model's training, whose logits are never whole in memory."""

from __future__ import annotations

from typing import Any

import torch

ROWS = 512
"""States whose logits are worked on at once: few enough to stay in a processor's cache."""


def smoothed_cross_entropy(
    states: torch.Tensor,
    weight: torch.Tensor,
    corrections: torch.Tensor,
    labels: torch.Tensor,
    smoothing: float,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Mean cross-entropy of `states @ weight.T + corrections`, as `torch.nn.functional.cross_entropy` has it.

    The gradients come with the loss, a part of the rows at a time, so that logits stay in a processor's cache
    (the way of Liger Kernel's fused linear cross-entropy; Hsu et al. 2024).

    Args:
        states: (count, width).
        weight: (vocabulary, width), in float32.
        corrections: (vocabulary), what is added to the logits.
        labels: (count), indices into `weight`.
        smoothing: of the labels, 0 to 1.
        dtype: what matrices are multiplied in.
    """
    loss = _SmoothedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        states, weight, corrections, labels, smoothing, dtype
    )
    assert isinstance(loss, torch.Tensor)
    return loss


class _SmoothedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any,
        states: torch.Tensor,
        weight: torch.Tensor,
        corrections: torch.Tensor,
        labels: torch.Tensor,
        smoothing: float,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        count, size = len(states), len(weight)
        low, transposed = states.to(dtype), weight.to(dtype).T
        of_states = torch.empty_like(states)
        of_weight = torch.zeros_like(weight, dtype=torch.float32)
        total = torch.zeros((), dtype=torch.float32, device=states.device)
        for start in range(0, count, ROWS):
            rows = slice(start, start + ROWS)
            places = labels[rows, None]
            logits = (low[rows] @ transposed).float().add_(corrections)
            labelled, mean = logits.gather(1, places).sum(), logits.sum() / size
            highest = logits.amax(1, keepdim=True)
            shares = logits.sub_(highest).exp_()
            sums = shares.sum(1, keepdim=True)
            total += (sums.log() + highest).sum() - (1 - smoothing) * labelled - smoothing * mean
            gradient = shares.mul_(1 / (sums * count)).sub_(smoothing / (size * count))
            gradient.scatter_add_(1, places, torch.full_like(highest, (smoothing - 1) / count))
            gradient = gradient.to(dtype)
            of_states[rows] = (gradient @ transposed.T).to(states.dtype)
            of_weight += gradient.T @ low[rows]
        context.save_for_backward(of_states, of_weight)
        return total / count

    @staticmethod
    def backward(context: Any, above: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        of_states, of_weight = context.saved_tensors
        return of_states * above, of_weight * above, None, None, None, None
