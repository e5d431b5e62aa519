"""Loops of the decoder: a letter, word or phrase over and over."""

from __future__ import annotations

import re

from translation.filters.length import density
from translation.filters.pairs import TextPair
from translation.languages import ENGLISH

# A unit three times or more in a row: `aaaa`, `ha ha ha`, `a dog, a dog, a dog,`.
_SHORT_LOOP = re.compile(r"(\S.?)\1{2,}", re.DOTALL)
_ANY_LOOP = re.compile(r"(\S.{0,59}?)\1{2,}", re.DOTALL)

# Where no 6 characters come twice, no unit of 3 or more comes three times in a row.
_PROBE = 6

# Characters of English in a window that should not come twice.
_WINDOW = 24


def repetition(pair: TextPair) -> float:
    """Share of the target that only repeats other parts of it, beyond what the source repeats; 0..1.

    The larger of two: what a unit of at most 60 characters, three times or more in a row, covers without its
    first time (units without a letter aside, as in 1000000 and `-----`), and the share of windows of 24
    characters (fewer in dense scripts) that were there before.
    """
    target = _repeated(pair.target, density(pair.language))
    return max(0.0, target - _repeated(pair.source, density(ENGLISH))) if target else 0.0


def _repeated(text: str, characters: float) -> float:
    text = text.casefold().strip()
    if not text:
        return 0.0
    if len(_windows(text, _PROBE)) == len(text) - _PROBE + 1 or len(text) < _PROBE:
        return _in_a_row(text, _SHORT_LOOP)
    return max(_in_a_row(text, _ANY_LOOP), _again(text, max(_PROBE, round(_WINDOW * characters))))


def _in_a_row(text: str, loop: re.Pattern[str]) -> float:
    covered = 0
    for match in loop.finditer(text):
        # Three of one letter stand in words (`Schifffahrt`, `www`), four do not.
        if len(match[0]) > 3 and any(character.isalpha() for character in match[1]):
            covered += len(match[0]) - len(match[1])
    return covered / len(text)


def _again(text: str, size: int) -> float:
    count = len(text) - size + 1
    if count <= size:  # too short to hold a window twice, one after the other
        return 0.0
    return 1 - len(_windows(text, size)) / count


def _windows(text: str, size: int) -> set[str]:
    return {text[start : start + size] for start in range(len(text) - size + 1)}
