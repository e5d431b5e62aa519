"""From the scores of a row to its verdict: one rule a score, the first that fails gives the reason."""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from types import MappingProxyType

from translation.filters.pairs import Scores


@dataclass(frozen=True)
class AtLeast:
    """The score must not lie below `min`; None switches the rule off."""

    min: float | None

    def broken_by(self, value: float) -> str | None:
        """What was wanted, if the value breaks the rule."""
        return f"at least {self.min:g}" if self.min is not None and value < _single(self.min) else None


@dataclass(frozen=True)
class AtMost:
    """The score must not lie above `max`; None switches the rule off."""

    max: float | None

    def broken_by(self, value: float) -> str | None:
        """What was wanted, if the value breaks the rule."""
        return f"at most {self.max:g}" if self.max is not None and value > _single(self.max) else None


@dataclass(frozen=True)
class Between:
    """The score must lie between `min` and `max`; None leaves that side open."""

    min: float | None
    max: float | None

    def broken_by(self, value: float) -> str | None:
        """What was wanted, if the value breaks the rule."""
        return AtLeast(self.min).broken_by(value) or AtMost(self.max).broken_by(value)


@dataclass(frozen=True)
class Policy:
    """The thresholds of a mix, one rule a score, in the order in which they are asked.

    The defaults, with CLD and without round trip, reject 1.0 % of the human translations of NTREX, 0.8 % of
    CLDR names and of Tatoeba's short sentences; the most in one language 5.5 % (Malay, Kurmanji), 3.9 %
    (Filipino) and 8.2 % (Malay). What they find is in benchmarks/filters.py.
    """

    empty: AtMost = AtMost(0)
    unknown: AtMost = AtMost(0)
    cut_off: AtMost = AtMost(0)
    script: AtLeast = AtLeast(0.5)
    copy: AtMost = AtMost(0.7)
    """Lets one or two copied words pass (`pizza`); 0.4 rejects every copy but of names."""
    english: AtMost = AtMost(0.5)
    lid: AtLeast = AtLeast(0.5)
    """0.5: no other language leads by more than half in a text of some length. 1: none leads at all."""
    confusable: AtLeast = AtLeast(0.3)
    """As `lid`, for siblings of the language; None takes Danish for Norwegian."""
    repetition: AtMost = AtMost(0.15)
    length_ratio: Between = Between(0.5, 2.2)
    sentences: AtLeast = AtLeast(0.5)
    numbers: AtLeast = AtLeast(0.5)
    placeholders: AtLeast = AtLeast(1)
    round_trip_exact: AtLeast = AtLeast(1)
    round_trip_chrf: AtLeast = AtLeast(30)
    model_score: AtLeast = AtLeast(None)
    """Log-probability per token: depends on the model, so there is no default."""


@dataclass(frozen=True)
class Verdict:
    """Whether a row is accepted; if not, `reason` is `<rule>: <what was found>, <what was wanted>`."""

    accepted: bool
    reason: str | None


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
        "numbers": "{} of the numbers are right",
        "placeholders": "{} of the placeholders are kept",
        "round_trip_exact": "{} on the exact round trip",
        "round_trip_chrf": "chrF {} after the round trip",
        "model_score": "{} log-probability per token",
    }
)


def verdict(scores: Scores, policy: Policy) -> Verdict:
    """Accepts, or rejects with the first rule of the policy that a score breaks; a None breaks nothing.

    Depends on nothing else, and thresholds are compared in float32, so scores read back from Parquet give the
    same verdict.
    """
    for rule in fields(policy):
        value = scores[rule.name]
        wanted = None if value is None else getattr(policy, rule.name).broken_by(_single(value))
        if wanted is not None:
            return Verdict(
                False, f"{rule.name}: {_FINDINGS[rule.name].format(f'{value:.3g}')}, {wanted} wanted"
            )
    return Verdict(True, None)


def _single(value: float) -> float:
    """The float32 nearest to a number, as Parquet stores scores."""
    (single,) = struct.unpack("f", struct.pack("f", value))
    return float(single)
