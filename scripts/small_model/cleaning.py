"""What becomes of a text and its translation before the small model learns them: mnemonics and markup go,
placeholders get one form, and a pair whose sides do not agree is refused with a reason.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from scripts.identifier.cleaning import (
    CJK_MNEMONIC,
    ESCAPE,
    INVISIBLE,
    MNEMONIC,
    PLACEHOLDER,
    PLURAL,
    TAG,
    URL,
    letters,
    own_share,
    untranslated,
)
from translation.languages import ENGLISH

LONGEST_SOURCE = 100
"""Characters of English, about 16 words: the model is for captions."""
LONGEST_TARGET = 200
MOST_PLACEHOLDERS = 3
OWN_SCRIPT = 0.7
"""Of a translation's letters; product names stay Latin anywhere."""

_SLOT = re.compile(r"\{\d\}")
_EDGES = " :;,-–—=/\\…*#+•·|"
_CODE = re.compile(r"\w_\w|::|\w\(|[a-z]{2}[A-Z]|[\\^~@<>=]|--|\b[A-Z]{2,}[a-z]*\d|\w/\w+/|\$|%\w|\d{5}")
"""File names, functions, options, paths: not language."""
_SHOUTED = re.compile(r"[^a-z]*[A-Z]{4}[^a-z]*")
_IDENTIFIER = re.compile(r"\w{3}_\w{3}")
_DOTS = re.compile(r"\s*\.{2,}$")
_GAP = re.compile(r"\s+(?=[.,])")
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True)
class Clean:
    """A pair as the model sees it."""

    source: str
    target: str


@dataclass(frozen=True)
class _English:
    """An English text, which as many pairs share as there are languages."""

    refused: str
    """Why no pair of it teaches anything; empty if it may."""
    source: str = ""
    slots: tuple[str, ...] = ()
    """Its placeholders as they were spelt, as often as they stand in it."""
    bare: str = ""
    """Without placeholders."""


def clean_pair(english: str, text: str, code: str, loans: bool = False) -> Clean | str:
    """The pair in plain text, or the reason why it teaches nothing.

    `~Open {name}…` and `{name} ~öffnen …` give `Open {1}` and `{1} öffnen`: placeholders are numbered in the
    order of the English, and both sides have the same ones.

    Args:
        code: NLLB code of `text`.
        loans: a text that equals its English is a translation all the same ("hamster").
    """
    ours = _english(english)
    if ours.refused:
        return ours.refused
    if len(text) > 2 * LONGEST_TARGET:
        return "too long"
    if PLURAL.search(text):
        return "wording by number"
    target = _plain(text)
    if Counter(ours.slots) != Counter(PLACEHOLDER.findall(target)):
        return "placeholders differ"
    target = _settled(_numbered(target, ours.slots))
    return _refused(ours, target, code, loans) or Clean(ours.source, target)


@lru_cache(200_000)
def _english(english: str) -> _English:
    if len(english) > 2 * LONGEST_SOURCE:
        return _English("too long")
    if PLURAL.search(english):
        return _English("wording by number")
    if _IDENTIFIER.search(PLACEHOLDER.sub(" ", english)):
        return _English("code or address")
    plain = _plain(english)
    slots = tuple(PLACEHOLDER.findall(plain))
    if len(set(slots)) > MOST_PLACEHOLDERS:
        return _English("too many placeholders")
    source = _settled(_numbered(plain, slots))
    bare = _SLOT.sub(" ", source)
    if letters(bare) < 2:
        return _English("no words")
    if len(source) > LONGEST_SOURCE:
        return _English("too long")
    if _CODE.search(bare) or URL.search(bare) or _SHOUTED.fullmatch(bare):
        return _English("code or address")
    if own_share(bare, ENGLISH) < 0.95:
        return _English("source not English letters")
    if source.count("(") != source.count(")"):
        return _English("half a bracket")
    return _English("", source, slots, bare)


def _numbered(text: str, slots: Sequence[str]) -> str:
    numbers = {slot: f"{{{number}}}" for number, slot in enumerate(dict.fromkeys(slots), 1)}
    return PLACEHOLDER.sub(lambda found: numbers[found[0]], text) if slots else text


def key_of(english: str) -> str:
    """What two spellings of one English text share: case, punctuation at its ends and width aside."""
    return unicodedata.normalize("NFKC", english).casefold().strip(" .!?:;,…'\"“”‘’()")


def _plain(text: str) -> str:
    text = ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else " ", text)
    text = html.unescape(TAG.sub(" ", text))
    text = CJK_MNEMONIC.sub("", TAG.sub(" ", text))
    # Within a placeholder, `_` and `~` are no mnemonics.
    parts = PLACEHOLDER.split(text)
    slots = [found[0] for found in PLACEHOLDER.finditer(text)]
    parts = [MNEMONIC.sub("", part) for part in parts]
    return "".join(part + slot for part, slot in zip(parts, [*slots, ""], strict=True))


def _settled(text: str) -> str:
    text = unicodedata.normalize("NFC", " ".join(INVISIBLE.sub(" ", text).split()))
    return _GAP.sub("", _DOTS.sub("", text.strip(_EDGES)).strip(_EDGES))


def _refused(ours: _English, target: str, code: str, loans: bool) -> str:
    """Why a cleaned pair is not learnt; empty if it is."""
    words = _SLOT.sub(" ", target)
    if letters(words) < 1:
        return "no words"
    if len(target) > LONGEST_TARGET:
        return "too long"
    if URL.search(words):
        return "code or address"
    if own_share(words, code) < OWN_SCRIPT:
        return "another script"
    if untranslated(words, ours.bare) and not (loans and words.casefold() == ours.bare.casefold()):
        return "not translated"
    if Counter(map(_number, _DIGIT.findall(ours.bare))) != Counter(map(_number, _DIGIT.findall(words))):
        return "numbers differ"
    if target.count("(") != target.count(")"):
        return "half a bracket"
    # Armenian, Thai and others ask without a mark at the end.
    if ours.source.endswith("?") and target.endswith((".", "!", "。", "।")):
        return "no question"
    return ""


def _number(digit: str) -> int:
    return unicodedata.digit(digit)
