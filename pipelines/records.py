"""Records: what a source says about a picture, before tasks make examples of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Picture:
    """Where a picture is, and its stable id."""

    locator: str
    """What `pipelines.images.image_bytes` opens."""
    image_id: str


@dataclass(frozen=True, slots=True)
class Place:
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


@dataclass(frozen=True, slots=True)
class Captioned:
    """A picture and its captions."""

    place: Place
    picture: Picture
    captions: tuple[tuple[str, str], ...]
    """(id, text); an id is unique in its source."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about a picture, its answer, and why it is so, where the source tells."""

    place: Place
    source_id: str
    picture: Picture
    question: str
    answer: str
    rationales: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation, about a picture or about none."""

    place: Place
    picture: Picture | None
    turns: tuple[tuple[str, str, str], ...]
    """(id, what the human says, what the assistant says); an id is unique in its source."""


@dataclass(frozen=True, slots=True)
class Classified:
    """A picture of one class, whose names stand in the source's table of names."""

    place: Place
    source_id: str
    picture: Picture
    name: str
    """Key in the table: the class index as text."""


@dataclass(frozen=True, slots=True)
class Stated:
    """A statement about two pictures, the left and the right one, and whether it holds."""

    place: Place
    source_id: str
    pictures: tuple[Picture, Picture]
    statement: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Entailed:
    """A hypothesis about a picture, and whether that entails it."""

    place: Place
    source_id: str
    picture: Picture
    hypothesis: str
    label: Literal["yes", "maybe", "no"]


@dataclass(frozen=True, slots=True)
class Written:
    """A text without a picture."""

    place: Place
    source_id: str
    text: str
    language: str | None = None
    """NLLB code of what it is written in; None for English, which is to be translated."""


Record = Captioned | Asked | Talk | Classified | Stated | Entailed | Written
