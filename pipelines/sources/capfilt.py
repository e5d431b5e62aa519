"""BLIP's web captions (`ccs_synthetic_filtered_large.json`): one list of `{caption, url, image}`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from pipelines.examples import Reject
from pipelines.recipe import Recipe
from pipelines.recipe_sources import CapfiltSource
from pipelines.records import Captioned, Picture, Record
from pipelines.sources.lines import opened, rejected
from pipelines.sources.lists import list_objects, list_pieces
from pipelines.sources.pictures import picture_store
from pipelines.sources.pieces import Piece
from pipelines.sources.records import Unusable, pictures_at_urls
from pipelines.sources.values import MAX_ID, BadRecord, cell, clean_text, kind, shown


def pieces(recipe: Recipe, index: int, source: CapfiltSource) -> list[Piece]:
    """One piece per file. Raises `SettingsError` as `list_pieces`."""
    return list_pieces(recipe, index, "list")


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
                caption = clean_text(cell(value, "caption"), "caption")
                name = cell(value, column)
                if not isinstance(name, str):
                    raise BadRecord(f"`{column}` is {kind(name)}, must be text")
                found = picture(name)
                digest = hashlib.blake2b(caption.encode(), digest_size=6).hexdigest()
                source_id = f"{found.image_id}-{digest}"
                if len(source_id) > MAX_ID or not source_id.isprintable():
                    raise BadRecord(
                        f"`{column}` is {shown(name)}; ids are made of it: at most {MAX_ID - 20} printable "
                        "characters"
                    )
                yield Captioned(place, found, ((source_id, caption),))
            except Unusable as error:
                yield rejected(source, place, value, "id", error)


def _pictures(recipe: Recipe, source: CapfiltSource) -> tuple[str, Callable[[str], Picture]]:
    """The key of a record that names its picture, and what finds that."""
    if source.images is not None:
        return "image", picture_store(recipe.source_path(source.images)).picture
    return "url", pictures_at_urls(recipe)
