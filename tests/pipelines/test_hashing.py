"""Hashes: the same everywhere, one by one and together, uniform, and found among sorted ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.hashing import fraction, hash_of, hashes_of, holds


@given(st.integers(0, 2**40), st.text(), st.lists(st.text(), max_size=5))
def test_hashes_are_the_same_one_by_one_and_together(seed: int, purpose: str, keys: list[str]) -> None:
    assert hashes_of(seed, purpose, keys).tolist() == [hash_of(seed, purpose, key) for key in keys]


def test_a_hash_is_the_same_in_every_version() -> None:
    assert hash_of(17, "language", "coco/1/caption") == 0x13440934107EBF7C


def test_half_a_surrogate_pair_has_a_hash() -> None:
    assert 0 <= hash_of(1, "language", "\ud83d") < 2**64


def test_hashes_depend_on_seed_and_purpose_and_are_uniform() -> None:
    keys = [str(number) for number in range(20_000)]
    one, other, third = (
        hashes_of(seed, purpose, keys) / 2.0**64
        for seed, purpose in ((1, "language"), (2, "language"), (1, "split"))
    )
    for values in (one, other, third):
        assert np.histogram(values, bins=20, range=(0, 1))[0] == pytest.approx(1000, abs=160)
    assert abs(np.corrcoef([one, other, third])[np.triu_indices(3, 1)]).max() < 0.03


def test_a_fraction_is_the_hash_scaled_and_below_one() -> None:
    assert fraction(1, "split", "image") == pytest.approx(hash_of(1, "split", "image") / 2**64)
    assert all(0 <= fraction(1, "split", str(number)) < 1 for number in range(1000))


@given(st.lists(st.integers(0, 2**64 - 1), max_size=30), st.integers(0, 2**64 - 1))
def test_sorted_hashes_hold_what_is_in_them_and_nothing_else(held: list[int], other: int) -> None:
    hashes = np.unique(np.array(held, dtype=np.uint64))
    assert all(holds(hashes, one) for one in held)
    assert holds(hashes, other) == (other in held)
