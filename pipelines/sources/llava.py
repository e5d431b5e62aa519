"""LLaVA-Instruct: `{id, image, conversations}`, one list of them as the 150k and the 665k file, or lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from typing import BinaryIO

from pipelines.examples import Reject
from pipelines.recipe import Recipe
from pipelines.recipe_sources import LlavaSource
from pipelines.records import Picture, Place, Record, Talk
from pipelines.sources.coco_pictures import PROBES, CocoPictures, number_of_name
from pipelines.sources.columns import Odd, checksums, identifiers, only_texts
from pipelines.sources.conversations import marked, pairs_together, turns
from pipelines.sources.json_lines import Columns, Together
from pipelines.sources.line_blocks import BOM
from pipelines.sources.lines import (
    HEAD,
    byte_ranges,
    first_lines,
    json_objects_together,
    json_text,
    opened,
    plain_files,
    rejected,
)
from pipelines.sources.lists import first_objects, first_record, list_objects_together
from pipelines.sources.pictures import picture_store
from pipelines.sources.pieces import Piece
from pipelines.sources.records import Unusable, only_picture, reject, with_odd
from pipelines.sources.values import BadRecord, cell, checksum, identifier, kind

_SAID = "\0"
"""Between texts whose checksum stands for a conversation: no text holds it."""


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
    columns = Columns(("id", "image"), ("conversations", ("from", "value")))
    with opened(piece) as file:
        lines = _has_lines(file.read(HEAD).removeprefix(BOM))
        first = first_lines(file, PROBES) if lines else first_objects(file, None, PROBES)
        names = [one.get("image") for one in first]
        pictures = CocoPictures(store, [number_of_name(name) for name in names if isinstance(name, str)])
        found = json_objects_together if lines else _listed
        for item in found(source, piece, file, columns):
            if isinstance(item, Together):
                yield from _talks(source, piece, pictures, item)
            elif isinstance(item[1], Reject):
                yield item[1]
            else:
                yield from _talk(source, pictures, item[0], item[1])


def _listed(
    source: LlavaSource, piece: Piece, file: BinaryIO, columns: Columns
) -> Iterator[tuple[Place, dict[str, object] | Reject] | Together]:
    for item in list_objects_together(source, piece, file, columns):
        yield item if isinstance(item, Together) else (piece.place("byte", item[0]), item[2])


def _talks(
    source: LlavaSource, piece: Piece, pictures: CocoPictures, together: Together
) -> Iterable[Record | Reject]:
    """What many records say, as `_talk` tells of each."""
    ids, names, sizes, speakers, texts = together.columns
    odd: Odd = set()
    pairs = pairs_together(sizes, speakers, texts, odd)
    images = pictures.named(only_texts(names, odd), odd)
    sums = checksums([_SAID.join(chain.from_iterable(said)) for said in pairs])
    ids = [f"{id_}-{sum_}" for id_, sum_ in zip(identifiers(ids, odd), sums, strict=True)]
    turns = [
        tuple([(f"{id_}#{number}", *pair) for number, pair in enumerate(said)])
        for id_, said in zip(ids, pairs, strict=True)
    ]
    places = map(Place, repeat(piece.label), repeat("byte"), together.positions, repeat(piece.stem))

    def alone(at: int) -> Iterable[Record | Reject]:
        return _talk(source, pictures, piece.place("byte", together.positions[at]), together.record(at))

    return with_odd(map(Talk, places, ids, images, turns), odd, alone)


def _talk(
    source: LlavaSource, pictures: CocoPictures, place: Place, value: dict[str, object]
) -> Iterator[Talk | Reject]:
    """What one record says."""
    try:
        picture = _picture(pictures, value)
        source_id = place.id if value.get("id") is None else identifier(value["id"], "id")
        said = list(turns(cell(value, "conversations"), "conversations", together=source.turns == "keep"))
    except Unusable as error:
        yield rejected(source, place, value, "id", error)
        return
    source_id = (
        f"{source_id}-{checksum(_SAID.join([text for one in said for text in (one.human, one.text)]))}"
    )
    good = tuple((source_id + one.suffix, one.human, one.text) for one in said if one.fault is None)
    if good:
        yield Talk(place, source_id, picture, good)
    for one in said:
        if one.fault is not None:
            image_id = picture.image_id if picture else None
            failed = f"{source_id}{one.suffix}"
            yield reject(source.name, source.tasks[0], place, failed, one.fault, json_text(value), image_id)


def _picture(pictures: CocoPictures, value: dict[str, object]) -> Picture | None:
    """None for a conversation about no picture."""
    name = only_picture(value.get("image"))
    if name is None:
        if marked(value.get("conversations")):
            raise BadRecord("`<image>` in the text, but no `image`")
        return None
    if not isinstance(name, str):
        raise BadRecord(f"`image` is {kind(name)}, must be the path of a picture")
    return pictures.of_name(name)
