"""Distributions of scores: counted into bins while rows stream by, drawn as SVG paths."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from translation.row import PROMPT_PREFIX

BINS = 20
WIDTH, HALF = 100, 24
"""Of a plot, in its own units: accepted rows grow upwards from the middle, rejected ones downwards."""

_AXES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "length_ratio": (0.0, 3.0),
        "ending": (0.0, 3.0),
        "round_trip_chrf": (0.0, 100.0),
        "metricx": (0.0, 25.0),
        "model_score": (-4.0, 0.0),
    }
)
"""Where the values of a score lie; what lies outside counts into the bins at the ends."""


def axis(score: str) -> tuple[float, float]:
    """Least and greatest value on the axis of a score, of a target's or a prompt's."""
    return _AXES.get(score.removeprefix(PROMPT_PREFIX), (0.0, 1.0))


class Histogram:
    """How often a score of accepted and of rejected rows fell into each bin, and its mean."""

    def __init__(self, score: str) -> None:
        self.score = score
        self.counts = np.zeros((2, BINS), np.int64)
        """Of rejected rows, then of accepted ones."""
        self._sums = np.zeros(2)

    def add(self, values: NDArray[np.float32], accepted: bool) -> None:
        """Counts values; NaN are rows without this score."""
        found = values[~np.isnan(values)].astype(np.float64)
        if not found.size:
            return
        low, high = axis(self.score)
        places = np.clip(np.floor((found - low) / (high - low) * BINS), 0, BINS - 1).astype(np.int64)
        self.counts[int(accepted)] += np.bincount(places, minlength=BINS)
        self._sums[int(accepted)] += float(found.sum())

    def include(self, other: Histogram) -> None:
        """Adds the rows of another histogram of the same score."""
        self.counts += other.counts
        self._sums += other._sums

    @property
    def axis(self) -> tuple[float, float]:
        """Least and greatest value on it."""
        return axis(self.score)

    @property
    def rows(self) -> tuple[int, int]:
        """Rejected and accepted rows that have the score."""
        rejected, accepted = self.counts.sum(axis=1).tolist()
        return rejected, accepted

    def mean(self, accepted: bool | None = None) -> float | None:
        """Of accepted rows, of rejected ones, or by default of all; None without any."""
        rows = sum(self.rows) if accepted is None else self.rows[int(accepted)]
        total = self._sums.sum() if accepted is None else self._sums[int(accepted)]
        return float(total) / rows if rows else None

    def path(self, accepted: bool) -> str:
        """The bars as the `d` of an SVG path, the tallest as high as its half of the plot."""
        counts = self.counts[int(accepted)]
        tallest = int(counts.max())
        step = WIDTH // BINS
        parts = []
        for place, count in enumerate(counts.tolist()):
            if count:
                # A single row must be seen beside a million.
                height = max(round(HALF * count / tallest, 1), 1.0)
                sign = "-" if accepted else ""
                parts.append(f"M{place * step} {HALF}v{sign}{height:g}h{step - 1}V{HALF}z")
        return "".join(parts)

    def across(self, value: float) -> float:
        """Where a value stands on the horizontal axis of the plot."""
        low, high = axis(self.score)
        return round(WIDTH * min(max((value - low) / (high - low), 0.0), 1.0), 1)
