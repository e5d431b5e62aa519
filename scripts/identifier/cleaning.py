"""Texts of message catalogues made into plain text: no mnemonics, placeholders or markup; and whether to
keep one.
"""

from __future__ import annotations

import html
import re
import unicodedata

from scripts.identifier.labels import script_of, scripts_of

MINIMUM_SHARE = 0.7
"""Letters in the label's own scripts, of all letters: names such as LibreOffice stay Latin anywhere."""

TAG = re.compile(r"</?[A-Za-z!][^<>]{0,400}>")
_LINK = re.compile(r"\[(?:https?:)?//\S+ ([^\]]*)\]|\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]")
PLURAL = re.compile(
    r"\{\{\s*(?:PLURAL|plural|GENDER|GRAMMAR)|\{[^{}]*,\s*(?:plural|select|selectordinal)\b|->"
)
PLACEHOLDER = re.compile(
    r"\{\{[^{}]*\}\}"  # {{name}}
    r"|\$?\{[^{}]*\}"  # {name}, ${name}, { $count }
    r"|%\([A-Za-z_ ]+\)[-+#0-9.]*[A-Za-z]"  # %(name)s
    r"|%[A-Z][A-Z_0-9]{2,}%?"  # %PRODUCTNAME
    r"|\$\([A-Z_0-9]+\)|\$\[[^\]]*\]|\$[A-Z_]+\$?|\$\d+|%\d*\$?[-+#0-9.]*[sdiufgxSDLl@]\b|%\d+|#\d+"
    r"|&[a-z]+[A-Za-z.]+;"  # DTD entities
    r"|@@[A-Z_]+@@|__[A-Za-z]+__"
)
URL = re.compile(r"(?:https?|ftp)://\S+|www\.\S+|\S+@\S+\.\S+|\b[\w-]+\.(?:com|org|net)\b(?:/\S*)?")
CJK_MNEMONIC = re.compile(r"\((?:[~_&]\s?)?[A-Z0-9]\)|\([~_&][a-zA-Z0-9]\)|（[~_&]?[A-Z0-9]）")
MNEMONIC = re.compile(r"[~&](?=\w)|(?<![A-Za-z0-9])_(?=[^\W\d_])|(?<=[^\W\d_])_(?=[^\W\d_])|~$")
ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})|\\[nrt]|\\(?=[\"'])")
INVISIBLE = re.compile(
    "[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\x00-\x1f\x7f-\x9f\ue000-\uf8ff*`|]+"
)
_CATALOGUE_MARK = re.compile(r"[~_&%{}<>\[\]$#\\@/(（]|->|www\.|\.(?:com|org|net)")
"""What every pattern above needs at least; most names have none of it."""
_WORD = re.compile(r"[^\W\d_]+")


def clean(text: str) -> str:
    """The words of a catalogue's text, NFC, on one line; empty where its wording depends on numbers.

    `~Datei öffnen…` and `_Datei öffnen…` give `Datei öffnen…`, `ファイル(~F)` gives `ファイル`,
    `<b>%(name)s</b> fehlt` gives `fehlt`.
    """
    if not _CATALOGUE_MARK.search(text):
        return _settle(text)
    if PLURAL.search(text):
        return ""
    text = ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else " ", text)
    text = PLACEHOLDER.sub(" ", html.unescape(TAG.sub(" ", text)))
    text = _LINK.sub(lambda found: found[1] or found[2] or " ", text)
    text = URL.sub(" ", TAG.sub(" ", text))
    return _settle(MNEMONIC.sub("", CJK_MNEMONIC.sub("", text)))


def _settle(text: str) -> str:
    text = unicodedata.normalize("NFC", " ".join(INVISIBLE.sub(" ", text).split()))
    return text.strip(" :;,-–—=/\\…()[]{}<>\"'“”„«»·•#+")


def letters(text: str) -> int:
    """How many letters a text has."""
    return sum(map(str.isalpha, text))


def own_share(text: str, label: str) -> float:
    """Letters of a label's scripts, of all letters with a script; 0.0 without any."""
    scripts = scripts_of(label)
    found = [script for script in map(script_of, text) if script]
    return sum(script in scripts for script in found) / len(found) if found else 0.0


def untranslated(text: str, english: str | None) -> bool:
    """Whether a text equals its English, or more than half of its words are the English's own."""
    if english is None:
        return False
    words, theirs = _WORD.findall(text.lower()), set(_WORD.findall(english.lower()))
    return bool(words) and sum(word in theirs for word in words) * 2 > len(words)


def keep(text: str, label: str, english: str | None) -> bool:
    """Whether a cleaned text says something about its language."""
    shortest = 1 if label.endswith(("_Hans", "_Hant", "_Jpan", "_Hang")) else 3
    return (
        letters(text) >= shortest
        and (label == "eng_Latn" or not untranslated(text, english))
        and own_share(text, label) >= MINIMUM_SHARE
    )
