"""Quotas: exact for each stratum and for all together, also where a stratum lacks languages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.quotas import Booleans, Floats, Integers, fitted_shares, quotas
from tests.pipelines.random_shares import random_shares


@st.composite
def quota_cases(draw: st.DrawFn) -> tuple[Integers, Floats, Integers]:
    """Sizes, shares [strata x languages] and languages per unit; strata share their policy or don't."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    strata, per_example = draw(st.integers(1, 30)), draw(st.integers(1, 4))
    languages = draw(st.integers(max(per_example, 2), 40))
    sizes = generator.integers(0, draw(st.sampled_from([3, 30, 1000, 10**6])), strata)
    same = draw(st.booleans())
    rows = [random_shares(generator, languages, per_example) for _ in range(1 if same else strata)]
    shares = np.array(rows * strata if same else rows)
    return sizes.astype(np.int64), shares, np.full(strata, per_example, dtype=np.int64)


@given(quota_cases())
@settings(deadline=None)
def test_quotas_are_exact_in_rows_and_within_one_in_cells_and_columns(
    case: tuple[Integers, Floats, Integers],
) -> None:
    sizes, shares, per_example = case
    table = quotas(*case)
    exact = shares * (sizes * per_example)[:, None]
    assert np.array_equal(table.sum(axis=1), sizes * per_example)
    assert np.abs(table - exact).max() < 1
    assert np.abs(table.sum(axis=0) - exact.sum(axis=0)).max() < 1 + 1e-6
    assert table.min() >= 0
    assert np.all(table <= sizes[:, None])
    assert np.all(table[shares == 0] == 0)


def test_columns_stay_within_one_where_cells_stand_against_the_largest_remainder() -> None:
    # 70 rows of these shares would be 35 + 35, but the larger stratum must give the small languages one.
    shares = np.array([0.49, 0.49, *[0.02 / 12] * 12])
    sizes, one = np.array([69, 1]), np.array([1, 1])
    table = quotas(sizes, np.array([shares, shares]), one)
    assert table.sum(axis=1).tolist() == [69, 1]
    assert sorted(table.sum(axis=0)[:2]) == [34, 35]
    assert np.abs(table - sizes[:, None] * shares).max() < 1


def test_whole_numbers_are_not_rounded() -> None:
    table = quotas(np.array([30, 10]), np.full((2, 10), 0.1), np.array([1, 1]))
    assert table.tolist() == [[3] * 10, [1] * 10]
    # As floats these are 28.999999999999996, 56.99999999999999 and 14.000000000000002.
    assert quotas(np.array([100]), np.array([[0.29, 0.57, 0.14]]), np.array([1])).tolist() == [[29, 57, 14]]


@pytest.mark.parametrize(
    ("shares", "per_example", "words"),
    [([0.5, 0.4], 1, "sum to 1"), ([1.5, -0.5], 1, "at least 0"), ([0.6, 0.4], 2, "same language twice")],
)
def test_impossible_shares_are_an_error(shares: list[float], per_example: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        quotas(np.array([10]), np.array([shares]), np.array([per_example]))


@st.composite
def restricted(draw: st.DrawFn) -> tuple[Integers, Floats, Booleans, Integers]:
    """Sizes, shares of the mix, eligible languages [strata x languages], and languages per unit."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    most, languages = draw(st.integers(1, 3)), draw(st.integers(3, 30))
    shares = random_shares(generator, languages, most)
    strata, least = draw(st.integers(1, 12)), draw(st.sampled_from([0.05, 0.5, 0.9, 1.0]))
    eligible = generator.random((strata, languages)) < generator.uniform(least, 1, (strata, 1))
    sizes = generator.integers(0, 60, strata)
    possible = np.count_nonzero(eligible & (shares > 0), axis=1)
    return sizes, shares, eligible, np.minimum(possible, most)


@given(restricted())
@settings(deadline=None)
def test_fitted_shares_are_possible_ones(case: tuple[Integers, Floats, Booleans, Integers]) -> None:
    _, _, eligible, per_example = case
    fitted = fitted_shares(*case)
    assert fitted.sum(axis=1) == pytest.approx((per_example > 0).astype(float))
    assert np.all(fitted[~eligible] == 0)
    assert np.all(fitted <= 1 / np.maximum(per_example, 1)[:, None] + 1e-9)


@given(restricted())
@settings(deadline=None)
def test_fitting_brings_the_mix_no_further_from_the_policy(
    case: tuple[Integers, Floats, Booleans, Integers],
) -> None:
    sizes, shares, eligible, _ = case
    one_each = np.array((eligible & (shares > 0)).any(axis=1), dtype=np.int64)
    plain = np.where(eligible, shares, 0.0)
    plain /= np.maximum(plain.sum(axis=1, keepdims=True), 1e-300)
    wanted = shares * sizes[one_each > 0].sum()
    fitted = fitted_shares(sizes, shares, eligible, one_each)
    off, unfitted = (np.abs(sizes @ table - wanted).sum() for table in (fitted, plain))
    assert off <= unfitted + 1e-2


def test_a_stratum_with_fewer_languages_than_wanted_is_an_error() -> None:
    eligible = np.array([[True, False]])
    with pytest.raises(ValueError, match="fewer eligible languages"):
        fitted_shares(np.array([5]), np.array([0.5, 0.5]), eligible, np.array([2]))
