"""Muon: momentum whose update is orthogonalised, for the hidden matrices of the small model."""

from __future__ import annotations

from collections import defaultdict

import torch


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised (Jordan et al. 2024), for the hidden matrices.

    In float32 and with the matrices of one shape in one batch: `torch.optim.Muon` works in
    bfloat16, one matrix at a time, which takes most of the time on a CPU.
    """

    def __init__(self, params: list[torch.nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes = defaultdict(list)
            for parameter in group["params"]:
                shapes[min(parameter.shape), max(parameter.shape)].append(parameter)
            for (rows, columns), parameters in shapes.items():
                updates = []
                for parameter in parameters:
                    state = self.state[parameter]
                    if not state:
                        state["momentum"] = torch.zeros_like(parameter)
                    momentum = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                    update = parameter.grad.lerp(momentum, group["momentum"])
                    updates.append(update.T if parameter.shape[0] > rows else update)
                stacked = orthogonalised(torch.stack(updates)) * 0.2 * columns**0.5
                for parameter, update in zip(parameters, stacked, strict=True):
                    update = update.T if parameter.shape[0] > rows else update
                    parameter.add_(update, alpha=-group["lr"])


def orthogonalised(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Newton-Schulz iteration towards the nearest semi-orthogonal matrices; (count, rows, columns)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x: torch.Tensor = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x
