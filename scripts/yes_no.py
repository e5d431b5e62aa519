"""Builds `translation/yes_no.tsv`: yes and no in the languages that CLDR has them for.

    python -m scripts.yes_no --cache build/cldr --output translation/yes_no.tsv

From the POSIX messages of npm `cldr-misc-full`, whose entries are a word and then its abbreviations
(`ja:j`). What CLDR has wrongly is corrected or left out below.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from scripts.cldr import fetch, locale, parsed_options, tsv, write
from translation.languages import Language, default_languages

LEFT_OUT = {"hat_Latn"}
"""Languages whose words are those of another: French in Haitian Creole."""

CORRECTIONS: Mapping[str, tuple[str, str]] = {
    "mar_Deva": ("होय", "नाही"),  # visarga in place of the colon
    "khm_Khmr": ("បាទ/ចាស", "ទេ"),  # a Khmer colon in its place; yes as men and as women say it
    "tur_Latn": ("evet", "hayır"),  # `hayir`
    "zho_Hans": ("是", "否"),  # `confirm` and `deny`; the abbreviations are the answers
    "tel_Telu": ("అవును", "కాదు"),  # `don't`
}


def words(messages: Mapping[str, str]) -> tuple[str, str]:
    """The first word of each of the two entries, NFC, in lower case; empty where there is none."""
    yes, no = (re.split(r":", messages.get(key, ""))[0] for key in ("yesstr", "nostr"))
    return _clean(yes), _clean(no)


def _clean(word: str) -> str:
    return unicodedata.normalize("NFC", word.strip()).lower()


def table(languages: Iterable[Language], folder: Path) -> tuple[str, list[str]]:
    """The TSV, and the languages without words of their own."""
    rows, without = [], []
    for language in languages:
        tag = locale(language)
        path = folder / tag / "posix.json"
        found = ("", "")
        if path.exists() and language.nllb not in LEFT_OUT:
            found = words(json.loads(path.read_text(encoding="utf-8"))["main"][tag]["posix"]["messages"])
        found = CORRECTIONS.get(language.nllb, found)
        # Locales without words of their own have CLDR's root, which is English.
        if not all(found) or (found == ("yes", "no") and not language.english):
            without.append(language.nllb)
        else:
            rows.append((language.nllb, *found))
    return tsv(("nllb_code", "yes", "no"), rows), without


def main() -> None:
    options = parsed_options(__doc__, "yes_no.tsv")
    text, without = table(default_languages(), fetch("cldr-misc-full", options.cache) / "main")
    write(options.output, text)
    print(f"without yes and no ({len(without)}): {' '.join(without)}")


if __name__ == "__main__":
    main()
