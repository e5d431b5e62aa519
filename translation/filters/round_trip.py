"""Whether the translation, translated back, says what the source said."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING

import regex

from translation.filters.pairs import Scores, TextPair

if TYPE_CHECKING:
    from sacrebleu.metrics.chrf import CHRF

_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")
_ARTICLES = frozenset({"a", "an", "the"})

SHORT_WORDS = 3
"""Up to so many words, articles aside, a text must come back exactly; chrF says little about them."""


def is_short(text: str) -> bool:
    """Whether a round trip of an English text must be exact: it has at most three words, articles aside."""
    return len(_normalised(text)) <= SHORT_WORDS


def round_trip_scores(pair: TextPair) -> Scores:
    """`round_trip_exact` (1 or 0) of a short source, else `round_trip_chrf` (0..100, sacrebleu); None without
    back-translation.

    Exact means the same words: case, punctuation, compatibility forms (NFKC) and articles do not count.
    """
    back = pair.back_translation
    source = _normalised(pair.source)
    if back is None or not source:
        return {"round_trip_exact": None, "round_trip_chrf": None}
    if len(source) <= SHORT_WORDS:
        return {"round_trip_exact": float(source == _normalised(back)), "round_trip_chrf": None}
    return {"round_trip_exact": None, "round_trip_chrf": _chrf().sentence_score(back, [pair.source]).score}


def _normalised(text: str) -> list[str]:
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    # An answer of an article only ("A") keeps it.
    return [word for word in words if word not in _ARTICLES] or words


@cache
def _chrf() -> CHRF:
    from sacrebleu.metrics.chrf import CHRF  # half a second to import, and only round trips need it

    return CHRF()
