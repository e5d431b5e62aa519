"""Distributions: what is counted where, and what is drawn."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.report.histograms import BINS, HALF, WIDTH, Histogram, axis
from translation.filters.policy import RANGES


def histogram(score: str, accepted: list[float], rejected: list[float] | None = None) -> Histogram:
    made = Histogram(score)
    made.add(np.array(accepted, np.float32), accepted=True)
    made.add(np.array(rejected or [], np.float32), accepted=False)
    return made


def heights(path: str) -> dict[int, float]:
    """Place of each bar and how far it reaches from the axis, downwards above 0."""
    bars = re.findall(rf"M(\d+) {HALF}v(-?[\d.]+)h\d+V{HALF}z", path)
    assert "".join(f"M{x} {HALF}v{height}h4V{HALF}z" for x, height in bars) == path
    return {int(x) * BINS // WIDTH: float(height) for x, height in bars}


def test_counts_both_sides_and_their_means() -> None:
    made = histogram("lid", [0.0, 0.5, 1.0], [0.1])
    assert made.rows == (1, 3)
    assert made.mean(accepted=True) == pytest.approx(0.5)
    assert made.mean(accepted=False) == pytest.approx(0.1)
    assert made.mean() == pytest.approx(0.4)


def test_rows_without_the_score_are_not_counted() -> None:
    made = histogram("lid", [np.nan, 0.5, np.nan])
    assert made.rows == (0, 1)
    assert made.mean(accepted=False) is None
    assert histogram("lid", [np.nan]).mean() is None


def test_values_at_and_beyond_the_ends_stand_in_the_bars_there() -> None:
    made = histogram("length_ratio", [0.0, 3.0, 100.0], [-1.0])
    assert made.counts[1].tolist() == [1] + [0] * (BINS - 2) + [2]
    assert made.counts[0, 0] == 1


@given(st.lists(st.floats(-5, 30, width=32), max_size=50), st.booleans())
def test_every_value_is_in_one_bin(values: list[float], accepted: bool) -> None:
    made = Histogram("metricx")
    made.add(np.array(values, np.float32), accepted)
    assert made.counts[int(accepted)].sum() == len(values)
    assert made.counts[int(not accepted)].sum() == 0


def test_the_tallest_bar_of_each_side_fills_its_half() -> None:
    made = histogram("lid", [0.01] * 10 + [0.99] * 5, [0.5])
    assert heights(made.path(accepted=True)) == {0: -HALF, BINS - 1: -HALF / 2}
    assert heights(made.path(accepted=False)) == {BINS // 2: HALF}


def test_a_single_row_is_seen_beside_a_million() -> None:
    assert heights(histogram("lid", [0.01] * 100_000 + [0.99]).path(accepted=True))[BINS - 1] == -1


def test_no_rows_draw_nothing() -> None:
    assert histogram("lid", []).path(accepted=True) == ""


def test_including_another_adds_its_rows() -> None:
    one, other = histogram("lid", [0.2]), histogram("lid", [0.4], [0.6])
    one.include(other)
    assert one.rows == (1, 2)
    assert one.mean(accepted=True) == pytest.approx(0.3)


@pytest.mark.parametrize("score", RANGES)
def test_axes_lie_within_what_scores_can_be(score: str) -> None:
    (low, high), (least, most) = axis(score), RANGES[score]
    assert least <= low < high <= most
    assert axis("prompt_" + score) == (low, high)


def test_where_a_bound_stands() -> None:
    made = Histogram("length_ratio")
    assert [made.across(value) for value in (0, 1.5, 3, 50)] == [0, 50, 100, 100]
