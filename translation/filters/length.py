"""How long the target is for its source."""

from __future__ import annotations

from functools import cache

from translation.filters.pairs import TextPair
from translation.languages import languages

# Characters of a translation per character of English: medians of NTREX-128 lines 1-1000 by script. All other
# scripts lie between 0.95 and 1.25; of the languages, Malagasy (1.34) and Yoruba (1.50, many combining marks)
# are the longest.
_DENSE = {
    ("Han",): 0.34,
    ("Han", "Hiragana", "Katakana"): 0.44,
    ("Hangul",): 0.53,
    ("Ethiopic",): 0.69,
}
_OTHER = 1.08

# Characters added to both sides: a word may well be thrice as long as its translation, a paragraph may not.
_SLACK = 15


@cache
def density(language: str) -> float:
    """Characters that a text in this language (NLLB code) takes per character of English."""
    return _DENSE.get(languages()[language].scripts, _OTHER)


def length_ratio(pair: TextPair) -> float:
    """Length of the target over the length that the source lets expect, about 1, never 0.

    Both are counted in characters of English (target over `density`), plus 15, so that short texts stay near
    1: a lost half of a sentence of 100 characters gives 0.57, a caption of 40 blown up to 200 gives 3.9.
    """
    return (len(pair.target.strip()) / density(pair.language) + _SLACK) / (len(pair.source.strip()) + _SLACK)
