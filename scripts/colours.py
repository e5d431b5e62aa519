"""Builds `translation/colours.tsv`: the names of colours, from CLDR's keywords of coloured emoji.

    python -m scripts.colours --cache build/cldr --output translation/colours.tsv

The keywords (npm `cldr-annotations-full`) of a red circle, square and heart have the bare colour beside the
shapes. A keyword that at least two of the three share, and no emoji of another colour has, is its name.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from scripts.cldr import fetch, locale, parsed_options, tsv, write
from translation.languages import Language, default_languages

EMOJI: Mapping[str, str] = {
    "red": "🔴🟥❤", "orange": "🟠🟧🧡", "yellow": "🟡🟨💛", "green": "🟢🟩💚", "blue": "🔵🟦💙",
    "purple": "🟣🟪💜", "brown": "🟤🟫🤎", "black": "⚫⬛🖤", "white": "⚪⬜🤍",
}  # fmt: skip


def colours(keywords: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Colour -> its names in one language: those that most emoji have first, then as CLDR has them."""
    counts = {
        colour: Counter(
            word
            for character in characters
            for word in dict.fromkeys(
                unicodedata.normalize("NFC", word).lower() for word in keywords.get(character, ())
            )
        )
        for colour, characters in EMOJI.items()
    }
    seen = Counter(word for count in counts.values() for word in count)
    return {
        colour: names
        for colour, count in counts.items()
        if (names := [word for word, times in count.most_common() if times > 1 and seen[word] == 1])
    }


def table(languages: Iterable[Language], folder: Path) -> str:
    """The TSV of all languages that CLDR has keywords for."""
    rows = []
    for language in languages:
        path = folder / locale(language) / "annotations.json"
        if path.exists():
            entries = json.loads(path.read_text(encoding="utf-8"))["annotations"]["annotations"]
            keywords = {character: entry.get("default", []) for character, entry in entries.items()}
            for colour, names in colours(keywords).items():
                # Where CLDR has not been translated, the English word stands.
                if language.english or names != [colour]:
                    rows.append((language.nllb, colour, "|".join(sorted(names, key=len)[:3])))
    return tsv(("nllb_code", "english", "names"), rows)


def main() -> None:
    options = parsed_options(__doc__, "colours.tsv")
    package = fetch("cldr-annotations-full", options.cache)
    write(options.output, table(default_languages(), package / "annotations"))


if __name__ == "__main__":
    main()
