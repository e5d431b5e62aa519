"""Which pictures are held out for validation: the same share of every stratum."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.hashing import Hashes, holds
from pipelines.quotas import NEARLY_WHOLE, Integers

TRAIN, VALIDATION = "train", "validation"


def validation_images(images: Hashes, strata: Integers, share: float) -> Hashes:
    """The sorted hashes of the images to hold out: `share` of each stratum and of all, each within one image.

    Of every stratum these are the images with the lowest hashes, so that more data moves only images next to
    a bound. An image that occurs more than once counts in its lowest stratum.

    Args:
        images: `hash_of` the image ids, in any order.
        strata: the number of each one's stratum.
        share: 0 to 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"{share!r} is no share of the images; give 0 to 1")
    if len(images) == 0:
        return np.empty(0, dtype=np.uint64)
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


def _starts(ordered: NDArray[Any]) -> Integers:
    """Where each run of equal values starts."""
    return np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))


def side_of(validation: Hashes, image: int) -> str:
    """`validation` for the image with this hash if it is one of those held out (sorted), else `train`."""
    return VALIDATION if holds(validation, image) else TRAIN
