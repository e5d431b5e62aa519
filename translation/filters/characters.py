"""What kinds of characters the texts of a batch hold, counted for all of them at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from types import MappingProxyType

import numpy as np
import regex
from numpy.typing import NDArray

from translation.languages import Language, languages
from translation.segments import HINT

Flags = NDArray[np.uint64]
Counts = NDArray[np.int64]

# Beyond lie tags, variation selectors and private use: nothing that is counted here.
_LAST = 0x33480

_SIMPLIFIED, _TRADITIONAL = "Simplified Han", "Traditional Han"


class Characters:
    """The characters of a batch of texts as one array of flags."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.ends: Counts = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
        self.lengths: Counts = np.diff(self.ends, prepend=0)
        self.starts: Counts = self.ends - self.lengths
        joined = "".join(texts)
        self.codes: NDArray[np.uint32] = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), "<u4")
        self.flags: Flags = _table()[np.minimum(self.codes, _LAST)]

    def of_kind(self, kinds: int) -> NDArray[np.bool_]:
        """Per character of all texts whether it is of one of these kinds."""
        chosen: NDArray[np.bool_] = (self.flags & np.uint64(kinds)) != 0
        return chosen

    def sums(self, chosen: NDArray[np.bool_]) -> Counts:
        """Per text how many of its characters are chosen."""
        return self.between(chosen, self.starts, self.ends)

    def between(self, chosen: NDArray[np.bool_], starts: Counts, ends: Counts) -> Counts:
        """Per text how many characters from `starts` to before `ends` are chosen."""
        running = np.concatenate([[0], np.cumsum(chosen)])
        counted: Counts = running[ends] - running[starts]
        return counted

    def count(self, kinds: int) -> Counts:
        """Per text how many of its characters are of one of these kinds."""
        return self.sums(self.of_kind(kinds))

    def last(self, chosen: NDArray[np.bool_]) -> Counts:
        """Per text the position after its last chosen character, or its start if it has none."""
        places = np.flatnonzero(chosen)
        if not places.size:
            return self.starts
        index = np.searchsorted(places, self.ends) - 1
        found = np.where(index >= 0, places[np.maximum(index, 0)] + 1, 0)
        return np.maximum(found, self.starts)

    def letters_of(self, codes: Sequence[str]) -> Counts:
        """Per text how many letters it has in the script of its language (NLLB codes, one a text)."""
        kinds = _script_kinds()
        own = np.fromiter((kinds[code] for code in codes), np.uint64, len(codes))
        return self.sums((self.flags & np.repeat(own, self.lengths)) != 0)


@cache
def _bits() -> MappingProxyType[str, int]:
    scripts = sorted({script for language in languages().values() for script in language.scripts})
    return MappingProxyType(
        {
            name: 1 << index
            for index, name in enumerate(
                [
                    *scripts,
                    _SIMPLIFIED,
                    _TRADITIONAL,
                    "letter",
                    "upper",
                    "digit",
                    "space",
                    "break",
                    "hint",
                    "unknown",
                    "mark",
                ]
            )
        }
    )


def kind(name: str) -> int:
    """The flag of a kind of character.

    A Unicode script (its letters, by script extensions: the long vowel mark of Japanese belongs to two
    scripts), or `letter`, `upper` (capital), `digit` (of any script), `space`, `break` (may end a sentence or
    line, or start a list), `hint` (every placeholder has one), `unknown` (stands for what could not be
    written), `mark` (combining).
    """
    return _bits()[name]


@cache
def _script_kinds() -> MappingProxyType[str, int]:
    return MappingProxyType({code: _kinds_of(language) for code, language in languages().items()})


def _kinds_of(language: Language) -> int:
    names: Iterable[str] = language.scripts
    if language.nllb.endswith("_Hans"):
        names = [_SIMPLIFIED]
    elif language.nllb.endswith("_Hant"):
        names = [_TRADITIONAL]
    return sum(kind(name) for name in names)


_PATTERNS = {
    "upper": r"\p{Lu}",
    "space": r"\s",
    # Punctuation but what surely stands within sentences, and whatever parts lines and columns.
    "break": r"[\p{Po}--[,'\"،、，·%&*/@#\\¿¡†‡•‰״׳՛՝]]|[\p{Cc}\u2028\u2029|។៕៚]",
    "hint": HINT,
    "unknown": "[\u2047\ufffd<]",
    "mark": r"\p{M}",
}


@cache
def _table() -> Flags:
    """Code point to flags."""
    # Lone surrogates are characters of Python's strings too.
    everything = "".join(map(chr, range(_LAST)))
    # Python's letters and digits, as everywhere else; `regex` may know a later version of Unicode.
    letters = "".join(filter(str.isalpha, everything))
    table = np.zeros(_LAST + 1, np.uint64)

    def mark(found: Iterable[str], name: str) -> None:
        table[[ord(character) for character in found]] |= np.uint64(kind(name))

    for name in _bits():
        if name in _PATTERNS:
            mark(regex.findall(_PATTERNS[name], everything, regex.V1), name)
        elif name == "letter":
            mark(letters, name)
        elif name == "digit":
            mark(filter(str.isdecimal, everything), name)
        elif name not in (_SIMPLIFIED, _TRADITIONAL):
            mark(regex.findall(rf"\p{{Script_Extensions={name}}}", letters), name)
    han = regex.findall(r"\p{Script_Extensions=Han}", letters)
    # What one national standard has and the other has not is a form of one script alone.
    mainland, taiwan = ({one for one in han if _encodes(one, standard)} for standard in ("gb2312", "big5"))
    mark((one for one in han if one in mainland or one not in taiwan), _SIMPLIFIED)
    mark((one for one in han if one in taiwan or one not in mainland), _TRADITIONAL)
    table.flags.writeable = False
    return table


def _encodes(character: str, standard: str) -> bool:
    try:
        character.encode(standard)
    except UnicodeEncodeError:
        return False
    return True
