"""When two English texts hold the same words: what a round trip may change without changing the answer.

`words` normalises (case, punctuation, articles, number words, British spelling), `same_lemma` compares two
words by their inflections. Exceptions and spellings stand in `english.tsv`.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise
from types import MappingProxyType

import regex

_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+(?:'(?:s|t|re|ve|ll|d|m)\b)?")
# A run of digits is looked at once, not from each of its digits on.
_NUMERAL = regex.compile(r"(?<!\p{Nd})\p{Nd}++(?:[.,]\p{Nd}++)+")
_ARTICLES = frozenset({"a", "an", "the"})


def words(text: str) -> tuple[str, ...]:
    """The words of an English text in one spelling, without articles (unless there is nothing else).

    Compatibility forms (NFKC), case and punctuation do not count; `two` is `2`, up to twenty, `colour` is
    `color`, `t-shirt` is `tshirt`, and a genitive loses its `'s`.
    """
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    lexicon = _lexicon()
    found: list[str] = []
    for match in _matches(text):
        for word in lexicon.contractions.get(match, match).split():
            if "'" in word:
                word = word.removesuffix("'s").replace("'", "")
            word = lexicon.spellings.get(word, word)
            compound = lexicon.compounds.get((found[-1], word)) if found else None
            if compound:
                found[-1] = compound
            else:
                found.append(word)
    return tuple(word for word in found if word not in _ARTICLES) or tuple(found)


def _matches(text: str) -> Iterator[str]:
    start = 0
    for number in _NUMERAL.finditer(text):  # 1,000 and 3.5 stay one word
        yield from _WORD.findall(text[start : number.start()])
        yield number[0].replace(",", "")
        start = number.end()
    yield from _WORD.findall(text[start:])


def same_lemma(first: str, second: str) -> bool:
    """Whether two words, as `words` returns them, are forms of one: `men` and `man`, `runs` and `running`.

    Inflection only, not derivation: `skier` is not `ski`. Forms are made from the bases that a word may have
    and must come out right (`caring` is of `care`, since `car` doubles its r), so no dictionary is needed.
    """
    return first == second or not bases(first).isdisjoint(bases(second))


@dataclass(frozen=True)
class _Lexicon:
    """`english.tsv` by kind."""

    spellings: Mapping[str, str]
    """British to American, number words to digits."""
    compounds: Mapping[tuple[str, str], str]
    """Two words that are also written as one."""
    contractions: Mapping[str, str]
    irregular: Mapping[str, frozenset[str]]
    """Form to the bases that no rule leads to."""
    compared: frozenset[str]
    """Adjectives whose comparison counts; a rule for all would take `corner` for `corn`."""
    apart: frozenset[tuple[str, str]]
    """Words that only look like a form of the other, or mean something else (`glasses`, `glass`)."""
    doubled: frozenset[str]
    """Bases of several syllables that double their last letter."""
    plain_o: frozenset[str]
    """Words in -o whose plural takes a bare s."""


@cache
def _lexicon() -> _Lexicon:
    text = files("translation.filters").joinpath("english.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    kinds: dict[str, list[list[str]]] = {}
    for row in rows:
        kinds.setdefault(row["kind"], []).append(row["words"].split())
    irregular: dict[str, set[str]] = {}
    for base, *forms in kinds["forms"]:
        for form in forms:
            irregular.setdefault(form, set()).add(base)
    return _Lexicon(
        spellings=MappingProxyType(dict(kinds["spelling"])),
        compounds=MappingProxyType({(one, two): joined for joined, one, two in kinds["compound"]}),
        contractions=MappingProxyType({one: " ".join(rest) for one, *rest in kinds["contraction"]}),
        irregular=MappingProxyType({form: frozenset(bases) for form, bases in irregular.items()}),
        compared=frozenset(word for (word,) in kinds["compared"]),
        apart=frozenset((one, other) for one, other in kinds["apart"]),
        doubled=frozenset(word for (word,) in kinds["doubled"]),
        plain_o=frozenset(word for (word,) in kinds["plain_o"]),
    )


_VOWELS = frozenset("aeiou")
_VOWELLESS = regex.compile(r"[^aeiouy]*")
_ENDINGS = ("s", "es", "ed", "d", "ing", "er", "r", "est", "st")


@lru_cache(1 << 16)
def bases(word: str) -> frozenset[str]:
    """A word, as `words` returns it, and every base that it may be a form of."""
    regular = {base for base in _stripped(word) if _is_form(word, base)}
    return frozenset({word} | _lexicon().irregular.get(word, frozenset()) | regular)


def _stripped(word: str) -> Iterator[str]:
    for ending in _ENDINGS:
        stem = word.removesuffix(ending)
        if stem == word or len(stem) < 2:
            continue
        yield stem
        if stem.endswith("i"):
            yield stem[:-1] + "y"
        if ending == "ing":
            yield stem + "e"
        if stem[-1] == stem[-2]:
            yield stem[:-1]


def _is_form(word: str, base: str) -> bool:
    """Whether a regular inflection of `base` gives `word`."""
    lexicon = _lexicon()
    if len(base) < 3 or not base.isascii() or _VOWELLESS.fullmatch(base) or (word, base) in lexicon.apart:
        return False
    if word in (_with_s(base), _with_suffix(base, "ed"), _with_suffix(base, "ing")):
        return True
    return base in lexicon.compared and word in (_with_suffix(base, "er"), _with_suffix(base, "est"))


def _with_s(base: str) -> str:
    if base.endswith(("s", "x", "z", "ch", "sh")):
        return base + "es"
    if base.endswith("y") and base[-2] not in _VOWELS:
        return base[:-1] + "ies"
    return base + ("es" if base.endswith(("to", "ro", "go")) and base not in _lexicon().plain_o else "s")


def _with_suffix(base: str, suffix: str) -> str:
    if suffix == "ing":
        if base.endswith("e") and not base.endswith(("ee", "oe", "ye")):
            return base[:-1] + suffix
    elif base.endswith("e"):
        return base + suffix[1:]
    elif base.endswith("y") and base[-2] not in _VOWELS:
        return base[:-1] + "i" + suffix
    return base + base[-1] * _doubles(base) + suffix


def _doubles(base: str) -> bool:
    """A syllable of a vowel and a consonant doubles the latter: `stop`, `sit`; not `rain`, `box`, `open`."""
    if base in _lexicon().doubled:
        return True
    if base[-1] in _VOWELS or base[-1] in "wxyh" or base[-2] not in _VOWELS or base[-3] in _VOWELS:
        return False
    return sum(here not in _VOWELS and after in _VOWELS for here, after in pairwise("-" + base)) == 1
