"""GQA: the official `*_questions.json`, an object of questions by their ids."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.examples import Reject
from pipelines.recipe import Recipe
from pipelines.recipe_sources import GqaSource
from pipelines.records import Asked, Picture, Place, Record
from pipelines.sources.lines import json_text, opened
from pipelines.sources.lists import list_objects, list_pieces
from pipelines.sources.pictures import PictureStore, picture_store
from pipelines.sources.pieces import Piece
from pipelines.sources.records import Unusable, fault, reject
from pipelines.sources.values import cell, clean_text, identifier

ANSWER_KEYS = {"short": "answer", "full": "fullAnswer"}
"""`answer:` of the recipe -> key of a question."""


def pieces(recipe: Recipe, index: int, source: GqaSource) -> list[Piece]:
    """One piece per file. Raises `SettingsError` as `list_pieces`."""
    return list_pieces(recipe, index, "object")


def read(recipe: Recipe, source: GqaSource, piece: Piece) -> Iterator[Record | Reject]:
    """One record per question."""
    store = picture_store(recipe.source_path(source.images))
    with opened(piece) as file:
        for position, key, value in list_objects(source, piece, file):
            if isinstance(value, Reject):
                yield value
                continue
            place = piece.place("byte", position)
            try:
                yield _asked(source, store, place, key, value)
            except Unusable as error:
                source_id = key if key and key.isprintable() else place.id
                raw = json_text({str(key): value})
                yield reject(source.name, source.tasks[0], place, source_id, fault(error), raw)


def _asked(
    source: GqaSource, store: PictureStore, place: Place, key: str | None, value: dict[str, object]
) -> Asked:
    answer = ANSWER_KEYS[source.answer]
    return Asked(
        place,
        identifier(key, "the key of the question"),
        _picture(store, identifier(cell(value, "imageId"), "imageId")),
        clean_text(cell(value, "question"), "question"),
        clean_text(cell(value, answer), f"`{answer}`"),
    )


def _picture(store: PictureStore, number: str) -> Picture:
    """The picture of a number, which is Visual Genome's: COCO has other pictures under the same ones."""
    found = store.picture(f"{number}.jpg")
    return Picture(found.locator, f"gqa-{found.image_id}")
