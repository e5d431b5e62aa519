"""How much of the source stands untranslated in the target."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Set
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import numpy as np

from translation.filters.characters import kind
from translation.filters.pairs import UNIT, Batch, Column, TextPair, column
from translation.languages import ENGLISH, languages
from translation.segments import placeholders

# Combining marks end a word here: English has none, and only words equal to English ones matter.
_WORD = re.compile(r"[^\W\d_]{2,}(?:-[^\W\d_]+)*")


_HALF_RUN = 2

SEVERAL = 3
"""Different words that people do not leave as they are all together, even where they do so with each: of 97
references whose English has only such, 2 are the English."""


def copy_share(batch: Batch) -> Column:
    """1 for a copy of the source, else how many of its words the target has too, case ignored.

    The larger of two: those words over all of the source plus one, and n / (n + 2) for n of them in a row.
    What is added keeps loan words: `Un quetzal` for `a quetzal` gives 0.5.
    Left out are words of one letter, names and words that the language is known to share with English
    (`pizza`, see `shared_words`); none where the target shares only such, unless it is a copy of several.
    Names are capitalised words, the first only where other words are none; where the source has no capitals,
    words that got one and are no `ordinary_words`. In a source without lower case every word counts.
    """
    shares = np.zeros(len(batch), np.float32)
    latin = batch.target.count(kind("Latin"))
    for index, pair in enumerate(batch.pairs):
        if pair.language == ENGLISH:
            shares[index] = np.nan
        elif latin[index] and not _nothing_copied(pair):
            shares[index] = _copied(_without_verbatim(pair))
    return column(shares)


# Around the words of most captions; what stands around others can only hide a word or two.
_AROUND = ".,!?\"'()"


def _nothing_copied(pair: TextPair) -> bool:
    """Whether no word that counts stands in both, at a glance: most pairs need no closer look."""
    if pair.source.isupper():
        return False
    target = pair.target.casefold().rstrip(_AROUND)
    common = set(pair.source.rstrip(_AROUND).split())
    common.intersection_update(target.split())
    if any(len(word) > 1 for word in common.difference(shared_words()[pair.language])):
        return False
    return pair.source.casefold().rstrip(_AROUND) != target


def _without_verbatim(pair: TextPair) -> TextPair:
    return TextPair(_cut_out(pair.source), _cut_out(pair.target), pair.language)


def _cut_out(text: str) -> str:
    """A text without what must or may stay as it is: placeholders, and units after a number (`10 km`)."""
    for verbatim in placeholders(text):
        text = text.replace(verbatim, " ")
    return UNIT.sub(" ", text)


# Nouns have a capital there: `Zebra` is German, `zebra` is a copy.
_WITH_CAPITALS = frozenset({"deu_Latn", "ltz_Latn"})


def has_capitals(source: str) -> bool:
    """Whether an English text shows by capitals which of its words are names: one that is in lower case
    throughout, but for its first letter, does not, nor does one all in capitals.
    """
    rest = source[1:]
    return rest != rest.lower() and source != source.upper()


def is_name(word: str) -> bool:
    """Whether a word is a name by the way it is written: `USB`, `iPhone`, and `York`, but not `Kitchen`."""
    return word != word.lower() and not (word.istitle() and word.casefold() in ordinary_words())


def _words(pair: TextPair, source: list[str]) -> tuple[list[str], bool]:
    """Words of the target that may be copies, in lower case, and whether they are all that it has.

    Where the source does not show its names, a capital that the target adds does: on words that are not
    ordinary, and on any amid translated ones. In German that is every noun, unless all of them are copies.
    """
    found = _WORD.findall(pair.target)
    folded = [word.casefold() for word in found]
    if has_capitals(pair.source):
        return folded, True
    given, given_folded = set(source), [word.casefold() for word in source]
    added = [word != word.lower() and word not in given for word in found]
    if not any(added):
        return folded, True
    is_copy = folded == given_folded
    nouns = pair.language in _WITH_CAPITALS
    own = set(given_folded)
    translated = any(not capital and word not in own for word, capital in zip(folded, added, strict=True))
    words = []
    for index, (word, capital) in enumerate(zip(folded, added, strict=True)):
        amid = not is_copy and (nouns or (index > 0 and translated))
        if not (capital and (amid or word not in ordinary_words())):
            words.append(word)
    return words, len(words) == len(found)


def _copied(pair: TextPair) -> float:
    found = _WORD.findall(pair.source)
    target, is_all = _words(pair, found)
    shouted = len(found) > 1 and pair.source == pair.source.upper()
    titled = all(word != word.lower() for word in found)
    words = Counter(
        word.casefold()
        for index, word in enumerate(found)
        if shouted or word == word.lower() or (index == 0 and not titled)
    )
    folded = [word.casefold() for word in found]
    is_copy = is_all and target == folded
    if is_copy and words and len(set(folded)) >= SEVERAL:
        return 1.0
    for word in words.keys() & shared_words()[pair.language]:
        del words[word]
    if not words:
        return np.nan
    if is_copy:
        return 1.0
    kept = (words & Counter(target)).total()
    run = _longest_run(folded, words.keys(), target) if kept > 1 else kept
    return max(kept / (words.total() + 1), run / (run + _HALF_RUN))


def _longest_run(source: list[str], counted: Set[str], target: list[str]) -> int:
    """How many words that count the longest part of the source has that stands so in the target."""
    places: dict[str, list[int]] = {}
    for index, word in enumerate(target):
        places.setdefault(word, []).append(index)
    longest = steps = 0
    # How long the common part is that ends with the last word and the one at a place of the target.
    lengths: dict[int, int] = {}
    for word in source:
        found = places.get(word, ())
        lengths = {place: lengths.get(place - 1, 0) + (word in counted) for place in found}
        longest = max(longest, max(lengths.values(), default=0))
        steps += len(found)
        if steps > _MOST_STEPS:
            break
    return longest


# More than two texts of 100 kB take, unless both are one word over and over: then it has long been found.
_MOST_STEPS = 10_000_000


@cache
def ordinary_words() -> frozenset[str]:
    """English words that texts have in lower case as often as with a capital; in lower case."""
    text = files("translation.filters").joinpath("ordinary_words.tsv").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))


@cache
def shared_words() -> Mapping[str, frozenset[str]]:
    """Per NLLB code the English words that people leave as they are when they translate."""
    text = files("translation.filters").joinpath("shared_words.tsv").read_text(encoding="utf-8")
    lines = (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
    table = {code: frozenset(words.split()) for code, words in lines}
    everywhere = table.pop("*")
    return MappingProxyType({code: table.get(code, frozenset()) | everywhere for code in languages()})
