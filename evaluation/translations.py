"""How good translations are, by system and language: chrF++, spBLEU, language fidelity, what filters keep.

A system is a converted model, a finished mix, a table of translations made elsewhere, or nobody: the source
as it is, the least that a number must beat.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.corpus import chrf, spbleu
from evaluation.fidelity import fidelity
from evaluation.intervals import RESAMPLES, SEED, Units, bootstrap, interval
from evaluation.items import Expected, Item
from evaluation.measures import Measure, mean
from evaluation.predictions import EMPTY, EXAMPLES, Predictions, Problem
from evaluation.reference_sets import ReferenceSet
from evaluation.results import ItemScores, Provenance, Result, result_of
from evaluation.signature import signature
from evaluation.systems import Advance, Output, prediction_lines
from evaluation.values import CHRF, VALUES, WIDTHS
from translation.filters import Policy, TextPair, load_thresholds, score_pairs, verdicts
from translation.identification import Identifier
from translation.quality.model import QualityModel

KEPT, CHRF_KEPT = "kept", "chrf++.kept"
"""Measures: the share of translations that the filters keep, and the chrF++ of those."""

_FILTERED_AT_ONCE = 20_000


@dataclass(frozen=True)
class Best:
    """Which system has the highest chrF++ in a language, on the texts that all systems have."""

    system: str
    value: float
    texts: int
    second: str
    lead: float
    """Over the second best."""
    low: float | None
    """Of the lead's interval, by the paired bootstrap; above 0 where the lead is no chance."""
    high: float | None


def measure(
    output: Output,
    references: ReferenceSet,
    identifier: Identifier,
    *,
    pieces: Path | None = None,
    with_pieces: bool = True,
    judge: QualityModel | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    advance: Advance = lambda texts: None,
) -> tuple[Result, ItemScores]:
    """The numbers of a system.

    Args:
        identifier: for fidelity and for the filters.
        pieces: another SentencePiece model for spBLEU than FLORES-200's.
        with_pieces: False leaves spBLEU out.
        judge: a reference-free model of `translation.quality` to ask too.
        advance: is told of all texts after each of the `steps`.

    Raises:
        PiecesError: spBLEU's model cannot be had.
    """
    items = [
        Item(Expected(str(text.line), text.language, text.references, str(text.line)), translation.text)
        for text, translation in zip(output.texts, output.translations, strict=True)
    ]
    pairs = [
        TextPair(text.source, translation.text, text.language, translation)
        for text, translation in zip(output.texts, output.translations, strict=True)
    ]
    measures = list(chrf(items))
    advance(len(items))
    if with_pieces:
        measures += spbleu(items, pieces)
        advance(len(items))
    measures += fidelity(items, identifier)
    advance(len(items))
    kept = _kept(pairs, output, identifier)
    measures += [kept, _of_kept(measures[0], kept)]
    advance(len(items))
    if judge is not None:
        measures.append(_judged(pairs, judge))
        advance(len(items))
    empty = [f"{item.expected.language} {item.expected.id}" for item in items if item.empty]
    problems = (Problem(EMPTY, len(empty), tuple(empty[:EXAMPLES])),) if empty else ()
    digest = hashlib.sha256(b"".join(prediction_lines(output))).hexdigest()
    provenance = Provenance(
        f"translation of {references.name}",
        data_digest=references.digest,
        checkpoint=output.system,
        checkpoint_digest=output.digest,
        generation=output.settings or None,
    )
    predictions = Predictions(tuple(items), len(items), problems, digest)
    result = result_of(predictions, measures, provenance, resamples=resamples, seed=seed)
    advance(len(items))
    return result


def steps(with_pieces: bool, judge: QualityModel | None) -> int:
    """How often `measure` goes through all texts: chrF++, fidelity, filters, resamples, and what is added."""
    return 4 + with_pieces + (judge is not None)


def _kept(pairs: Sequence[TextPair], output: Output, identifier: Identifier) -> Measure:
    """The share that the filters of a mix keep: its own, or the default ones without a round trip."""
    if output.kept is not None:
        return mean(KEPT, np.array(output.kept, np.float64), signature(KEPT, verdicts="mix"))
    thresholds = load_thresholds(None).for_identification(identifier.name)
    accepted: list[bool] = []
    for start in range(0, len(pairs), _FILTERED_AT_ONCE):
        table = score_pairs(pairs[start : start + _FILTERED_AT_ONCE], identifier)
        accepted += [one.accepted for one in verdicts(table, Policy(), thresholds)]
    line = signature(
        KEPT, verdicts="default", round_trip="none", lid=f"{identifier.name}@{identifier.digest[:8]}",
        thresholds=thresholds.digest,
    )  # fmt: skip
    return mean(KEPT, np.array(accepted, np.float64), line)


def _of_kept(measure: Measure, kept: Measure) -> Measure:
    """A measure over what is kept alone: the others add nothing to its sums."""
    statistics = measure.statistics * kept.statistics[:, :1]
    line = "|".join((measure.signature, "of:kept", *kept.signature.split("|")[1:-1]))
    return Measure(CHRF_KEPT, statistics, measure.kind, line)


_OF_ONE = frozenset({"comet_kiwi", "similarity"})
"""Judgements of about 0 to 1, which are shown times 100."""


def _judged(pairs: Sequence[TextPair], judge: QualityModel) -> Measure:
    found = np.array([np.nan if one is None else one for one in judge.score(pairs)], np.float64)
    there = ~np.isnan(found)
    # Percentages are sums times 100.
    scale = 1.0 if judge.column in _OF_ONE else 0.01
    scores = np.where(there, found, 0.0) * scale
    line = signature(judge.column, model=judge.name, refs="none", scale=100 if scale == 1.0 else 1)
    return mean(judge.column, scores, line, there)


def best_by_language(
    systems: Mapping[str, ItemScores], resamples: int = RESAMPLES, seed: int = SEED
) -> dict[str, Best]:
    """Per language the system with the highest chrF++, and by how much it leads the next one.

    Only texts that all of the systems with this language have are compared.
    """
    places = {name: _places(scores) for name, scores in systems.items()}
    codes = dict.fromkeys(code for own in places.values() for code in own)
    found = {}
    for code in codes:
        there = [name for name in systems if code in places[name]]
        common = set.intersection(*(set(places[name][code]) for name in there)) if there else set()
        if len(there) < 2 or not common:
            continue
        ids = sorted(common)
        tables = {
            name: systems[name].statistics["chrf++"][[places[name][code][one] for one in ids]]
            for name in there
        }
        value = VALUES[CHRF]
        values = {name: float(value(table.sum(axis=0))) for name, table in tables.items()}
        # A stable sort: of equal systems the one that was named first.
        first, second = sorted(values, key=lambda name: -values[name])[:2]
        width = WIDTHS[CHRF]
        both = np.concatenate([tables[first], tables[second]], axis=1)
        units = Units(ids, [np.arange(len(ids))])
        drawn = [
            value(sums[0][:, :width]) - value(sums[0][:, width:])
            for sums in bootstrap(units, both, resamples, seed)
        ]
        sure = interval(np.concatenate(drawn)) if drawn and len(ids) > 1 else None
        lead = values[first] - values[second]
        ends = (sure.low, sure.high) if sure else (None, None)
        found[code] = Best(first, values[first], len(ids), second, lead, *ends)
    return found


def _places(scores: ItemScores) -> dict[str, dict[str, int]]:
    """By NLLB code and id, where an item's scores stand."""
    found: dict[str, dict[str, int]] = {}
    for place, (code, one) in enumerate(zip(scores.languages, scores.ids, strict=True)):
        found.setdefault(code, {})[one] = place
    return found
