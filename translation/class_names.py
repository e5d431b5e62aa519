"""Names of things as they may stand in a text: what labels of Wikipedia and BabelNet need before they do."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import regex

from translation.filters.pairs import Batch, TextPair
from translation.filters.script import script_share

MAX_LABEL = 60
"""Characters of a label; BabelNet holds a few that are whole sentences."""

_QUALIFIER = re.compile(r"\s*\([^()]*\)$")
_DIRECTION_MARKS = str.maketrans("", "", "\u200e\u200f\u061c\ufeff")
_JOINERS = "\u200b\u200c\u200d"
_MARKUP = re.compile(r"[][<>{}|/\\]")
"""In no word: what Wikipedia's pages left behind."""
_MODIFIERS = regex.compile(r"[\p{L}&&\p{Script=Common}]", regex.V1)
"""Letters of no script: U+02BB in Uzbek and Samoan."""


def cleaned(label: str, pointed: bool = False) -> str:
    """As people write it: without Wikipedia's qualifier (`chihuahua (chien)`), marks of direction, double
    spaces, and the marks by which dictionaries tell stress and vowels (`соба́ка`, `כֶּלֶב`).

    Args:
        pointed: of a language that writes those of Hebrew: Yiddish.
    """
    text = unicodedata.normalize("NFC", " ".join(label.translate(_DIRECTION_MARKS).split()))
    text = _QUALIFIER.sub("", text)
    if not text.isascii():
        for marks in (_STRESS, _ARABIC_VOWELS) if pointed else (_STRESS, _ARABIC_VOWELS, _HEBREW_VOWELS):
            text = marks.sub("", text)
    return text.strip(_JOINERS).lstrip("!¡")


_STRESS = regex.compile(r"(?<=\p{Script=Cyrillic})[\u0300\u0301]")
_HEBREW_VOWELS = regex.compile(r"(?<=\p{Script=Hebrew}\p{M}*)[\u0591-\u05bd\u05bf\u05c1-\u05c7]")
_ARABIC_VOWELS = regex.compile(r"(?<=\p{Script=Arabic}\p{M}*)[\u064c-\u0652]")
"""Not U+064B and U+0670, which people write."""


def is_name(label: str) -> bool:
    """Whether a cleaned label can be a name: neither empty nor a sentence, and without markup."""
    return 0 < len(label) <= MAX_LABEL and not _MARKUP.search(label)


def in_script(language: str, labels: Sequence[str], english: Sequence[str]) -> list[bool]:
    """Which labels are written in the script of their language, but for names that English writes so too.

    Args:
        language: NLLB code.
        english: what each label means.
    """
    if not labels:
        return []
    pairs = [
        TextPair(word, _MODIFIERS.sub("", label), language)
        for word, label in zip(english, labels, strict=True)
    ]
    # No share where nothing has a script: a name such as `iPod`.
    return [bool(np.isnan(share) or share == 1) for share in script_share(Batch(pairs))]
