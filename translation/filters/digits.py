"""What the digits in a text may stand for: years, centuries, counts of the power of ten beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

import regex

from translation.languages import ENGLISH
from translation.number_words import fold, number_words
from translation.segments import number_tokens, numbers

WORD = regex.compile(r"[\p{L}\p{M}]+")

POWERS = frozenset(10**power for power in range(2, 15))
"""Of ten, that have words of their own."""

POWERS_OF_TEN = frozenset(map(str, POWERS))


@dataclass(frozen=True)
class Token:
    """Digits in a text."""

    values: tuple[str, ...]
    """One, or the parts of a date or a time."""
    readings: frozenset[str]
    """What they may stand for as one number: themselves, a short year, a century, and `scaled`."""
    scaled: frozenset[str]
    """With the power of ten in the words beside them."""
    parts: frozenset[str]
    """Those of a decimal (`10.30`), which may be a time or a date."""
    start: int
    end: int


def tokens_in(text: str, language: str) -> list[Token]:
    """The runs of digits in a text, in its order.

    Raises:
        UnknownLanguage: the registry does not know the language.
    """
    found = list(number_tokens(text))
    tokens = []
    for index, (values, start, end) in enumerate(found):
        readings = set(values) if len(values) == 1 else set()
        scaled = set()
        scale = _scale_after(text, end, language) * _scale_before(text, start, language)
        if scale != 1:
            scaled.add(_times(values[-1], scale))
            # 3万5千: the parts of one number.
            if index + 1 < len(found) and found[index + 1][1] - end <= 3:
                after = found[index + 1]
                rest = _times(after[0][0], _scale_after(text, after[2], language))
                scaled.add(_plain(Decimal(_times(values[-1], scale)) + Decimal(rest)))
        parts: frozenset[str] = frozenset()
        if len(values) == 1:
            readings |= _years(values[0]) | _centuries(values[0], text[end : end + 12])
            if "." in values[0]:
                pieces = re.findall(r"\d+", text[start:end])
                parts = frozenset(value for piece in pieces for value in numbers(piece))
                if parts and "." in (text[start : start + 1], text[start - 1 : start]):
                    readings.update(numbers(pieces[-1]))  # .500, without its zero in English
        tokens.append(Token(values, frozenset(readings | scaled), frozenset(scaled), parts, start, end))
    return tokens


def _years(value: str) -> set[str]:
    """1998 as 98, and 98 as 1998."""
    if len(value) == 4 and value.isdigit() and value[:2] in ("17", "18", "19", "20") and value[2] != "0":
        return {value[2:]}
    if len(value) == 2 and value.isdigit():
        return {f"{century}{value}" for century in (18, 19, 20)}
    return set()


def _centuries(value: str, after: str) -> set[str]:
    """The 1900s are the 20th century in other languages, and the 1930s its fourth decade."""
    if value.isdigit() and len(value) == 4 and value.endswith("0") and after.startswith("s"):
        return {str(int(value) // 100 + 1) if value.endswith("00") else str(int(value[2]) + 1)}
    if value.isdigit() and len(value) == 2 and "century" in after:
        return {str((int(value) - 1) * 100)}
    return set()


def _times(value: str, scale: int) -> str:
    return _plain(Decimal(value) * scale)


def _plain(value: Decimal) -> str:
    whole = f"{value:f}"
    return whole.rstrip("0").rstrip(".") if "." in whole else whole


_ENGLISH_SCALES = {
    "k": 10**3,
    "m": 10**6,
    "mn": 10**6,
    "mm": 10**6,
    "b": 10**9,
    "bn": 10**9,
    "tn": 10**12,
    "hundred": 100,
}


@cache
def _scales(language: str) -> Mapping[str, int]:
    table = {
        word: value for word, value in number_words(language).items() if value >= 100 and value in POWERS
    }
    return table | _ENGLISH_SCALES if language == ENGLISH else table


def _scale_after(text: str, end: int, language: str) -> int:
    words = WORD.findall(fold(text[end : end + 40])) if text[end : end + 1] not in ".,;" else []
    return _scale(words, language)


def _scale_before(text: str, start: int, language: str) -> int:
    return _scale(WORD.findall(fold(text[max(0, start - 30) : start]))[-1:], language)


def _scale(words: list[str], language: str) -> int:
    """What the first of the words multiplies by: `million`, inflected `miljonaa`, 万 glued to others."""
    scales = _scales(language)
    if not words or not scales:
        return 1
    if " ".join(words[:2]) in scales:
        return scales[" ".join(words[:2])]
    if words[0] in scales:
        return scales[words[0]]
    if words[0][0] < "\u0e00":
        stem = words[0][:3]
        return next((scale for word, scale in scales.items() if len(stem) == 3 and word[:3] == stem), 1)
    word, scale = words[0], 1
    while size := next((size for size in range(len(word), 0, -1) if word[:size] in scales), 0):
        scale, word = scale * scales[word[:size]], word[size:]
    return scale
