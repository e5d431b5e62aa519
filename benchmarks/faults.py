"""Faults as translators make them, planted into good translations."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from evaluation.references import Reference
from translation.calibration import join
from translation.filters import TextPair
from translation.filters.copying import SEVERAL, ordinary_words, shared_words
from translation.languages import ENGLISH, Language, languages
from translation.segments import numbers

Plant = Callable[[Reference, "Pool", random.Random], TextPair | None]


@dataclass(frozen=True)
class Pool:
    """References to take other text from."""

    by_text: Mapping[tuple[str, int], Mapping[str, str]]
    """(origin, number) -> NLLB code -> translation."""
    by_language: Mapping[str, list[Reference]]
    """Of the same length class."""


def _other(
    reference: Reference, pool: Pool, draw: random.Random, fits: Callable[[Language, Language], bool]
) -> TextPair | None:
    """The same text in another language, or, where there is none, another text in it."""
    own = languages()[reference.pair.language]
    fitting = [code for code in pool.by_language if code != own.nllb and fits(own, languages()[code])]
    if not fitting:
        return None
    code = draw.choice(fitting)
    translations = pool.by_text[reference.origin, reference.number]
    target = translations.get(code) or draw.choice(pool.by_language[code]).pair.target
    # Names and loan words may be the same in both.
    return None if target == reference.pair.target else replace(reference.pair, target=target)


def _unrelated(own: Language, other: Language) -> bool:
    return other.nllb not in own.confusable


def _same_script(own: Language, other: Language) -> bool:
    return _unrelated(own, other) and other.scripts == own.scripts


def _sibling(own: Language, other: Language) -> bool:
    return other.nllb in own.confusable


def _other_script(own: Language, other: Language) -> bool:
    return not set(own.scripts) & set(other.scripts)


def _letters(text: str) -> int:
    return sum(character.isalpha() for character in text)


def wrong_script(reference: Reference, pool: Pool, draw: random.Random) -> TextPair | None:
    """Spelled in Latin letters, or for languages that are, in another script."""
    pair = reference.pair
    if "Latin" in languages()[pair.language].scripts:
        made = _other(reference, pool, draw, _other_script)
        return made if made and _in_script(made.target) else None
    target = "".join(map(_romanised, pair.target))
    return replace(pair, target=target) if _letters(pair.target) > 1 and target != pair.target else None


def _in_script(text: str) -> bool:
    """Whether a text is mostly in letters that are not Latin: names often stay as they are."""
    letters = [character for character in text if character.isalpha()]
    return sum("LATIN" not in unicodedata.name(letter, "") for letter in letters) > len(letters) / 2


_LETTER_NAME = re.compile(r"(?:LETTER|SYLLABLE|IDEOGRAPH|SIGN|CHARACTER)[ -](?:\w+ )*?(\w+)$")


def _romanised(character: str) -> str:
    if character.isascii():
        return character
    if unicodedata.category(character) in ("Mn", "Mc"):
        return "a"
    found = _LETTER_NAME.search(unicodedata.name(character, ""))
    if not found or not character.isalpha():
        return character
    # Chinese characters are named by their number.
    return "han" if found[1][0].isdigit() else found[1].lower()[:3]


def copy(reference: Reference, pool: Pool, draw: random.Random) -> TextPair | None:
    """The source; not where it is names alone, or one or two words that the language shares."""
    pair = reference.pair
    return replace(pair, target=pair.source) if _may_stay(pair) is False else None


def copy_of_shared(reference: Reference, pool: Pool, draw: random.Random) -> TextPair | None:
    """The source of one or two words that the language shares, where people said something else."""
    pair = reference.pair
    if not _may_stay(pair) or pair.source.casefold() == pair.target.casefold():
        return None
    return replace(pair, target=pair.source)


def copy_in_title_case(reference: Reference, pool: Pool, draw: random.Random) -> TextPair | None:
    """The source, which is in lower case, with a capital on each word; not what may be a name."""
    pair = reference.pair
    if _may_stay(pair) is not False or pair.source != pair.source.lower():
        return None
    if not ordinary_words().issuperset(re.findall(r"[^\W\d_]{2,}", pair.source)):
        return None
    return replace(pair, target=re.sub(r"\b[^\W\d_]", lambda found: found[0].upper(), pair.source))


def _may_stay(pair: TextPair) -> bool | None:
    """Whether the source is one or two words that the language shares; None if it is names alone."""
    words = re.findall(r"[^\W\d_]{2,}", pair.source)
    common = {word for word in words if word == word.lower()}
    if not common:
        return None
    return common <= shared_words()[pair.language] and len({*map(str.casefold, words)}) < SEVERAL


def half_copied(reference: Reference, pool: Pool, draw: random.Random) -> TextPair | None:
    """The second half stays English."""
    pair = reference.pair
    words = pair.source.split()
    if len(words) < 4:
        return None
    first, _ = _halves(pair.target, languages()[pair.language])
    return replace(pair, target=f"{first} {' '.join(words[len(words) // 2 :])}")


def _halves(text: str, language: Language) -> tuple[str, str]:
    if language.spaced and " " in text.strip():
        words = text.split()
        return " ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])
    return text[: len(text) // 2], text[len(text) // 2 :]


def half_dropped(reference: Reference, pool: Pool, draw: random.Random) -> TextPair | None:
    """Breaks off after the first half."""
    pair = reference.pair
    if len(pair.source.split()) < 4:
        return None
    first, _ = _halves(pair.target, languages()[pair.language])
    return replace(pair, target=first.rstrip(",;:،、，"))


def half_dropped_ended(reference: Reference, pool: Pool, draw: random.Random) -> TextPair | None:
    """Without the second half, but with the mark that ends the text."""
    made = half_dropped(reference, pool, draw)
    mark = reference.pair.target.rstrip()[-1:]
    if made is None or mark.isalnum() or unicodedata.category(mark or "a")[0] != "P":
        return None
    return replace(made, target=made.target.rstrip(mark) + mark)


def sentence_dropped(reference: Reference, pool: Pool, draw: random.Random) -> TextPair | None:
    """Of two sentences one is lost."""
    first = reference.pair
    second = draw.choice(pool.by_language[first.language]).pair
    if any(not re.search(r"\w\w[.!?][\"'”’)]?$", pair.source.rstrip()) for pair in (first, second)):
        return None
    both = join(first, second, first.language)
    return replace(both, target=draw.choice((first, second)).target)


def loop(reference: Reference, pool: Pool, draw: random.Random) -> TextPair | None:
    """The end comes seven times: a letter, a word, or a phrase of up to 4 words or 12 characters.

    Not where the source loops too (`No, no, no, no!`).
    """
    pair = reference.pair
    if re.search(r"(\w|\w.{1,20}?)\1{2,}", pair.source.casefold().replace(" ", "")):
        return None
    text = pair.target.rstrip(" .!?。।።။។")
    spaced = languages()[pair.language].spaced
    kind = draw.choice(("letter", "word", "phrase"))
    if kind == "letter":
        letters = [character for character in text if character.isalpha()]
        unit = letters[-1] if letters else ""
    elif spaced:
        unit = " " + " ".join(text.split()[-(1 if kind == "word" else draw.randint(2, 4)) :])
    else:
        unit = text[-(3 if kind == "word" else 12) :]
    return replace(pair, target=text + unit * 6) if any(map(str.isalpha, unit)) else None


_NUMBER = re.compile(r"\d+")


def number_changed(reference: Reference, pool: Pool, draw: random.Random) -> TextPair | None:
    """One number of the source stands in the target with other digits."""
    pair = reference.pair
    wanted = numbers(pair.source)
    found = [match for match in _NUMBER.finditer(pair.target) if numbers(match[0]) & wanted]
    # What is part of a larger number, or glued to letters, may be no number of its own.
    found = [match for match in found if numbers(match[0]) and not _glued(pair.target, match)]
    if not found:
        return None
    match = draw.choice(found)
    value = "".join(str(unicodedata.decimal(digit)) for digit in match[0])
    other = value
    while int(other) == int(value):
        other = str(draw.randint(10 ** (len(value) - 1) if len(value) > 1 else 2, 10 ** len(value) - 1))
    zero = ord(match[0][0]) - unicodedata.decimal(match[0][0])
    digits = "".join(chr(zero + int(digit)) for digit in other)
    made = pair.target[: match.start()] + digits + pair.target[match.end() :]
    return None if numbers(made) == numbers(pair.target) else replace(pair, target=made)


def _glued(text: str, match: re.Match[str]) -> bool:
    around = text[max(0, match.start() - 1) : match.start()] + text[match.end() : match.end() + 1]
    return any(character in ".,:/-–'’٫٬%" or character.isalpha() for character in around)


_PLACEHOLDERS = ("<image>", "{name}", "https://example.org/a1", "%s", "<b>x</b>", "`code`", "@user_1")


def placeholder_lost(reference: Reference, pool: Pool, draw: random.Random) -> TextPair:
    """The source holds a placeholder or markup, the target does not."""
    pair = reference.pair
    return replace(pair, source=f"{pair.source.rstrip()} {draw.choice(_PLACEHOLDERS)}")


def english(reference: Reference, pool: Pool, draw: random.Random) -> TextPair | None:
    """Another English text of the same kind."""
    other = draw.choice(pool.by_language[reference.pair.language]).pair.source
    return (
        None
        if other == reference.pair.source or reference.pair.language == ENGLISH
        else replace(reference.pair, target=other)
    )


FAULTS: Mapping[str, tuple[str, Plant]] = MappingProxyType(
    {
        "wrong_language": (
            "another language that is no sibling",
            lambda one, pool, draw: _other(one, pool, draw, _unrelated),
        ),
        "wrong_language_same_script": (
            "the same, in the same script",
            lambda one, pool, draw: _other(one, pool, draw, _same_script),
        ),
        "sibling": (
            "a sibling of the language (Danish for Norwegian)",
            lambda one, pool, draw: _other(one, pool, draw, _sibling),
        ),
        "english": ("other English text", english),
        "wrong_script": ("another script", wrong_script),
        "copy": ("the source copied", copy),
        "copy_of_shared": ("the same, of one or two words that the language shares", copy_of_shared),
        "copy_in_title_case": ("A Copy Like This of a source in lower case", copy_in_title_case),
        "half_copied": ("the second half left in English", half_copied),
        "half_dropped": ("breaks off after the first half", half_dropped),
        "half_dropped_ended": ("the second half dropped, the end mark kept", half_dropped_ended),
        "sentence_dropped": ("one of two sentences dropped", sentence_dropped),
        "loop": ("a letter, word or phrase looped", loop),
        "number_changed": ("a number changed", number_changed),
        "placeholder_lost": ("a placeholder lost", placeholder_lost),
    }
)
"""What is planted, and how."""
