"""Filters: scores of a translated text, and apart from them the policy that turns scores into a verdict.

A filter returns numbers and decides nothing, so that a mix can be judged again with other thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence

from translation.filters.completeness import (
    ending_kept,
    engine_flags,
    numbers_column,
    placeholders_kept,
    sentences_kept,
)
from translation.filters.copying import copy_share
from translation.filters.language import language_scores
from translation.filters.length import length_ratio
from translation.filters.pairs import NO_SCORES, SCORES, Batch, Column, Scores, ScoreTable, TextPair, column
from translation.filters.policy import AtLeast, AtMost, Between, Policy, Verdict
from translation.filters.repetition import repetition
from translation.filters.round_trip import is_short, round_trip_scores
from translation.filters.script import script_share
from translation.filters.thresholds import Thresholds, load_thresholds
from translation.filters.verdicts import verdicts
from translation.identification import Identifier

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
    "is_short",
    "load_thresholds",
    "score_pairs",
    "verdicts",
]


def score_pairs(pairs: Sequence[TextPair], identifier: Identifier) -> ScoreTable:
    """Every score of every pair that needs no further model, aligned with the pairs.

    Raises:
        KeyError: the registry does not know a pair's NLLB code.
    """
    batch = Batch(pairs)
    return ScoreTable(
        tuple(batch.languages),
        {
            "words": column(batch.words),
            "letters": column(batch.letters),
            "script": script_share(batch),
            "copy": copy_share(batch),
            "repetition": repetition(batch),
            "length_ratio": length_ratio(batch),
            "sentences": sentences_kept(batch),
            "ending": ending_kept(batch),
            "numbers": numbers_column(batch),
            "placeholders": placeholders_kept(batch),
            **engine_flags(batch),
            **language_scores(batch, identifier),
            **_round_trip_columns(batch),
        },
    )


def _round_trip_columns(batch: Batch) -> dict[str, Column]:
    if all(pair.back_translation is None for pair in batch.pairs):
        return {}
    scores = [round_trip_scores(pair) for pair in batch.pairs]
    return {
        name: column([score[name] for score in scores]) for name in ("round_trip_exact", "round_trip_chrf")
    }
