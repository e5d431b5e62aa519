"""Captions of Tux Paint's stamps, which people wrote in many languages (https://www.tuxpaint.org, GPL-2)."""

from __future__ import annotations

import unicodedata

from translation.languages import UnknownLanguage, resolve

LOCALES = {"ku": "kmr_Latn", "zh_TW": "zho_Hant", "pt_BR": "por_Latn", "pa": "pan_Guru"}
"""Where the locale is not a tag of the language that is written."""

LEFT_OUT_LOCALES = {"ta", "zh_CN"}
"""`ta` is unreadable (a font's own code as if it were Unicode); `zh_CN` is free rhyme, not a translation."""


def parsed(text: str) -> tuple[str, dict[str, tuple[str, ...]]]:
    """The English caption, and by NLLB code those of other locales.

    A file's first line is English, the others are `<locale>.utf8=<caption>`. Left out are locales of no
    language of the registry, other ways to write a language (`sr@latin`, `en_GB`), and captions left in
    English.
    """
    first, *rest = text.splitlines() or [""]
    english = tidy(first)
    captions: dict[str, tuple[str, ...]] = {}
    for line in rest:
        locale, separator, value = line.partition(".utf8=")
        code = nllb_code(locale)
        caption = tidy(value)
        if separator and code and caption.casefold() != english.casefold():
            caption = mended(caption, code)
            if caption and caption not in captions.get(code, ()):
                captions[code] = (*captions.get(code, ()), caption)
    return english, captions


def nllb_code(locale: str) -> str | None:
    """The code of the language that a locale's captions are in, None where they are not used."""
    if "@" in locale or locale in LEFT_OUT_LOCALES or locale.startswith("en"):
        return None
    try:
        return resolve(LOCALES.get(locale, locale)).nllb
    except UnknownLanguage:
        return None


def mended(caption: str, code: str) -> str:
    """The caption with its own full stop at its end.

    In right-to-left scripts it was often typed where it shows, at the start; in Devanagari as a vertical bar.
    """
    if code.endswith(("_Arab", "_Hebr")) and caption.startswith("."):
        return caption.lstrip(". ") + "."
    if code.endswith("_Deva") and caption.endswith("|"):
        return caption.rstrip("| ") + "।"
    return caption


def tidy(text: str) -> str:
    """NFC without control characters and runs of blanks."""
    shown = "".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in text)
    return " ".join(unicodedata.normalize("NFC", shown).split())
