"""What a metric hands on: per item the numbers that add up to its value over any set of items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.items import Item
from evaluation.values import PERCENTAGE, VALUES, Floats, Value


@dataclass(frozen=True)
class Measure:
    """One number over any subset of items, such as an accuracy or a corpus BLEU.

    Values are 0 to 100 in most metrics, CIDEr-D 0 to 1000.
    """

    name: str
    statistics: Floats
    """Items × numbers that add up."""
    kind: str
    """Of `evaluation.values.VALUES`: what makes a value of them."""
    signature: str
    """What reproduces it, see `evaluation.signature`."""

    @property
    def value(self) -> Value:
        return VALUES[self.kind]


Metric = Callable[[Sequence[Item]], Sequence[Measure]]
"""Scores items of any languages; one metric may give several numbers."""


def mean(name: str, scores: Floats, signature: str, judged: NDArray[np.bool_] | None = None) -> Measure:
    """The mean of scores (0 to 1) in percent, over the items that could be judged; all by default."""
    weights = np.ones(len(scores)) if judged is None else judged.astype(np.float64)
    return Measure(name, np.stack([scores * weights, weights], axis=-1), PERCENTAGE, signature)
