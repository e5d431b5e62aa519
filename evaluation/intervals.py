"""How sure a number is: bootstrap intervals, and tests of the difference between two systems.

What is drawn is the unit (a picture with all that is asked of it, in all languages), for scores of one
picture are no independent evidence (Efron and Tibshirani 1993; Koehn 2004, aclanthology.org/W04-3250).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evaluation.values import Floats

LEVEL = 0.95
"""Share of resamples within an interval (percentile method)."""

RESAMPLES, SEED = 1000, 17

_CELLS = 2**22  # of the draws of some resamples at once; bounds memory to about 100 MB

Places = NDArray[np.intp]


@dataclass(frozen=True)
class Interval:
    """Of a value, at `LEVEL`."""

    low: float
    high: float


class Units:
    """Which items are drawn together, and from which pool."""

    def __init__(self, units: Sequence[str], members: Sequence[Places]) -> None:
        """Takes the units of all items, and the items of each language.

        Languages that share units form one pool, so that their differences are paired; others are drawn
        apart, so that each keeps its size.
        """
        names = sorted(set(units))
        number = {name: place for place, name in enumerate(names)}
        self.of_item = np.fromiter((number[unit] for unit in units), np.intp, len(units))
        self.count = len(names)
        self.members = members

    @cached_property
    def of_member(self) -> list[tuple[Places, Places]]:
        """Per language its units, and for each of its items which of them it is in."""
        found = []
        for places in self.members:
            own, rows = np.unique(self.of_item[places], return_inverse=True)
            found.append((own, rows.astype(np.intp)))
        return found

    @cached_property
    def pools(self) -> list[Places]:
        """Units that are drawn from one pool, by their first unit."""
        pool = np.full(self.count, -1, np.intp)
        for language, (own, _) in enumerate(self.of_member):
            touched = np.unique(pool[own])
            joined = np.isin(pool, touched[touched >= 0])
            joined[own] = True
            pool[joined] = language
        return sorted(
            (np.flatnonzero(pool == number) for number in np.unique(pool) if number >= 0),
            key=lambda units: int(units[0]),
        )

    def sums(self, statistics: Floats) -> list[Floats]:
        """Per language its statistics (items × numbers), added up by unit."""
        found = []
        for places, (own, rows) in zip(self.members, self.of_member, strict=True):
            added = np.zeros((len(own), statistics.shape[1]))
            np.add.at(added, rows, statistics[places])
            found.append(added)
        return found

    def drawn(self, resamples: int, seed: int) -> Iterator[Floats]:
        """Some resamples at a time: how often each unit is drawn (resamples × units)."""
        generators = [np.random.default_rng([seed, number]) for number in range(len(self.pools))]
        for rows in self._portions(resamples):
            counts = np.zeros((rows, self.count))
            for generator, pool in zip(generators, self.pools, strict=True):
                draws = generator.integers(len(pool), size=(rows, len(pool)))
                draws += np.arange(rows)[:, None] * len(pool)
                times = np.bincount(draws.ravel(), minlength=rows * len(pool))
                counts[:, pool] = times.reshape(rows, len(pool))
            yield counts

    def flipped(self, resamples: int, seed: int) -> Iterator[Floats]:
        """Some resamples at a time: 1 for each unit whose two systems change places, else 0."""
        generator = np.random.default_rng([seed, self.count])
        for rows in self._portions(resamples):
            yield generator.integers(2, size=(rows, self.count)).astype(np.float64)

    def _portions(self, resamples: int) -> Iterator[int]:
        size = max(1, _CELLS // max(1, self.count))
        for start in range(0, resamples, size):
            yield min(size, resamples - start)


def bootstrap(units: Units, statistics: Floats, resamples: int, seed: int) -> Iterator[list[Floats]]:
    """Sums of statistics (items × numbers) over resamples, some resamples at a time.

    Yields per language an array of resamples × numbers; the resamples of all languages are the same draws.
    """
    added = units.sums(statistics)
    for counts in units.drawn(resamples, seed):
        yield [counts[:, own] @ sums for (own, _), sums in zip(units.of_member, added, strict=True)]


def interval(values: Floats) -> Interval | None:
    """The percentile interval of resampled values; None if there are too few."""
    kept = values[~np.isnan(values)]
    if len(kept) < 2:
        return None
    low, high = np.quantile(kept, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def randomised(
    units: Units, ours: Floats, theirs: Floats, resamples: int, seed: int
) -> Iterator[tuple[list[Floats], list[Floats]]]:
    """Sums of two systems' statistics where units change sides at random, some resamples at a time.

    The null hypothesis of approximate randomisation (Riezler and Maxwell 2005, aclanthology.org/W05-0908):
    it makes no difference which system made an output. Yields per language both systems' resamples × numbers.
    """
    our_sums, their_sums = units.sums(ours), units.sums(theirs)
    for flips in units.flipped(resamples, seed):
        sides: tuple[list[Floats], list[Floats]] = ([], [])
        for (own, _), one, other in zip(units.of_member, our_sums, their_sums, strict=True):
            moved = flips[:, own] @ (other - one)
            sides[0].append(one.sum(axis=0) + moved)
            sides[1].append(other.sum(axis=0) - moved)
        yield sides


def p_value(observed: float, under_chance: Floats) -> float | None:
    """How often chance alone makes a difference at least as large, two-sided; None if it is undefined."""
    kept = under_chance[~np.isnan(under_chance)]
    if np.isnan(observed) or not len(kept):
        return None
    # Sums in another order differ in their last digits.
    as_large = np.count_nonzero(np.abs(kept) >= abs(observed) - 1e-9)
    return float((as_large + 1) / (len(kept) + 1))


def holm(values: Sequence[float | None]) -> list[float | None]:
    """p-values of several tests at once, adjusted (Holm 1979); None stays None."""
    order = sorted((value, place) for place, value in enumerate(values) if value is not None)
    adjusted: list[float | None] = [None] * len(values)
    highest = 0.0
    for rank, (value, place) in enumerate(order):
        highest = max(highest, min(1.0, value * (len(order) - rank)))
        adjusted[place] = highest
    return adjusted


def mean_over(values: Sequence[Floats]) -> Floats:
    """The mean over languages of their values (each of any shape), those without a value aside."""
    table = np.stack(values)
    there = ~np.isnan(table)
    counts = there.sum(axis=0)
    total = np.where(there, table, 0.0).sum(axis=0)
    found: Floats = np.divide(total, counts, out=np.full(total.shape, np.nan), where=counts > 0)
    return found
