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
    """1 where some sentence came back empty."""
    unknown: AtMost = AtMost(0.0)
    """1 where the model made a token that it cannot write."""
    cut_off: AtMost = AtMost(0.0)
    """1 where input or output reached the length limit."""
    script: AtLeast = AtLeast(CALIBRATED)
    """Share of the letters that are in the language's script."""
    copy: AtMost = AtMost(CALIBRATED)
    """Share of the words that stand in the English text too, names aside."""
    english: AtMost = AtMost(CALIBRATED)
    """By how much the identifier finds English ahead of the wanted language."""
    lid: AtLeast = AtLeast(CALIBRATED)
    """A bound of 1 lets no other language lead at all, 0 lets every language pass."""
    confusable: AtLeast = AtLeast(CALIBRATED)
    """As `lid`, for siblings of the language; None takes Danish for Norwegian."""
    repetition: AtMost = AtMost(CALIBRATED)
    """How much the text repeats itself, beyond what the English one does."""
    length_ratio: Between = Between(CALIBRATED, CALIBRATED)
    """Length over what is usual for the English text's and the language pair's."""
    sentences: AtLeast = AtLeast(CALIBRATED)
    """1 where no sentence is lost or added, as far as counts and length tell."""
    ending: AtLeast = AtLeast(CALIBRATED)
    """The length ratio of a text without the mark that ends its English one, as if broken off."""
    numbers: AtLeast = AtLeast(CALIBRATED)
    """Share of the numbers that are kept, in digits or words."""
    placeholders: AtLeast = AtLeast(1.0)
    """Share of placeholders and markup that both sides have, of what either has."""
    round_trip_exact: AtLeast = AtLeast(CALIBRATED)
    """1 where a short text comes back with the same words, inflection aside."""
    round_trip_chrf: AtLeast = AtLeast(CALIBRATED)
    """chrF++ of a longer text that was translated back."""
    similarity: AtLeast = AtLeast(None)
    """Scores of models that the recipe adds depend on the model, so they have no default."""
    comet_kiwi: AtLeast = AtLeast(None)
    """Of the judge `comet_kiwi`."""
    metricx: AtMost = AtMost(None)
    """Of the judge `metricx`: an error score, lower is better."""
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
