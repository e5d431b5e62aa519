"""Which records of a source the recipe asks for: with the values of `where`, without `skip_answers`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from pipelines.examples import LeftOut, Reject
from pipelines.recipe_sources import CsvSource, RecordSource, Source
from pipelines.records import Asked, Record
from translation.filters.english import words

_Comparable = tuple[str, object]
"""(kind, value): Python's own `==` takes 1 for True."""

_NULL: _Comparable = ("null", None)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_LONGEST_NUMBER = 40
"""Characters; a longer one is no label."""


@dataclass(frozen=True)
class Selection:
    """The values that a record must have."""

    wanted: Mapping[str, frozenset[_Comparable]]
    """By column; one of them is enough."""
    untyped: bool
    """Cells are text, whatever stands in them."""

    @classmethod
    def of(cls, source: RecordSource) -> Selection:
        """What `where` says; every record is selected without it."""
        wanted = {
            column: frozenset(map(_comparable, values if isinstance(values, tuple) else (values,)))
            for column, values in source.where.items()
        }
        return cls(wanted, isinstance(source, CsvSource))

    def has(self, record: Mapping[str, object]) -> bool:
        """Whether a record is selected; a column that it lacks is null."""
        for column, wanted in self.wanted.items():
            value = record.get(column)
            if self.untyped:
                if wanted.isdisjoint(_readings(value)):
                    return False
            elif _comparable(value) not in wanted:
                return False
        return True


def without_answers(
    source: Source, records: Iterable[Record | Reject | LeftOut]
) -> Iterator[Record | Reject | LeftOut]:
    """The records but for questions with an answer of `skip_answers`, which are left out."""
    skipped = frozenset(map(_said, source.skip_answers))
    for record in records:
        if isinstance(record, Asked) and _said(record.answer) in skipped:
            yield LeftOut(source.name)
        else:
            yield record


def _said(answer: str) -> tuple[str, ...] | str:
    """An answer as it is compared; one without words as it stands."""
    return words(answer) or answer.strip()


def _comparable(value: object) -> _Comparable:
    """A value as it is compared; a list or object equals none that a recipe can name."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return _NULL
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, int | float | Decimal):
        return ("number", value)
    return ("text", value) if isinstance(value, str) else ("other", None)


def _readings(cell: object) -> Iterator[_Comparable]:
    """What a cell of CSV may mean."""
    if not isinstance(cell, str) or not cell:
        yield _NULL
        return
    yield ("text", cell)
    if len(cell) <= _LONGEST_NUMBER and _NUMBER.fullmatch(cell):
        yield ("number", float(cell) if re.search(r"[.eE]", cell) else int(cell))
    if cell.casefold() in ("true", "false"):
        yield ("boolean", cell.casefold() == "true")
