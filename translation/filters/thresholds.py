"""Calibrated bounds of the rules, per language and length of the source, as a table with its figures.

`translate-mix calibrate` writes such a table; the one that ships was fitted on reference translations, see
docs/filters.md.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from translation.filters.pairs import Column
from translation.filters.policy import CALIBRATED, Policy
from translation.languages import languages

LENGTHS = ("answer", "caption", "sentence")
"""Length classes: by words of the English source, at most 3, at most 15, more."""

_LONGEST_ANSWER, _LONGEST_CAPTION = 3, 15

# A half of what an identifier can be sure of, and less of what it may mistake.
_OF_IDENTIFIER: Mapping[str, tuple[float | None, float | None]] = MappingProxyType(
    {"lid": (0.5, None), "confusable": (0.3, None), "english": (None, 0.5)}
)

ANY = "*"
"""In place of an NLLB code: languages that have no line of their own."""


# Answers and names have one sentence at most, and an end mark or none as people like.
_OF_SENTENCES = frozenset({"sentences", "ending"})


def lengths_of(rule: str) -> tuple[str, ...]:
    """The length classes that a rule has bounds for."""
    return LENGTHS[1:] if rule in _OF_SENTENCES else LENGTHS


def length_class(words: Column) -> NDArray[np.int8]:
    """Index into `LENGTHS` per text, from its source's number of words; NaN counts as an answer."""
    # NaN compares as False.
    return (words > _LONGEST_ANSWER).astype(np.int8) + (words > _LONGEST_CAPTION).astype(np.int8)


@dataclass(frozen=True)
class Threshold:
    """One line of the table."""

    nllb_code: str
    """Or `*`."""
    length: str
    """One of `LENGTHS`."""
    rule: str
    min: float | None
    max: float | None
    texts: int
    """Reference translations that it was fitted on."""
    rejected: float
    """Share of them that it rejects."""


class ThresholdsError(ValueError):
    """A table of thresholds that cannot be read; the message names file, line and column."""


@dataclass(frozen=True)
class Thresholds:
    """A table of thresholds."""

    identification: str
    """Name of the identifier that `lid`, `confusable` and `english` were fitted for."""
    lines: tuple[Threshold, ...]

    @property
    def digest(self) -> str:
        """16 hex digits that name exactly these bounds."""
        return hashlib.sha256(self.text().encode()).hexdigest()[:16]

    def for_identification(self, name: str) -> Thresholds:
        """These bounds, with safe ones for the scores of an identifier that they were not fitted for."""
        if name == self.identification:
            return self
        kept = tuple(line for line in self.lines if line.rule not in _OF_IDENTIFIER)
        safe = (
            Threshold(ANY, length, rule, *bounds, 0, 0.0)
            for rule, bounds in _OF_IDENTIFIER.items()
            for length in LENGTHS
        )
        return Thresholds(name, (*kept, *safe))

    @cached_property
    def _bounds(self) -> Mapping[tuple[str, str], tuple[Mapping[str, int], NDArray[np.float32]]]:
        """By rule and side: which row of its table a code has, and the table, a column a length class."""
        found: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
        for line in self.lines:
            for side, value in (("min", line.min), ("max", line.max)):
                if value is not None:
                    found.setdefault((line.rule, side), {})[line.nllb_code, line.length] = value
        tables = {}
        for key, bounds in found.items():
            codes = dict.fromkeys([ANY, *(code for code, _ in bounds)])
            general = [bounds.get((ANY, length), np.nan) for length in LENGTHS]
            table = [
                [bounds.get((code, length), other) for length, other in zip(LENGTHS, general, strict=True)]
                for code in codes
            ]
            tables[key] = {code: row for row, code in enumerate(codes)}, np.array(table, np.float32)
        return tables

    def bounds(self, rule: str, side: str, codes: Sequence[str]) -> NDArray[np.float32] | None:
        """The bounds on one side (`min` or `max`) of a rule: a row a code, a column a length class.

        Those of the language, else of `*`, else NaN; None if the rule has none on this side.
        """
        found = self._bounds.get((rule, side))
        if found is None:
            return None
        rows, table = found
        return table[[rows.get(code, rows[ANY]) for code in codes]]

    def text(self) -> str:
        """The table as it is written to a file."""
        out = io.StringIO()
        out.write(f"# identification: {self.identification}\n")
        writer = csv.writer(out, delimiter="\t", lineterminator="\n")
        writer.writerow(field.name for field in fields(Threshold))
        for line in self.lines:
            writer.writerow(
                "" if value is None else f"{value:.6g}" if isinstance(value, float) else value
                for value in (getattr(line, field.name) for field in fields(Threshold))
            )
        return out.getvalue()


@cache
def default_thresholds() -> Thresholds:
    """The table that ships."""
    path = files("translation.filters").joinpath("thresholds.tsv")
    return parse_thresholds(path.read_text(encoding="utf-8"), "thresholds.tsv")


def load_thresholds(path: Path | None) -> Thresholds:
    """The table in a file, or the one that ships.

    Raises:
        ThresholdsError: there is no such file, or it is no such table.
    """
    return default_thresholds() if path is None else parse_thresholds(read_table(path), str(path))


def read_table(path: Path) -> str:
    """The text of a file that should hold a table. Raises `ThresholdsError` where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ThresholdsError(f"thresholds: cannot read {path} ({error})") from error


def parse_thresholds(text: str, name: str) -> Thresholds:
    """The table of a text, see `Thresholds.text`.

    Raises:
        ThresholdsError: a line is no threshold, or a rule has none.
    """
    numbered = list(enumerate(text.splitlines(), start=1))
    identification = ""
    for _, line in numbered:
        if line.startswith("# identification: "):
            identification = line.removeprefix("# identification: ").strip()
    table = [(number, line.split("\t")) for number, line in numbered if line and not line.startswith("#")]
    header = [field.name for field in fields(Threshold)]
    if not table or table[0][1] != header:
        raise ThresholdsError(f"{name}: the first line must name the columns {', '.join(header)}")
    found = Thresholds(
        identification, tuple(_parse(cells, f"{name}: line {number}") for number, cells in table[1:])
    )
    general = {(line.rule, line.length) for line in found.lines if line.nllb_code == ANY}
    for rule, length in calibrated_rules():
        if (rule, length) not in general:
            raise ThresholdsError(
                f"{name}: no bound of {rule} for {ANY!r} and length {length}; was the table cut?"
            )
    return found


@cache
def calibrated_rules() -> tuple[tuple[str, str], ...]:
    """Rules and lengths that every table has a bound for."""
    rules = [name for name, rule in Policy().rules() if CALIBRATED in vars(rule).values()]
    return tuple((rule, length) for rule in rules for length in lengths_of(rule))


def _parse(cells: list[str], where: str) -> Threshold:
    if len(cells) != len(fields(Threshold)):
        raise ThresholdsError(f"{where}: {len(cells)} columns, {len(fields(Threshold))} wanted")
    code, length, rule, least, most, texts, rejected = cells
    if code != ANY and code not in languages():
        raise ThresholdsError(f"{where}: nllb_code {code!r} is not known; an NLLB code or {ANY!r} is wanted")
    if length not in LENGTHS:
        raise ThresholdsError(f"{where}: length {length!r}; one of {', '.join(LENGTHS)} is wanted")
    try:
        bounds = [float(cell) if cell else None for cell in (least, most)]
        if any(bound is not None and math.isnan(bound) for bound in bounds):
            raise ValueError("nan is no bound")
        return Threshold(code, length, rule, bounds[0], bounds[1], int(texts), float(rejected))
    except ValueError as error:
        raise ThresholdsError(f"{where}: {error}") from error
