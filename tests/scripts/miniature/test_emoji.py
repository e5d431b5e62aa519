"""Emoji that show things, as their designers drew them and CLDR names them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from scripts.cldr import VERSION
from scripts.miniature import emoji

ENTRIES = (
    ("1F34E", "Food & Drink", "food-fruit", "red apple", {"de": "roter Apfel", "fil": "red apple"}),
    ("1F4FB", "Objects", "music", "radio", {"de": "Radio", "fil": "Radio"}),
    ("2764-FE0F", "Smileys & Emotion", "heart", "red heart", {"de": "rotes Herz"}),
    ("1F600", "Smileys & Emotion", "face-smiling", "grinning face", {"de": "grinsendes Gesicht"}),
    ("1F51F", "Symbols", "keycap", "keycap: 10", {"de": "Taste: 10"}),
)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """The packages with a handful of emoji, one of which Fluent has not drawn."""
    names: dict[str, dict[str, str]] = {"en": {}}
    entries = []
    for order, (unified, category, subcategory, english, others) in enumerate(ENTRIES):
        character = "".join(chr(int(code, 16)) for code in unified.split("-") if code != "FE0F")
        for locale, name in {"en": english, **others}.items():
            names.setdefault(locale, {})[character] = name
        entries.append(
            {
                "unified": unified,
                "image": f"{unified.lower()}.png",
                "category": category,
                "subcategory": subcategory,
                "sort_order": order,
            }
        )
        for drawings in (emoji.NOTO, emoji.FLUENT):
            name = drawings.pattern.format(image=f"{unified.lower()}.png", lower=unified.lower())
            label = (
                drawings.package.removeprefix("npm:@")
                .removeprefix("npm:")
                .replace("/", "-")
                .replace("@", "-")
            )
            file = tmp_path / f"npm-{label}" / "package" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if (drawings, unified) != (emoji.FLUENT, "1F4FB"):
                Image.new("RGBA", (8, 8)).save(file)
    source = tmp_path / "npm-emoji-datasource-google-16.0.0/package/emoji.json"
    source.write_text(json.dumps(entries), encoding="utf-8")
    for package, folder in (("full", "annotations"), ("derived-full", "annotationsDerived")):
        unpacked = tmp_path / f"npm-cldr-annotations-{package}-{VERSION}"
        unpacked.mkdir()
        for locale, table in names.items() if package == "full" else ():
            path = unpacked / "package" / folder / locale / "annotations.json"
            path.parent.mkdir(parents=True)
            annotations = {character: {"tts": [name]} for character, name in table.items()}
            path.write_text(json.dumps({folder: {"annotations": annotations}}), encoding="utf-8")
    return tmp_path


def test_things_are_read_with_their_names_and_faces_and_signs_are_not(cache: Path) -> None:
    pictures = list(emoji.read(emoji.NOTO, cache))
    assert [(picture.id, picture.english) for picture in pictures] == [
        ("noto-1f34e", "red apple"),
        ("noto-1f4fb", "radio"),
        ("noto-2764-fe0f", "red heart"),
    ]
    assert all(picture.file.exists() and "Apache-2.0" in picture.licence for picture in pictures)


def test_a_name_left_in_english_is_none_but_a_loan_is_one(cache: Path) -> None:
    apple, radio, _ = emoji.read(emoji.NOTO, cache)
    assert apple.captions == {"deu_Latn": ("roter Apfel",)}
    assert radio.captions == {"deu_Latn": ("Radio",)}


def test_emoji_that_a_designer_did_not_draw_are_left_out(cache: Path) -> None:
    assert [picture.id for picture in emoji.read(emoji.FLUENT, cache)] == ["fluent-1f34e", "fluent-2764-fe0f"]
