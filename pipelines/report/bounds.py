"""Which bounds of the rules decided on the rows of a mix, as its manifest tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.bounds_table import bounds_in, kept_table, named_table
from pipelines.manifest import Manifest
from pipelines.recipe import Recipe
from translation.filters import Policy, Thresholds
from translation.filters.policy import CALIBRATED
from translation.filters.thresholds import LENGTHS, ThresholdsError, lengths_of


@dataclass(frozen=True)
class Limit:
    """A value that a score must not lie beyond."""

    value: float
    side: str
    """`min` or `max`."""
    lengths: tuple[str, ...]
    """Classes of `LENGTHS` that it holds for; all of them: for every text."""

    @property
    def everywhere(self) -> bool:
        return len(self.lengths) == len(LENGTHS)


@dataclass(frozen=True)
class Bounds:
    """The rules of a mix."""

    policy: Policy
    thresholds: Thresholds | None
    """None where the table of the mix is not at hand: its bounds are not known then."""

    def of(self, score: str, language: str) -> tuple[Limit, ...]:
        """The limits of a score in a language (NLLB code), lengths with the same value together."""
        rule = getattr(self.policy, score, None)
        return () if rule is None else tuple(self._limits(score, language, vars(rule)))

    def _limits(self, score: str, language: str, sides: Mapping[str, Any]) -> Iterator[Limit]:
        for side, bound in sorted(sides.items()):
            if bound is None:
                continue
            if bound != CALIBRATED:
                yield Limit(float(bound), side, LENGTHS)
                continue
            table = None if self.thresholds is None else self.thresholds.bounds(score, side, [language])
            if table is None:
                continue
            values: dict[float, list[str]] = {}
            for length, value in zip(LENGTHS, table[0].tolist(), strict=True):
                # NaN is not equal to itself: a length without a bound.
                if length in lengths_of(score) and value == value:
                    values.setdefault(value, []).append(length)
            for value, lengths in values.items():
                whole = len(lengths) == len(lengths_of(score))
                yield Limit(value, side, LENGTHS if whole else tuple(lengths))


def bounds_of(directory: str, manifest: Manifest, recipe: Recipe) -> Bounds:
    """The rules of a mix; without the calibrated bounds where their table cannot be found or has changed.

    Args:
        recipe: of the manifest.
    """
    return Bounds(recipe.filters, _thresholds(directory, manifest, recipe))


def _thresholds(directory: str, manifest: Manifest, recipe: Recipe) -> Thresholds | None:
    try:
        table = kept_table(directory, manifest) or named_table(recipe)
        found = bounds_in(table, recipe.thresholds_file)
    except ThresholdsError:
        return None
    found = found.for_identification(manifest.signature.identification)
    return found if found.digest == manifest.signature.thresholds else None
