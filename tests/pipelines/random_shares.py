"""Shares of languages for tests of what is handed out by them."""

from __future__ import annotations

import numpy as np

from pipelines.quotas import Floats


def random_shares(generator: np.random.Generator, count: int, per_example: int) -> Floats:
    """`count` shares that sum to 1, of which some are 0 and none is above 1 / per_example."""
    weights = generator.dirichlet(np.full(count, 0.7)) * (generator.random(count) < 0.8)
    weights[:per_example] += 1e-3
    shares = weights / weights.sum()
    for _ in range(200):
        shares = np.minimum(shares, 1 / per_example)
        shares /= shares.sum()
    # The last pull towards the bound: mixed with the flat shares, which hold it.
    flat = np.full(count, 1 / count)
    over = max(float(shares.max()) - 1 / per_example, 0.0)
    mix = 0.0 if over == 0 else over / (float(shares.max()) - 1 / count)
    mixed: Floats = shares * (1 - mix) + flat * mix
    return mixed
