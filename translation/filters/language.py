"""Whether the target is in the language that was asked for."""

from __future__ import annotations

from collections.abc import Mapping

import regex

from translation.filters.length import density
from translation.filters.pairs import Scores, TextPair
from translation.languages import ENGLISH, languages

_LETTER = regex.compile(r"\p{L}")

# A text of so many letters counts half: with the default threshold another language needs both CLD detectors
# in a text of more than 10 letters, or one in more than 20. Measured on CLDR names, where either is wrong for
# 20 % of those with 10-15 letters and 5 % of those with 20-30, and both together for 0.4 % of any length.
_HALF_WEIGHT = 10


def letter_count(text: str) -> int:
    """Letters, without combining marks."""
    return len(_LETTER.findall(text))


def language_scores(
    pair: TextPair, letters: int, found: Mapping[str, float], nameable: frozenset[str]
) -> Scores:
    """`lid`, `confusable` and `english` from an identifier's candidates `found` (NLLB code to confidence).

    `lid` is 1 minus the lead that another language has over the wanted one, `confusable` the same for the
    registry's confusable siblings (Danish for Norwegian), `english` the lead of English. A lead counts by n /
    (n + 10) with n the letters (as many as English would need), so that a two-word text is not condemned by a
    guess. None where the identifier cannot tell, or cannot name the language.
    """
    if not found:
        return {"lid": None, "confusable": None, "english": None}
    language = languages()[pair.language]
    size = letters / density(pair.language)
    weight = size / (size + _HALF_WEIGHT)
    wanted = found.get(pair.language, 0.0)

    def lead(codes: set[str]) -> float:
        return weight * max((found[code] - wanted for code in codes if found[code] > wanted), default=0.0)

    siblings = set(language.confusable) & found.keys()
    others = found.keys() - siblings - {pair.language}
    known = pair.language in nameable
    return {
        "lid": 1 - lead(others) if known else None,
        "confusable": 1 - lead(siblings) if known and language.confusable else None,
        "english": None if language.nllb == ENGLISH else lead(others & {ENGLISH}),
    }
