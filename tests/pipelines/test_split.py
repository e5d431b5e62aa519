"""The split: each stratum holds out its share, one picture stands on one side, growth moves few."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.hashing import Hashes
from pipelines.quotas import Integers
from pipelines.split import side_of, validation_images
from translation.mix_folder import TRAIN, VALIDATION


def random_hashes(seed: int, size: int) -> Hashes:
    return np.random.default_rng(seed).integers(0, 2**64, size, dtype=np.uint64)


@st.composite
def pictures(draw: st.DrawFn) -> tuple[Hashes, Integers]:
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    strata = draw(st.integers(1, 20))
    sizes = generator.integers(0, draw(st.sampled_from([3, 50, 400])), strata)
    return random_hashes(draw(st.integers(0, 99)), int(sizes.sum())), np.repeat(np.arange(strata), sizes)


@given(pictures(), st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.02, 0.5, 1.0])))
def test_each_stratum_and_the_whole_hold_out_their_share_within_one(
    case: tuple[Hashes, Integers], share: float
) -> None:
    images, strata = case
    held = validation_images(images, strata, share)
    assert np.array_equal(held, np.unique(held))
    assert abs(len(held) - len(images) * share) <= 0.5 + 1e-5
    numbers = np.bincount(strata[np.isin(images, held)], minlength=20)
    assert np.abs(numbers - np.bincount(strata, minlength=20) * share).max() <= 1 + 1e-5
    sides = Counter(side_of(held, image) for image in images.tolist())
    assert sides[VALIDATION] == len(held)
    assert sides[TRAIN] == len(images) - len(held)


@given(pictures(), st.floats(0, 1))
def test_the_order_of_the_images_changes_nothing(case: tuple[Hashes, Integers], share: float) -> None:
    images, strata = case
    order = np.random.default_rng(1).permutation(len(images))
    once, again = (
        validation_images(images, strata, share),
        validation_images(images[order], strata[order], share),
    )
    assert np.array_equal(once, again)


def test_an_image_of_two_strata_counts_in_the_lower_one() -> None:
    images, strata = random_hashes(1, 1000), np.repeat([1, 2], 500)
    both = (
        np.concatenate([images, images[500:], images[:500]]),
        np.concatenate([strata, strata[500:] + 1, strata[:500] + 1]),
    )
    assert np.array_equal(validation_images(*both, 0.1), validation_images(images, strata, 0.1))


def test_more_images_change_the_side_of_few() -> None:
    """Under 2 % of those held out: only what lies next to the bound of its stratum moves."""
    images, strata = random_hashes(1, 100_000), np.arange(100_000) % 5
    more = np.concatenate([images, random_hashes(2, 1000)]), np.concatenate([strata, np.arange(1000) % 5])
    before, after = validation_images(images, strata, 0.05), validation_images(*more, 0.05)
    old = np.intersect1d(after, images)
    assert len(np.setxor1d(before, old)) < 0.02 * len(before)


@given(pictures(), st.floats(0, 1), st.integers(0, 99))
def test_what_is_shown_together_stands_on_one_side(
    case: tuple[Hashes, Integers], share: float, seed: int
) -> None:
    images, strata = case
    draw = np.random.default_rng(seed)
    known = np.concatenate([images, random_hashes(7, 9)])
    together = known[draw.integers(0, len(known), (len(images) // 3, 3))]
    held = validation_images(images, strata, share, together)
    assert np.isin(held, images).all()
    of_rows = np.isin(together, held)
    # Some are shown with what no row of the mix shows alone.
    there = np.isin(together, images)
    assert not (of_rows.any(axis=1) & (there & ~of_rows).any(axis=1)).any()
    shuffled = together[draw.permutation(len(together))][:, ::-1]
    assert np.array_equal(held, validation_images(images, strata, share, shuffled))


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_one_group_of_all_is_not_held_out(share: float) -> None:
    images = random_hashes(1, 10)
    chain = np.stack([images[:-1], images[1:]], axis=1)
    assert len(validation_images(images, np.zeros(10, dtype=np.int64), share, chain)) == 0


def test_large_groups_are_held_out_as_often_as_single_images() -> None:
    images, strata = random_hashes(3, 40_000), np.zeros(40_000, dtype=np.int64)
    together = images[:20_000].reshape(-1, 10)
    held = validation_images(images, strata, 0.1, together)
    grouped = np.isin(images[:20_000], held).mean()
    assert abs(grouped - 0.1) < 0.02
    assert abs(np.isin(images[20_000:], held).mean() - 0.1) < 0.01


def test_no_images_hold_out_none() -> None:
    none = validation_images(np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64), 0.1)
    assert side_of(none, 5) == TRAIN


def test_a_share_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="give 0 to 1"):
        validation_images(random_hashes(1, 5), np.zeros(5, dtype=np.int64), 1.5)
