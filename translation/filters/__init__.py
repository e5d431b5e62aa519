"""Filters: scores of a translated text, and apart from them the policy that turns scores into a verdict.

A filter returns numbers and decides nothing, so that a mix can be judged again with other thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from translation.filters.completeness import completeness_scores
from translation.filters.copying import copy_share
from translation.filters.language import language_scores, letter_count
from translation.filters.length import length_ratio
from translation.filters.pairs import NO_SCORES, SCORES, Scores, TextPair, worst
from translation.filters.policy import AtLeast, AtMost, Between, Policy, Verdict, verdict
from translation.filters.repetition import repetition
from translation.filters.round_trip import is_short, round_trip_scores
from translation.filters.script import script_share
from translation.identification import Identifier

__all__ = [
    "NO_SCORES",
    "SCORES",
    "AtLeast",
    "AtMost",
    "Between",
    "Policy",
    "Scores",
    "TextPair",
    "Verdict",
    "is_short",
    "score_pairs",
    "verdict",
    "worst",
]


def score_pairs(pairs: Sequence[TextPair], identifier: Identifier) -> list[Scores]:
    """Every score of every pair, finite numbers or None, aligned with the pairs.

    Raises:
        KeyError: the registry does not know a pair's NLLB code.
    """
    found = identifier.identify([pair.target for pair in pairs])
    nameable = identifier.languages()
    return [_scores(pair, candidates, nameable) for pair, candidates in zip(pairs, found, strict=True)]


def _scores(pair: TextPair, candidates: dict[str, float], nameable: frozenset[str]) -> Scores:
    letters = letter_count(pair.target)
    scores: Scores = {
        **NO_SCORES,
        "letters": float(letters),
        "script": script_share(pair),
        "copy": copy_share(pair),
        "repetition": repetition(pair),
        "length_ratio": length_ratio(pair),
        "model_score": _finite(pair.translation.score) if pair.translation else None,
        **language_scores(pair, letters, candidates, nameable),
        **completeness_scores(pair),
        **round_trip_scores(pair),
    }
    return scores


def _finite(score: float) -> float | None:
    return score if math.isfinite(score) else None
