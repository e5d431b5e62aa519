"""A picture with what people call it: the row of the miniature's data, and its side of the split."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

LONGEST_SIDE = 256
"""Pixels: more than the encoder's 224, and little to store."""
HELD_OUT_EVERY = 8

_ARTICLES = {"a", "an", "the", "some", "pair", "of"}
_PEOPLE = {
    *("man", "men", "woman", "women", "person", "people", "boy", "girl", "male", "female", "old", "older"),
    *("mr", "mrs", "adult", "child"),
}


@dataclass(frozen=True)
class Picture:
    """A picture file and its captions."""

    id: str
    file: Path
    english: str
    captions: Mapping[str, tuple[str, ...]]
    """NLLB code -> what people wrote, English not among them."""
    source: str
    licence: str

    @property
    def thing(self) -> str:
        """What it shows, the same for each drawing and for men and women, so that all are on one side."""
        return thing(self.english)


def thing(caption: str) -> str:
    """A caption without articles, case, marks and what tells men from women; the caption if that is all."""
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", caption).casefold())
    kept = [word for word in words if word not in _ARTICLES]
    return " ".join([word for word in kept if word not in _PEOPLE] or kept) or caption


def held_out(name: str) -> bool:
    """Whether a thing is held out: one in `HELD_OUT_EVERY`, by its name alone."""
    digest = hashlib.sha256(f"miniature {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % HELD_OUT_EVERY == 0


def write_on_white(source: Path, target: Path) -> None:
    """The picture as an RGB PNG, transparent parts over white, its longest side at most `LONGEST_SIDE`."""
    with Image.open(source) as opened:
        picture = opened.convert("RGBA")
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture)
    white.convert("RGB").save(target, optimize=True)
