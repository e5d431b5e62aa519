"""How languages spell numbers (CLDR's spell-out rules, `number_words.tsv`), and those that a text spells."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import regex

from translation.languages import resolve

# Dashes join what spaces part elsewhere. Hamza seats, vowel signs and points are left out by most writers.
_DROPPED = "\u00ad\u0640\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_FOLDED = str.maketrans(
    dict.fromkeys(_DROPPED, "")
    | {
        chr(mark): ""
        for low, high in ((0x591, 0x5C8), (0x64B, 0x660))
        for mark in range(low, high)
        if mark != 0x5BE
    }
    | dict.fromkeys("-\u2010\u2011\u05be", " ")
    | {"أ": "ا", "إ": "ا", "آ": "ا", "ى": "ي", "ة": "ه", "ي": "ي", "ی": "ي", "ک": "ك", "ё": "е"}
)
_WORD = regex.compile(r"[\p{L}\p{M}]+")
_ASCII_WORD = re.compile("[a-z]+")  # the same in folded ASCII, in less time


@dataclass(frozen=True)
class Spelled:
    """One number in words."""

    value: int
    parts: tuple[int, ...]
    """The values of its words: (2, 100) for `two hundred`."""
    start: int
    end: int
    """Where it stands in the folded text."""


def fold(text: str) -> str:
    """The form in which spellings are compared: NFC, lower case, words joined by spaces, without points."""
    if text.isascii():
        return text.lower().replace("-", " ")
    folded = unicodedata.normalize("NFC", text).casefold().translate(_FOLDED)
    return unicodedata.normalize("NFC", folded.replace("i\u0307", "i"))


@cache
def number_words(language: str) -> Mapping[str, int]:
    """The spellings of 0 to 100, the hundreds and powers of ten in a language, folded, with their values.

    Numbers from tens and a unit side by side (`twenty one`) are not listed. Empty where CLDR has no rules; a
    few languages have the powers of ten alone.

    Raises:
        UnknownLanguage: the registry does not know the language.
    """
    return _tables().get(resolve(language).nllb, _NOTHING)


@cache
def spells_numbers(language: str) -> bool:
    """Whether the small numbers of a language are known, not only its words for powers of ten."""
    return resolve(language).nllb in _spelling()


@cache
def homographs(language: str) -> frozenset[str]:
    """Folded spellings that are more often another word, so that they tell of no number by themselves."""
    return _homographs().get(resolve(language).nllb, frozenset())


@cache
def _homographs() -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for row in _rows():
        if row["homographs"]:
            found.setdefault(row["nllb_code"], set()).update(
                fold(word) for word in row["homographs"].split("|")
            )
    return {code: frozenset(words) for code, words in found.items()}


def _rows() -> Iterator[dict[str, str]]:
    text = files("translation").joinpath("number_words.tsv").read_text(encoding="utf-8")
    return csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)


_NOTHING: Mapping[str, int] = MappingProxyType({})


@cache
def _tables() -> Mapping[str, Mapping[str, int]]:
    tables: dict[str, dict[str, int]] = {}
    for row in _rows():
        table = tables.setdefault(row["nllb_code"], {})
        for word in row["words"].split("|"):
            if key := " ".join(_WORD.findall(fold(word))):
                table[key] = int(row["value"])
    return MappingProxyType({code: MappingProxyType(table) for code, table in tables.items()})


@cache
def _spelling() -> frozenset[str]:
    return frozenset(code for code, table in _tables().items() if 2 in table.values())


def spelled(text: str, language: str) -> list[Spelled]:
    """The numbers that a folded text spells in a language, in its order; the longest spelling wins.

    Neighbours are put together where they are one number: tens and a unit, a count and its hundred or
    thousand (`two hundred thousand`), English `and`. Han numerals are read in Chinese and Japanese alone.

    Raises:
        UnknownLanguage: the registry does not know the language.
    """
    reader = _reader(language)
    return [_composed(run) for run in _runs(text, reader)]


@dataclass(frozen=True)
class _Reader:
    table: dict[str, int]
    longest: dict[str, int]
    """First word of the spellings, or first character where words are not spaced, to the length of the
    longest one, in words or characters."""
    spaced: bool
    han: bool
    english: bool


@cache
def _reader(language: str) -> _Reader:
    known = resolve(language)
    table = dict(number_words(language))
    glued = not known.spaced or "Hangul" in known.scripts
    longest: dict[str, int] = {}
    for word in table:
        first, size = (word[0], len(word)) if glued else (word.partition(" ")[0], word.count(" ") + 1)
        longest[first] = max(size, longest.get(first, 0))
    return _Reader(table, longest, not glued, "Han" in known.scripts, known.english)


_Found = tuple[int, int, int]
"""Value, start, end."""


def _runs(text: str, reader: _Reader) -> Iterator[list[_Found]]:
    """The number words of a text, those that are one number together."""
    run: list[_Found] = []
    for found in (
        _han(text) if reader.han else _spaced(text, reader) if reader.spaced else _glued(text, reader)
    ):
        if run and not (
            _joined(text[run[-1][2] : found[1]], reader) and _goes_on([value for value, *_ in run], found[0])
        ):
            yield run
            run = []
        run.append(found)
    if run:
        yield run


def _joined(between: str, reader: _Reader) -> bool:
    return not between.strip() if not reader.english else between in ("", " ", " and ")


def _goes_on(run: Sequence[int], value: int) -> bool:
    last = run[-1]
    if value >= 100:
        return last < value and not (value == 100 and last >= 20)
    if last >= 100:
        return value > 0 and (last in _ROUND or last > 1000)
    return last in range(20, 100, 10) and 1 <= value <= 9


_ROUND = frozenset((*range(100, 1000, 100), 1000))


def _composed(run: list[_Found]) -> Spelled:
    parts = tuple(value for value, *_ in run)
    total = count = 0
    for value in parts:
        if value >= 1000:
            total, count = total + max(count, 1) * value, 0
        elif value == 100 and count:
            count *= value
        else:
            count += value
    return Spelled(total + count, parts, run[0][1], run[-1][2])


def _spaced(text: str, reader: _Reader) -> Iterator[_Found]:
    words = (_ASCII_WORD if text.isascii() else _WORD).findall(text)
    longest, table = reader.longest, reader.table
    if longest.keys().isdisjoint(words):
        return
    at = end = 0
    while at < len(words):
        start = text.index(words[at], end)
        end = start + len(words[at])
        sizes = longest.get(words[at], 0)
        at += 1
        for size in range(min(sizes, len(words) - at + 1), 0, -1):
            value = table.get(" ".join(words[at - 1 : at - 1 + size]))
            if value is not None:
                for word in words[at : at - 1 + size]:
                    end = text.index(word, end) + len(word)
                at += size - 1
                yield value, start, end
                break


def _glued(text: str, reader: _Reader) -> Iterator[_Found]:
    at = 0
    while at < len(text):
        for size in range(min(reader.longest.get(text[at], 0), len(text) - at), 0, -1):
            value = reader.table.get(text[at : at + size])
            if value is not None:
                yield value, at, at + size
                at += size
                break
        else:
            at += 1


_HAN = regex.compile("[〇零一二两兩三四五六七八九十廿卅百千万萬亿億兆]{1,30}")
_HAN_DIGITS = {
    character: digit
    for digit, forms in enumerate(["〇零", "一", "二两兩", "三", "四", "五", "六", "七", "八", "九"])
    for character in forms
}
_HAN_TENS = {"十": 10, "百": 100, "千": 1000}
_HAN_SCALES = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8, "兆": 10**12}


def _han(text: str) -> Iterator[_Found]:
    for match in _HAN.finditer(text):
        yield _han_value(match[0]), *match.span()


def _han_value(numeral: str) -> int:
    total = section = digits = 0
    for character in numeral:
        if character in _HAN_DIGITS:
            digits = 10 * digits + _HAN_DIGITS[character]  # 二〇二〇
        elif character in _HAN_TENS:
            section, digits = section + (digits or 1) * _HAN_TENS[character], 0
        elif character in _HAN_SCALES:
            total, section, digits = (
                total + (section + digits or int(not total)) * _HAN_SCALES[character],
                0,
                0,
            )
        else:
            section += 20 if character == "廿" else 30
    return total + section + digits
