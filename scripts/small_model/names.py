"""Builds the training data of the small model: CLDR emoji names, English paired with up to 95 languages.

    python -m scripts.small_model.names --output build/small

Fetches three npm packages by name, keeps the English names that a picture can
carry (animals, food, objects, places, ...), and writes `pairs.jsonl`: one English name and one
translation a line, with its emoji, category and split. Every 16th name is held out in all
languages, so that the card can say what the model does on names it never saw.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts import cldr, packages
from translation.languages import default_languages

EMOJI = "npm:emoji-datasource-google@16.0.0"
"""Code MIT, art Apache-2.0."""

CATEGORIES = {"Animals & Nature", "Food & Drink", "Activities", "Objects", "Travel & Places"}
SUBCATEGORIES = {"heart", "cat-face", "body-parts", "person"}
EXCLUDED_SUBCATEGORIES = {"time"}
GEOMETRIC = ("circle", "square")
ROLES = {
    "teacher", "judge", "farmer", "cook", "mechanic", "scientist", "singer", "firefighter",
    "police officer", "detective", "guard", "prince", "princess", "mermaid", "family", "ghost",
    "alien", "footprints", "kiss mark", "skull", "waving hand", "thumbs up", "handshake",
}  # fmt: skip
MINIMUM_LANGUAGES = 80
"""A name must exist in this many languages: rarer ones are mostly recent additions."""
HELD_OUT_EVERY = 16
LOANS = {"nld_Latn", "dan_Latn"}
"""Languages in which many names are the English ones."""
DOCUMENTED = {"red apple"}
"""Never held out: the documentation translates it."""


@dataclass(frozen=True)
class NamePair:
    """One English name and its translation."""

    emoji: str
    english: str
    nllb_code: str
    name: str
    category: str
    subcategory: str
    split: str
    image: str
    """File name of the picture in `emoji-datasource-google`."""


def names_of(locale: str, folder: Path) -> dict[str, str]:
    """Emoji -> short name ('tts') of one CLDR locale; empty where CLDR has none."""
    names: dict[str, str] = {}
    for package, inner in (
        ("cldr-annotations-full", "annotations"),
        ("cldr-annotations-derived-full", "annotationsDerived"),
    ):
        path = cldr.fetch(package, folder) / inner / locale / "annotations.json"
        if not path.exists():
            continue
        table = json.loads(path.read_text(encoding="utf-8"))[inner]["annotations"]
        for emoji, entry in table.items():
            if entry.get("tts"):
                name = unicodedata.normalize("NFC", " ".join(entry["tts"][0].split()))
                names.setdefault(emoji.replace("\ufe0f", ""), name)
    return names


def wanted(entry: dict[str, object], english: str) -> bool:
    """Is this a name of a thing that a picture shows, short enough to be learnt?"""
    if ":" in english or len(english.split()) > 3 or entry["subcategory"] in EXCLUDED_SUBCATEGORIES:
        return False
    return (
        entry["category"] in CATEGORIES
        or entry["subcategory"] in SUBCATEGORIES
        or english in ROLES
        or (entry["subcategory"] == "geometric" and english.endswith(GEOMETRIC))
    )


def held_out(english: str) -> bool:
    """Chosen by the name alone, so that all its languages and emoji fall on the same side."""
    digest = hashlib.sha256(english.encode()).digest()
    return english not in DOCUMENTED and int.from_bytes(digest[:4], "big") % HELD_OUT_EVERY == 0


def build(folder: Path) -> Iterator[NamePair]:
    """All pairs, in the order of the emoji data source, then of the registry."""
    source = packages.fetch(EMOJI, folder)
    entries = json.loads((source / "emoji.json").read_text(encoding="utf-8"))
    english = names_of("en", folder)
    tables = {
        language.nllb: names_of(cldr.locale(language), folder)
        for language in default_languages()
        if not language.english
    }
    seen: set[str] = set()
    for entry in sorted(entries, key=lambda entry: entry["sort_order"]):
        codes = entry["unified"].split("-")
        emoji = "".join(chr(int(code, 16)) for code in codes if code != "FE0F")
        name = english.get(emoji)
        if name is None or name in seen or not wanted(entry, name):
            continue
        found = {code: table[emoji] for code, table in tables.items() if emoji in table}
        if len(found) < MINIMUM_LANGUAGES:
            continue
        seen.add(name)
        for code, translated in found.items():
            if translated == name and len(name) > 3 and code not in LOANS:
                # CLDR leaves English where nobody translated; loan words lose little by it.
                continue
            yield NamePair(
                emoji,
                name,
                code,
                translated,
                entry["category"],
                entry["subcategory"],
                "held_out" if held_out(name) else "train",
                entry["image"],
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for packages and pairs")
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    pairs = list(build(folder))
    with (folder / "pairs.jsonl").open("w", encoding="utf-8") as file:
        for pair in pairs:
            file.write(json.dumps(asdict(pair), ensure_ascii=False) + "\n")
    names = {(pair.english, pair.split) for pair in pairs}
    trained = sum(split == "train" for _, split in names)
    print(
        f"{len(pairs):,} pairs, {trained} names to train on, {len(names) - trained} held out, "
        f"{len({pair.nllb_code for pair in pairs})} languages"
    )


if __name__ == "__main__":
    main()
