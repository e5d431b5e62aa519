"""Whether the letters of the target are of the language's scripts."""

from __future__ import annotations

import numpy as np
import regex

from translation.filters.characters import Characters, kind
from translation.filters.copying import has_capitals, is_name
from translation.filters.pairs import Batch, Column, TextPair, column
from translation.languages import languages

_LETTER = regex.compile(r"\p{L}")
_LATIN_WORD = regex.compile(r"[\p{Script=Latin}\p{M}\p{Nd}]+(?:['’.&-][\p{Script=Latin}\p{M}\p{Nd}]+)*")
# What is written so in any language: BBC, iPhone, McDonald, B2B.
_BRAND = regex.compile(r"\p{L}.*\p{Lu}|\p{L}.*\p{Nd}|\p{Nd}.*\p{L}")


# Latin letters within Cyrillic or Greek words that look the same there: a slip that no reader sees.
_MIXED_WORD = regex.compile(
    r"(?<=[\p{Script=Cyrillic}\p{Script=Greek}])\p{Script=Latin}++"
    r"|(?<!\p{Script=Latin})\p{Script=Latin}++(?=[\p{Script=Cyrillic}\p{Script=Greek}])"
)
_HOMOGLYPHS = frozenset("aceopxyijsABCEHIJKMOPSTXYZ")


def script_share(batch: Batch) -> Column:
    """Share of the target's letters that are in a script of its language; none without letters.

    Characters that only traditional Chinese writes are no letters of simplified Chinese, and the other way
    round. In languages that are not written in Latin letters, Latin names that the source has too are left
    out (capitalised words, which a source without capitals may have in lower case, and single letters), as
    long as the target has other letters, and URLs, code and units in any case. A target of nothing but those
    or brands of the source (`BBC`, `iPhone`) gives none.
    """
    right = batch.target.letters_of(batch.languages)
    with np.errstate(invalid="ignore"):
        shares = column(right / batch.letters)
    latin = batch.target.count(kind("Latin"))
    for index in map(int, np.flatnonzero((right < batch.letters) & (latin > 0))):
        pair = batch.pairs[index]
        if "Latin" not in languages()[pair.language].scripts:
            shares[index] = _without_names(pair, batch.plain_targets[index])
    return shares


def _without_names(pair: TextPair, target: str) -> float:
    """`target`: the pair's without what no translation changes."""
    characters = Characters([target])
    right, letters = int(characters.letters_of([pair.language])[0]), int(characters.count(kind("letter"))[0])
    if not letters:
        return np.nan
    if {"Cyrillic", "Greek"} & set(languages()[pair.language].scripts):
        before = len(target)
        target = _MIXED_WORD.sub(lambda found: "" if _HOMOGLYPHS.issuperset(found[0]) else found[0], target)
        right += before - len(target)
    latin = _LATIN_WORD.findall(target)
    given = set(_LATIN_WORD.findall(pair.source))
    letter = {word.casefold() for word in given if len(word) == 1}
    hidden = set[str]() if has_capitals(pair.source) else given
    names = [
        word
        for word in latin
        if (word in given and word != word.lower())
        or word.casefold() in letter
        or (word.casefold() in hidden and is_name(word))
    ]
    rest = letters - sum(len(_LETTER.findall(name)) for name in names)
    if right:
        return right / rest
    return np.nan if rest == 0 and all(_BRAND.search(name) for name in names) else 0.0
