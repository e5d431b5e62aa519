from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from training import losses
from training.batches import IGNORED
from training.losses import token_cross_entropy


@pytest.fixture(params=[2**26, 40])
def _slices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, and a few rows at a time."""
    monkeypatch.setitem(losses.VALUES_AT_ONCE, "cpu", request.param)


@pytest.mark.usefixtures("_slices")
def test_losses_and_gradients_are_torchs() -> None:
    torch.manual_seed(0)
    targets = torch.randint(0, 11, (3, 5))
    targets[0, 2:] = IGNORED
    ours = torch.randn(3, 5, 11, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    weights = torch.rand(3, 5)
    found = token_cross_entropy(ours, targets)
    expected = cross_entropy(theirs.flatten(0, 1), targets.flatten(), reduction="none").view(3, 5)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad)
    assert found[0, 2:].eq(0).all()
    assert ours.grad[0, 2:].eq(0).all()


def test_logits_of_16_bits_are_summed_in_float32() -> None:
    torch.manual_seed(0)
    logits = (torch.randn(40, 5000) * 3).bfloat16().requires_grad_()
    targets = torch.randint(0, 5000, (40,))
    expected = cross_entropy(logits.detach().float(), targets, reduction="none")
    found = token_cross_entropy(logits, targets)
    torch.testing.assert_close(found, expected)
    found.mean().backward()
    assert logits.grad is not None
    assert logits.grad.dtype == torch.bfloat16
