"""Whether the numbers of an English text are in its translation, as digits of any kind or as words.

The score is made for one threshold at 0.5: below it a number was changed for another, from there on the
numbers are all there (1) or some have merely vanished, as translations may do (`two men`, `both`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

import regex

from translation.languages import ENGLISH, resolve
from translation.number_words import Spelled, fold, homographs, number_words, spelled, spells_numbers
from translation.segments import number_tokens, numbers


def numbers_kept(source: str, target: str, language: str) -> float | None:
    """How well a translation keeps the numbers of an English source: 1 all, below 0.5 some changed.

    None where the source has no number. Numbers in English words count from two on, in languages whose number
    words are known; `one` is a pronoun too often. Grouping, decimal marks, digits of other scripts, words for
    powers of ten (`15,000`, `1.5万`), 24 hours and short years make no difference. A number has been changed
    if it is missing and the target has another that nothing in the source explains; the score is then half
    the share of the others. Otherwise a missing number takes half its share off.

    Raises:
        UnknownLanguage: the registry does not know the language.
    """
    if not may_hold_numbers(source):
        return None
    wanted = numbers(source) if _DIGIT.search(source) else Counter[str]()
    folded = fold(source)
    words = [number for number in spelled(folded, ENGLISH) if not _scales_digits(number, folded)]
    if spells_numbers(language):
        wanted.update(str(number.value) for number in words if number.value > 1)
    if not wanted:
        return None
    if language == "mya_Mymr":
        target = _BURMESE_LETTERS.sub(" ", target)
    found = numbers(target) if _DIGIT.search(target) else Counter[str]()
    missing = wanted - found
    if not missing:
        return 1.0
    said = spelled(fold(target), language)
    if missing <= Counter(str(number.value) for number in said if number.value not in _POWERS):
        return 1.0
    total = wanted.total()
    gone, changed = _unexplained(source, target, language, words, said, missing, found - wanted)
    return (total - changed) / total / 2 if changed else 1 - gone / total / 2


# --- Texts without numbers, at the price of a glance ------------------------------------------------


def _glanced(byte: int) -> int:
    if byte >= 128 or not chr(byte).isalnum():
        return byte if byte >= 128 else 32
    return ord("0") if chr(byte).isdigit() else ord(chr(byte).lower())


_GLANCE = bytes(map(_glanced, range(256)))
_DIGIT = re.compile(r"\d")


def may_hold_numbers(source: str) -> bool:
    """Whether an English text has a digit or a number word from `two` on (0.6 µs for a caption)."""
    seen = source.encode("utf-8", "surrogatepass").translate(_GLANCE)
    return (
        b"0" in seen
        or not _cardinals().isdisjoint(seen.split())
        or (not source.isascii() and _DIGIT.search(source) is not None)
    )


@cache
def _cardinals() -> frozenset[bytes]:
    table = number_words(ENGLISH)
    return frozenset(word.encode() for word, value in table.items() if value > 1 and " " not in word)


# --- What became of a number that the target does not have as it is --------------------------------


@dataclass(frozen=True)
class _Token:
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
    ours = {value: token for token in _tokens(source, ENGLISH) for value in token.values}
    tokens = _tokens(target, language)
    others = [token for token in tokens if any(value in extra for value in token.values)]
    folded = fold(target)
    spoken = Counter(str(value) for number in said for value in {number.value, *number.parts} if value > 1)
    spoken.update(value for value in _roman(target) if value != "1")
    measures = _measures(source)
    hinted = _hinted(source, words)
    known = hinted | ours.keys()
    gone: list[str] = []
    doubtful: list[str] = []
    """Found in a word like its own, as a bare `thousand`, or in metric units; unless strangers are left."""
    used: set[_Token] = set()
    for value in missing.elements():
        token = ours.get(value)
        hours = _hours(value, source, language)
        readings = hours | (token.readings if token else {value})
        matches = {other for other in tokens if _same(value, readings, other, known, extra)}
        words_for = next((way for way in (value, *hours, *_centuries_of(token)) if spoken[way] > 0), None)
        if matches:
            used |= matches
        elif words_for:
            spoken[words_for] -= 1
            if value in _POWERS_OF_TEN:
                doubtful.append(value)
        elif metric := {other for other in others if _measured(other, measures.get(value, ()))}:
            used |= metric
            doubtful.append(value)
        elif _in_words(value, folded, language):
            doubtful.append(value)
        elif not (token and token.parts and token.parts <= extra.keys()):
            gone.append(value)
    if not gone and not doubtful:
        return 0, 0
    hinted = hinted.union(*(token.scaled for token in ours.values()))
    converted = any(_measured(token, measures.get(value, ())) for value in doubtful for token in used)
    ranges = [low_high for value in (measures if converted else gone) for low_high in measures.get(value, ())]
    strangers = sum(
        _is_stranger(token, extra, hinted)
        for token in others
        if token not in used and not _measured(token, ranges)
    )
    explained = known | {str(value) for value in _named(source, _NAMED_IN_WORDS)}
    explained |= {part for value in explained for part in _tens(value)}
    explained |= {hour for value in known for hour in _hours(value, source, language)}
    strangers += sum(
        not {str(value) for value in (number.value, *number.parts)} & explained
        for number in said
        if _is_evidence(number, folded, language)
    )
    changed = min(len(gone) + len(doubtful), strangers)
    return max(len(gone), changed), changed


def _same(value: str, readings: Set[str], token: _Token, known: Set[str], extra: Counter[str]) -> bool:
    """Whether a token of the target is what became of a number of the source."""
    if not any(number in extra for number in token.values):
        # 110億 is 11 billion, though the source has another 110.
        return not readings.isdisjoint(token.scaled)
    return (
        not readings.isdisjoint(token.readings)
        # 10.30 for 10:30, 3.10. for October 3.
        or (value in token.parts and token.parts <= known)
        # 0800 555 111 in one piece.
        or (len(value) > 2 and len(token.values[0]) > 6 and value in token.values[0])
    )


def _is_stranger(token: _Token, extra: Counter[str], hinted: Set[str]) -> bool:
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


_KOREAN_COUNTS = frozenset("두세네둘셋넷")
_HAN = regex.compile(r"\p{Han}+")


# Burmese as many write it: the letter wa and others as the digits like them, `၀က်` (pig), `၄င်း` (he); and the
# tone marks of the Zawgyi fonts, which Unicode has as Shan digits.
_BURMESE_LETTERS = regex.compile(
    r"[႐-႙]|(?<!\d)[၀၇](?=\p{M})|(?<!\d)၀(?=\p{Lo})|(?<=\p{M})၀(?!\d)|(?<!\d)၄(?=င)"
)


def _tokens(text: str, language: str) -> list[_Token]:
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
        tokens.append(_Token(values, frozenset(readings | scaled), frozenset(scaled), parts, start, end))
    return tokens


def _years(value: str) -> set[str]:
    """1998 as 98, and 98 as 1998."""
    if len(value) == 4 and value.isdigit() and value[:2] in ("17", "18", "19", "20") and value[2] != "0":
        return {value[2:]}
    if len(value) == 2 and value.isdigit():
        return {f"{century}{value}" for century in (18, 19, 20)}
    return set()


def _centuries_of(token: _Token | None) -> set[str]:
    return {reading for reading in token.readings if len(reading) == 2} if token else set()


def _centuries(value: str, after: str) -> set[str]:
    """The 1900s are the 20th century in other languages, and the 1930s its fourth decade."""
    if value.isdigit() and len(value) == 4 and value.endswith("0") and after.startswith("s"):
        return {str(int(value) // 100 + 1) if value.endswith("00") else str(int(value[2]) + 1)}
    if value.isdigit() and len(value) == 2 and "century" in after:
        return {str((int(value) - 1) * 100)}
    return set()


_CLOCK = re.compile(r"[ap]\.?\s?m\b|o['’]clock|noon|evening|night|morning|thirty|:\d\d", re.IGNORECASE)


_COUNT_FROM_SIX = frozenset({"swh_Latn", "amh_Ethi"})
"""Languages whose day and night begin at our six o'clock."""


def _hours(value: str, source: str, language: str) -> set[str]:
    """What an hour of an English clock may be in 24 hours, or in a language that counts from six o'clock."""
    if not (len(value) <= 2 and 1 <= int(value) <= 24 and _CLOCK.search(source)):
        return set()
    if int(value) > 12:
        return {str(int(value) - 12)}
    hours = {int(value) % 12 + 12, 0 if value == "12" else int(value)}
    if language in _COUNT_FROM_SIX:
        hours |= {(int(value) + 6 - 1) % 12 + 1}
    return {str(hour) for hour in hours}


def _tens(value: str) -> set[str]:
    """What else is seen of 14 where one of its words has an ending that the table lacks: ten, four."""
    if len(value) == 2:
        return {str(int(value) // 10 * 10), str(int(value) % 10)}
    return set()


# --- Feet and inches -------------------------------------------------------------------------------

_UNITS: Mapping[str, tuple[float, ...]] = {
    "inch": (2.54, 25.4), "feet": (0.3048, 30.48), "yard": (0.9144,), "mile": (1.609,), "mph": (1.609, 0.447),
    "pound": (0.4536,), "ounce": (28.35, 29.57), "gallon": (3.785, 4.546), "acre": (0.4047, 4047.0, 0.004047),
    "stone": (6.35,), "degree": (5 / 9,), "knot": (1.852,), "pint": (0.473, 0.568), "sq": (0.0929,),
}  # fmt: skip
_UNIT_OF = {
    "inches": "inch", "foot": "feet", "ft": "feet", "yards": "yard", "yd": "yard",
    "miles": "mile", "mi": "mile", "pounds": "pound", "lb": "pound", "lbs": "pound", "ounces": "ounce",
    "oz": "ounce", "gallons": "gallon", "acres": "acre", "degrees": "degree",
    "knots": "knot", "pints": "pint", "square": "sq", **{unit: unit for unit in _UNITS},
}  # fmt: skip
_TOLERANCE = 0.1
"""Translators round: 10 inches are 25 cm, 550 pounds 250 kg."""


def _measures(source: str) -> dict[str, list[tuple[float, float]]]:
    """Numbers with English units, and between what they lie in metric ones."""
    found: dict[str, list[tuple[float, float]]] = {}
    words = re.findall(r"\d[\d,.]*\d|\d|[a-z]+|°", source.lower())
    for index, word in enumerate(words):
        if not (word[0].isdigit() or word.encode() in _cardinals()):
            continue
        value = next(iter(numbers(word)), None) or str(number_words(ENGLISH)[word])
        if words[index + 1 : index + 2] == ["s"] and len(value) in (2, 3) and value.endswith("0"):
            found[value] = [((int(value) - 34) / 1.8, (int(value) + 9 - 32) / 1.8)]  # highs in the 80s
        after = index + 3 if words[index + 1 : index + 2] in (["to"], ["or"], ["and"]) else index + 1
        for unit in words[after : after + 2]:
            for factor in _UNITS.get(_UNIT_OF.get(unit, ""), ()):
                size = float(value) * factor
                more = factor if _UNIT_OF[unit] == "feet" else 0.0  # 6-foot-6
                slack = max(size * _TOLERANCE, 0.35 if size > 1.5 else 0.0)
                found.setdefault(value, []).append((size - slack, size + more + slack))
                if _UNIT_OF[unit] == "degree":
                    celsius = (float(value) - 32) * factor
                    found[value].append((celsius - 2, celsius + 2))
    return found


def _measured(token: _Token, ranges: Iterable[tuple[float, float]]) -> bool:
    return any(low <= float(value) <= high for value in token.values for low, high in ranges)


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
_BESIDE = regex.compile(r"[\p{L}\p{M}]+")


@cache
def _scales(language: str) -> Mapping[str, int]:
    table = {
        word: value for word, value in number_words(language).items() if value >= 100 and value in _POWERS
    }
    return table | _ENGLISH_SCALES if language == ENGLISH else table


_POWERS = frozenset(10**power for power in range(2, 15))
_POWERS_OF_TEN = frozenset(map(str, _POWERS))


def _scale_after(text: str, end: int, language: str) -> int:
    words = _BESIDE.findall(fold(text[end : end + 40])) if text[end : end + 1] not in ".,;" else []
    return _scale(words, language)


def _scale_before(text: str, start: int, language: str) -> int:
    return _scale(_BESIDE.findall(fold(text[max(0, start - 30) : start]))[-1:], language)


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
        for word in _BESIDE.findall(folded)
        for spelling in wanted
        if word not in number_words(language)
    )


# --- Other ways in which English says a number -----------------------------------------------------

_NAMED: Mapping[str, tuple[int, ...]] = {
    "half": (2,), "halves": (2,), "quarter": (4, 15), "quarters": (4, 3), "dozen": (12,), "dozens": (10, 12),
    "one": (1,), "once": (1,), "single": (1,), "first": (1,), "another": (1,),
    "both": (2,), "pair": (2,), "pairs": (2,), "couple": (2,), "couples": (2,), "twice": (2,), "double": (2,),
    "twin": (2,), "twins": (2,), "second": (2,), "secondary": (2,), "duo": (2,), "dual": (2,),
    "third": (3,), "thirds": (3,), "triple": (3,), "trio": (3,), "fourth": (4,), "fifth": (5,), "sixth": (6,),
    "seventh": (7,), "eighth": (8,), "ninth": (9,), "tenth": (10,), "eleventh": (11,), "twelfth": (12,),
    "thirteenth": (13,), "fourteenth": (14,), "fifteenth": (15,), "sixteenth": (16,), "seventeenth": (17,),
    "eighteenth": (18,), "nineteenth": (19,), "twentieth": (20,), "thirtieth": (30,),
    "january": (1,), "february": (2,), "march": (3,), "april": (4,), "may": (5,), "june": (6,), "july": (7,),
    "august": (8,), "september": (9,), "october": (10,), "november": (11,), "december": (12,),
    "jan": (1,), "feb": (2,), "mar": (3,), "apr": (4,), "jun": (6,), "jul": (7,), "aug": (8,), "sept": (9,),
    "sep": (9,), "oct": (10,), "nov": (11,), "dec": (12,),
    "noon": (12,), "midday": (12,), "midnight": (0, 12, 24), "fortnight": (2, 14, 15),
    "decade": (10,), "decades": (10,), "century": (100,), "centuries": (100,), "percent": (100,),
    "hundreds": (100,), "thousands": (1000,), "millions": (10**6,), "billions": (10**9,),
}  # fmt: skip
_NAMED_IN_WORDS: Mapping[str, tuple[int, ...]] = {
    "half": (2, 5, 30), "week": (7,), "either": (2,),
    "monday": (1, 2), "tuesday": (2, 3), "wednesday": (3, 4), "thursday": (4, 5), "friday": (5, 6),
    "saturday": (6, 7), "sunday": (7, 8),
}  # fmt: skip
"""Days of the week are numbers in Chinese, Vietnamese, Portuguese and others, mostly in words."""
_COMPOUND = re.compile("two|three|four|five|six|seven|eight|nine|ten|eleven|twelve")
"""What `foursome` and `threefold` begin with."""


def _hinted(source: str, words: list[Spelled]) -> set[str]:
    """What the source says in other ways than digits: in words, months, half past as the hour to come."""
    values = {value for number in words for value in (number.value, *number.parts)}
    if any(number.value == 30 for number in words) or ":30" in source:
        values.update([value + 1 for value in values if value <= 12], (2,))  # halb zwölf, dos quarts de dotze
    return {str(value) for value in values | _named(source, _NAMED)}


def _named(source: str, names: Mapping[str, tuple[int, ...]]) -> set[int]:
    values: set[int] = set()
    for word in _BESIDE.findall(fold(source)):
        values.update(names.get(word, ()))
        if names is _NAMED_IN_WORDS and (found := _COMPOUND.match(word)):
            values.add(number_words(ENGLISH)[found[0]])
    return values
