"""Names of things as they may stand in a text: what labels of Wikipedia and BabelNet need before they do.

Also the two files that name ImageNet's classes, as training and evaluation both read them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
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


SYNSET = re.compile(r"n\d{8}", re.ASCII)
"""WordNet's id of a class: `n01440764`."""


class ClassNamesError(ValueError):
    """A file of classes, or of their names, that is not as it should be; the message begins with its name."""


def class_index(content: object, file: str) -> dict[str, tuple[str, str]]:
    """Class key -> WordNet's id and the English word, in order, of `imagenet_class_index.json`.

    Args:
        content: of the JSON file.

    Raises:
        ClassNamesError: it is not as it should be.
    """
    layout = '{"0": ["n01440764", "tench"], ...}'
    raw = _object(content, file, layout)
    found: dict[str, tuple[str, str]] = {}
    for key, value in raw.items():
        if (
            not isinstance(value, list)
            or len(value) < 2
            or not all(isinstance(part, str) for part in value)
            or not SYNSET.fullmatch(value[0])
        ):
            raise ClassNamesError(f"{file}: class {key!r} is {_shown(value)}; must be as {layout}")
        word = cleaned(value[1].replace("_", " "))
        if not word:
            raise ClassNamesError(f"{file}: class {key!r} has no name; must be as {layout}")
        found[key] = (value[0], word)
    numbers = [str(number) for number in range(len(raw))]
    if not raw or set(raw) != set(numbers):
        missing = next((number for number in numbers if number not in raw), "0")
        raise ClassNamesError(f"{file} has no class {missing!r}; must be as {layout}, from 0 on")
    twice = [one for one, count in Counter(synset for synset, _ in found.values()).items() if count > 1]
    if twice:
        raise ClassNamesError(f"{file}: {twice[0]} stands there for {len(twice) + 1} classes")
    return {key: found[key] for key in numbers}


def babel_labels(content: object, file: str, classes: int) -> dict[str, list[tuple[str, str]]]:
    """Code -> class keys and labels, cleaned, of Babel-ImageNet's file; some may be no names.

    Args:
        content: of the JSON file.
        classes: how many there are.

    Raises:
        ClassNamesError: it is not as it should be.
    """
    layout = '{"DE": [[0, 7, ...], ["Schleie", "Hahn", ...]], ...}'
    found: dict[str, list[tuple[str, str]]] = {}
    for code, value in _object(content, file, layout).items():
        what = f"{file}: {code!r}"
        if not isinstance(value, list) or [type(part) for part in value] != [list, list]:
            raise ClassNamesError(f"{what} is {_shown(value)}; must be as {layout}")
        indices, labels = value
        if len(indices) != len(labels):
            counts = f"{len(indices):,} class indices and {len(labels):,} labels"
            raise ClassNamesError(f"{what} has {counts}; must be a label for each")
        for index, label in zip(indices, labels, strict=True):
            if type(index) is not int or not 0 <= index < classes:
                right = f"must be a whole number from 0 to {classes - 1:,}, as `classes` has them"
                raise ClassNamesError(f"{what} has the class index {_shown(index)}; {right}")
            if not isinstance(label, str):
                raise ClassNamesError(f"{what}, class {index}: {_shown(label)} is no text")
        pointed = code.upper() == "YI"
        found[code] = [
            (str(index), cleaned(label, pointed)) for index, label in zip(indices, labels, strict=True)
        ]
    if not found:
        raise ClassNamesError(f"{file} has no language; must be as {layout}")
    return found


def _object(content: object, file: str, layout: str) -> dict[str, object]:
    if not isinstance(content, dict):
        raise ClassNamesError(f"{file} is {_shown(content)}; must be an object, as {layout}")
    return content


def _shown(value: object) -> str:
    text = str(value)
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


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
