"""A softmax over a part of the vocabulary, which on a CPU takes most of a training step when it is whole."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import brentq

FLATTENED = 0.75
"""Ids are drawn as their count to this power (Mikolov et al. 2013)."""


class Candidates:
    """Draws ids that stand in for all others (sampled softmax; Jean et al. 2015).

    Each id is drawn or not by a chance of its own. A drawn one counts for all that are like it: its logit is
    raised by -log of that chance, so that the sum over the candidates is in the mean the sum over all.
    """

    def __init__(self, counts: np.ndarray[tuple[int], np.dtype[np.int64]], size: int, device: str) -> None:
        """By how often each id is a target, (vocabulary); about `size` are drawn for each batch."""
        shares = (counts + 1.0) ** FLATTENED
        shares /= shares.mean()

        def too_many(draws: float) -> float:
            return float(-np.expm1(-draws * shares).sum()) - size

        draws = brentq(too_many, 0, 1e6) if size < len(counts) else np.inf
        chances = -np.expm1(-draws * shares)
        self._chances = torch.from_numpy(chances.astype(np.float32)).to(device)

    def of(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """For the labels of a batch: candidates, what is added to their logits, and where each label stands.

        All labels are among the candidates, and none of them is corrected.
        """
        wanted = torch.zeros(len(self._chances), dtype=torch.bool, device=labels.device)
        wanted[labels] = True
        chosen = wanted | (torch.rand_like(self._chances) < self._chances)
        ids = chosen.nonzero()[:, 0]
        corrections = torch.where(wanted, 0.0, -self._chances.log())[ids]
        return ids, corrections, (chosen.cumsum(0) - 1)[labels]
