"""Tux Paint's stamps: photographs and drawings with captions that people wrote in many languages (GPL-2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scripts.miniature.pictures import Picture, tidy
from scripts.packages import fetch
from translation.languages import UnknownLanguage, resolve

PACKAGE = "debian:tuxpaint-stamps-default"
LICENCE = "GPL-2.0-or-later (Tux Paint stamps)"
LONGEST_CAPTION = 7
"""Words: longer ones teach rather than describe ("Knight. The only piece that can jump over others. …")."""

LEFT_OUT_FOLDERS = ("symbols", "town/flags", "town/roadsigns")
"""Letters, sums, notes, coins and signs: their captions say what they stand for."""

LOCALES = {"ku": "kmr_Latn", "zh_TW": "zho_Hant", "pt_BR": "por_Latn", "pa": "pan_Guru"}
"""Where the locale is not a tag of the language that is written."""

LEFT_OUT_LOCALES = {"ta", "zh_CN"}
"""`ta` is unreadable (a font's own code as if it were Unicode); `zh_CN` is free rhyme, not a translation."""


def read(cache: Path) -> Iterator[Picture]:
    """Every stamp with a caption of at most `LONGEST_CAPTION` English words, in the order of the paths."""
    root = fetch(PACKAGE, cache) / "usr/share/tuxpaint/stamps"
    for file in sorted(root.rglob("*.png")):
        path = file.relative_to(root)
        captions = file.with_suffix(".txt")
        if path.as_posix().startswith(LEFT_OUT_FOLDERS) or not captions.exists():
            continue
        english, others = parsed(captions.read_text(encoding="utf-8"))
        if english and len(english.split()) <= LONGEST_CAPTION:
            name = path.with_suffix("").as_posix().replace("/", "-")
            yield Picture(f"tuxpaint-{name}", file, english, others, "tuxpaint", LICENCE)


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
