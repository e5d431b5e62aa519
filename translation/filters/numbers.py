"""Whether the numbers of an English text are in its translation, as digits of any kind or as words.

The score is made for one threshold at 0.5: below it a number was changed for another, from there on the
numbers are all there (1) or some have merely vanished, as translations may do (`two men`, `both`).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence, Set
from functools import cache
from itertools import chain

import regex

from translation.filters.digits import POWERS, POWERS_OF_TEN, WORD, Token, tokens_in
from translation.filters.english_numbers import (
    cardinals,
    hinted_by,
    hours_of,
    measures_in,
    named_in_words,
    ordinal_of,
)
from translation.languages import ENGLISH, resolve
from translation.number_words import Spelled, fold, homographs, number_words, spelled, spells_numbers
from translation.segments import numbers


def numbers_kept(source: str, target: str, language: str) -> float | None:
    """How well a translation keeps the numbers of an English source: 1 all, below 0.5 some changed.

    None where the source has no number. Numbers in English words count from two on, in languages whose number
    words are known; `one` is a pronoun too often, and ordinals count in digits only. Grouping, decimal marks,
    digits of other scripts, words for powers of ten (`15,000`, `1.5万`), 24 hours and short years make no
    difference. A number has been changed if it is missing and the target has another that nothing in the
    source explains; the score is then half the share of the others. Otherwise a missing number takes half its
    share off.

    Raises:
        UnknownLanguage: the registry does not know the language.
    """
    if not may_hold_numbers(source):
        return None
    if "." in source:
        source = _DOTTED_CLOCK.sub(r"\1:\2", source)
    wanted = numbers(source) if _DIGIT.search(source) else Counter[str]()
    if ":" in source and "." in target:
        target = _with_colons(source, target, wanted)
    folded = fold(source)
    words = [number for number in spelled(folded, ENGLISH) if not _scales_digits(number, folded)]
    if spells_numbers(language):
        wanted.update(
            str(number.value)
            for number in words
            if 1 < number.value < 20 or (number.value >= 20 and not ordinal_of(number, folded))
        )
    if not wanted:
        return None
    if language == "mya_Mymr":
        target = _BURMESE_LETTERS.sub(" ", target)
    found = numbers(target) if _DIGIT.search(target) else Counter[str]()
    missing = wanted - found
    if not missing:
        return 1.0
    said = spelled(fold(target), language)
    if missing <= Counter(str(number.value) for number in said if number.value not in POWERS):
        return 1.0
    total = wanted.total()
    gone, changed = _unexplained(source, target, language, words, said, missing, found - wanted)
    return (total - changed) / total / 2 if changed else 1 - gone / total / 2


def _with_colons(source: str, target: str, wanted: Container[str]) -> str:
    """The target with a colon in what are clock times of the source with a dot, and none of its numbers."""
    times = {(hour, minutes) for h, minutes in _CLOCK_TIME.findall(source) for hour in _hours(int(h))}

    def written(found: re.Match[str]) -> str:
        is_time = (int(found[1]), found[2]) in times and not any(map(wanted.__contains__, numbers(found[0])))
        return f"{found[1]}:{found[2]}" if is_time else found[0]

    return _DOTTED.sub(written, target)


def _hours(hour: int) -> set[int]:
    """The same hour on either half of the day, and as counted from six."""
    return {(hour + other) % 24 for other in (0, 6, 12, 18)} | ({12, 24} if hour % 6 == 0 else set())


# --- Texts without numbers, at the price of a glance ------------------------------------------------


def _glanced(byte: int) -> int:
    if byte >= 128 or not chr(byte).isalnum():
        return byte if byte >= 128 else 32
    return ord("0") if chr(byte).isdigit() else ord(chr(byte).lower())


_GLANCE = bytes(map(_glanced, range(256)))
_DIGIT = re.compile(r"\d")
_DOTTED_CLOCK = re.compile(r"\b([01]?\d)\.([0-5]\d)(?=\s?[ap]\.?m\b)", re.IGNORECASE)
"""`5.30pm`, as the British write it, is no fraction."""
_CLOCK_TIME = re.compile(r"(?<!\d)([012]?\d):([0-5]\d)(?!\d)")
_DOTTED = re.compile(r"(?<![\d.])([012]?\d)\.([0-5]\d)(?![\d.]*\d)")


def may_hold_numbers(source: str) -> bool:
    """Whether an English text has a digit or a number word from `two` on (0.6 µs for a caption)."""
    seen = source.encode("utf-8", "surrogatepass").translate(_GLANCE)
    return (
        b"0" in seen
        or not cardinals().isdisjoint(seen.split())
        or (not source.isascii() and _DIGIT.search(source) is not None)
    )


# --- What became of a number that the target does not have as it is --------------------------------


def _unexplained(
    source: str,
    target: str,
    language: str,
    words: list[Spelled],
    said: list[Spelled],
    missing: Counter[str],
    extra: Counter[str],
) -> tuple[int, int]:
    """How many numbers are missing in the end, and how many of them the target has another for."""
    ours = {value: token for token in tokens_in(source, ENGLISH) for value in token.values}
    found = _Found(tokens_in(target, language), extra)
    folded = fold(target)
    spoken = Counter(str(value) for number in said for value in {number.value, *number.parts} if value > 1)
    spoken.update(value for value in _roman(target) if value != "1")
    measures = measures_in(source)
    hinted = hinted_by(source, words)
    known = hinted | ours.keys()
    gone: list[str] = []
    doubtful: list[str] = []
    """Found in a word like its own, as a bare `thousand`, or in metric units; unless strangers are left."""
    used: set[int] = set()
    for value, times in missing.items():
        token = ours.get(value)
        hours = hours_of(value, source, language)
        if matches := found.same(value, hours | (token.readings if token else {value}), known):
            used |= matches
            continue
        ways = (value, *sorted(hours), *sorted(_centuries_of(token)))
        metric = found.within(measures.get(value, ())) & found.others
        in_words = _in_words(value, folded, language)
        for _ in range(times):
            words_for = next((way for way in ways if spoken[way] > 0), None)
            if words_for:
                spoken[words_for] -= 1
                if value in POWERS_OF_TEN:
                    doubtful.append(value)
            elif metric:
                used |= metric
                doubtful.append(value)
            elif in_words:
                doubtful.append(value)
            elif not (token and token.parts and token.parts <= extra.keys()):
                gone.append(value)
    if not gone and not doubtful:
        return 0, 0
    hinted = hinted.union(*(token.scaled for token in ours.values()))
    units = chain.from_iterable(measures.get(value, ()) for value in set(doubtful))
    converted = not used.isdisjoint(found.within(units))
    measured = found.within(
        chain.from_iterable(measures.get(value, ()) for value in (measures if converted else set(gone)))
    )
    strangers = sum(
        _is_stranger(found.tokens[index], extra, hinted) for index in found.others - used - measured
    )
    explained = known | named_in_words(source)
    explained |= {part for value in explained for part in _tens(value)}
    explained |= {hour for value in known for hour in hours_of(value, source, language)}
    strangers += sum(
        not {str(value) for value in (number.value, *number.parts)} & explained
        for number in said
        if _is_evidence(number, folded, language)
    )
    changed = min(len(gone) + len(doubtful), strangers)
    return max(len(gone), changed), changed


class _Found:
    """The digits of a target by what they may stand for, so that long tables are looked through once."""

    def __init__(self, tokens: Sequence[Token], extra: Counter[str]) -> None:
        """`extra`: numbers of the target that the source has not, or not as often."""
        self.tokens = tokens
        self.others = {
            index for index, token in enumerate(tokens) if any(value in extra for value in token.values)
        }
        """Indices of those that have such a number."""
        self._by_reading: dict[str, list[int]] = {}
        self._by_part: dict[str, list[int]] = {}
        for index, token in enumerate(tokens):
            # 110億 is 11 billion, though the source has another 110.
            for reading in token.readings if index in self.others else token.scaled:
                self._by_reading.setdefault(reading, []).append(index)
            for part in token.parts if index in self.others else ():
                self._by_part.setdefault(part, []).append(index)
        self._long = [index for index in sorted(self.others) if len(tokens[index].values[0]) > 6]
        self._digits = " ".join(tokens[index].values[0] for index in self._long)
        self._sizes = sorted(
            (float(value), index) for index, token in enumerate(tokens) for value in token.values
        )

    def same(self, value: str, readings: Set[str], known: Set[str]) -> set[int]:
        """Indices of what became of a number of the source."""
        same = {index for reading in readings for index in self._by_reading.get(reading, ())}
        # 10.30 for 10:30, 3.10. for October 3.
        same.update(index for index in self._by_part.get(value, ()) if self.tokens[index].parts <= known)
        # 0800 555 111 in one piece.
        if len(value) > 2 and value in self._digits:
            same.update(index for index in self._long if value in self.tokens[index].values[0])
        return same

    def within(self, ranges: Iterable[tuple[float, float]]) -> set[int]:
        """Indices of those with a number in one of these ranges."""
        within: set[int] = set()
        end = 0
        for low, high in sorted(one for one in ranges if one[0] <= one[1]):
            start = max(end, bisect_left(self._sizes, (low, -1)))
            end = max(end, bisect_left(self._sizes, (high, len(self.tokens))))
            within.update(index for _, index in self._sizes[start:end])
        return within


def _is_stranger(token: Token, extra: Counter[str], hinted: Set[str]) -> bool:
    """Whether the source says the numbers of a token in no other way; `0` may be minutes."""
    if len(token.values) == 1:
        return token.readings.isdisjoint(hinted)
    return any(value in extra and value not in hinted and value != "0" for value in token.values)


def _scales_digits(number: Spelled, folded: str) -> bool:
    """Whether words only say the power of ten of digits: `37 billion`, `5 hundred thousand`."""
    before = folded[: number.start].rstrip()
    return all(part >= 100 for part in number.parts) and before[-1:].isdecimal()


def _is_evidence(number: Spelled, folded: str, language: str) -> bool:
    """Whether words in a target surely are a number: no `one`, no bare `hundreds`, no homograph."""
    if all(part < 2 or part >= 100 for part in number.parts):
        return False
    word = folded[number.start : number.end]
    if resolve(language).scripts == ("Hangul",):
        start = folded[number.start - 1 : number.start]
        if (start and not start.isspace()) or (len(word) == 1 and word not in _KOREAN_COUNTS):
            return False
    elif not resolve(language).spaced and not _HAN.fullmatch(word):
        return False
    return word not in homographs(language)


def _centuries_of(token: Token | None) -> set[str]:
    return {reading for reading in token.readings if len(reading) == 2} if token else set()


def _tens(value: str) -> set[str]:
    """What else is seen of 14 where one of its words has an ending that the table lacks: ten, four."""
    if len(value) == 2:
        return {str(int(value) // 10 * 10), str(int(value) % 10)}
    return set()


_KOREAN_COUNTS = frozenset("두세네둘셋넷")
_HAN = regex.compile(r"\p{Han}+")


# Burmese as many write it: the letter wa and others as the digits like them, `၀က်` (pig), `၄င်း` (he); and the
# tone marks of the Zawgyi fonts, which Unicode has as Shan digits.
_BURMESE_LETTERS = regex.compile(
    r"[႐-႙]|(?<!\d)[၀၇](?=\p{M})|(?<!\d)၀(?=\p{Lo})|(?<=\p{M})၀(?!\d)|(?<!\d)၄(?=င)"
)


_ROMAN = re.compile(r"\b(?=[IVXLCІХ])(?:[XХ]{0,3})(?:[IІ][XХ]|[IІ]V|V?[IІ]{0,3})\b")
_ROMAN_DIGITS = {"I": 1, "І": 1, "V": 5, "X": 10, "Х": 10}


def _roman(text: str) -> Iterator[str]:
    """Roman numerals of centuries and rulers, also in Cyrillic letters."""
    for match in _ROMAN.finditer(text):
        values = [_ROMAN_DIGITS[letter] for letter in match[0]]
        if values:
            yield str(
                sum(-one if one < two else one for one, two in zip(values, [*values[1:], 0], strict=True))
            )


@cache
def _spellings(language: str) -> Mapping[str, tuple[str, ...]]:
    table: dict[str, list[str]] = {}
    for word, value in number_words(language).items():
        table.setdefault(str(value), []).append(word)
    return {value: tuple(words) for value, words in table.items()}


def _in_words(value: str, folded: str, language: str) -> bool:
    """Whether a word of the text is a number with an ending or a short beginning: `zweier`, `בשלושה`."""
    if value in ("0", "1"):
        return False
    spellings = _spellings(language).get(value, ())
    if not resolve(language).spaced:
        return any(word in folded for word in spellings)
    wanted = [word for word in spellings if len(word) > 2 and word in folded]
    return bool(wanted) and any(
        word.startswith(spelling) or (word.endswith(spelling) and len(word) - len(spelling) < 3)
        for word in WORD.findall(folded)
        for spelling in wanted
        if word not in number_words(language)
    )
