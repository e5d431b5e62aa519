"""From the scores of texts to their verdicts: the first rule that a text breaks gives the reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from translation.filters.pairs import Column, ScoreTable, distinct
from translation.filters.policy import CALIBRATED, Bound, Policy, Verdict
from translation.filters.thresholds import Thresholds, length_class

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
        "sentences": "the sentences and their length agree to {}",
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
    unbroken = np.ones(len(table), np.bool_)
    bounds = _Bounds(table, thresholds)
    for name, rule in policy.rules():
        values = table.columns.get(name)
        if values is None:
            continue
        for side, bound in (("min", getattr(rule, "min", None)), ("max", getattr(rule, "max", None))):
            wanted = bounds.of(name, side, bound)
            if wanted is None:
                continue
            broken = unbroken & (values < wanted if side == "min" else values > wanted)
            for index in np.flatnonzero(broken):
                made[index] = Verdict(False, _reason(name, side, values[index], wanted[index]))
            unbroken &= ~broken
    return made


class _Bounds:
    """The bounds of every text of a table."""

    def __init__(self, table: ScoreTable, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._codes, self._rows = distinct(table.languages)
        nothing = np.full(len(table), np.nan, np.float32)
        self._lengths = length_class(table.columns.get("words", nothing))

    def of(self, rule: str, side: str, bound: Bound) -> Column | None:
        """Per text, NaN where it has none; None where no text has one."""
        if bound is None:
            return None
        if bound != CALIBRATED:
            return np.full(self._rows.size, bound, np.float32)
        table = self._thresholds.bounds(rule, side, self._codes)
        return None if table is None else table[self._rows, self._lengths]


@dataclass(frozen=True)
class Broken:
    """What the reason of a verdict says of the rule that was broken."""

    rule: str
    side: str
    """Of the bound, `min` or `max`."""
    bound: str
    """As it is written."""


_REASON = re.compile(r"(\w+): .*, at (least|most) (\S+) wanted", re.DOTALL)


def _reason(name: str, side: str, value: float, wanted: float) -> str:
    limit = "least" if side == "min" else "most"
    return f"{name}: {_FINDINGS[name].format(f'{value:.3g}')}, at {limit} {wanted:.3g} wanted"


def parse_reason(reason: str) -> Broken | None:
    """What `verdicts` wrote as the reason of a text; None for a reason of another kind."""
    found = _REASON.fullmatch(reason)
    if found is None:
        return None
    return Broken(found[1], "min" if found[2] == "least" else "max", found[3])
