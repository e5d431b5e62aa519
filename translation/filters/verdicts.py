"""From the scores of texts to their verdicts: the first rule that a text breaks gives the reason."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from translation.filters.pairs import Column, ScoreTable
from translation.filters.policy import CALIBRATED, Bound, Policy, Rule, Verdict
from translation.filters.thresholds import Thresholds, by_text, length_class

_FINDINGS = MappingProxyType(
    {
        "empty": "{} of the text came back empty",
        "unknown": "the translation holds tokens that the model does not know",
        "cut_off": "the translation reached the length limit",
        "script": "{} of the letters are in the script of the language",
        "copy": "{} of the source is copied",
        "english": "English leads by {}",
        "lid": "{} for the language against others",
        "confusable": "{} for the language against those that resemble it",
        "repetition": "{} of the text repeats itself",
        "length_ratio": "{} times the expected length",
        "sentences": "the numbers of sentences are in a ratio of {}",
        "ending": "broken off without an end mark at {} times the expected length",
        "numbers": "{} of the numbers are right",
        "placeholders": "{} of the placeholders are kept",
        "round_trip_exact": "{} on the exact round trip",
        "round_trip_chrf": "chrF++ {} after the round trip",
        "similarity": "{} similarity of meaning",
        "comet_kiwi": "COMETKiwi {}",
        "metricx": "MetricX {} (0 is best)",
        "model_score": "{} log-probability per token",
    }
)

_ACCEPTED = Verdict(True, None)


def verdicts(table: ScoreTable, policy: Policy, thresholds: Thresholds) -> list[Verdict]:
    """Accepts each text, or rejects it with the first rule of the policy that a score breaks.

    What does not apply breaks nothing. Depends on nothing else, and all is compared in float32, so scores
    read back from Parquet give the same verdicts.
    """
    made = [_ACCEPTED] * len(table)
    open_ = np.ones(len(table), np.bool_)
    lengths = (
        length_class(table.columns["words"]) if "words" in table.columns else np.zeros(len(table), np.int8)
    )
    for name, rule in policy.rules():
        if name not in table.columns:
            continue
        values = table.columns[name]
        for side, bound in _sides(rule):
            wanted = _wanted(bound, name, side, table, thresholds, lengths)
            if wanted is None:
                continue
            broken = open_ & (values < wanted if side == "min" else values > wanted)
            for index in np.flatnonzero(broken):
                made[index] = Verdict(False, _reason(name, side, values[index], wanted[index]))
            open_ &= ~broken
    return made


def _sides(rule: Rule) -> list[tuple[str, Bound]]:
    return [(side, getattr(rule, side)) for side in ("min", "max") if getattr(rule, side, None) is not None]


def _wanted(
    bound: Bound,
    name: str,
    side: str,
    table: ScoreTable,
    thresholds: Thresholds,
    lengths: NDArray[np.int8],
) -> Column | None:
    """The bound of each text, NaN where it has none; None where no text has one."""
    if bound is None:
        return None
    if bound != CALIBRATED:
        return np.full(len(table), bound, np.float32)
    bounds = thresholds.bounds(name, side)
    return by_text(bounds, table.languages, lengths) if bounds else None


def _reason(name: str, side: str, value: float, wanted: float) -> str:
    limit = "at least" if side == "min" else "at most"
    return f"{name}: {_FINDINGS[name].format(f'{value:.3g}')}, {limit} {wanted:.3g} wanted"
