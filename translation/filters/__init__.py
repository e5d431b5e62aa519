"""Filters: scores of a translated text, and apart from them the policy that turns scores into a verdict.

A filter returns numbers and decides nothing, so that a mix can be judged again with other thresholds.
"""

from __future__ import annotations

from translation.filters.pairs import NO_SCORES, SCORES, Scores, ScoreTable, TextPair
from translation.filters.policy import AtLeast, AtMost, Between, Policy, Verdict
from translation.filters.round_trip import goes_back, is_short
from translation.filters.scoring import score_pairs
from translation.filters.thresholds import Thresholds, load_thresholds
from translation.filters.verdicts import verdicts

__all__ = [
    "NO_SCORES",
    "SCORES",
    "AtLeast",
    "AtMost",
    "Between",
    "Policy",
    "ScoreTable",
    "Scores",
    "TextPair",
    "Thresholds",
    "Verdict",
    "goes_back",
    "is_short",
    "load_thresholds",
    "score_pairs",
    "verdicts",
]
