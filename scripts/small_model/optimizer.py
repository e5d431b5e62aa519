"""Muon: momentum whose update is orthogonalised, for the hidden matrices of the small model."""

from __future__ import annotations

from collections import defaultdict

import torch


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised (Jordan et al. 2024), for the hidden matrices.

    With the matrices of one shape in one batch: `torch.optim.Muon` takes them one at a time, and in bfloat16
    on processors without its products, too, where that takes most of the time.
    """

    def __init__(
        self,
        params: list[torch.nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """
        Args:
            dtype: what updates are orthogonalised in; bfloat16 does (Jordan et al. 2024).
        """
        super().__init__(params, {"lr": lr, "momentum": momentum})
        self._dtype = dtype

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
                stacked = orthogonalised(torch.stack(updates), self._dtype) * 0.2 * columns**0.5
                for parameter, update in zip(parameters, stacked, strict=True):
                    update = update.T if parameter.shape[0] > rows else update
                    parameter.add_(update, alpha=-group["lr"])


def orthogonalised(matrices: torch.Tensor, dtype: torch.dtype, steps: int = 5) -> torch.Tensor:
    """Newton-Schulz iteration towards the nearest semi-orthogonal matrices; (count, rows, columns)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = (matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(dtype)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.to(matrices.dtype)
