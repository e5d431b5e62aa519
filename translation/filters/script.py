"""Whether the letters of the target are of the language's scripts."""

from __future__ import annotations

import regex

from translation.filters.pairs import TextPair
from translation.identification import script_letters
from translation.languages import languages

_LETTER = regex.compile(r"\p{L}")
_LATIN_WORD = regex.compile(r"[\p{Script=Latin}\p{M}\p{Nd}]+(?:['’.&-][\p{Script=Latin}\p{M}\p{Nd}]+)*")
# What is written so in any language: BBC, iPhone, McDonald, B2B.
_BRAND = regex.compile(r"\p{L}.*\p{Lu}|\p{L}.*\p{Nd}|\p{Nd}.*\p{L}")


def script_share(pair: TextPair) -> float | None:
    """Share of the target's letters that are in a script of its language; None without letters.

    In languages that are not written in Latin letters, Latin names that the source has too are left out
    (capitalised words), as long as the target has other letters. A target of nothing but brands of the source
    (`BBC`, `iPhone`) gives None.
    """
    scripts = languages()[pair.language].scripts
    letters = len(_LETTER.findall(pair.target))
    if letters == 0:
        return None
    right = len(script_letters(scripts).findall(pair.target))
    if right == letters or "Latin" in scripts:
        return right / letters
    latin = _LATIN_WORD.findall(pair.target)
    given = set(_LATIN_WORD.findall(pair.source)) if latin else set()
    names = [word for word in latin if word in given and word != word.lower()]
    rest = letters - sum(len(_LETTER.findall(name)) for name in names)
    if right:
        return right / rest
    return None if rest == 0 and all(_BRAND.search(name) for name in names) else 0.0
