"""Numbers and letters of a page."""

from __future__ import annotations

import pytest

from pipelines.report.bounds import Limit
from pipelines.report.histograms import WIDTH, Histogram
from pipelines.report.page import _figure, _labels, _percent
from translation.filters.thresholds import LENGTHS


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0.0, "0.0%"),
        (0.00001, "<0.1%"),
        (0.5, "50.0%"),
        (0.99999, ">99.9%"),
        (1.0, "100.0%"),
        (None, "–"),
    ],
)
def test_shares_are_not_rounded_to_all_or_nothing(share: float | None, shown: str) -> None:
    assert _percent(share) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.456, "0.46"), (-0.001, "0.00"), (-1.5, "−1.50"), (72.34, "72.3"), (None, "–")],
)
def test_scores_have_as_many_digits_as_one_reads(value: float | None, shown: str) -> None:
    assert _figure(value) == shown


def test_letters_stand_over_their_bounds_and_close_ones_together() -> None:
    limits = [
        Limit(0.3, "min", LENGTHS[:1]),
        Limit(0.31, "min", LENGTHS[1:2]),
        Limit(0.8, "min", LENGTHS[2:]),
    ]
    assert _labels(Histogram("lid"), limits) == [(30.5, "ac"), (80.0, "s")]


def test_bounds_of_all_texts_have_no_letter() -> None:
    assert _labels(Histogram("lid"), [Limit(0.3, "min", LENGTHS)]) == []


def test_letters_stay_within_the_plot() -> None:
    limits = [Limit(0.0, "min", LENGTHS[:1]), Limit(1.0, "max", LENGTHS[:1])]
    places = [place for place, _ in _labels(Histogram("lid"), limits)]
    assert 0 < places[0] < places[1] < WIDTH
