"""Two results side by side: differences with intervals, and a test whether they could be chance.

Both must have answered the same items; the items that only one has are left out and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.intervals import (
    RESAMPLES,
    SEED,
    Interval,
    Places,
    Units,
    bootstrap,
    holm,
    interval,
    mean_over,
    p_value,
    randomised,
)
from evaluation.items import places_of
from evaluation.results import Result, ResultError, read_items, read_result
from evaluation.scores import Scores, groups_of, values_of
from evaluation.values import WIDTHS, Floats

OVERALL = "overall"

RANDOMISATIONS = 10_000
"""More than resamples: p-values of a hundred languages must be able to get small."""


@dataclass(frozen=True)
class Difference:
    """Of a number between two results, over the items that both have."""

    first: float | None
    second: float | None
    difference: float | None
    """Second minus first."""
    interval: Interval | None
    """Of the difference, by the paired bootstrap."""
    p: float | None
    """By approximate randomisation; of a language adjusted for their number (Holm)."""
    items: int


@dataclass(frozen=True)
class MetricDifferences:
    """One metric in two results."""

    name: str
    signature: str
    languages: Mapping[str, Difference]
    groups: Mapping[str, Difference]
    """By tier, then `macro` and `overall`."""


@dataclass(frozen=True)
class Comparison:
    """Two results of one task."""

    first: Result
    second: Result
    items: int
    """That both have."""
    only_first: int
    only_second: int
    metrics: tuple[MetricDifferences, ...]
    warnings: tuple[str, ...]
    """What makes the comparison less than fair, and what is not compared."""
    resamples: int
    """Of the bootstrap."""
    randomisations: int
    """Of the test."""
    seed: int


def compare(
    first: Path,
    second: Path,
    *,
    resamples: int = RESAMPLES,
    randomisations: int = RANDOMISATIONS,
    seed: int = SEED,
) -> Comparison:
    """Compares two result files, number by number.

    Raises:
        ResultError: a file or its items' scores cannot be read, the tasks differ, or the two have no item or
            no number with one signature in common.
    """
    one, other = read_result(first), read_result(second)
    if one.provenance.task != other.provenance.task:
        raise ResultError(
            f"{first} is of the task {one.provenance.task!r}, {second} of {other.provenance.task!r}; "
            "only results of one task can be compared"
        )
    mine, theirs = read_items(first, one), read_items(second, other)
    at = {key: place for place, key in enumerate(zip(theirs.languages, theirs.ids, strict=True))}
    keys = enumerate(zip(mine.languages, mine.ids, strict=True))
    pairs = [(place, at[key]) for place, key in keys if key in at]
    if not pairs:
        raise ResultError(f"{first} and {second} have no item in common")
    scores, warnings = _comparable(one, other, set(mine.languages) == set(theirs.languages))
    if not scores:
        raise ResultError(f"{first} and {second} have no number in common: {'; '.join(warnings)}")
    places, others = (np.array(side, np.intp) for side in zip(*pairs, strict=True))
    paired = _Paired(
        places_of([mine.languages[place] for place in places]),
        [mine.units[place] for place in places],
        [
            (own.kind, mine.statistics[own.name][places], theirs.statistics[own.name][others])
            for own in scores
        ],
    )
    found = paired.differences(resamples, randomisations, seed)
    return Comparison(
        first=one,
        second=other,
        items=len(pairs),
        only_first=len(mine.ids) - len(pairs),
        only_second=len(theirs.ids) - len(pairs),
        metrics=tuple(
            MetricDifferences(own.name, own.signature, *differences)
            for own, differences in zip(scores, found, strict=True)
        ),
        warnings=(*_differing(one, other), *warnings),
        resamples=resamples,
        randomisations=randomisations,
        seed=seed,
    )


def _comparable(one: Result, other: Result, same_languages: bool) -> tuple[list[Scores], list[str]]:
    """The first result's scores that the second has with the same signature, and what is said of the rest."""
    found, warnings = [], []
    for scores in one.metrics:
        match = other.metric(scores.name)
        if match is None:
            warnings.append(f"{scores.name}: only the first has it")
        elif not _computed_alike(match.signature, scores.signature, same_languages):
            warnings.append(f"{scores.name}: not compared, {scores.signature} and {match.signature}")
        else:
            found.append(scores)
    warnings += [f"{own.name}: only the second has it" for own in other.metrics if not one.metric(own.name)]
    return found, warnings


_BY_LANGUAGE = frozenset({"spaces", "13a", "zh", "char"})
"""Ways to find words that follow from a text's language, and differ where other languages were asked."""


def _computed_alike(one: str, other: str, same_languages: bool) -> bool:
    """Whether two signatures are of one computation, where both have the same items.

    Where one has items of other languages besides, it may say of more references than the other does (`var`).
    """

    def fields(signature: str) -> dict[str, object]:
        found: dict[str, object] = {}
        for part in signature.split("|"):
            key, _, value = part.partition(":")
            found[key] = frozenset(value.split("+")) - _BY_LANGUAGE if key in ("seg", "tok") else value
        return found

    ours, theirs = fields(one), fields(other)
    return ours.keys() == theirs.keys() and all(
        value == theirs[key]
        or (key in ("seg", "tok") and not (value and theirs[key]))
        or (key == "refs" and not same_languages and "var" in (value, theirs[key]))
        for key, value in ours.items()
    )


def _differing(one: Result, other: Result) -> list[str]:
    """What should be the same of two results, and is not."""
    found = []
    for name in ("task_digest", "data_digest", "asked_digest", "generation"):
        ours, theirs = getattr(one.provenance, name), getattr(other.provenance, name)
        if None not in (ours, theirs) and ours != theirs:
            found.append(f"{name.replace('_', ' ')} differs: {ours} and {theirs}")
    if one.references_digest != other.references_digest:
        found.append("items or references differ, and with them what CIDEr takes for rare words")
    return found


class _Paired:
    """What two systems scored on the same items."""

    def __init__(
        self,
        members: Mapping[str, Places],
        units: Sequence[str],
        metrics: Sequence[tuple[str, Floats, Floats]],
    ) -> None:
        """Takes each language's items, the items' units, and per metric its kind and both statistics."""
        self.members = members
        self.units = Units(units, list(members.values()))
        self.groups = groups_of(list(members))
        self.kinds = [kind for kind, _, _ in metrics]
        # All metrics side by side, so that one draw serves them all.
        self.first = np.concatenate([first for _, first, _ in metrics], axis=1)
        self.second = np.concatenate([second for _, _, second in metrics], axis=1)
        ends = np.cumsum([WIDTHS[kind] for kind in self.kinds])
        self.parts = [slice(end - WIDTHS[kind], end) for kind, end in zip(self.kinds, ends, strict=True)]

    def differences(
        self, resamples: int, randomisations: int, seed: int
    ) -> list[tuple[dict[str, Difference], dict[str, Difference]]]:
        """Per metric the differences of the languages, and of the groups."""
        width = self.first.shape[1]
        side_by_side = np.concatenate([self.first, self.second], axis=1)
        members = self.members.values()
        ours = self._values([self.first[places].sum(axis=0) for places in members])
        theirs = self._values([self.second[places].sum(axis=0) for places in members])
        drawn = [
            self._values([both[:, width:] for both in sums])
            - self._values([both[:, :width] for both in sums])
            for sums in bootstrap(self.units, side_by_side, resamples, seed)
        ]
        chance = [
            self._values(second) - self._values(first)
            for first, second in randomised(self.units, self.first, self.second, randomisations, seed)
        ]
        resampled, by_chance = np.concatenate(drawn, axis=-1), np.concatenate(chance, axis=-1)
        return [
            self._named(ours[metric], theirs[metric], resampled[metric], by_chance[metric])
            for metric in range(len(self.kinds))
        ]

    def _values(self, sums: Sequence[Floats]) -> Floats:
        """Per metric the values of the languages, of the groups, and over all, from all metrics' sums."""
        found = []
        for kind, part in zip(self.kinds, self.parts, strict=True):
            values = values_of(kind, [one[..., part] for one in sums])
            means = [mean_over([values[place] for place in places]) for places in self.groups.values()]
            found.append(np.stack([*values[:-1], *means, values[-1]]))
        return np.stack(found)

    def _named(
        self, first: Floats, second: Floats, resampled: Floats, by_chance: Floats
    ) -> tuple[dict[str, Difference], dict[str, Difference]]:
        sizes = [len(places) for places in self.members.values()]
        units = [len(own) for own, _ in self.units.of_member]
        for places in self.groups.values():
            sizes.append(sum(sizes[place] for place in places))
            units.append(max(units[place] for place in places))
        sizes.append(len(self.first))
        units.append(self.units.count)
        languages = len(self.members)
        p_values = [p_value(two - one, row) for one, two, row in zip(first, second, by_chance, strict=True)]
        p_values[:languages] = holm(p_values[:languages])
        found = [
            Difference(
                _known(first[row]),
                _known(second[row]),
                _known(second[row] - first[row]),
                interval(resampled[row]) if units[row] > 1 else None,
                p_values[row],
                sizes[row],
            )
            for row in range(len(sizes))
        ]
        names = [*self.groups, OVERALL]
        return (
            dict(zip(self.members, found[:languages], strict=True)),
            dict(zip(names, found[languages:], strict=True)),
        )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
