"""COCO captions: the official layout (`images`, `annotations`) and Karpathy's (`images[].sentences`)."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from itertools import count, islice
from typing import BinaryIO

import numpy as np

from pipelines.examples import Reject
from pipelines.recipe import Recipe
from pipelines.recipe_sources import CocoSource
from pipelines.records import Captioned, Picture, Place, Record
from pipelines.sources.columns import Odd, caption_texts, identifiers, only_texts
from pipelines.sources.json_lines import Columns, Together
from pipelines.sources.lines import json_text, opened, rejected
from pipelines.sources.lists import (
    check_list,
    first_objects,
    list_objects,
    list_objects_together,
    list_pieces,
)
from pipelines.sources.pictures import PictureStore, picture_store
from pipelines.sources.pieces import Piece
from pipelines.sources.records import Unusable, fault, reject
from pipelines.sources.values import BadRecord, caption_text, cell, identifier, kind, shown

SPLITS = ("train", "restval", "val", "test")
"""Karpathy's."""

_PROBES = 20
"""Records at the start of the list `images` of which one must tell the layout."""

_ID_TYPES = frozenset({int, str})
"""Of pictures' ids; a boolean, which equals a number, is none."""


def pieces(recipe: Recipe, index: int, source: CocoSource) -> list[Piece]:
    """The one file as one piece.

    Raises:
        SettingsError: as `list_pieces`, or `splits` is missing for Karpathy's layout, or set for the official
            one.
    """
    (piece,) = list_pieces(recipe, index, "object", "images")
    with opened(piece) as file:
        first = next(first_objects(file, "images", _PROBES), None)
    key = ("sources", index, "splits")
    if first is not None and "sentences" in first:
        if source.splits is None:
            remedy = f"{piece.label} has splits, tell which to read: `splits: [train, restval]`"
            raise recipe.error(key, remedy)
    elif source.splits is None:
        check_list(recipe, ("sources", index, source.main), piece, "annotations")
    elif first is not None:
        remedy = f"{piece.label} is in the official layout, which has no splits; take the key out"
        raise recipe.error(key, remedy)
    return [piece]


def read(recipe: Recipe, source: CocoSource, piece: Piece) -> Iterator[Record | Reject]:
    """One record per picture with all its captions.

    In the official layout these are scattered over the file, so all captions are held until it ends, in
    memory about twice the size of the file; records then come in the order of their first captions. In
    Karpathy's layout nothing is held.
    """
    store = picture_store(recipe.source_path(source.images))
    with opened(piece) as file:
        if source.splits is None:
            yield from _official(source, store, piece, file)
            return
        for position, _, value in list_objects(source, piece, file, "images"):
            if isinstance(value, Reject):
                yield value
            else:
                yield from _karpathy(source, store, piece.place("byte", position), value)


def _official(
    source: CocoSource, store: PictureStore, piece: Piece, file: BinaryIO
) -> Iterator[Record | Reject]:
    names: dict[object, object] = {}
    columns = Columns(("id", "file_name"))
    for item in list_objects_together(source, piece, file, columns, "images"):
        if isinstance(item, Together):
            ids, files = item.columns
            new = dict(zip(ids, files, strict=True)) if set(map(type, ids)) <= _ID_TYPES else {}
            if len(new) == len(ids) and names.keys().isdisjoint(new):
                names.update(new)
                continue
            images = [(position, item.record(at)) for at, position in enumerate(item.positions)]
        elif isinstance(item[2], Reject):
            yield item[2]
            continue
        else:
            images = [(item[0], item[2])]
        for position, value in images:
            try:
                _add_name(names, value)
            except BadRecord as error:
                yield rejected(source, piece.place("byte", position), value, "id", error)
    said = _Captions(store, names)

    def add(position: int, value: dict[str, object]) -> tuple[Reject, ...]:
        try:
            said.add(position, value)
        except Unusable as error:
            return (rejected(source, piece.place("byte", position), value, "id", error),)
        return ()

    columns = Columns(("id", "caption", "image_id"))
    for item in list_objects_together(source, piece, file, columns, "annotations"):
        if isinstance(item, Together):
            if not said.add_all(item):
                for at, position in enumerate(item.positions):
                    yield from add(position, item.record(at))
        elif isinstance(item[2], Reject):
            yield item[2]
        else:
            yield from add(item[0], item[2])
    yield from said.records(piece)


class _Captions:
    """All captions of a file, to be brought together by their pictures.

    They are held by columns: millions of small objects would keep Python's collector busy.
    """

    def __init__(self, store: PictureStore, names: Mapping[object, object]) -> None:
        """
        Args:
            names: the pictures' file names by their ids.
        """
        self._store, self._names = store, names
        self._number: dict[object, int] = {}
        """By the id of a picture."""
        self._pictures: list[Picture] = []
        self._ids: list[str] = []
        self._texts: list[str] = []
        self._positions = array("q")
        self._picture_of = array("q")

    def add(self, position: int, value: Mapping[str, object]) -> None:
        """Takes up a caption. Raises `BadRecord` or `BadImage` where it cannot be used."""
        source_id = identifier(cell(value, "id"), "id")
        text = caption_text(cell(value, "caption"), "caption")
        image = cell(value, "image_id")
        if type(image) not in _ID_TYPES or image not in self._names:
            raise BadRecord(f"no image with the id {shown(image)} in the list `images`")
        if image not in self._number:
            self._take_up({image: _picture(self._store, self._names[image], "file_name")})
        self._ids.append(source_id)
        self._texts.append(text)
        self._positions.append(position)
        self._picture_of.append(self._number[image])

    def add_all(self, together: Together) -> bool:
        """Takes up captions if all can be used; false, and none is taken up, if one cannot, or may not."""
        odd: Odd = set()
        numbers, texts, images = together.columns
        ids, captions = identifiers(numbers, odd), caption_texts(texts, odd)
        if odd or not set(map(type, images)) <= _ID_TYPES:
            return False
        new = [image for image in dict.fromkeys(images) if image not in self._number]
        names = only_texts([self._names.get(image) for image in new], odd)
        pictures = self._store.pictures(names, odd)
        if odd:
            return False
        self._take_up(dict(zip(new, pictures, strict=True)))
        self._ids += ids
        self._texts += captions
        self._positions.extend(together.positions)
        self._picture_of.extend(map(self._number.__getitem__, images))
        return True

    def _take_up(self, pictures: Mapping[object, Picture]) -> None:
        self._number.update(zip(pictures, count(len(self._pictures))))
        self._pictures += pictures.values()

    def records(self, piece: Piece) -> Iterator[Captioned]:
        """A record for each picture, in the order of their first captions."""
        picture_of = np.frombuffer(self._picture_of, np.int64)
        # Pictures were taken up in the order of their first captions.
        order = np.argsort(picture_of, kind="stable")
        sizes = np.bincount(picture_of).tolist() if order.size else []
        ids = map(self._ids.__getitem__, order.tolist())
        texts = map(self._texts.__getitem__, order.tolist())
        captions = zip(ids, texts, strict=True)
        firsts = order[np.cumsum([0, *sizes])[:-1]].tolist()
        for picture, size, first in zip(self._pictures, sizes, firsts, strict=True):
            yield Captioned(
                piece.place("byte", self._positions[first]), picture, tuple(islice(captions, size))
            )


def _add_name(names: dict[object, object], value: dict[str, object]) -> None:
    """Takes up a picture's file name. Raises `BadRecord` where it has another one, or no id."""
    if type(value.get("id")) not in _ID_TYPES:
        raise BadRecord(f"image with the id {shown(value.get('id'))}, must be a whole number")
    name = names.setdefault(value["id"], value.get("file_name"))
    if name != value.get("file_name"):
        told = f"a second picture with the id {value['id']}, {shown(value.get('file_name'))}"
        raise BadRecord(f"{told}; {shown(name)} is the first")


def _karpathy(
    source: CocoSource, store: PictureStore, place: Place, value: dict[str, object]
) -> Iterator[Record | Reject]:
    """All captions of an image; none at all if the recipe leaves its split out."""
    try:
        split = cell(value, "split")
        if split not in SPLITS:
            raise BadRecord(f"split {shown(split)} is none of {', '.join(SPLITS)}")
        if split not in (source.splits or ()):
            return
        name, inside = cell(value, "filename"), value.get("filepath")
        picture = _picture(
            store, f"{inside}/{name}" if inside and isinstance(name, str) else name, "filename"
        )
        sentences = cell(value, "sentences")
        if not isinstance(sentences, list) or not sentences:
            raise BadRecord("no sentences")
    except Unusable as error:
        yield _rejected(source, place, place.id, error, value)
        return
    captions = []
    faults = []
    for index, sentence in enumerate(sentences):
        source_id = f"{place.id}#{index}"
        try:
            if not isinstance(sentence, dict):
                raise BadRecord(f"sentence {index} is {kind(sentence)}, must be an object")
            source_id = identifier(cell(sentence, "sentid"), "sentid")
            captions.append((source_id, caption_text(cell(sentence, "raw"), f"raw of sentence {index}")))
        except BadRecord as error:
            faults.append(_rejected(source, place, source_id, error, sentence, picture.image_id))
    if captions:
        yield Captioned(place, picture, tuple(captions))
    yield from faults


def _rejected(
    source: CocoSource,
    place: Place,
    source_id: str,
    error: ValueError,
    value: object,
    image: str | None = None,
) -> Reject:
    return reject(source.name, source.tasks[0], place, source_id, fault(error), json_text(value), image)


def _picture(store: PictureStore, name: object, key: str) -> Picture:
    if not isinstance(name, str):
        raise BadRecord(f"`{key}` of its image is {kind(name)}, must be text")
    return store.picture(name)
