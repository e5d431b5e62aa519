"""COCO captions: the official layout (`images`, `annotations`) and Karpathy's (`images[].sentences`)."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice, repeat
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from pipelines.examples import Reject
from pipelines.recipe import Recipe
from pipelines.recipe_sources import CocoSource
from pipelines.records import Captioned, Picture, Place, Record
from pipelines.sources.columns import Odd, caption_texts, identifiers, only_texts
from pipelines.sources.json_lines import Columns, Together
from pipelines.sources.json_lists import Passed
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

_PICTURES = 2_000
"""Of which records are made together."""

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
    images = _Images(store)
    passed: Passed = {}
    items = list_objects_together(source, piece, file, Columns(("id", "file_name")), "images", passed)
    yield from _taken_up(source, piece, items, images)
    said = _Captions(images)
    columns = Columns(("id", "caption", "image_id"))
    items = list_objects_together(source, piece, file, columns, "annotations", passed)
    yield from _taken_up(source, piece, items, said)
    yield from said.records(piece)


def _taken_up(
    source: CocoSource,
    piece: Piece,
    items: Iterator[tuple[int, str | None, dict[str, object] | Reject] | Together],
    held: _Images | _Captions,
) -> Iterator[Reject]:
    """The rejects of a list, of which all else is held."""
    for item in items:
        if isinstance(item, Together):
            if held.add_all(item):
                continue
            found = [(position, item.record(at)) for at, position in enumerate(item.positions)]
        elif isinstance(item[2], Reject):
            yield item[2]
            continue
        else:
            found = [(item[0], item[2])]
        for position, value in found:
            try:
                held.add(position, value)
            except Unusable as error:
                yield rejected(source, piece.place("byte", position), value, "id", error)


class _Images:
    """The list `images`: the pictures of a file by their ids."""

    def __init__(self, store: PictureStore) -> None:
        self._store = store
        self.numbers: dict[object, int] = {}
        """Of each id; what else is held, by these numbers."""
        self._names: list[object] = []
        self.pictures: list[Picture] = []
        self.unusable: Odd = set()

    def add(self, position: int, value: Mapping[str, object]) -> None:
        """Takes up a picture. Raises `BadRecord` where it has no id, or another one has its."""
        number, name = value.get("id"), value.get("file_name")
        if type(number) not in _ID_TYPES:
            raise BadRecord(f"image with the id {shown(number)}, must be a whole number")
        if number not in self.numbers:
            self._take_up([number], [name])
        elif name != self._names[self.numbers[number]]:
            first = shown(self._names[self.numbers[number]])
            raise BadRecord(f"a second picture with the id {number}, {shown(name)}; {first} is the first")

    def add_all(self, together: Together) -> bool:
        """Takes up pictures; false, and none is taken up, where one must be looked at alone."""
        ids, names = together.columns
        if not set(map(type, ids)) <= _ID_TYPES:
            return False
        if len(set(ids)) < len(ids) or not self.numbers.keys().isdisjoint(ids):
            return False
        self._take_up(ids, names)
        return True

    def _take_up(self, ids: Sequence[object], names: Sequence[object]) -> None:
        start, odd = len(self._names), Odd()
        self.numbers.update(zip(ids, count(start)))
        self._names += names
        self.pictures += self._store.pictures(only_texts(names, odd), odd)
        self.unusable.update(start + at for at in odd)

    def number(self, image: object) -> int:
        """The number of a picture. Raises `BadRecord` or `BadImage` where there is none of that id."""
        number = self.numbers.get(image) if type(image) in _ID_TYPES else None
        if number is None:
            raise BadRecord(f"no image with the id {shown(image)} in the list `images`")
        if number in self.unusable:
            _picture(self._store, self._names[number], "file_name")
        return number


class _Captions:
    """The list `annotations`: all captions of a file, to be brought together by their pictures.

    They are held by columns: millions of small objects would keep Python's collector busy.
    """

    def __init__(self, images: _Images) -> None:
        self._images = images
        self._texts: list[str] = []
        self._numbers = array("q")
        """Their ids."""
        self._ids: dict[int, str] = {}
        """Those that are no numbers, by the places of their captions."""
        self._positions = array("q")
        self._images_of = array("q")

    def add(self, position: int, value: Mapping[str, object]) -> None:
        """Takes up a caption. Raises `BadRecord` or `BadImage` where it cannot be used."""
        source_id = identifier(cell(value, "id"), "id")
        text = caption_text(cell(value, "caption"), "caption")
        image = self._images.number(cell(value, "image_id"))
        self._ids[len(self._texts)] = source_id
        self._take_up([text], [0], [position], [image])

    def add_all(self, together: Together) -> bool:
        """Takes up captions if all can be used; false, and none is taken up, if one cannot, or may not."""
        odd: Odd = set()
        ids, texts, images = together.columns
        are_numbers = set(map(type, ids)) == {int} and min(ids) >= -(2**63) and max(ids) < 2**63
        named = [] if are_numbers else identifiers(ids, odd)
        captions = caption_texts(texts, odd)
        if odd or not set(map(type, images)) <= _ID_TYPES:
            return False
        try:
            numbers = list(map(self._images.numbers.__getitem__, images))
        except KeyError:
            return False
        if not self._images.unusable.isdisjoint(numbers):
            return False
        self._ids.update(zip(count(len(self._texts)), named))
        self._take_up(captions, ids if are_numbers else [0] * len(ids), together.positions, numbers)
        return True

    def _take_up(self, texts: Sequence[str], ids: list[int], positions: list[int], images: list[int]) -> None:
        self._texts += texts
        self._numbers.fromlist(ids)
        self._positions.fromlist(positions)
        self._images_of.fromlist(images)

    def records(self, piece: Piece) -> Iterator[Captioned]:
        """A record for each picture, in the order of their first captions."""
        images_of, positions = (
            np.frombuffer(self._images_of, np.int64),
            np.frombuffer(self._positions, np.int64),
        )
        if not images_of.size:
            return
        # Of a picture's captions the first one is written last.
        first = np.zeros(len(self._images.pictures), np.int64)
        first[images_of[::-1]] = np.arange(images_of.size - 1, -1, -1)
        # Keys are all different, so that any way to sort them will do.
        keys = (first[images_of] << 32) + np.arange(images_of.size)
        keys.sort()
        order, firsts = keys & 0xFFFF_FFFF, keys >> 32
        begins = np.flatnonzero(np.diff(firsts, prepend=-1))
        for start in range(0, begins.size, _PICTURES):
            some = np.append(begins, order.size)[start : start + _PICTURES + 1]
            captions = self._captions(order[some[0] : some[-1]])
            said = [tuple(islice(captions, size)) for size in np.diff(some).tolist()]
            heads = order[some[:-1]]
            pictures = map(self._images.pictures.__getitem__, images_of[heads].tolist())
            at = positions[heads].tolist()
            yield from map(
                Captioned,
                map(Place, repeat(piece.label), repeat("byte"), at, repeat(piece.stem)),
                pictures,
                said,
            )

    def _captions(self, order: npt.NDArray[np.int64]) -> Iterator[tuple[str, str]]:
        """Id and text of captions."""
        places = order.tolist()
        ids = list(map(str, np.frombuffer(self._numbers, np.int64)[order].tolist()))
        if self._ids:
            ids = [self._ids.get(place, one) for place, one in zip(places, ids, strict=True)]
        return zip(ids, map(self._texts.__getitem__, places), strict=True)


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
