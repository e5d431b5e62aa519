"""Numbers by language, by resource tier, as a macro average without English, and over all items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.intervals import RESAMPLES, SEED, Units, bootstrap, interval, mean_over
from evaluation.items import Item, by_language
from evaluation.measures import Measure
from evaluation.tiers import TIERS, tier
from evaluation.values import VALUES, Floats
from translation.languages import ENGLISH


@dataclass(frozen=True)
class Estimate:
    """A number and how sure it is."""

    value: float | None
    """None where there was nothing to measure."""
    low: float | None
    """Of the bootstrap interval, see `evaluation.intervals`; None with fewer than two units, or without
    resamples."""
    high: float | None
    items: int


NOTHING = Estimate(None, None, None, 0)

MACRO = "macro"
"""The group of all languages but English."""


@dataclass(frozen=True)
class Scores:
    """One metric over all items."""

    name: str
    signature: str
    kind: str
    """Of `evaluation.values.VALUES`."""
    languages: Mapping[str, Estimate]
    """By NLLB code."""
    tiers: Mapping[str, Estimate]
    """Means over the languages of a tier, English aside; tiers without any are left out."""
    macro: Estimate
    """Mean over the languages, English aside."""
    overall: Estimate
    """Over all items of all languages, taken as one corpus."""


def score(
    items: Sequence[Item], measures: Sequence[Measure], resamples: int = RESAMPLES, seed: int = SEED
) -> list[Scores]:
    """The numbers of all measures, whose statistics are aligned with the items.

    All use the same draws, which depend on the seed and on the names of the units alone. Without resamples
    there are no intervals.
    """
    places = by_language(items)
    units = Units([item.expected.unit for item in items], list(places.values()))
    table = np.concatenate([np.empty((len(items), 0)), *(one.statistics for one in measures)], axis=1)
    ends = np.cumsum([one.statistics.shape[1] for one in measures])
    parts = [slice(end - one.statistics.shape[1], end) for one, end in zip(measures, ends, strict=True)]
    totals = [table[own].sum(axis=0) for own in places.values()]
    drawn: list[list[Floats]] = [[] for _ in measures]
    if resamples and items:
        for sums in bootstrap(units, table, resamples, seed):
            for found, measure, part in zip(drawn, measures, parts, strict=True):
                found.append(values_of(measure.kind, [one[:, part] for one in sums]))
    counts = {language: len(own) for language, own in places.items()}
    alone = {language for language, (own, _) in zip(places, units.of_member, strict=True) if len(own) < 2}
    return [
        _scores(
            measure,
            counts,
            alone,
            values_of(measure.kind, [sums[part] for sums in totals]),
            np.concatenate(found, axis=-1) if found else None,
        )
        for measure, part, found in zip(measures, parts, drawn, strict=True)
    ]


def values_of(kind: str, sums: Sequence[Floats]) -> Floats:
    """A row for each language's sums (any shape × numbers) with its values, and one for all together."""
    value = VALUES[kind]
    together = [value(np.sum(sums, axis=0))] if sums else []
    return np.stack([*map(value, sums), *together]) if sums else np.empty((0,))


def groups_of(languages: Sequence[str]) -> dict[str, list[int]]:
    """What means over languages are given: places of the languages of each tier and, as `macro`, of all.

    English is in none of them; groups without a language are left out.
    """
    others = [place for place, language in enumerate(languages) if language != ENGLISH]
    found = {name: [place for place in others if tier(languages[place]) == name] for name in TIERS}
    found[MACRO] = others
    return {name: places for name, places in found.items() if places}


def _scores(
    measure: Measure, counts: Mapping[str, int], alone: set[str], values: Floats, drawn: Floats | None
) -> Scores:
    """The scores of one measure: values (languages, then all) and the same over resamples."""
    codes = list(counts)

    def estimate(value: Floats, resampled: Floats | None, items: int, sure: bool) -> Estimate:
        found = interval(resampled) if resampled is not None and sure else None
        number = None if np.isnan(value) else float(value)
        if found is None:
            return Estimate(number, None, None, items)
        return Estimate(number, found.low, found.high, items)

    def row(place: int) -> Floats | None:
        return None if drawn is None else drawn[place]

    by_code = {
        code: estimate(values[place], row(place), counts[code], code not in alone)
        for place, code in enumerate(codes)
    }
    by_group = {}
    for name, places in groups_of(codes).items():
        means = None if drawn is None else mean_over([drawn[place] for place in places])
        items = sum(counts[codes[place]] for place in places)
        sure = any(codes[place] not in alone for place in places)
        by_group[name] = estimate(mean_over([values[place] for place in places]), means, items, sure)
    total = sum(counts.values())
    overall = estimate(values[-1], row(-1), total, len(alone) < len(codes)) if codes else NOTHING
    return Scores(
        measure.name,
        measure.signature,
        measure.kind,
        by_code,
        {name: found for name, found in by_group.items() if name != MACRO},
        by_group.get(MACRO, NOTHING),
        overall,
    )
