"""The loss that works on a part of the rows at a time is torch's own, and so are its gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from scripts.small_model.loss import ROWS, smoothed_cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("count", [1, ROWS, ROWS + 70])
def test_loss_and_gradients_are_torchs(smoothing: float, count: int) -> None:
    torch.manual_seed(0)
    states = torch.randn(count, 16, requires_grad=True)
    weight = torch.randn(90, 16, requires_grad=True)
    corrections, labels = torch.rand(90), torch.randint(0, 90, (count,))
    ours = smoothed_cross_entropy(states, weight, corrections, labels, smoothing, torch.float32)
    theirs = functional.cross_entropy(states @ weight.T + corrections, labels, label_smoothing=smoothing)
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(2 * loss, (states, weight)) for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients)


def test_in_bfloat16_the_gradients_point_the_same_way() -> None:
    torch.manual_seed(0)
    states, weight = torch.randn(700, 16), torch.randn(90, 16)
    labels = torch.randint(0, 90, (700,))
    gradients: list[torch.Tensor] = []
    for dtype in (torch.float32, torch.bfloat16):
        given = states.to(dtype).requires_grad_()
        loss = smoothed_cross_entropy(given, weight, torch.zeros(90), labels, 0.1, dtype)
        gradients += torch.autograd.grad(loss, given)
    assert gradients[1].dtype == torch.bfloat16
    assert functional.cosine_similarity(gradients[1].float().ravel(), gradients[0].ravel(), dim=0) > 0.999


def test_large_logits_do_not_overflow() -> None:
    states = torch.full((2, 1), 1e4, requires_grad=True)
    weight = torch.tensor([[1.0], [-1.0], [0.5]])
    loss = smoothed_cross_entropy(states, weight, torch.zeros(3), torch.tensor([0, 0]), 0.0, torch.float32)
    assert loss.item() == 0
    assert torch.isfinite(torch.autograd.grad(loss, states)[0]).all()
