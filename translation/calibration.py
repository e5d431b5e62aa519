"""Fits the bounds of the filters' rules on reference translations, per language and length of the source.

Every rule has a budget: the share of good translations that it may reject. Its bound is where a language's
references of one length use the budget up, but never stricter than `strictest`, which finds all that the rule
is for. A language with few references borrows from all languages.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from translation.filters import ScoreTable, TextPair, score_pairs
from translation.filters.completeness import has_end
from translation.filters.pairs import Column
from translation.filters.thresholds import (
    ANY,
    LENGTHS,
    Threshold,
    Thresholds,
    calibrated_rules,
    default_thresholds,
    length_class,
    lengths_of,
)
from translation.identification import Identifier
from translation.languages import languages

BORROWED = 300
"""References of all languages that count along with a language's own, as many as so many texts."""

CHUNK = 20_000


@dataclass(frozen=True)
class Budget:
    """What a rule may cost on one side."""

    side: str
    """`min` or `max`."""
    share: float
    """Of the references of a language and length."""
    strictest: float
    loosest: float | None = None
    """What stays a fault whatever the references have."""
    most: float | None = None
    """One bound for all languages, but for those where it would reject more than this share."""


BUDGETS: Mapping[str, tuple[Budget, ...]] = MappingProxyType(
    {
        "script": (Budget("min", 0.0005, 0.75, 0.3, 0.004),),
        "copy": (Budget("max", 0.0012, 0.4, 0.95, 0.005),),
        "english": (Budget("max", 0.0005, 0.1, most=0.005),),
        "lid": (Budget("min", 0.002, 0.9, most=0.012),),
        "confusable": (Budget("min", 0.0008, 0.9),),
        "repetition": (Budget("max", 0.0005, 0.55, 0.95, 0.003),),
        "length_ratio": (Budget("min", 0.0015, 0.9), Budget("max", 0.0007, 1.1)),
        "sentences": (Budget("min", 0.003, 0.97, 0.85, most=0.008),),
        "ending": (Budget("min", 0.002, 0.85, most=0.006),),
        "numbers": (Budget("min", 0.001, 1.0, 0.5),),
        "round_trip_exact": (Budget("min", 0.05, 0.9),),
        "round_trip_chrf": (Budget("min", 0.01, 100.0),),
    }
)
"""By rule; together they keep to 1 %. A round trip costs more, for the way back has faults of its own."""


JOINED = Budget("min", 0.05, 0.97, 0.85)
"""For `sentences` in two references as one text: languages whose ends are not found may lose more."""


UNFITTED: Mapping[str, float] = MappingProxyType({"round_trip_exact": 0.9, "round_trip_chrf": 30.0})
"""`min` by rule where the references have no back-translations: the same words, and chrF++ that no text on
another subject reaches."""


def calibrate(pairs: Sequence[TextPair], identifier: Identifier) -> Thresholds:
    """The bounds that reference translations justify.

    Args:
        pairs: human translations; with back-translations, the round trip is calibrated too.
    """
    tables = [score_pairs(chunk, identifier) for chunk in _chunks(pairs)]
    joined = [score_pairs(chunk, identifier) for chunk in _chunks(list(_in_twos(pairs)))]
    return fit(tables, joined, identifier.name)


def fit(tables: Sequence[ScoreTable], joined: Sequence[ScoreTable], identification: str) -> Thresholds:
    """The bounds for scores of references; of `joined`, texts of two references each, only `sentences`."""
    lines: list[Threshold] = []
    for rule, budgets in BUDGETS.items():
        for budget in budgets:
            lines += _Scores(rule, tables).thresholds(budget)
    lines = _lenient(lines, _Scores("sentences", joined).thresholds(JOINED))
    lines += _unfitted(lines, identification)
    order = {code: index for index, code in enumerate((ANY, *languages()))}
    lines.sort(key=lambda line: (order[line.nllb_code], LENGTHS.index(line.length)))
    return Thresholds(identification, tuple(_merged(lines)))


def _unfitted(lines: Iterable[Threshold], identification: str) -> list[Threshold]:
    """General bounds for rules and lengths that the references tell nothing of: `UNFITTED`, or what ships."""
    fitted = {(line.rule, line.length) for line in lines if line.nllb_code == ANY}
    missing = [key for key in calibrated_rules() if key not in fitted]
    made = [
        Threshold(ANY, length, rule, UNFITTED[rule], None, 0, 0.0)
        for rule, length in missing
        if rule in UNFITTED
    ]
    if len(made) < len(missing):
        made += [
            replace(line, texts=0, rejected=0.0)
            for line in default_thresholds().for_identification(identification).lines
            if line.nllb_code == ANY and line.rule not in UNFITTED and (line.rule, line.length) in missing
        ]
    return made


def _lenient(lines: Iterable[Threshold], others: Iterable[Threshold]) -> list[Threshold]:
    """The lines, with the lower bound where the others have one.

    What holds for sentences holds for captions too: two captions as one text are mostly longer than one.
    """
    lower: dict[tuple[str, str], float] = {}
    for line in others:
        if line.min is not None:
            key = (line.nllb_code, line.rule)
            lower[key] = min(line.min, lower.get(key, line.min))
    kept = []
    for line in lines:
        other = lower.get((line.nllb_code, line.rule))
        both = [bound for bound in (line.min, other) if bound is not None]
        kept.append(replace(line, min=min(both)) if other is not None else line)
    return kept


def _chunks(pairs: Sequence[TextPair]) -> Iterator[Sequence[TextPair]]:
    return (pairs[start : start + CHUNK] for start in range(0, len(pairs), CHUNK))


def _in_twos(pairs: Iterable[TextPair]) -> Iterator[TextPair]:
    """Texts of two sentences or more, from neighbouring references of a language."""
    by_language: dict[str, list[TextPair]] = defaultdict(list)
    for pair in pairs:
        if len(pair.source) > 20 and pair.source.rstrip().endswith((".", "!", "?")):
            by_language[pair.language].append(pair)
    for code, pairs_of in by_language.items():
        # Without an end mark there is no end to find; most languages have one.
        ended = [pair for pair in pairs_of if has_end(pair.target)]
        own = ended if 2 * len(ended) > len(pairs_of) else pairs_of
        for first, second in list(pairwise(own))[::5]:
            yield join(first, second, code)


def join(first: TextPair, second: TextPair, code: str) -> TextPair:
    """Two translations into one language as one text."""
    space = " " if languages()[code].spaced or languages()[code].scripts == ("Thai",) else ""
    return TextPair(
        f"{first.source.strip()} {second.source.strip()}",
        f"{first.target.strip()}{space}{second.target.strip()}",
        code,
    )


class _Scores:
    """The values of one score, by language and length."""

    def __init__(self, rule: str, tables: Sequence[ScoreTable]) -> None:
        self.rule = rule
        gathered: dict[tuple[str, str], list[Column]] = defaultdict(list)
        for table in tables:
            if rule not in table.columns:
                continue
            codes = np.array(table.languages)
            lengths = length_class(table.columns["words"])
            for code in np.unique(codes):
                for index, name in enumerate(LENGTHS):
                    gathered[str(code), name].append(
                        table.columns[rule][(codes == code) & (lengths == index)]
                    )
        self.values = {key: np.concatenate(parts) for key, parts in gathered.items()}

    def thresholds(self, budget: Budget) -> Iterator[Threshold]:
        for length in lengths_of(self.rule):
            own = {code: values for (code, name), values in self.values.items() if name == length}
            everything = np.concatenate([*own.values(), np.empty(0, np.float32)])
            if np.isnan(everything).all():
                continue
            yield self._threshold(ANY, length, budget, everything, everything[:0])
            for code, values in own.items():
                if values.size:
                    yield self._threshold(code, length, budget, values, everything)

    def _threshold(
        self, code: str, length: str, budget: Budget, own: NDArray[np.float32], others: NDArray[np.float32]
    ) -> Threshold:
        sign = 1 if budget.side == "min" else -1
        own, others = (_without_faults(values, budget) for values in (own, others))
        if budget.most is None or not others.size:
            bound = sign * _bound(sign * own, sign * others, budget.share)
        else:
            loosened = _bound(sign * own, sign * others, budget.most)
            bound = sign * min(loosened, _bound(sign * others, others[:0], budget.share))
        # To 4 digits, as the table holds it, and towards the lenient side.
        bound = sign * _rounded_down(sign * bound)
        bound = sign * min(sign * bound, sign * budget.strictest)
        if budget.loosest is not None:
            bound = sign * max(sign * bound, sign * budget.loosest)
        rejected = float(np.mean(sign * own < sign * np.float32(bound))) if own.size else 0.0
        sides = {"min": bound if sign == 1 else None, "max": bound if sign == -1 else None}
        return Threshold(
            code, length, self.rule, sides["min"], sides["max"], int(own.size), round(rejected, 5)
        )


def _without_faults(values: NDArray[np.float32], budget: Budget) -> NDArray[np.float32]:
    """Without what is rejected in any case, so that it does not make room for more of its kind."""
    if budget.loosest is None:
        return values
    return values[~(values < budget.loosest if budget.side == "min" else values > budget.loosest)]


def _bound(own: NDArray[np.float32], others: NDArray[np.float32], share: float) -> float:
    """The largest value below which lies at most this share of all texts; those without value lie above."""
    weights = np.concatenate(
        [np.ones(own.size), np.full(others.size, BORROWED / others.size if others.size else 0.0)]
    )
    values = np.concatenate([own, others])
    allowed = share * weights.sum()
    known = ~np.isnan(values)
    if not known.any():
        return float("inf")
    order = np.argsort(values[known])
    values, below = values[known][order], np.cumsum(weights[known][order])
    index = int(np.searchsorted(below, allowed, side="right"))
    return float(values[min(index, values.size - 1)])


def _rounded_down(value: float) -> float:
    if not np.isfinite(value) or value == 0:
        return value
    digits = 3 - int(np.floor(np.log10(abs(value))))
    return float(np.floor(value * 10**digits) / 10**digits)


def _merged(lines: Iterable[Threshold]) -> Iterator[Threshold]:
    """With both sides of a rule in one line."""
    merged: dict[tuple[str, str, str], Threshold] = {}
    for line in lines:
        key = (line.nllb_code, line.length, line.rule)
        other = merged.get(key)
        merged[key] = (
            line
            if other is None
            else Threshold(
                *key,
                line.min if other.min is None else other.min,
                line.max if other.max is None else other.max,
                line.texts,
                round(line.rejected + other.rejected, 5),
            )
        )
    yield from merged.values()
