"""Captions as lists of words, in every language and without Java.

Composed and in lower case, without punctuation, English clitics apart as the Penn Treebank has them
(`does n't`), and by ICU's dictionaries where words are written without spaces.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Literal

import regex

from translation.languages import languages

if TYPE_CHECKING:
    from collections.abc import Callable

Segmenter = Literal["icu", "characters"]
"""How the words of Chinese, Japanese, Thai, Burmese, Khmer and Lao are found; others have spaces."""

REVISION = "words-1"
"""Of the rules in this module, for signatures; goes up when any of them changes what comes out."""

# By SpecialCasing.txt of Unicode; every other language has `I` for `i`.
_DOTLESS = frozenset({"tur_Latn", "azj_Latn"})
_DOTLESS_CASE = str.maketrans({"I": "ı", "İ": "i"})

APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u02bc\uff07", "'"))
"""To the one that keyboards have."""
# Zero-width spaces part words in Thai, Khmer and Burmese; other marks without width say nothing here, but
# joiners are letters of Persian and of Indian scripts.
INVISIBLE = regex.compile(r"[\p{Cf}--[\u200b\u200c\u200d]]", regex.V1)
"""Marks that say nothing: of direction, soft hyphens, byte order marks."""

_LETTERS = r"[\p{L}\p{M}\p{N}]+"
_CORE = rf"{_LETTERS}(?:[\u200c\u200d]+{_LETTERS})*"
# Within a word the Penn Treebank keeps hyphens, apostrophes, and marks between digits; Hebrew and Catalan
# have marks of their own there.
_WITHIN = r"[-\u2010\u2011'·׳״]|(?<=\p{N})[.,:](?=\p{N})"
_SIGN = r"[\p{S}&%@#*]\p{M}*(?:\u200d\p{S}\p{M}*)*"
_WORD = regex.compile(rf"(?:\p{{L}}\.){{2,}}|{_CORE}(?:(?:{_WITHIN}){_CORE})*|{_SIGN}")
_MEANINGFUL = regex.compile(r"[\p{L}\p{N}\p{S}&%@#*]")
_CLITIC = regex.compile(r"(?<=[a-z])(n't|'(?:s|m|d|ll|re|ve))$")


class SegmenterError(RuntimeError):
    """The library that finds words is not installed."""


def lower_case(text: str, language: str) -> str:
    """The text in lower case as its language (NLLB code) has it: Turkish `I` is `ı`, Greek `Σ` may be `ς`."""
    if language in _DOTLESS:
        text = text.translate(_DOTLESS_CASE)
    return text.lower()


def tokenise(texts: Sequence[str], language: str, segmenter: Segmenter = "icu") -> list[list[str]]:
    """The words of each text, which all are in one language (NLLB code).

    Raises:
        SegmenterError: the language needs ICU, which is not installed.
        KeyError: the registry does not know the language.
    """
    cleaned = [_cleaned(text, language) for text in texts]
    if not languages()[language].spaced:
        found = _icu_words(cleaned, language) if segmenter == "icu" else map(_characters, cleaned)
        return [[word for word in words if _MEANINGFUL.search(word)] for words in found]
    if languages()[language].english:
        return [[part for word in _WORD.findall(text) for part in _without_clitic(word)] for text in cleaned]
    return [_WORD.findall(text) for text in cleaned]


def segmentation(language: str, segmenter: Segmenter = "icu") -> str:
    """How words of a language are found, for signatures: `spaces`, `characters`, `icu-78.3`."""
    if languages()[language].spaced:
        return "spaces"
    return f"icu-{_icu()[1]}" if segmenter == "icu" else segmenter


def _cleaned(text: str, language: str) -> str:
    text = INVISIBLE.sub("", unicodedata.normalize("NFC", text)).replace("\u200b", " ")
    # Lower case can decompose (`İ`), and the line breaks that part texts for ICU must not be theirs.
    lower = unicodedata.normalize("NFC", lower_case(text, language))
    return " ".join(lower.translate(APOSTROPHES).split())


def _without_clitic(word: str) -> Iterator[str]:
    found = _CLITIC.search(word)
    if found is None:
        yield word
    else:
        yield word[: found.start()]
        yield found[1]


def _characters(text: str) -> list[str]:
    clusters: list[str] = regex.findall(r"\X", text)
    return clusters


def _icu_words(texts: Sequence[str], language: str) -> Iterator[list[str]]:
    breaker, _ = _icu()
    tag = languages()[language].bcp47
    words: list[str] = []
    # One call for many texts takes half the time of one call each; a line break always ends a word.
    for word in breaker("\n".join(texts), tag) if texts else ():
        if word == "\n":
            yield words
            words = []
        else:
            words.append(word)
    if texts:
        yield words


@cache
def _icu() -> tuple[Callable[[str, str], Iterator[str]], str]:
    try:
        from icu4py import icu_version
        from icu4py.breakers import WordBreaker
    except ImportError as error:
        raise SegmenterError(
            "captions in Chinese, Japanese, Thai, Burmese, Khmer and Lao are cut into words by ICU:"
            " `pip install icu4py`, or score them by characters"
        ) from error
    return (lambda text, tag: iter(WordBreaker(text, tag))), icu_version
