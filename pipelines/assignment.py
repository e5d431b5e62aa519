"""Which language an example gets, and on which side of the split its image stands.

Both are functions of (seed, id) alone, so a rerun, more shards or more data change nothing that was there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from translation.languages import ENGLISH

TRAIN, VALIDATION = "train", "validation"


def fraction(seed: int, purpose: str, key: str) -> float:
    """A number in [0, 1), uniform over keys and independent between purposes."""
    digest = hashlib.blake2b(f"{seed}\x1f{purpose}\x1f{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


@dataclass(frozen=True)
class LanguagePolicy:
    """A share of English, the rest uniform over `codes` (NLLB codes, without English)."""

    english_share: float
    codes: tuple[str, ...]

    def language(self, seed: int, example_id: str) -> str:
        """The NLLB code of one example."""
        position = fraction(seed, "language", example_id)
        if position < self.english_share or not self.codes:
            return ENGLISH
        rest = (position - self.english_share) / (1 - self.english_share)
        return self.codes[min(int(rest * len(self.codes)), len(self.codes) - 1)]


def split_of(seed: int, image_id: str, validation: float) -> str:
    """`validation` for that share of the images; one image never stands on both sides."""
    return VALIDATION if fraction(seed, "split", image_id) < validation else TRAIN


def policy_of(english_share: float, codes: Sequence[str]) -> LanguagePolicy:
    """The policy with `codes` in a fixed order and without English, which has its own share."""
    return LanguagePolicy(english_share, tuple(sorted(set(codes) - {ENGLISH})))
