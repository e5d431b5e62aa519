"""Records: what a source says about a picture, before tasks make examples of it.

There are millions of them, so they are msgspec's structs: made in a tenth of a frozen dataclass's time.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Picture(msgspec.Struct, frozen=True, gc=False):
    """Where a picture is, and its stable id."""

    locator: str
    """What `pipelines.images.image_bytes` opens."""
    image_id: str


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a record stands: `captions/a.jsonl`, `byte`, 1234."""

    file: str
    """Relative to the recipe's folder."""
    unit: str
    position: int
    stem: str
    """What ids made from the position start with."""

    @property
    def id(self) -> str:
        return f"{self.stem}@{self.position}"

    def __str__(self) -> str:
        return f"{self.file} {self.unit} {self.position}"


class Captioned(msgspec.Struct, frozen=True, gc=False):
    """A picture and its captions."""

    place: Place
    picture: Picture
    captions: tuple[tuple[str, str], ...]
    """(id, text); an id is unique in its source."""


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A question about a picture, its answer, and why it is so, where the source tells."""

    place: Place
    source_id: str
    picture: Picture
    question: str
    answer: str
    rationales: tuple[str, ...] = ()
    fault: str | None = None
    """Why its rationales cannot be used, where the source has some; the question and answer can."""


class Talk(msgspec.Struct, frozen=True, gc=False):
    """A conversation, about a picture or about none."""

    place: Place
    source_id: str
    """Of the whole; what is said in one conversation stands on one side of the split."""
    picture: Picture | None
    turns: tuple[tuple[str, str, str], ...]
    """(id, what the human says, what the assistant says); an id is unique in its source."""


class Classified(msgspec.Struct, frozen=True, gc=False):
    """A picture of one class, whose names stand in the source's table of names."""

    place: Place
    source_id: str
    picture: Picture
    name: str
    """Key in the table: the class index as text."""


class Stated(msgspec.Struct, frozen=True, gc=False):
    """A statement about two pictures, the left and the right one, and whether it holds."""

    place: Place
    source_id: str
    pictures: tuple[Picture, Picture]
    statement: str
    holds: bool
    language: str | None = None
    """NLLB code of the statement, which stays in it; None for English."""


class Entailed(msgspec.Struct, frozen=True, gc=False):
    """A hypothesis about a picture, and whether that entails it."""

    place: Place
    source_id: str
    picture: Picture
    hypothesis: str
    label: Literal["yes", "maybe", "no"]


class Written(msgspec.Struct, frozen=True, gc=False):
    """A text without a picture."""

    place: Place
    source_id: str
    text: str
    language: str | None = None
    """NLLB code of what it is written in; None for English, which is to be translated."""


Record = Captioned | Asked | Talk | Classified | Stated | Entailed | Written
