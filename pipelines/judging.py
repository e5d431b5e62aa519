"""Translations -> translations with their scores and what the policy says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipelines.staging import staged
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
    """`shipped`, `cld`, a fastText file (also the URL of one) or a hub name."""
    quality: tuple[str, ...]
    """Specs of trained judges, see `translation.quality.load_quality`."""
    policy: Policy
    thresholds: Thresholds


class Judge:
    """Identifier and trained judges, loaded."""

    def __init__(self, judging: Judging) -> None:
        self._policy, self._thresholds = judging.policy, judging.thresholds
        self._identifier = load_identifier(local_spec(judging.identification))
        self._shipped = load_thresholds(None).for_identification(self._identifier.name)
        self._quality = tuple(load_quality(local_spec(spec)) for spec in judging.quality)

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


def local_spec(spec: str) -> str:
    """A spec of an identifier or a judge, with what it names by a URL fetched to this machine.

    Raises:
        StagingError: it cannot be fetched.
    """
    kind, separator, place = spec.partition(":")
    if "://" not in spec:
        return spec
    # `labse:gs://bucket/model`; a scheme has its slashes right behind the colon.
    return str(staged(spec)) if place.startswith("//") else f"{kind}{separator}{staged(place)}"


_DEFAULT = Policy()


def _matrix(table: ScoreTable) -> NDArray[np.float32]:
    """Shape (texts, scores)."""
    matrix = np.full((len(table), len(SCORES)), np.nan, np.float32)
    for index, name in enumerate(SCORES):
        if name in table.columns:
            matrix[:, index] = table.columns[name]
    return matrix
