"""Updates of matrices are orthogonalised, in either precision."""

from __future__ import annotations

import pytest
import torch

from scripts.small_model.optimizer import Muon, orthogonalised


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_singular_values_come_near_one(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(3, 8, 24)
    found = orthogonalised(matrices, dtype)
    assert found.dtype == torch.float32
    values = torch.linalg.svdvals(found)
    # Jordan et al. stop where they are within 0.7 to 1.2 of it.
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_all_shapes_are_updated_towards_a_lower_loss() -> None:
    torch.manual_seed(0)
    wide, tall = torch.nn.Parameter(torch.randn(4, 9)), torch.nn.Parameter(torch.randn(9, 4))
    optimizer = Muon([wide, tall], lr=0.1, dtype=torch.bfloat16)
    losses = []
    for _ in range(20):
        loss = (wide @ tall).square().sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
