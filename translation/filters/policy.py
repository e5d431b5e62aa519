"""Which rules a mix has: one a score, each with its own bounds or with those that were calibrated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Literal

CALIBRATED: Literal["calibrated"] = "calibrated"
"""The bound of the thresholds file for the text's language and length."""

Bound = float | Literal["calibrated"] | None
"""None switches a rule, or one side of it, off."""


@dataclass(frozen=True)
class AtLeast:
    """The score must not lie below `min`."""

    min: Bound


@dataclass(frozen=True)
class AtMost:
    """The score must not lie above `max`."""

    max: Bound


@dataclass(frozen=True)
class Between:
    """The score must lie between `min` and `max`."""

    min: Bound
    max: Bound


Rule = AtLeast | AtMost | Between


@dataclass(frozen=True)
class Policy:
    """The rules of a mix, one a score, in the order in which they are asked.

    What the calibrated bounds reject of human translations and find of planted faults is in docs/filters.md.
    """

    empty: AtMost = AtMost(0.0)
    unknown: AtMost = AtMost(0.0)
    cut_off: AtMost = AtMost(0.0)
    script: AtLeast = AtLeast(CALIBRATED)
    copy: AtMost = AtMost(CALIBRATED)
    english: AtMost = AtMost(CALIBRATED)
    lid: AtLeast = AtLeast(CALIBRATED)
    """A bound of 1 lets no other language lead at all, 0 lets every language pass."""
    confusable: AtLeast = AtLeast(CALIBRATED)
    """As `lid`, for siblings of the language; None takes Danish for Norwegian."""
    repetition: AtMost = AtMost(CALIBRATED)
    length_ratio: Between = Between(CALIBRATED, CALIBRATED)
    sentences: AtLeast = AtLeast(CALIBRATED)
    ending: AtLeast = AtLeast(CALIBRATED)
    numbers: AtLeast = AtLeast(CALIBRATED)
    placeholders: AtLeast = AtLeast(1.0)
    round_trip_exact: AtLeast = AtLeast(CALIBRATED)
    round_trip_chrf: AtLeast = AtLeast(CALIBRATED)
    similarity: AtLeast = AtLeast(None)
    """Scores of models that the recipe adds depend on the model, so they have no default."""
    comet_kiwi: AtLeast = AtLeast(None)
    metricx: AtMost = AtMost(None)
    model_score: AtLeast = AtLeast(None)
    """Log-probability per token."""

    def rules(self) -> Iterator[tuple[str, Rule]]:
        """Name and bounds of each rule, in order."""
        return ((field.name, getattr(self, field.name)) for field in fields(self))


RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    dict.fromkeys((field.name for field in fields(Policy)), (0.0, 1.0))
    | {
        "length_ratio": (0.0, 100.0),
        "ending": (0.0, 100.0),
        "round_trip_chrf": (0.0, 100.0),
        "similarity": (-1.0, 1.0),
        "comet_kiwi": (-10.0, 10.0),
        "metricx": (0.0, 25.0),
        "model_score": (-1000.0, 0.0),
    }
)
"""What each score can be; a bound outside would pass or reject everything."""


@dataclass(frozen=True)
class Verdict:
    """Whether a text is accepted; if not, `reason` is `<rule>: <what was found>, <what was wanted>`."""

    accepted: bool
    reason: str | None
