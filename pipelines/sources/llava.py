"""LLaVA-Instruct: `{id, image, conversations}`, one list of them as the 150k and the 665k file, or lines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import BinaryIO

from pipelines.examples import Reject
from pipelines.recipe import Recipe
from pipelines.recipe_sources import LlavaSource
from pipelines.records import Picture, Place, Record, Talk
from pipelines.sources.coco_pictures import PROBES, CocoPictures, number_of_name
from pipelines.sources.conversations import Item, marked, turns
from pipelines.sources.json_lines import BOM
from pipelines.sources.lines import (
    HEAD,
    byte_ranges,
    first_lines,
    json_objects,
    json_text,
    opened,
    plain_files,
    rejected,
)
from pipelines.sources.lists import first_objects, first_record, list_objects
from pipelines.sources.pictures import PictureStore, picture_store
from pipelines.sources.pieces import Piece
from pipelines.sources.records import Unusable, only_picture, reject
from pipelines.sources.values import BadRecord, cell, identifier, kind


def pieces(recipe: Recipe, index: int, source: LlavaSource) -> list[Piece]:
    """One piece per list, or byte range of JSON lines. Raises `SettingsError` as `first_record`."""
    found: list[Piece] = []
    for piece, head in plain_files(recipe, index):
        if _has_lines(head):
            found.extend(byte_ranges(piece))
        else:
            first_record(recipe, index, piece, head, "list")
            found.append(piece)
    return found


def _has_lines(head: bytes) -> bool:
    return head.lstrip().startswith(b"{")


def read(recipe: Recipe, source: LlavaSource, piece: Piece) -> Iterator[Record | Reject]:
    """One record per conversation, with its good turns, and a reject for each of the others.

    The 150k and the 665k file use an id for several conversations about a picture, so a hash of what is said
    stands behind it.
    """
    store = picture_store(recipe.source_path(source.images))
    with opened(piece) as file:
        lines = _has_lines(file.read(HEAD).removeprefix(BOM))
        first = first_lines(file, PROBES) if lines else first_objects(file, None, PROBES)
        names = [one.get("image") for one in first]
        pictures = CocoPictures(store, [number_of_name(name) for name in names if isinstance(name, str)])
        for place, value in json_objects(source, piece, file) if lines else _listed(source, piece, file):
            if isinstance(value, Reject):
                yield value
                continue
            try:
                picture = _picture(store, pictures, value)
                source_id = place.id if value.get("id") is None else identifier(value["id"], "id")
                said = list(
                    turns(cell(value, "conversations"), "conversations", together=source.turns == "keep")
                )
            except Unusable as error:
                yield rejected(source, place, value, "id", error)
                continue
            yield from _talk(source, place, f"{source_id}-{_digest(said)}", picture, said, value)


def _listed(
    source: LlavaSource, piece: Piece, file: BinaryIO
) -> Iterator[tuple[Place, dict[str, object] | Reject]]:
    for position, _, value in list_objects(source, piece, file):
        yield piece.place("byte", position), value


def _talk(
    source: LlavaSource,
    place: Place,
    source_id: str,
    picture: Picture | None,
    said: list[Item],
    value: dict[str, object],
) -> Iterator[Talk | Reject]:
    good = tuple((source_id + one.suffix, one.human, one.text) for one in said if one.fault is None)
    if good:
        yield Talk(place, source_id, picture, good)
    for one in said:
        if one.fault is not None:
            image_id = picture.image_id if picture else None
            failed = f"{source_id}{one.suffix}"
            yield reject(source.name, source.tasks[0], place, failed, one.fault, json_text(value), image_id)


def _digest(said: list[Item]) -> str:
    """The same for the same conversation only, whatever stands beside it in the file."""
    text = "\0".join(f"{one.human}\0{one.text}" for one in said)
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=5).hexdigest()


def _picture(store: PictureStore, pictures: CocoPictures, value: dict[str, object]) -> Picture | None:
    """None for a conversation about no picture."""
    name = only_picture(value.get("image"))
    if name is None:
        if marked(value.get("conversations")):
            raise BadRecord("`<image>` in the text, but no `image`")
        return None
    if not isinstance(name, str):
        raise BadRecord(f"`image` is {kind(name)}, must be the path of a picture")
    number = number_of_name(name)
    return store.picture(name) if number is None else pictures.picture(number)
