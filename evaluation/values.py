"""From added-up statistics of items to a value: the arithmetic of each kind of metric.

Statistics are the last axis, so that thousands of resamples are one call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Value = Callable[[Floats], Floats]
"""NaN where there is nothing to measure."""

BLEU_ORDER = 4
CHRF_CHARACTERS, CHRF_WORDS, CHRF_BETA = 6, 2, 2


def _fraction(above: tuple[int, ...], below: tuple[int, ...], sums: Floats) -> Floats:
    """One weighted sum of the statistics over another, in percent."""
    numerator = sums @ np.array(above, np.float64)
    denominator = sums @ np.array(below, np.float64)
    undefined = np.full(denominator.shape, np.nan)
    found: Floats = 100 * np.divide(numerator, denominator, out=undefined, where=denominator > 0)
    return found


def _bleu(sums: Floats) -> Floats:
    """BLEU with exponential smoothing, as `sacrebleu.BLEU.compute_bleu`.

    Of lengths of hypothesis and reference, then per order the matches, then per order all n-grams.
    """
    length, reference = sums[..., 0], sums[..., 1]
    matches, totals = sums[..., 2 : 2 + BLEU_ORDER], sums[..., 2 + BLEU_ORDER :]
    with np.errstate(divide="ignore", invalid="ignore"):
        # The first order without a match counts as half a match, the next as a quarter.
        smoothed = 0.5 ** np.cumsum(matches == 0, axis=-1)
        logs = np.log(np.where(matches > 0, matches, smoothed) / totals).mean(axis=-1)
        scores = 100 * np.exp(logs + np.minimum(0.0, 1 - reference / length))
    scores = np.where(matches.any(axis=-1) & totals.all(axis=-1), scores, 0.0)
    return np.where(reference > 0, scores, np.nan)


def _chrf(sums: Floats) -> Floats:
    """F2 of the mean precision and the mean recall of the orders, as `sacrebleu.CHRF` without smoothing.

    Of, per order, the n-grams of the hypothesis, of the reference, and of both.
    """
    counts = sums.reshape(*sums.shape[:-1], CHRF_CHARACTERS + CHRF_WORDS, 3)
    ours, theirs, matches = counts[..., 0], counts[..., 1], counts[..., 2]
    both = (ours > 0) & (theirs > 0)
    orders = np.maximum(both.sum(axis=-1), 1)
    precision = np.divide(matches, ours, out=np.zeros(ours.shape), where=both).sum(axis=-1) / orders
    recall = np.divide(matches, theirs, out=np.zeros(ours.shape), where=both).sum(axis=-1) / orders
    below = CHRF_BETA**2 * precision + recall
    above = 100 * (1 + CHRF_BETA**2) * precision * recall
    scores = np.divide(above, below, out=np.zeros(below.shape), where=below > 0)
    return np.where(theirs.sum(axis=-1) > 0, scores, np.nan)


PERCENTAGE, BLEU, CHRF = "percentage", "bleu", "chrf"

YES_NO_PARTS = ("", ".precision", ".recall", ".f1", ".yes")
"""Accuracy, then the numbers beside it; the kinds of `yes_no` are these after that name."""

VALUES: Mapping[str, Value] = MappingProxyType(
    {
        # Of the sum of scores, and the number of items that were judged.
        PERCENTAGE: partial(_fraction, (1, 0), (0, 1)),
        BLEU: _bleu,
        CHRF: _chrf,
        # Of true yes, false yes, true no, gold yes, all.
        "yes_no": partial(_fraction, (1, 0, 1, 0, 0), (0, 0, 0, 0, 1)),
        "yes_no.precision": partial(_fraction, (1, 0, 0, 0, 0), (1, 1, 0, 0, 0)),
        "yes_no.recall": partial(_fraction, (1, 0, 0, 0, 0), (0, 0, 0, 1, 0)),
        "yes_no.f1": partial(_fraction, (2, 0, 0, 0, 0), (1, 1, 0, 1, 0)),
        "yes_no.yes": partial(_fraction, (1, 1, 0, 0, 0), (0, 0, 0, 0, 1)),
    }
)
"""By the name that result files store."""
WIDTHS: Mapping[str, int] = MappingProxyType(
    {kind: 5 for kind in VALUES if kind.startswith("yes_no")}
    | {PERCENTAGE: 2, BLEU: 2 + 2 * BLEU_ORDER, CHRF: 3 * (CHRF_CHARACTERS + CHRF_WORDS)}
)
"""How many statistics an item has, by kind."""
