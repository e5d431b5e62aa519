"""Loops of the decoder: a letter, word or phrase over and over."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from translation.filters.characters import kind
from translation.filters.length import densities
from translation.filters.pairs import Batch, Column, column
from translation.languages import ENGLISH, languages

# A unit three times or more in a row: `aaaa`, `ha ha ha`, `a dog, a dog, a dog,`.
_SHORT_LOOP = re.compile(r"(\S.??)\1{2,}", re.DOTALL)
_ANY_LOOP = re.compile(r"(\S.{0,59}?)\1{2,}", re.DOTALL)

# Where no 6 characters come twice, no unit of 3 or more comes three times in a row.
_PROBE = 6

# Characters of English in a window that should not come twice.
_WINDOW = 24

# Units within a word; what is longer repeats words, makes a long one, or stands in a text without spaces.
_LONGEST_UNIT = 8


def repetition(batch: Batch) -> Column:
    """How much the target repeats itself, beyond what the source does; 0..1.

    The largest of three. For a unit of at most 60 characters n times in a row, 1 - 2/n (0.33 for three
    times, 0.71 for seven), and the share of the text that it covers without its first time; units without a
    letter aside, as in 1000000 and `-----`. And thrice the share of windows of 24 characters (fewer in dense
    scripts) that were there before.
    """
    shares = np.zeros(len(batch), np.float32)
    suspects = _runs(batch)
    for index, text in enumerate(batch.targets):
        if suspects[index] or _words_again(text, batch.languages[index]):
            repeated = _repeated(text, densities()[batch.languages[index]])
            if any(repeated):
                given = _repeated(batch.sources[index], densities()[ENGLISH])
                shares[index] = max(0.0, repeated[0] - given[0], repeated[1] - given[1])
    return column(shares)


def _runs(batch: Batch) -> NDArray[np.bool_]:
    """Which targets have a unit of up to 8 characters three times in a row, or a word of more than 24."""
    found = np.zeros(len(batch), np.bool_)
    codes = batch.target.codes
    for size in range(1, _LONGEST_UNIT + 1):
        if codes.size < 3 * size:
            break
        again = np.concatenate([[0], np.cumsum(codes[size:] == codes[:-size])])
        wanted = max(3, 2 * size)
        starts = np.flatnonzero(again[wanted:] - again[:-wanted] == wanted)
        texts = np.searchsorted(batch.target.ends, starts, side="right")
        # Not what goes on in the next text: no score depends on its neighbours.
        found[texts[starts + wanted + size <= batch.target.ends[texts]]] = True
    # In halves of characters, to tell the end of a text from a space.
    spaces = np.flatnonzero(batch.target.of_kind(kind("space")))
    edges = np.sort(np.concatenate([[0], 2 * spaces + 1, 2 * batch.target.ends]))
    before = (edges[:-1][np.diff(edges) > 2 * 3 * _LONGEST_UNIT + 1] + 1) // 2
    found[np.searchsorted(batch.target.ends, before, side="right")] = True
    return found


def _words_again(text: str, language: str) -> bool:
    """Whether a text may repeat itself by words; surely if it does."""
    words = text.split()
    if language in _without_spaces():
        return len(text) > _PROBE
    if len(words) <= len(set(words)) + 1:
        return False
    # Three times in a row, or a window of several words again.
    return len(set(pairwise(words))) < len(words) - 1 or max(Counter(words).values()) > 2


@cache
def _without_spaces() -> frozenset[str]:
    return frozenset(code for code, language in languages().items() if not language.spaced)


def _repeated(text: str, characters: float) -> tuple[float, float]:
    """How much comes several times in a row, and how much comes again."""
    # The last of several phrases has no space or comma behind it.
    text = text.casefold().strip().rstrip(".!?,;。！？।") + " "
    if text.isspace():
        return 0.0, 0.0
    if len(_windows(text, _PROBE)) == len(text) - _PROBE + 1 or len(text) < _PROBE:
        return _in_a_row(text, _SHORT_LOOP), 0.0
    return _in_a_row(text, _ANY_LOOP), _again(text, max(_PROBE, round(_WINDOW * characters)))


def _in_a_row(text: str, loop: re.Pattern[str]) -> float:
    covered, most = 0, 2
    for match in loop.finditer(text):
        # Three of one letter stand in words (`Schifffahrt`, `www`), four do not.
        if len(match[0]) > 3 and any(character.isalpha() for character in match[1]):
            covered += len(match[0]) - len(match[1])
            most = max(most, len(match[0]) // len(match[1]))
    return max(covered / len(text), 1 - 2 / most)


def _again(text: str, size: int) -> float:
    count = len(text) - size + 1
    if count <= size:  # too short to hold a window twice, one after the other
        return 0.0
    return min(1.0, 3 * (1 - len(_windows(text, size)) / count))


def _windows(text: str, size: int) -> set[str]:
    return {text[start : start + size] for start in range(len(text) - size + 1)}
