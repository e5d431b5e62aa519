"""Pairs from CLDR's annotations of emoji and symbols: their names, words that people search them by, and
small enumerations made of names with CLDR's list patterns.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from scripts import cldr
from scripts.identifier.sources import Pair
from scripts.small_model.names import names_of
from translation.languages import ENGLISH, Language, default_languages, languages

LEAST_EMOJI = 2
"""A keyword on one emoji alone says too little about what its translation is."""
LEAST_OVERLAP = 0.6
"""Emoji that two keywords share, of all that have one of them (Jaccard)."""
LISTS = 250
"""Enumerations a language, of two or three names."""


def pairs_of_names(folder: Path) -> Iterator[Pair]:
    """English names and their translations, of all languages of the default mix; codes are NLLB's."""
    english = names_of("en", folder)
    for language in _others():
        for emoji, name in names_of(cldr.locale(language), folder).items():
            if emoji in english and ":" not in english[emoji]:
                yield Pair(language.nllb, name, english[emoji])


def pairs_of_keywords(folder: Path) -> Iterator[Pair]:
    """Keywords that mean the same: they stand, in their languages, on the same emoji.

    CLDR does not say which keyword translates which. Two of them are paired when each is the other's best by
    the share of emoji that have both, and no second one comes close.
    """
    english = keywords_of("en", folder)
    for language in _others():
        for word, translation in aligned(english, keywords_of(cldr.locale(language), folder)):
            yield Pair(language.nllb, translation, word)


def keywords_of(locale: str, folder: Path) -> dict[str, frozenset[str]]:
    """Keyword -> the emoji that have it, of one CLDR locale; empty where CLDR has none."""
    path = cldr.fetch("cldr-annotations-full", folder) / "annotations" / locale / "annotations.json"
    if not path.exists():
        return {}
    table = json.loads(path.read_text(encoding="utf-8"))["annotations"]["annotations"]
    found: dict[str, set[str]] = defaultdict(set)
    for emoji, entry in table.items():
        for word in entry.get("default", []):
            found[unicodedata.normalize("NFC", " ".join(word.split()))].add(emoji)
    return {word: frozenset(emoji) for word, emoji in found.items()}


def aligned(
    english: Mapping[str, frozenset[str]], other: Mapping[str, frozenset[str]]
) -> Iterator[tuple[str, str]]:
    """Keywords of two languages that are each other's best match, in the order of the English."""
    forth, back = _best(english, other), _best(other, english)
    for word in sorted(forth):
        if back.get(forth[word]) == word:
            yield word, forth[word]


def _best(ones: Mapping[str, frozenset[str]], others: Mapping[str, frozenset[str]]) -> dict[str, str]:
    by_emoji: dict[str, list[str]] = defaultdict(list)
    for word, emoji in others.items():
        for one in emoji:
            by_emoji[one].append(word)
    best = {}
    for word, emoji in ones.items():
        if len(emoji) < LEAST_EMOJI:
            continue
        shared = Counter(other for one in emoji for other in by_emoji[one])
        scores = sorted(
            ((count / len(emoji | others[other]), other) for other, count in shared.items()), reverse=True
        )
        if scores and scores[0][0] >= LEAST_OVERLAP and (len(scores) == 1 or scores[1][0] < scores[0][0]):
            best[word] = scores[0][1]
    return best


def pairs_of_lists(names: Sequence[Pair], folder: Path) -> Iterator[Pair]:
    """Enumerations of names, `a and b` and `a, b and c`, as CLDR writes them in each language.

    Which names stand together depends on their English alone, so that languages share their English.

    Args:
        names: pairs of one split, so that an enumeration belongs to it as well.
    """
    tables: dict[str, dict[str, str]] = defaultdict(dict)
    for pair in names:
        if pair.english is not None:
            tables[pair.code].setdefault(pair.english, pair.text)
    order = sorted({name for table in tables.values() for name in table}, key=_place)
    english = _patterns(languages()[ENGLISH], folder)
    for code in sorted(tables):
        patterns, table = _patterns(languages()[code], folder), tables[code]
        if patterns is None or english is None:
            continue
        made = 0
        for start in range(0, len(order) - 2):
            some = order[start : start + 2 + start % 2]
            if made < LISTS and all(name in table for name in some):
                made += 1
                yield Pair(code, _joined([table[name] for name in some], patterns), _joined(some, english))


def _place(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def _patterns(language: Language, folder: Path) -> Mapping[str, str] | None:
    path = cldr.fetch("cldr-misc-full", folder) / "main" / cldr.locale(language) / "listPatterns.json"
    if not path.exists():
        return None
    (main,) = json.loads(path.read_text(encoding="utf-8"))["main"].values()
    patterns: Mapping[str, str] = main["listPatterns"]["listPattern-type-standard"]
    return patterns


def _joined(names: Sequence[str], patterns: Mapping[str, str]) -> str:
    if len(names) == 2:
        return patterns["2"].format(*names)
    return patterns["start"].format(names[0], patterns["end"].format(*names[1:]))


def _others() -> list[Language]:
    return [language for language in default_languages() if not language.english]
