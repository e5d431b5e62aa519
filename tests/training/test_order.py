from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.order import (
    OrderSettings,
    batch_count,
    batches_of,
    interleaved,
    spread,
    windows_of,
)

COUNTS = st.lists(st.integers(0, 30), max_size=30)


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 1000)), max_size=40),
    st.integers(1, 6),
    st.integers(1, 200),
)
def test_windows_are_runs_of_all_pieces_within_bounds(
    pieces: list[tuple[int, int]], lanes: int, rows: int
) -> None:
    settings = OrderSettings(batch_size=4, lanes=lanes, window_rows=rows, window_bytes=2000)
    held = np.array([piece[0] for piece in pieces], dtype=np.int64)
    sizes = np.array([piece[1] for piece in pieces], dtype=np.int64)
    windows = windows_of(held, sizes, settings)
    assert [piece for first, end in windows for piece in range(first, end)] == list(range(len(pieces)))
    for first, end in windows:
        assert end - first == 1 or (held[first:end].sum() <= rows and sizes[first:end].sum() <= 2000)


def test_what_fits_into_one_window_is_one() -> None:
    settings = OrderSettings(batch_size=4, lanes=8, window_rows=100)
    rows = np.full(10, 10)
    assert windows_of(rows, rows, settings) == [(0, 10)]


def test_first_windows_of_lanes_have_different_sizes() -> None:
    settings = OrderSettings(batch_size=4, lanes=4, window_rows=40)
    rows = np.full(40, 10)
    sizes = [end - first for first, end in windows_of(rows, rows, settings)]
    assert sizes[:5] == [1, 2, 3, 4, 4]


@given(COUNTS, st.integers(1, 9))
def test_interleaving_gives_every_batch_of_every_window_once(counts: list[int], lanes: int) -> None:
    window, place = interleaved(counts, lanes)
    pairs = list(zip(window.tolist(), place.tolist(), strict=True))
    assert sorted(pairs) == [(number, batch) for number, count in enumerate(counts) for batch in range(count)]


@given(COUNTS, st.integers(1, 9))
def test_a_lane_gives_its_windows_one_after_another(counts: list[int], lanes: int) -> None:
    window, place = interleaved(counts, lanes)
    for lane in range(lanes):
        of_lane = [(w, p) for w, p in zip(window.tolist(), place.tolist(), strict=True) if w % lanes == lane]
        assert of_lane == sorted(of_lane)


@given(COUNTS, st.integers(1, 9))
def test_batch_i_is_of_lane_i_modulo_lanes_until_one_runs_out(counts: list[int], lanes: int) -> None:
    window, _ = interleaved(counts, lanes)
    shortest = min(sum(counts[lane::lanes]) for lane in range(lanes))
    for index in range(shortest * lanes):
        assert window[index] % lanes == index % lanes


def test_ranks_read_windows_of_their_own() -> None:
    window, _ = interleaved([10] * 16, 8)
    seen = [set(window[rank::4].tolist()) for rank in range(4)]
    assert all(len(of_rank) == 4 for of_rank in seen)
    assert len(set.union(*seen)) == 16


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 128), st.integers(1, 128)), max_size=80),
    st.integers(1, 9),
    st.text(max_size=5),
)
def test_batches_are_even_parts_of_a_window(
    lengths: list[tuple[int, int, int]], batch_size: int, key: str
) -> None:
    costs = np.array(lengths, dtype=np.int64).reshape(-1, 3)
    count = batch_count(len(lengths), batch_size)
    batches = batches_of(costs, count, key)
    assert len(batches) == count
    assert sorted(row for batch in batches for row in batch.tolist()) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    assert not batches or max(map(len, batches)) - min(map(len, batches)) <= 1
    again = batches_of(costs, count, key)
    assert [batch.tolist() for batch in again] == [batch.tolist() for batch in batches]


def test_fewer_rows_than_batches_leave_some_empty() -> None:
    batches = batches_of(np.ones((2, 3), dtype=np.int64), 4, "key")
    assert sorted(len(batch) for batch in batches) == [0, 0, 1, 1]


def test_batches_hold_like_lengths_and_other_ones_for_another_key() -> None:
    rng = np.random.default_rng(0)
    costs = np.stack([rng.integers(0, 2, 640) * 32, rng.integers(3, 60, 640), rng.integers(3, 60, 640)], 1)
    batches = batches_of(costs, 40, "one")
    padded = sum(len(batch) * costs[batch].max(axis=0).sum() for batch in batches)
    shuffled = sum(16 * costs[start : start + 16].max(axis=0).sum() for start in range(0, 640, 16))
    assert 1 - costs.sum() / padded < 0.25 < 0.4 < 1 - costs.sum() / shuffled
    assert [b.tolist() for b in batches] != [b.tolist() for b in batches_of(costs, 40, "two")]


@given(st.lists(st.sampled_from("abc"), max_size=120), st.text(max_size=5))
def test_strata_are_spread_evenly(strata: list[str], key: str) -> None:
    order = spread(strata, key)
    assert sorted(order.tolist()) == list(range(len(strata)))
    for stratum in set(strata):
        places = [place for place, item in enumerate(order) if strata[item] == stratum]
        size = len(places)
        for number, place in enumerate(places):
            # Each other stratum puts at most one item more or less than its share before it.
            assert abs(place / len(strata) - number / size) <= (1 / size) + 4 / len(strata)


@pytest.mark.parametrize("key", ["17 0 pieces", "17 1 pieces", "another"])
def test_large_strata_and_small_ones_are_spread_over_the_whole_order(key: str) -> None:
    sizes = {"a": 300, "b": 100, "c": 20}
    strata = [name for name, size in sizes.items() for _ in range(size)]
    order = spread(strata, key)
    for name, size in sizes.items():
        places = np.flatnonzero(np.array(strata)[order] == name)
        off = np.abs(places / len(strata) - np.arange(size) / size)
        # In a random order they would be 2 to 4 times as far off.
        assert off.max() <= 1 / size + 4 / len(strata)


@pytest.mark.parametrize("name", ["batch_size", "lanes", "window_rows", "window_bytes", "parts"])
def test_settings_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: 0 must be at least 1"):
        OrderSettings(**({"batch_size": 1} | {name: 0}))
