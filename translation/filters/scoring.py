"""All filters over a batch of text pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from translation.filters.completeness import (
    engine_flags,
    length_without_end,
    placeholders_kept,
    sentences_kept,
)
from translation.filters.copying import copy_share
from translation.filters.language import language_scores
from translation.filters.length import length_ratio
from translation.filters.numbers import numbers_kept
from translation.filters.pairs import Batch, Column, ScoreTable, TextPair, column
from translation.filters.repetition import repetition
from translation.filters.round_trip import round_trip_columns
from translation.filters.script import script_share
from translation.identification import Identifier

Filter = Callable[[Batch, Identifier], Mapping[str, Column]]


def score_pairs(pairs: Sequence[TextPair], identifier: Identifier) -> ScoreTable:
    """Every score of every pair that needs no further model, aligned with the pairs.

    Raises:
        KeyError: the registry does not know a pair's NLLB code.
    """
    batch = Batch(pairs)
    columns: dict[str, Column] = {}
    for scores in FILTERS.values():
        columns |= scores(batch, identifier)
    return ScoreTable(tuple(batch.languages), columns)


def _sizes(batch: Batch, _: Identifier) -> dict[str, Column]:
    return {"words": column(batch.words), "letters": column(batch.letters)}


def _completeness(batch: Batch, _: Identifier) -> dict[str, Column]:
    lengths = length_ratio(batch)
    return {
        "length_ratio": lengths,
        "sentences": sentences_kept(batch, lengths),
        "ending": length_without_end(batch, lengths),
    }


def _numbers(batch: Batch, _: Identifier) -> dict[str, Column]:
    return {
        "numbers": column([numbers_kept(pair.source, pair.target, pair.language) for pair in batch.pairs])
    }


def _round_trip(batch: Batch, _: Identifier) -> dict[str, Column]:
    if all(pair.back_translation is None for pair in batch.pairs):
        return {}
    exact, chrf = round_trip_columns(batch.pairs)
    return {"round_trip_exact": exact, "round_trip_chrf": chrf}


FILTERS: Mapping[str, Filter] = MappingProxyType(
    {
        "sizes": _sizes,
        "engine's flags": lambda batch, _: engine_flags(batch),
        "script": lambda batch, _: {"script": script_share(batch)},
        "copy": lambda batch, _: {"copy": copy_share(batch)},
        "language": language_scores,
        "repetition": lambda batch, _: {"repetition": repetition(batch)},
        "length and sentences": _completeness,
        "numbers": _numbers,
        "placeholders": lambda batch, _: {"placeholders": placeholders_kept(batch)},
        "round trip": _round_trip,
    }
)
"""Each returns one or more columns."""
