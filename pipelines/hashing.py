"""Hashes that decide: a number for each key, the same in every process, and independent between purposes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]


def hash_of(seed: int, purpose: str, key: str) -> int:
    """64 bits, uniform over keys and independent between seeds and purposes."""
    hasher = _started(seed, purpose).copy()
    # JSON can hold half of a surrogate pair, which strict UTF-8 refuses.
    hasher.update(key.encode("utf-8", "surrogatepass"))
    return int.from_bytes(hasher.digest(), "big")


def hashes_of(seed: int, purpose: str, keys: Iterable[str]) -> Hashes:
    """`hash_of` every key, in order."""
    # The same work as in `hash_of`, but for the calls and look-ups that millions of keys would repeat.
    copy = _started(seed, purpose).copy
    digests = []
    for key in keys:
        hasher = copy()
        hasher.update(key.encode("utf-8", "surrogatepass"))
        digests.append(hasher.digest())
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


def fraction(seed: int, purpose: str, key: str) -> float:
    """`hash_of` as a number in [0, 1)."""
    # A float holds 53 bits; dividing all 64 would round the last of them up to 1.
    return (hash_of(seed, purpose, key) >> 11) / 2**53


@cache
def _started(seed: int, purpose: str) -> hashlib.blake2b:
    return hashlib.blake2b(f"{seed}\x1f{purpose}\x1f".encode(), digest_size=8)


def holds(hashes: Hashes, one: int) -> bool:
    """Whether sorted hashes have one among them."""
    place = int(hashes.searchsorted(np.uint64(one)))
    return place < len(hashes) and int(hashes[place]) == one
