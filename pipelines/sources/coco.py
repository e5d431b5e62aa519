"""COCO captions, streamed: the official layout (`annotations`) and Karpathy's (`images[].sentences`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import ijson

from pipelines.examples import TRUNCATED, Example, Reject, Text
from pipelines.images import BadImage
from pipelines.recipe import CocoSource, Recipe
from pipelines.sources.pieces import Piece, SourceError, images_folder, picture_in, whole_files
from pipelines.sources.records import BadRecord, Picture, Place, clean_text, identifier, kind, reject

_CHUNK = 64 * 1024
"""Bytes parsed at a time."""


class _BrokenJson(ValueError):
    """The file stops being JSON; `position` is the first byte that does not belong."""

    def __init__(self, position: int, cause: str) -> None:
        self.position = position
        super().__init__(cause)


def pieces(recipe: Recipe, index: int, source: CocoSource) -> list[Piece]:
    """The one file as one piece: JSON can only be read from its start.

    Raises:
        RecipeError: `splits` is missing for Karpathy's layout, or set for the official one.
    """
    (piece,) = whole_files(recipe, index)
    key = ("sources", index, "splits")
    karpathy = False
    with open(piece.path, "rb") as file, suppress(_BrokenJson):
        first = next(_items(file, "images"), None)
        karpathy = isinstance(first, dict) and "sentences" in first
        if karpathy and source.splits is None:
            remedy = f"{piece.label} has splits, tell which to read: `splits: [train, restval]`"
            raise recipe.error(key, remedy)
        if first is not None and not karpathy and source.splits is not None:
            raise recipe.error(
                key, f"{piece.label} is in the official layout, which has no splits; take the key out"
            )
    return [piece]


def read(recipe: Recipe, source: CocoSource, piece: Piece) -> Iterator[Example | Reject]:
    """One example per caption; where the JSON breaks off, one reject says so after all that came before."""
    folder = images_folder(recipe, source, piece)
    try:
        with open(piece.path, "rb") as file:
            try:
                yield from _examples(source, piece, folder, file)
            except _BrokenJson as error:
                place = piece.place("byte", error.position)
                file.seek(max(error.position - 1_000, 0))
                raw = file.read(1_000 + 500).decode("utf-8", errors="replace")
                reason = f"no JSON, nothing after this position could be read: {error}"
                rejected = reject(source.name, source.task, place, place.id, reason, raw)
                # Its own short name, by which the run tells that more than one record is missing.
                yield replace(rejected, reason=rejected.reason.replace("source:", f"{TRUNCATED}:", 1))
    except OSError as error:
        raise SourceError(f"{piece.path}: cannot be read on: {error.strerror or error}") from error


def _examples(source: CocoSource, piece: Piece, folder: Path, file: BinaryIO) -> Iterator[Example | Reject]:
    number = -1
    if source.splits is not None:
        for number, image in enumerate(_items(file, "images")):
            yield from _karpathy(source, piece.place("image", number), folder, image)
    else:
        names: dict[object, object] = {}
        with suppress(_BrokenJson):
            # The pass over the annotations meets the same fault and reports it.
            for image in _items(file, "images"):
                if isinstance(image, dict) and isinstance(image.get("id"), (int, str)):
                    names.setdefault(image["id"], image.get("file_name"))
        for number, annotation in enumerate(_items(file, "annotations")):
            yield _official(source, piece.place("annotation", number), folder, names, annotation)
    if number < 0:
        wanted = "annotations" if source.splits is None else "images"
        place = piece.place("byte", 0)
        yield reject(source.name, source.task, place, place.id, f"no list `{wanted}`, or an empty one", "")


def _official(
    source: CocoSource, place: Place, folder: Path, names: dict[object, object], annotation: object
) -> Example | Reject:
    source_id = place.id
    try:
        record = _mapping(annotation, "annotation")
        source_id = identifier(_value(record, "id"), "id")
        image = _value(record, "image_id")
        if not isinstance(image, (int, str)) or image not in names:
            raise BadRecord(f"no image with the id {image!r} in the list `images`")
        picture = _picture(folder, names[image], "file_name")
        return _example(source, source_id, picture, clean_text(_value(record, "caption"), "caption"))
    except (BadRecord, BadImage) as error:
        return _reject(source, place, source_id, error, annotation)


def _karpathy(source: CocoSource, place: Place, folder: Path, image: object) -> Iterator[Example | Reject]:
    """All captions of an image; none at all if the recipe leaves its split out."""
    try:
        record = _mapping(image, "image")
        split = _value(record, "split")
        if split not in ("train", "restval", "val", "test"):
            raise BadRecord(f"split {split!r} is none of train, restval, val, test")
        if split not in (source.splits or ()):
            return
        name = _value(record, "filename")
        inside = record.get("filepath")
        picture = _picture(
            folder, f"{inside}/{name}" if inside and isinstance(name, str) else name, "filename"
        )
        sentences = _value(record, "sentences")
        if not isinstance(sentences, list) or not sentences:
            raise BadRecord("no sentences")
    except (BadRecord, BadImage) as error:
        yield _reject(source, place, place.id, error, image)
        return
    for index, sentence in enumerate(sentences):
        source_id = f"{place.id}#{index}"
        try:
            caption = _mapping(sentence, f"sentence {index}")
            source_id = identifier(_value(caption, "sentid"), "sentid")
            text = clean_text(_value(caption, "raw"), f"raw of sentence {index}")
            yield _example(source, source_id, picture, text)
        except BadRecord as error:
            yield _reject(source, place, source_id, error, sentence, picture.image_id)


def _example(source: CocoSource, source_id: str, picture: Picture, caption: str) -> Example:
    return Example(
        source.name, source_id, source.task, picture.locator, picture.image_id, None, Text(caption)
    )


def _reject(
    source: CocoSource,
    place: Place,
    source_id: str,
    error: ValueError,
    record: object,
    image: str | None = None,
) -> Reject:
    what = "image: " if isinstance(error, BadImage) else ""
    raw = json.dumps(record, ensure_ascii=False, default=str)
    return reject(source.name, source.task, place, source_id, f"{what}{error}", raw, image)


def _mapping(value: object, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise BadRecord(f"{what} is {kind(value)}, must be an object")
    return value


def _value(record: dict[str, object], key: str) -> object:
    if record.get(key) is None:
        raise BadRecord(f"no `{key}`")
    return record[key]


def _picture(folder: Path, name: object, key: str) -> Picture:
    if not isinstance(name, str):
        raise BadRecord(f"`{key}` of its image is {kind(name)}, must be text")
    return picture_in(folder, name)


def _items(file: BinaryIO, name: str) -> Iterator[Any]:
    """The items of the top-level list `name`, as they are parsed.

    Raises:
        _BrokenJson: after the last item before the fault.
    """
    items = ijson.sendable_list()
    parser = ijson.items_coro(items, f"{name}.item")
    for start, chunk in _chunks(file):
        try:
            if chunk:
                parser.send(chunk)
            else:
                parser.close()
        except (ijson.JSONError, ValueError, ArithmeticError) as error:
            # ValueError and ArithmeticError: numbers beyond what Python reads.
            yield from items
            raise _BrokenJson(_fault(file, start), _cause(error)) from error
        yield from items
        del items[:]


def _chunks(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes from the start of the file without a byte order mark; an empty chunk at its end."""
    file.seek(0)
    if file.read(3) != b"\xef\xbb\xbf":
        file.seek(0)
    while True:
        start = file.tell()
        chunk = file.read(_CHUNK)
        yield start, chunk
        if not chunk:
            return


def _fault(file: BinaryIO, failed: int) -> int:
    """The first byte that is no JSON; parses the chunk at `failed`, where it lies, byte by byte."""
    parser = ijson.basic_parse_coro(_Nowhere())
    for start, chunk in _chunks(file):
        if start < failed:
            parser.send(chunk)
            continue
        for position in range(len(chunk)):
            try:
                parser.send(chunk[position : position + 1])
            except (ijson.JSONError, ValueError, ArithmeticError):
                return start + position
        return start + len(chunk)
    return failed


class _Nowhere:
    """Takes parse events and drops them."""

    def send(self, event: object) -> None:
        """Drops one event."""


def _cause(error: Exception) -> str:
    """The parser's message without the excerpt that it draws below."""
    return str(error).splitlines()[0].strip() if str(error).strip() else type(error).__name__
