"""Languages for every example of a mix: planned exactly over 64-bit hashes of all ids.

What is kept of the plan is a few boundaries between hashes, so that any worker finds the answer for an id
alone, and more data moves only ids next to a boundary.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelines.hashing import Hashes, hash_of
from pipelines.quotas import Integers, fitted_shares, quotas
from translation.languages import ENGLISH


@dataclass(frozen=True, eq=False)
class Stratum:
    """Units that get their languages by the same shares, such as the examples of one task of a source."""

    key: str
    """Unique, such as `coco/caption`."""
    hashes: Hashes
    """Of every unit's id, for the purpose of languages, in any order; distinct ids once each."""
    shares: Mapping[str, float]
    """Language to share of the policy; they sum to 1. Strata with the same ones are rounded together."""
    per_example: int = 1
    """Languages per unit; fewer where fewer are eligible."""
    eligible: Collection[str] | None = None
    """The languages that these units can have; None for all."""


@dataclass(frozen=True, slots=True)
class _Circle:
    """Slots of units, cut into one block per language.

    Copy j of the unit of rank r (by hash) has slot r + j * units. Slots of one unit are `units` apart and no
    block is longer, so its languages are distinct.
    """

    order: array[int]
    """Numbers of the languages around the circle."""
    counts: array[int]
    """Length of each block."""
    copies: tuple[tuple[int, array[int]], ...]
    """Per copy the block that it starts in, and the lowest hash of every further block."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """A stratum's circles, by the first bits of the hash."""

    circles: tuple[_Circle, ...]
    shift: int
    """How many bits of a hash are not the number of its circle."""


@dataclass(frozen=True)
class Allocation:
    """The languages of every unit of a mix; small, and the same in every process that has it."""

    codes: tuple[str, ...]
    """NLLB codes: English, then the others in code order."""
    _plans: Mapping[str, _Plan] = field(repr=False)

    def languages(self, stratum: str, unit: int) -> tuple[str, ...]:
        """The distinct languages of the unit with this hash, whether or not it was there at planning.

        () where the stratum had no units, or no language that it may have has a share.

        Raises:
            UnknownStratum: the plan knows no such stratum.
        """
        plan = self._plan(stratum)
        circle = plan.circles[unit >> plan.shift]
        return tuple(
            self.codes[circle.order[first + bisect_right(starts, unit)]] for first, starts in circle.copies
        )

    def numbers(self, stratum: str, units: Hashes) -> Integers:
        """`languages` of many units, as places in `codes` [units x languages per unit].

        Raises:
            UnknownStratum: the plan knows no such stratum.
        """
        plan = self._plan(stratum)
        # Twice, for no shift by all 64 bits is defined.
        numbers = units >> np.uint64(plan.shift // 2) >> np.uint64(plan.shift - plan.shift // 2)
        table = np.empty((len(units), len(plan.circles[0].copies)), dtype=np.int64)
        for number, circle in enumerate(plan.circles):
            here = numbers == number
            order = np.array(circle.order, dtype=np.int64)
            for copy, (first, starts) in enumerate(circle.copies):
                blocks = np.array(starts, dtype=np.uint64).searchsorted(units[here], side="right")
                table[here, copy] = order[first + blocks]
        return table

    def counts(self, stratum: str) -> dict[str, int]:
        """The planned rows of a stratum by language, in the order of `codes`, but for languages without any.

        Raises:
            UnknownStratum: the plan knows no such stratum.
        """
        planned: Counter[int] = Counter()
        for circle in self._plan(stratum).circles:
            planned.update(dict(zip(circle.order, circle.counts, strict=True)))
        return {self.codes[number]: planned[number] for number in sorted(planned)}

    def strata(self) -> tuple[str, ...]:
        """The keys, sorted."""
        return tuple(self._plans)

    def _plan(self, stratum: str) -> _Plan:
        try:
            return self._plans[stratum]
        except KeyError:
            raise UnknownStratum(
                f"no example of {stratum!r} was there when languages were planned; the sources changed during"
                " the run, so start it again"
            ) from None


class UnknownStratum(LookupError):
    """An example of a kind that was not there when languages were planned; the message says all.

    Beam makes such exceptions again from their message.
    """


def allocate(seed: int, strata: Iterable[Stratum]) -> Allocation:
    """Exact languages for all units: each stratum by its shares, and those with the same shares together.

    The order of strata, units and shares makes no difference.

    Raises:
        ValueError: two strata have one key, or shares do not sum to 1 or exceed 1 / per_example.
    """
    ordered = sorted(strata, key=lambda stratum: stratum.key)
    twice = [key for key, count in Counter(stratum.key for stratum in ordered).items() if count > 1]
    if twice:
        raise ValueError(f"two strata have the key {twice[0]!r}")
    codes = tuple(sorted({code for stratum in ordered for code in stratum.shares}, key=_english_first))
    ranked = [np.sort(stratum.hashes) for stratum in ordered]
    plans: dict[str, _Plan] = {}
    for members in _by_policy(ordered):
        sizes = np.array([len(ranked[place]) for place in members], dtype=np.int64)
        table = _quota_table([ordered[place] for place in members], sizes, codes)
        for place, row in zip(members, table, strict=True):
            plans[ordered[place].key] = _plan(seed, ordered[place], codes, ranked[place], row)
    return Allocation(codes, {key: plans[key] for key in sorted(plans)})


def _english_first(code: str) -> tuple[bool, str]:
    return code != ENGLISH, code


def _by_policy(strata: Sequence[Stratum]) -> list[list[int]]:
    """Places of the strata that share a policy."""
    groups: dict[object, list[int]] = {}
    for place, stratum in enumerate(strata):
        policy = (tuple(sorted(stratum.shares.items())), stratum.per_example)
        groups.setdefault(policy, []).append(place)
    return list(groups.values())


def _quota_table(strata: Sequence[Stratum], sizes: Integers, codes: Sequence[str]) -> Integers:
    """The quotas [strata x codes] of strata that share a policy."""
    first = strata[0]
    shares = np.array([first.shares.get(code, 0.0) for code in codes])
    if first.per_example < 1 or shares.max(initial=0) * first.per_example > 1 + 1e-9:
        raise ValueError(
            f"stratum {first.key!r}: a share of {shares.max(initial=0):.4g} is impossible with "
            f"{first.per_example} distinct languages per example"
        )
    if abs(shares.sum() - 1) > 1e-9 or shares.min() < 0:
        raise ValueError(
            f"stratum {first.key!r}: shares must be at least 0 and sum to 1, not {shares.sum():g}"
        )
    eligible = np.array(
        [[stratum.eligible is None or code in stratum.eligible for code in codes] for stratum in strata]
    )
    possible = (eligible & (shares > 0)).sum(axis=1)
    per_example = np.minimum(first.per_example, possible)
    return quotas(sizes, fitted_shares(sizes, shares, eligible, per_example), per_example)


_CIRCLE_BITS = 4
_CIRCLE_UNITS = 10_000
"""Fewer, and growth of the data would move more than a few percent of them over a boundary."""


def _plan(seed: int, stratum: Stratum, codes: Sequence[str], ranked: Hashes, row: Integers) -> _Plan:
    """The circles of one stratum by its quotas; `ranked` are the sorted hashes of its units.

    Around one circle a language meets only the few that its block faces, so large strata have several.
    """

    def circle(name: str, ranked: Hashes, row: Integers) -> _Circle:
        # In another order each, so that not the same languages always meet in one example.
        order = sorted(np.flatnonzero(row).tolist(), key=lambda place: hash_of(seed, name, codes[place]))
        return _circle(order, ranked, row)

    name, units = f"circle\x1f{stratum.key}", len(ranked)
    shift = 64 - _CIRCLE_BITS
    sizes = np.bincount((ranked >> np.uint64(shift)).astype(np.int64), minlength=2**_CIRCLE_BITS)
    if row.sum() <= units or sizes.min() < _CIRCLE_UNITS:
        return _Plan((circle(name, ranked, row),), 64)
    copies = np.full(len(sizes), row.sum() // units)
    table = quotas(sizes, np.tile(row / row.sum(), (len(sizes), 1)), copies)
    parts = np.split(ranked, np.cumsum(sizes)[:-1])
    circles = (
        circle(f"{name}\x1f{number}", part, part_row)
        for number, (part, part_row) in enumerate(zip(parts, table, strict=True))
    )
    return _Plan(tuple(circles), shift)


def _circle(order: Sequence[int], ranked: Hashes, row: Integers) -> _Circle:
    """The cut of units with these sorted hashes into blocks of the lengths in `row`."""
    counts = row[order]
    ends, units = np.cumsum(counts), len(ranked)
    copies = []
    for copy in range(int(row.sum()) // units if units else 0):
        start = copy * units
        first, past = np.searchsorted(ends, (start, start + units - 1), side="right")
        copies.append((int(first), array("Q", ranked[ends[first:past] - start].tolist())))
    return _Circle(array("H", order), array("Q", counts.tolist()), tuple(copies))
