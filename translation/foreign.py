"""Texts that are taken for English and are not: a data set's other languages, or the wrong file."""

from __future__ import annotations

from functools import cache, lru_cache

import regex

from translation import segments
from translation.identification import SHIPPED, Identifier, load_identifier
from translation.languages import ENGLISH

LEAST_WORDS = 4
"""Of a text in Latin letters that is judged. Of 47,000 English texts of COCO, VQAv2, GQA, Flickr, LLaVA and
Tatoeba with that many words four are called foreign (`Caitríona was born in 1985.`); of the first eight words
of NTREX in 87 languages 93 % are."""

_LEAD = 0.5
"""Of another language over English, for the identifier that ships; CLD2 or CLD3 must name the same one."""

_HEAD = 1_000
"""Characters that are looked at."""

_REMEMBERED = 4_096
"""Texts: a caption comes for each task of its source."""

_ENGLISH_WORDS = frozenset({"the", "with", "and", "what", "are", "this", "there", "which", "from"})
_ENOUGH = 0.12
"""Share of those among the words at which no identifier is asked."""
_A_OF = frozenset({"a", "of"})
"""Both together, as in most captions, are English too."""

_LETTER = regex.compile(r"\p{L}")
_LATIN = regex.compile(r"[\p{L}&&\p{Latin}]", regex.V1)


def foreign_language(text: str) -> str | None:
    """The NLLB code, or else a detector's own, of the language of a text that is surely not English.

    Code, URLs and `{placeholders}` are not looked at. None for short texts in Latin letters, whatever they
    are, and where detectors do not agree.
    """
    # Before it is remembered: articles would fill the memory.
    return _language_of(text[:_HEAD])


@lru_cache(maxsize=_REMEMBERED)
def _language_of(head: str) -> str | None:
    if not head.isascii():
        letters = _LETTER.findall(head)
        if len(letters) > 1 and 2 * len(_LATIN.findall(head)) < len(letters):
            return _named(head)
    words = head.lower().split()
    if len(words) < LEAST_WORDS or len(_ENGLISH_WORDS.intersection(words)) >= _ENOUGH * len(words):
        return None
    if set(words) >= _A_OF:
        return None
    if _lead(head) is None:
        return None
    for verbatim in segments.placeholders(head):
        head = head.replace(verbatim, " ")
    code = _lead(head) if len(head.split()) >= LEAST_WORDS else None
    if code is None:
        return None
    (candidates,) = _second().identify([head])
    return code if code in candidates and ENGLISH not in candidates else None


def _lead(text: str) -> str | None:
    """The language that leads over English by `_LEAD`."""
    (found,) = _first().identify([text])
    if not found:
        return None
    best = max(found, key=found.__getitem__)
    return best if found[best] - found.get(ENGLISH, 0.0) > _LEAD and best != ENGLISH else None


def _named(text: str) -> str:
    (found,) = _first().identify([text])
    return next((code for code in found if code != ENGLISH), "und")


@cache
def _first() -> Identifier:
    return load_identifier(SHIPPED)


@cache
def _second() -> Identifier:
    second = _first().second_opinion
    assert second is not None, "the one that ships has one"
    return second
