from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.draws import draws, fractions, shuffled


def test_draws_are_those_of_splitmix64() -> None:
    mask = 2**64 - 1
    first = int(draws("key", 1)[0])

    def mix(state: int) -> int:
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & mask
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & mask
        return state ^ (state >> 31)

    start = int.from_bytes(hashlib.blake2b(b"key", digest_size=8).digest(), "big")
    assert mix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF  # of the published generator, seed 0
    assert first == mix((start + 0x9E3779B97F4A7C15) & mask)


def test_draws_never_change() -> None:
    assert shuffled("17 0 pieces", 8).tolist() == [0, 7, 2, 3, 5, 4, 6, 1]


@given(st.text(max_size=20), st.integers(0, 300))
def test_a_shuffle_holds_each_number_once(key: str, count: int) -> None:
    assert sorted(shuffled(key, count).tolist()) == list(range(count))


@given(st.text(max_size=20), st.integers(1, 50), st.integers(1, 50))
def test_more_draws_begin_with_the_same(key: str, fewer: int, more: int) -> None:
    assert draws(key, fewer + more)[:fewer].tolist() == draws(key, fewer).tolist()


def test_fractions_are_uniform_and_keys_independent() -> None:
    one, other = fractions("17 0", 20_000), fractions("17 1", 20_000)
    assert 0 <= one.min() < one.max() < 1
    counts, _ = np.histogram(one, bins=20, range=(0, 1))
    assert ((counts - 1000) ** 2 / 1000).sum() < 44  # chi-squared, 19 degrees of freedom, p = .001
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03
