"""How much of the source stands untranslated in the target."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import numpy as np

from translation.filters.characters import kind
from translation.filters.pairs import Batch, Column, TextPair, column
from translation.languages import ENGLISH

# Combining marks end a word here: English has none, and only words equal to English ones matter.
_WORD = re.compile(r"[^\W\d_]{2,}")


def copy_share(batch: Batch) -> Column:
    """Share of the source's words that the target has too, case ignored.

    Left out are words of one letter, names (capitalised words; the first only where other words are none) and
    words that the language is known to share with English (`pizza`, see `shared_words`); none where the
    target shares only such. In a source without lower case every word counts.
    """
    shares = np.zeros(len(batch), np.float32)
    latin = batch.target.count(kind("Latin"))
    for index, pair in enumerate(batch.pairs):
        if pair.language == ENGLISH:
            shares[index] = np.nan
        elif latin[index]:
            target = _WORD.findall(pair.target.casefold())
            if not set(target).isdisjoint(_WORD.findall(pair.source.casefold())):
                shares[index] = _copied(pair, target)
    return column(shares)


def _copied(pair: TextPair, target: list[str]) -> float:
    found = _WORD.findall(pair.source)
    shouted = len(found) > 1 and pair.source == pair.source.upper()
    titled = all(word != word.lower() for word in found)
    words = Counter(
        word.casefold()
        for index, word in enumerate(found)
        if shouted or word == word.lower() or (index == 0 and not titled)
    )
    for word in words.keys() & shared_words().get(pair.language, frozenset()):
        del words[word]
    if not words:
        return np.nan
    return (words & Counter(target)).total() / words.total()


@cache
def shared_words() -> Mapping[str, frozenset[str]]:
    """Per NLLB code the English words that people leave as they are when they translate."""
    text = files("translation.filters").joinpath("shared_words.tsv").read_text(encoding="utf-8")
    lines = (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
    return MappingProxyType({code: frozenset(words.split()) for code, words in lines})
