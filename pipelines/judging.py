"""Translations -> translations with their scores and what the policy says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from translation.filters import (
    SCORES,
    Policy,
    ScoreTable,
    TextPair,
    Thresholds,
    load_thresholds,
    score_pairs,
    verdicts,
)
from translation.identification import load_identifier
from translation.quality import load_quality


class JudgedText(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The translation of a text, and all that rows hold of it."""

    text: str
    back_translation: str | None
    reason: str | None
    """Why it is rejected; None accepts it."""
    scores: bytes
    """A float32 for each of `SCORES`, NaN where it does not apply; empty if none does."""
    by_model: bool = True
    """Whether the model made it, and not the user or the shipped table."""


@dataclass(frozen=True)
class Judging:
    """How translations are judged; picklable."""

    identification: str
    """`cld`, a fastText file or a hub name."""
    quality: tuple[str, ...]
    """Specs of trained judges, see `translation.quality.load_quality`."""
    policy: Policy
    thresholds: Thresholds


class Judge:
    """Identifier and trained judges, loaded."""

    def __init__(self, judging: Judging) -> None:
        self._policy, self._thresholds = judging.policy, judging.thresholds
        self._identifier = load_identifier(judging.identification)
        self._shipped = load_thresholds(None).for_identification(self._identifier.name)
        self._quality = tuple(map(load_quality, judging.quality))

    def judge(self, pairs: Sequence[TextPair]) -> tuple[list[JudgedText], list[bool]]:
        """Every pair with its scores and its verdict, in order, and whether it is worth keeping.

        That is what the filters say by default, whatever the policy: translations must not depend on the
        policy, so that another one can be tried later on the same translations.
        """
        table = score_pairs(pairs, self._identifier)
        worth = [verdict.accepted for verdict in verdicts(table, _DEFAULT, self._shipped)]
        for one in self._quality:
            table = table.with_column(one.column, one.score(pairs))
        made = verdicts(table, self._policy, self._thresholds)
        judged = [
            JudgedText(pair.target, pair.back_translation, verdict.reason, scores.tobytes())
            for pair, verdict, scores in zip(pairs, made, _matrix(table), strict=True)
        ]
        return judged, worth


_DEFAULT = Policy()


def _matrix(table: ScoreTable) -> NDArray[np.float32]:
    """Shape (texts, scores)."""
    matrix = np.full((len(table), len(SCORES)), np.nan, np.float32)
    for index, name in enumerate(SCORES):
        if name in table.columns:
            matrix[:, index] = table.columns[name]
    return matrix
