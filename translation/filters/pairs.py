"""What filters look at and what they return."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from translation.filters.characters import Characters, kind
from translation.segments import placeholders
from translation.translations import Translation

UNIT = re.compile(r"(?<=\d)\s?[A-Za-z]{1,3}\b")
"""A unit after a number, which may stay as it is."""


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


SCORES: tuple[str, ...] = (
    "words",
    "letters",
    "empty",
    "unknown",
    "cut_off",
    "script",
    "copy",
    "english",
    "lid",
    "confusable",
    "repetition",
    "length_ratio",
    "sentences",
    "ending",
    "numbers",
    "placeholders",
    "round_trip_exact",
    "round_trip_chrf",
    "similarity",
    "comet_kiwi",
    "metricx",
    "model_score",
)
"""Names of the scores, in the order of a row's `scores` struct."""

Scores = Mapping[str, float | None]
"""A value for each of `SCORES`; None where a filter does not apply or cannot tell."""

NO_SCORES: Scores = dict.fromkeys(SCORES)
"""Nothing applies; what a row without translated text has."""

Column = NDArray[np.float32]
"""One score of many texts; NaN where it does not apply."""


@dataclass(frozen=True)
class ScoreTable:
    """The scores of many texts, column by column."""

    languages: tuple[str, ...]
    """NLLB codes of the texts."""
    columns: Mapping[str, Column]
    """By name of the score; a score that is missing does not apply to any text."""

    def __len__(self) -> int:
        return len(self.languages)

    def with_column(self, name: str, values: Sequence[float | None]) -> ScoreTable:
        """The table with one more score, None where it does not apply."""
        return ScoreTable(self.languages, {**self.columns, name: column(values)})

    def rows(self) -> Iterator[dict[str, float | None]]:
        """Per text a value for each of `SCORES`."""
        nothing: list[float | None] = [None] * len(self)
        lists = [_with_none(self.columns[name]) if name in self.columns else nothing for name in SCORES]
        return (dict(zip(SCORES, values, strict=True)) for values in zip(*lists, strict=True))

    @classmethod
    def of_rows(cls, languages: Iterable[str], rows: Iterable[Scores]) -> ScoreTable:
        """The table of scores that were taken apart, as `rows` gives them or Parquet stores them."""
        rows = list(rows)
        columns = {name: column([row.get(name) for row in rows]) for name in SCORES}
        return cls(tuple(languages), columns)


def _with_none(column: Column) -> list[float | None]:
    values = column.astype(object)
    values[np.isnan(column)] = None
    listed: list[float | None] = values.tolist()
    return listed


class Batch:
    """Text pairs with what several filters need to know of them, found out once."""

    def __init__(self, pairs: Sequence[TextPair]) -> None:
        self.pairs = pairs
        self.sources = [pair.source for pair in pairs]
        self.targets = [pair.target for pair in pairs]
        self.languages = [pair.language for pair in pairs]
        self.source = Characters(self.sources)
        self.target = Characters(self.targets)

    def __len__(self) -> int:
        return len(self.pairs)

    @cached_property
    def letters(self) -> NDArray[np.int64]:
        """Letters of the targets, without combining marks."""
        return self.target.count(kind("letter"))

    @cached_property
    def placeholders(self) -> dict[int, Counter[str]]:
        """The placeholders of the sources that have any, by their index."""
        found = {
            index: placeholders(self.sources[index])
            for index in map(int, np.flatnonzero(hints(self.source, self.sources)))
        }
        return {index: counts for index, counts in found.items() if counts}

    @cached_property
    def plain_targets(self) -> list[str]:
        """The targets without what the source has too and no translation changes: URLs, code, `10 km`."""
        plain = list(self.targets)
        units = (self.source.count(kind("digit")) > 0) & (self.target.count(kind("digit")) > 0)
        for index, verbatims in self.placeholders.items():
            for verbatim in verbatims:
                plain[index] = plain[index].replace(verbatim, " ")
        for index in map(int, np.flatnonzero(units)):
            for unit in set(UNIT.findall(self.sources[index])):
                plain[index] = re.sub(rf"(?<=\d){re.escape(unit)}\b", " ", plain[index])
        return plain

    @cached_property
    def words(self) -> NDArray[np.int64]:
        """Words of the sources: runs without white space."""
        space = self.source.of_kind(kind("space"))
        starts = ~space
        starts[1:] &= space[:-1]
        # The first character of a text begins a word whatever the text before it ended in.
        first = self.source.starts[self.source.lengths > 0]
        starts[first] = ~space[first]
        return self.source.sums(starts)

    @cached_property
    def _codes(self) -> tuple[list[str], NDArray[np.intp]]:
        return distinct(self.languages)

    def per_language(self, values: Mapping[str, float]) -> NDArray[np.float64]:
        """Per pair the value of its language."""
        codes, rows = self._codes
        return np.array([values[code] for code in codes], np.float64)[rows]

    def where_language(self, holds: Callable[[str], bool]) -> NDArray[np.bool_]:
        """Which pairs are in a language (NLLB code) for which this holds."""
        codes, rows = self._codes
        return np.array([holds(code) for code in codes], np.bool_)[rows]


def hints(characters: Characters, texts: Sequence[str]) -> NDArray[np.int64]:
    """Per text the characters that placeholders have; a final point is none, and most texts have no other."""
    final = np.fromiter((text.endswith(".") for text in texts), np.int64, len(texts))
    return characters.count(kind("hint")) - final


def distinct(languages: Iterable[str]) -> tuple[list[str], NDArray[np.intp]]:
    """The distinct languages, and per text which one of them it is in."""
    places: dict[str, int] = {}
    rows = [places.setdefault(code, len(places)) for code in languages]
    return list(places), np.array(rows, np.intp)


def column(values: object) -> Column:
    """Numbers, booleans or None as a column; what is not finite does not apply."""
    with np.errstate(over="ignore"):
        made = np.array(values, dtype=np.float32)
    made[~np.isfinite(made)] = np.nan
    return made
