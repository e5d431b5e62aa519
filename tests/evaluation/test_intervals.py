"""Intervals and tests agree with plain implementations, and say what they should of known cases."""

from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.intervals import (
    Units,
    bootstrap,
    holm,
    interval,
    mean_over,
    p_value,
    randomised,
)
from evaluation.items import places_of

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def units_of(languages: list[str], units: list[str]) -> Units:
    return Units(units, list(places_of(languages).values()))


def test_sums_are_those_of_a_plain_loop_over_the_same_draws() -> None:
    draw = random.Random(1)
    languages = [draw.choice("abc") for _ in range(60)]
    names = [f"{draw.randrange(12):02d}" for _ in languages]
    table = np.array([[draw.random(), 1.0] for _ in languages])
    units = units_of(languages, names)
    assert len(units.pools) == 1
    parts = list(bootstrap(units, table, 50, seed=7))
    found = [np.concatenate(one) for one in zip(*parts, strict=True)]

    order = sorted(set(names))
    generator = np.random.default_rng([7, 0])
    for resample in range(50):
        drawn = [order[place] for place in generator.integers(len(order), size=len(order))]
        for number, language in enumerate(sorted(set(languages))):
            total = [0.0, 0.0]
            for name in drawn:
                for at, (own, unit) in enumerate(zip(languages, names, strict=True)):
                    if (own, unit) == (language, name):
                        total = [total[0] + table[at, 0], total[1] + table[at, 1]]
            assert found[number][resample] == pytest.approx(total)


def test_draws_do_not_depend_on_how_many_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    units = units_of(["a"] * 30, [str(number) for number in range(30)])
    table = np.random.default_rng(0).random((30, 2))
    at_once = np.concatenate([sums[0] for sums in bootstrap(units, table, 40, 3)])
    flips = np.concatenate([one[0] for one, _ in randomised(units, table, table[::-1], 40, 3)])
    monkeypatch.setattr("evaluation.intervals._CELLS", 70)
    assert np.allclose(np.concatenate([sums[0] for sums in bootstrap(units, table, 40, 3)]), at_once)
    again = np.concatenate([one[0] for one, _ in randomised(units, table, table[::-1], 40, 3)])
    assert np.allclose(again, flips)


def test_languages_that_share_pictures_are_drawn_together_and_others_apart() -> None:
    together = units_of(["a", "a", "b", "b"], ["1", "2", "1", "2"])
    assert [pool.tolist() for pool in together.pools] == [[0, 1]]
    apart = units_of(["a", "a", "b", "b"], ["1", "2", "3", "4"])
    assert [pool.tolist() for pool in apart.pools] == [[0, 1], [2, 3]]
    chained = units_of(["a", "b", "c", "b", "c"], ["1", "2", "3", "1", "2"])
    assert [pool.tolist() for pool in chained.pools] == [[0, 1, 2]]
    (sums,) = bootstrap(apart, np.ones((4, 1)), 20, 0)
    assert all((one == 2).all() for one in sums)


def test_pictures_with_many_questions_widen_the_interval() -> None:
    """Ten equal questions a picture are one piece of evidence, not ten."""
    right = np.repeat([[0.0, 1.0], [1.0, 1.0]] * 20, 10, axis=0)
    pictures = [f"{number // 10:03d}" for number in range(400)]
    questions = [f"{number:03d}" for number in range(400)]
    widths = []
    for names in (pictures, questions):
        parts = [sums[0] for sums in bootstrap(units_of(["a"] * 400, names), right, 1000, 1)]
        sums = np.concatenate(parts)
        found = interval(sums[:, 0] / sums[:, 1])
        assert found is not None
        widths.append(found.high - found.low)
    assert widths[0] / widths[1] == pytest.approx(math.sqrt(10), rel=0.15)


def test_the_interval_of_a_mean_is_that_of_theory() -> None:
    draw = np.random.default_rng(5)
    scores = draw.normal(10, 2, 400)
    table = np.stack([scores, np.ones(400)], axis=-1)
    units = units_of(["a"] * 400, [str(number) for number in range(400)])
    sums = np.concatenate([part[0] for part in bootstrap(units, table, 4000, 2)])
    found = interval(sums[:, 0] / sums[:, 1])
    assert found is not None
    error = scores.std() / math.sqrt(400)
    assert found.low == pytest.approx(scores.mean() - 1.96 * error, abs=0.012)
    assert found.high == pytest.approx(scores.mean() + 1.96 * error, abs=0.012)


def test_intervals_leave_out_what_is_undefined() -> None:
    assert interval(np.array([np.nan, np.nan])) is None
    found = interval(np.array([np.nan, 1.0, 2.0]))
    assert found is not None
    assert 1 <= found.low <= found.high <= 2


def test_chance_is_that_of_a_plain_loop_over_the_same_flips() -> None:
    draw = np.random.default_rng(3)
    ours, theirs = draw.random((9, 2)), draw.random((9, 2))
    languages, names = ["a"] * 5 + ["b"] * 4, ["1", "2", "3", "3", "4", "1", "2", "4", "4"]
    units = units_of(languages, names)
    parts = list(randomised(units, ours, theirs, 30, seed=11))
    flips = np.random.default_rng([11, 4]).integers(2, size=(30, 4))
    for number, language in enumerate("ab"):
        first = np.concatenate([one[number] for one, _ in parts])
        second = np.concatenate([other[number] for _, other in parts])
        for row in range(30):
            total = [np.zeros(2), np.zeros(2)]
            for at in range(9):
                if languages[at] == language:
                    flip = flips[row, int(names[at]) - 1]
                    total[0] += theirs[at] if flip else ours[at]
                    total[1] += ours[at] if flip else theirs[at]
            assert first[row] == pytest.approx(total[0])
            assert second[row] == pytest.approx(total[1])


def test_p_values_are_uniform_without_and_small_with_a_difference() -> None:
    draw = np.random.default_rng(9)
    units = units_of(["a"] * 50, [str(number) for number in range(50)])

    def p_of(shift: float) -> float:
        noise = draw.normal(0, 1, (2, 50))
        ours, theirs = (np.stack([row, np.ones(50)], axis=-1) for row in (noise[0], noise[1] + shift))
        chance = [
            theirs_too[0][:, 0] / 50 - ours_too[0][:, 0] / 50
            for ours_too, theirs_too in randomised(units, ours, theirs, 400, 1)
        ]
        found = p_value(float(theirs[:, 0].mean() - ours[:, 0].mean()), np.concatenate(chance))
        assert found is not None
        return found

    same = [p_of(0) for _ in range(200)]
    assert statistics.mean(p < 0.1 for p in same) == pytest.approx(0.1, abs=0.06)
    assert statistics.mean(same) == pytest.approx(0.5, abs=0.08)
    assert max(p_of(2) for _ in range(20)) < 0.01


def test_no_difference_at_all_is_wholly_chance() -> None:
    assert p_value(0.0, np.zeros(99)) == 1
    assert p_value(1.0, np.zeros(99)) == 0.01
    assert p_value(float("nan"), np.zeros(9)) is None
    assert p_value(1.0, np.full(9, np.nan)) is None


def test_holm_worked_by_hand() -> None:
    assert holm([0.01, 0.04, None, 0.03]) == [0.03, 0.06, None, 0.06]
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_only_raises_and_keeps_the_order(values: list[float]) -> None:
    found = [one for one in holm(values) if one is not None]
    assert all(before <= after <= 1 for before, after in zip(values, found, strict=True))
    order = sorted(range(len(values)), key=values.__getitem__)
    ranked = [found[place] for place in order]
    assert ranked == sorted(ranked)


def test_the_mean_over_languages_leaves_out_those_without_value() -> None:
    found = mean_over([np.array([1.0, np.nan]), np.array([3.0, np.nan]), np.array([np.nan, np.nan])])
    assert found[0] == 2
    assert np.isnan(found[1])
