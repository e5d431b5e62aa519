"""Which pictures are held out for validation: the same share of every stratum."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.hashing import Hashes, holds
from pipelines.quotas import NEARLY_WHOLE, Integers
from translation.mix_folder import TRAIN, VALIDATION


def validation_images(
    images: Hashes, strata: Integers, share: float, together: Hashes | None = None
) -> Hashes:
    """The sorted hashes of the images to hold out: `share` of each stratum and of all, each within one image.

    Of every stratum these are the images with the lowest hashes, so that more data moves only images next to
    a bound. An image that occurs more than once counts in its lowest stratum.

    Args:
        images: `hash_of` the image ids, in any order.
        strata: the number of each one's stratum.
        share: 0 to 1.
        together: (N, M), of `images` or others; those of a row stand on one side, and so do those of rows
            that share one. They count as one image. Groups of more than `share` of all are not held out.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"{share!r} is no share of the images; give 0 to 1")
    if len(images) == 0:
        return np.empty(0, dtype=np.uint64)
    if together is not None and len(together):
        groups = _groups(images, together)
        distinct = np.unique(np.stack([groups, images]), axis=1)
        of_group, sizes = np.unique(distinct[0], return_counts=True)
        small = np.isin(groups, of_group[sizes <= max(1.0, share * distinct.shape[1])])
        held = validation_images(groups[small], strata[small], share)
        return np.unique(images[np.isin(groups, held)])
    order = np.argsort(images)
    images, strata = images[order], strata[order]
    starts = _starts(images)
    images, strata = images[starts], np.minimum.reduceat(strata, starts)
    order = np.argsort(strata, kind="stable")
    images, strata = images[order], strata[order]
    starts = _starts(strata)
    ends = np.append(starts[1:], len(images))
    # Rounded over the running total, so that many small strata have their share together.
    held = np.diff(np.floor(ends * share + 0.5 + NEARLY_WHOLE), prepend=0).astype(np.int64)
    rank = np.arange(len(images)) - np.repeat(starts, ends - starts)
    return np.sort(images[rank < np.repeat(held, ends - starts)])


def _groups(images: Hashes, together: Hashes) -> Hashes:
    """For each image a number that all of its group have; of one without a group its own."""
    members, rows = np.unique(together, return_inverse=True)
    rows = rows.reshape(together.shape)
    first = np.arange(len(members))
    while True:
        before = first.copy()
        np.minimum.at(first, rows, first[rows].min(axis=1, keepdims=True))
        first = first[first]
        if np.array_equal(first, before):
            break
    # Not the lowest hash of a group: a large one would be held out more often than a small one.
    place = np.minimum(np.searchsorted(members, images), len(members) - 1)
    return np.where(members[place] == images, mixed(members[first])[place], images)


def mixed(numbers: NDArray[Any]) -> Hashes:
    """Numbers as 64 bits without a pattern (SplitMix64's finaliser, Steele et al. 2014)."""
    spread = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    spread = (spread ^ (spread >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    spread = (spread ^ (spread >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return spread ^ (spread >> np.uint64(31))


def _starts(ordered: NDArray[Any]) -> Integers:
    """Where each run of equal values starts."""
    return np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))


def side_of(validation: Hashes, image: int) -> str:
    """`validation` for the image with this hash if it is one of those held out (sorted), else `train`."""
    return VALIDATION if holds(validation, image) else TRAIN
