"""How long the target is for its source."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from translation.filters.characters import Characters, Counts, kind
from translation.filters.pairs import Batch, Column, column
from translation.languages import languages

# For languages without parallel text, by script: medians of the languages that have some.
_DENSE = {
    ("Han",): 0.34,
    ("Han", "Hiragana", "Katakana"): 0.44,
    ("Hangul",): 0.53,
    ("Ethiopic",): 0.69,
}
_OTHER = 1.08

# Characters added to both sides: a word may well be thrice as long as its translation, a paragraph may not.
_SLACK = 15


@cache
def densities() -> Mapping[str, float]:
    """Visible characters that a text takes per one of English, by NLLB code; fitted on parallel text."""
    text = files("translation.filters").joinpath("lengths.tsv").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    fitted = {row["nllb_code"]: float(row["factor"]) for row in csv.DictReader(lines, delimiter="\t")}
    return MappingProxyType(
        {
            code: fitted.get(code, _DENSE.get(language.scripts, _OTHER))
            for code, language in languages().items()
        }
    )


def length_ratio(batch: Batch) -> Column:
    """Length of the target over the length that the source lets expect, about 1, never 0.

    Both are counted in characters of English without spaces (target over its language's density), plus 15,
    so that short texts stay near 1: a lost half of a sentence of 100 characters gives 0.57, a caption of 40
    blown up to 200 gives 3.9.
    """
    expected = batch.per_language(densities())
    return column((visible(batch.target) / expected + _SLACK) / (visible(batch.source) + _SLACK))


def visible(texts: Characters) -> Counts:
    """Characters of each text without white space and combining marks.

    Some people write the marks of Yoruba or Hebrew and some do not.
    """
    return texts.lengths - texts.count(kind("mark") | kind("space"))
