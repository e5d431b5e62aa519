"""Emoji in the drawings of several designers, with their names in CLDR's languages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from evaluation.stamps import tidy
from scripts import cldr
from scripts.miniature.pictures import Picture
from scripts.packages import fetch
from scripts.small_model.names import EMOJI, names_of, wanted
from translation.languages import default_languages

NAMES_LICENCE = "names Unicode-3.0 (CLDR)"
PARTLY_ENGLISH = {"tgl_Latn", "mlt_Latn"}
"""Languages in which CLDR left many names in English; in others the names that agree are loans ("Radio")."""


@dataclass(frozen=True)
class Drawings:
    """One designer's pictures of emoji."""

    name: str
    package: str
    pattern: str
    """Path in the package: `{upper}` and `{lower}` are the emoji's code points with FE0F, `{image}` the data
    source's file name."""
    licence: str


NOTO = Drawings(
    "noto",
    EMOJI,
    "img/google/64/{image}",
    "Apache-2.0 (Noto Emoji, Google)",
)
FLUENT = Drawings(
    "fluent", "npm:@lobehub/fluent-emoji-3d@1.1.0", "assets/{lower}.webp", "MIT (Fluent Emoji, Microsoft)"
)
TWEMOJI = Drawings(
    "twemoji",
    "npm:emoji-datasource-twitter@16.0.0",
    "img/twitter/64/{image}",
    "CC-BY-4.0 (Twemoji, Twitter and other contributors)",
)


def read(drawings: Drawings, cache: Path) -> Iterator[Picture]:
    """Every base emoji that shows a thing and that the designer drew, in the order of the emoji data source.

    What shows a thing is what the small model's names do: animals, plants, food, objects, places, activities,
    hearts and a few people; no faces, signs, letters, keycaps, arrows, clocks and flags, whose names say what
    they stand for rather than what one sees. Skin tones are variants of base emoji, and left out.
    """
    entries = json.loads((fetch(NOTO.package, cache) / "emoji.json").read_text(encoding="utf-8"))
    english = names_of("en", cache)
    tables = {
        language.nllb: names_of(cldr.locale(language), cache)
        for language in default_languages()
        if not language.english
    }
    folder = fetch(drawings.package, cache)
    seen: set[str] = set()
    for entry in sorted(entries, key=lambda entry: int(entry["sort_order"])):
        emoji = "".join(chr(int(code, 16)) for code in entry["unified"].split("-") if code != "FE0F")
        name = english.get(emoji)
        if name is None or name in seen or not wanted(entry, name):
            continue
        seen.add(name)
        file = folder / drawings.pattern.format(
            image=entry["image"], upper=entry["unified"], lower=entry["unified"].lower()
        )
        if not file.exists():
            continue
        yield Picture(
            id=f"{drawings.name}-{entry['unified'].lower()}",
            file=file,
            english=tidy(name),
            captions=captions_of(emoji, name, tables),
            source=drawings.name,
            licence=f"picture {drawings.licence}, {NAMES_LICENCE}",
        )


def captions_of(
    emoji: str, english: str, tables: Mapping[str, Mapping[str, str]]
) -> dict[str, tuple[str, ...]]:
    """The emoji's name by NLLB code, without those that CLDR left in English."""
    return {
        code: (tidy(name),)
        for code, table in tables.items()
        if (name := table.get(emoji))
        and not (code in PARTLY_ENGLISH and name.casefold() == english.casefold())
    }
