"""BLIP's web captions (`ccs_synthetic_filtered_large.json`): a list of `{caption, url}`, or with `image`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import repeat

from pipelines.examples import Reject
from pipelines.recipe import Recipe
from pipelines.recipe_sources import CapfiltSource
from pipelines.records import Captioned, Picture, Place, Record
from pipelines.sources.columns import Odd, captions_with_checksums, lines_of, may_be_longer, only_texts
from pipelines.sources.json_lines import Columns, Together
from pipelines.sources.lines import opened, rejected
from pipelines.sources.lists import list_objects_together, pieces_and_firsts
from pipelines.sources.pictures import each_picture, picture_store
from pipelines.sources.pieces import Piece
from pipelines.sources.records import Unusable, pictures_at_urls, with_odd
from pipelines.sources.values import MAX_ID, BadRecord, caption_text, cell, checksum, kind, shown

_LONGEST = MAX_ID - 9
"""Characters of a picture's id of which ids can be made."""


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
    column, picture, pictures = _pictures(recipe, source)

    def read_one(position: int, value: dict[str, object] | Reject) -> Record | Reject:
        if isinstance(value, Reject):
            return value
        place = piece.place("byte", position)
        try:
            said = cell(value, "caption")
            captions = (caption_text(said, "caption"),) if isinstance(said, str) else _captions(said)
            name = cell(value, column)
            if not isinstance(name, str):
                raise BadRecord(f"`{column}` is {kind(name)}, must be text")
            found = picture(name)
            if not _makes_ids(found):
                raise BadRecord(
                    f"`{column}` is {shown(name)}; ids are made of it: at most {MAX_ID - 20} printable "
                    "characters"
                )
            return Captioned(place, found, tuple([(_id(found, one), one) for one in captions]))
        except Unusable as error:
            return rejected(source, place, value, "id", error)

    with opened(piece) as file:
        for item in list_objects_together(source, piece, file, Columns(("caption", column))):
            if isinstance(item, tuple):
                yield read_one(item[0], item[2])
                continue
            odd: Odd = set()
            captions, checksums = captions_with_checksums(item.columns[0], odd)
            found = pictures(only_texts(item.columns[1], odd), odd)
            images = [one.image_id for one in found]
            if may_be_longer(lines_of(images), _LONGEST) or not "".join(images).isprintable():
                odd.update(at for at, one in enumerate(found) if not _makes_ids(one))
            places = map(Place, repeat(piece.label), repeat("byte"), item.positions, repeat(piece.stem))
            ids = [f"{image}-{sum_}" for image, sum_ in zip(images, checksums, strict=True)]
            records = map(Captioned, places, found, zip(zip(ids, captions, strict=True), strict=True))

            def alone(at: int, together: Together = item) -> tuple[Record | Reject]:
                return (read_one(together.positions[at], together.record(at)),)

            yield from with_odd(records, odd, alone)


def _id(picture: Picture, caption: str) -> str:
    return f"{picture.image_id}-{checksum(caption)}"


def _makes_ids(picture: Picture) -> bool:
    """Whether ids can be made of that of a picture."""
    return len(picture.image_id) <= _LONGEST and picture.image_id.isprintable()


def _captions(value: object) -> tuple[str, ...]:
    """The caption, or several, as in BLIP's files of COCO's parts for validation and test."""
    if not isinstance(value, list):
        raise BadRecord(f"caption is {kind(value)}, must be text")
    if not value:
        raise BadRecord("`caption` is an empty list")
    return tuple(dict.fromkeys(caption_text(one, f"caption {index}") for index, one in enumerate(value)))


def _pictures(
    recipe: Recipe, source: CapfiltSource
) -> tuple[str, Callable[[str], Picture], Callable[[Sequence[str], Odd], Sequence[Picture]]]:
    """The key of a record that names its picture, and what finds that and those of many."""
    if source.images is not None:
        store = picture_store(recipe.source_path(source.images))
        return "image", store.picture, store.pictures
    picture = pictures_at_urls(recipe)
    return "url", picture, partial(each_picture, picture)
