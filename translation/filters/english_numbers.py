"""Numbers that an English text says in other ways: by clock, in feet and inches, `dozen`, `third`, `May`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from translation.filters.digits import WORD
from translation.languages import ENGLISH
from translation.number_words import Spelled, fold, number_words
from translation.segments import numbers


@cache
def cardinals() -> frozenset[bytes]:
    """The single words for numbers from two on."""
    table = number_words(ENGLISH)
    return frozenset(word.encode() for word, value in table.items() if value > 1 and " " not in word)


_CLOCK = re.compile(
    r"[ap]\.?\s?m\b|o['’]clock|noon|evening|night|morning|thirty|:\d\d|half past|quarter (?:past|to)\b",
    re.IGNORECASE,
)


_COUNT_FROM_SIX = frozenset({"swh_Latn", "amh_Ethi"})
"""Languages whose day and night begin at our six o'clock."""


def hours_of(value: str, source: str, language: str) -> set[str]:
    """What an hour of an English clock may be in 24 hours, or in a language that counts from six o'clock."""
    if not (len(value) <= 2 and 1 <= int(value) <= 24 and _CLOCK.search(source)):
        return set()
    if int(value) > 12:
        return {str(int(value) - 12)}
    hours = {int(value) % 12 + 12, 0 if value == "12" else int(value)}
    if language in _COUNT_FROM_SIX:
        hours |= {(int(value) + 6 - 1) % 12 + 1}
    return {str(hour) for hour in hours}


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
    "knots": "knot", "pints": "pint", "square": "sq", "f": "degree", "fahrenheit": "degree",
    **{unit: unit for unit in _UNITS},
}  # fmt: skip
_TOLERANCE = 0.1
"""Translators round: 10 inches are 25 cm, 550 pounds 250 kg."""


def measures_in(source: str) -> dict[str, list[tuple[float, float]]]:
    """Numbers with English units, and between what they lie in metric ones."""
    found: dict[str, list[tuple[float, float]]] = {}
    words = re.findall(r"\d[\d,.]*\d|\d|[a-z]+|°", source.lower())
    for index, word in enumerate(words):
        if not (word[0].isdigit() or word.encode() in cardinals()):
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
                    # Signs do not count; ovens are set in tens.
                    celsius = abs(float(value) - 32) * factor
                    slack = max(2.0, 0.03 * celsius)
                    found[value].append((celsius - slack, celsius + slack))
    return found


# --- Dozens, thirds, months ------------------------------------------------------------------------

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
_COMPOUND = re.compile(r"(?<![^\W\d_])(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)")
"""What `foursome` and `threefold` begin with."""


def hinted_by(source: str, words: list[Spelled]) -> set[str]:
    """What the source says in other ways than digits: in words, months, half past as the hour to come."""
    folded = fold(source)
    values = {value for number in words for value in (number.value, *number.parts)}
    values.update(ordinal for number in words if (ordinal := ordinal_of(number, folded)))
    past = "half past" in folded
    if past or any(number.value == 30 for number in words) or ":30" in source:
        hours = [int(hour) for hour in _HALF_HOUR.findall(source)]
        # halb zwölf, dos quarts de dotze
        values.update([value + 1 for value in (*values, *hours) if value <= 12], (2,), (30,) if past else ())
    if "quarter to" in folded:
        values.update([value - 1 for value in values if value <= 12], (45,))
    if "half" in folded:
        known = number_words(ENGLISH)
        for count, power in _HALVES.findall(folded):
            values.add(known.get(count, 0) * known[power] + known[power] // 2)
    named = values.union(*_named(folded, _NAMED))
    return {str(value) for value in named} | _fractions(source, folded) | _dozens(folded) | _by_clock(folded)


def _value(written: str) -> int | None:
    """An English number in digits or in one word."""
    return int(written) if written.isascii() and written.isdecimal() else number_words(ENGLISH).get(written)


_SIGNS = {"½": " 1/2", "¼": " 1/4", "¾": " 3/4", "⅓": " 1/3", "⅔": " 2/3", "⅛": " 1/8"}
_FRACTION = re.compile(r"(?:\b(\d{1,4}) ?[ -])?\b(\d{1,2})/(\d{1,3})\b(?!/)")
_WHOLE_AND = re.compile(r"\b(\w+) (?:and )?(?:an? )?(?:(three) )?(half|halves|quarters?)\b")


def _fractions(source: str, folded: str) -> set[str]:
    """What `1 1/2`, `1½`, `two and a half` and `three quarters` are as decimals and percentages."""
    found: set[float] = set()
    if "/" in source or not source.isascii():
        for sign, written in _SIGNS.items():
            source = source.replace(sign, written)
        for whole, part, of in _FRACTION.findall(source):
            if int(of):
                share = int(part) / int(of)
                found |= {int(whole or 0) + share, share, 100 * share}
    if "half" in folded or "halves" in folded or "quarter" in folded:
        for whole, three, name in _WHOLE_AND.findall(folded):
            share = (3 if three else 1) * (0.25 if name.startswith("quarter") else 0.5)
            number = _value(whole)
            found |= {share, 100 * share}
            if number is not None:
                found |= {number + share, number * share, 100 * number * share}
    return {f"{value:.4g}" for value in found}


_DOZEN = re.compile(r"\b(\w+) (?:a )?dozen\b")


def _dozens(folded: str) -> set[str]:
    counts = _DOZEN.findall(folded) if "dozen" in folded else []
    halves = {"6"} if "half" in counts else set[str]()
    return halves | {str(12 * value) for value in map(_value, counts) if value is not None}


_MINUTES = re.compile(r"\b(\d\d?):(\d\d)\b")
_TO_THE_HOUR = re.compile(
    r"\b(?:is|s|at|until|till|about) (five|ten|twenty(?: five)?|\d\d?) (?:minutes )?to (\w+)"
)


def _by_clock(folded: str) -> set[str]:
    """The hour to come and the minutes until then for `2:40`, hour and minutes of `twenty to nine`."""
    found: set[int] = set()
    for hour, minutes in _MINUTES.findall(folded):
        found |= {int(hour) % 12 + 1, 60 - int(minutes), *((15,) if minutes == "45" else ())}
    if " to " in folded:
        for written, hour in _TO_THE_HOUR.findall(folded):
            parts = [_value(part) for part in written.split()]
            coming = _value(hour)
            if coming is not None and 1 <= coming <= 12 and None not in parts:
                found |= {(coming - 2) % 12 + 1, 60 - sum(part or 0 for part in parts)}
    return {str(value) for value in found}


_HALF_HOUR = re.compile(r"\b(\d\d?):30")
_HALVES = re.compile(r"(?:(\w+) and a )?\bhalf (?:a )?(thousand|million|billion)\b")


def ordinal_of(number: Spelled, folded: str) -> int | None:
    """The ordinal that number words of a folded text begin: 21 for the `twenty` of `twenty-first`."""
    found = _ENDS_ORDINAL.match(folded, number.end) if number.parts[-1] >= 20 else None
    return number.value + _NAMED[found[1]][0] if found else None


_ENDS_ORDINAL = re.compile(r" (first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)\b")


def named_in_words(source: str) -> set[str]:
    """What other languages may say with number words where English has others: days, halves, `foursome`."""
    folded = fold(source)
    values = set[int]().union(*_named(folded, _NAMED_IN_WORDS))
    values.update(number_words(ENGLISH)[found] for found in _COMPOUND.findall(folded))
    return {str(value) for value in values}


def _named(folded: str, names: Mapping[str, tuple[int, ...]]) -> list[tuple[int, ...]]:
    return [names[word] for word in WORD.findall(folded) if word in names]
