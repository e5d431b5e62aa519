"""Random numbers that are a function of what they are for, on every machine and with every numpy."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Draws = NDArray[np.uint64]


def draws(key: str, count: int) -> Draws:
    """`count` uniform 64-bit numbers that only `key` decides on, independent between keys (splitmix64).

    Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014.
    """
    start = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = steps + np.uint64(start)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def shuffled(key: str, count: int) -> Integers:
    """0 ... count - 1 in an order that only `key` decides on."""
    return np.argsort(draws(key, count), kind="stable")


def fractions(key: str, count: int) -> NDArray[np.float64]:
    """`draws` as numbers in [0, 1)."""
    return (draws(key, count) >> np.uint64(11)) / 2.0**53
