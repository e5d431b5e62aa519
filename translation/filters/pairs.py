"""What filters look at and what they return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from translation.translations import Translation


@dataclass(frozen=True)
class TextPair:
    """An English text, its translation, and what is known of how it came about."""

    source: str
    target: str
    language: str
    """NLLB code of the target."""
    translation: Translation | None = None
    """With the engine's flags; None for text at hand."""
    back_translation: str | None = None
    """English again; None where the round trip did not run."""


Scores = dict[str, float | None]
"""A value for each of `SCORES`; None where a filter does not apply or cannot tell."""


def _farther_from_one(a: float, b: float) -> float:
    return max(a, b, key=lambda ratio: (max(ratio, 1 / ratio), ratio))


# Of two values, the one that a rule rejects first.
_WORSE: Mapping[str, Callable[[float, float], float]] = MappingProxyType(
    {
        "letters": min,
        "empty": max,
        "unknown": max,
        "cut_off": max,
        "script": min,
        "copy": max,
        "english": max,
        "lid": min,
        "confusable": min,
        "repetition": max,
        "length_ratio": _farther_from_one,
        "sentences": min,
        "numbers": min,
        "placeholders": min,
        "round_trip_exact": min,
        "round_trip_chrf": min,
        "model_score": min,
    }
)

SCORES: tuple[str, ...] = tuple(_WORSE)
"""Names of the scores, in the order of a row's `scores` struct."""

NO_SCORES: Scores = dict.fromkeys(SCORES)
"""Nothing applies; what a row without translated text has. Not to be changed in place."""


def worst(a: Scores, b: Scores) -> Scores:
    """Score by score the worse of two texts of one row (prompt and target); None gives way to a number."""
    return {name: _worse_of(worse, a[name], b[name]) for name, worse in _WORSE.items()}


def _worse_of(worse: Callable[[float, float], float], a: float | None, b: float | None) -> float | None:
    if a is None:
        return b
    return a if b is None else worse(a, b)
