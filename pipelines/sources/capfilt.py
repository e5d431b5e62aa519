"""BLIP's web captions (`ccs_synthetic_filtered_large.json`): a list of `{caption, url}`, or with `image`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from pipelines.examples import Reject
from pipelines.recipe import Recipe
from pipelines.recipe_sources import CapfiltSource
from pipelines.records import Captioned, Picture, Record
from pipelines.sources.lines import opened, rejected
from pipelines.sources.lists import list_objects, pieces_and_firsts
from pipelines.sources.pictures import picture_store
from pipelines.sources.pieces import Piece
from pipelines.sources.records import Unusable, pictures_at_urls
from pipelines.sources.values import MAX_ID, BadRecord, caption_text, cell, kind, shown


def pieces(recipe: Recipe, index: int, source: CapfiltSource) -> list[Piece]:
    """One piece per file.

    Raises:
        SettingsError: as `pieces_and_firsts`, or `images` is named and the first record does not name its
            picture.
    """
    found = []
    for piece, first in pieces_and_firsts(recipe, index, "list"):
        found.append(piece)
        if source.images is None or first is None:
            continue
        if isinstance(first[2], dict) and "image" not in first[2]:
            remedy = (
                "take `images` out and allow the download of `url` with `download`, or fetch the pictures "
                "with img2dataset and read its shards (`format: webdataset`)"
            )
            what = f"the records of {piece.label} have no `image` that names a file there"
            raise recipe.error(("sources", index, "images"), f"{what}; {remedy}")
    return found


def read(recipe: Recipe, source: CapfiltSource, piece: Piece) -> Iterator[Record | Reject]:
    """One record per caption.

    Records have no ids; theirs are made of picture and caption, so that a part of the file has the same ones.
    """
    column, picture = _pictures(recipe, source)
    with opened(piece) as file:
        for position, _, value in list_objects(source, piece, file):
            if isinstance(value, Reject):
                yield value
                continue
            place = piece.place("byte", position)
            try:
                said = cell(value, "caption")
                # Nearly all records have one.
                captions = (caption_text(said, "caption"),) if isinstance(said, str) else _captions(said)
                name = cell(value, column)
                if not isinstance(name, str):
                    raise BadRecord(f"`{column}` is {kind(name)}, must be text")
                found = picture(name)
                if len(found.image_id) > MAX_ID - 13 or not found.image_id.isprintable():
                    raise BadRecord(
                        f"`{column}` is {shown(name)}; ids are made of it: at most {MAX_ID - 20} printable "
                        "characters"
                    )
                yield Captioned(place, found, tuple([(_id(found, one), one) for one in captions]))
            except Unusable as error:
                yield rejected(source, place, value, "id", error)


def _captions(value: object) -> tuple[str, ...]:
    """The caption, or several, as in BLIP's files of COCO's parts for validation and test."""
    if not isinstance(value, list):
        raise BadRecord(f"caption is {kind(value)}, must be text")
    if not value:
        raise BadRecord("`caption` is an empty list")
    return tuple(dict.fromkeys(caption_text(one, f"caption {index}") for index, one in enumerate(value)))


def _id(picture: Picture, caption: str) -> str:
    return f"{picture.image_id}-{hashlib.blake2b(caption.encode(), digest_size=6).hexdigest()}"


def _pictures(recipe: Recipe, source: CapfiltSource) -> tuple[str, Callable[[str], Picture]]:
    """The key of a record that names its picture, and what finds that."""
    if source.images is not None:
        return "image", picture_store(recipe.source_path(source.images)).picture
    return "url", pictures_at_urls(recipe)
