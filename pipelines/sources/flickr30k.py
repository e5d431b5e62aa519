"""Flickr30k's captions in the layouts that they come in: token file, Kaggle's table, IGLUE, Entities.

1000092795.jpg#0<tab>Two young guys ...                          results_20130124.token
1000092795.jpg| 0| Two young guys ...                            results.csv
{"sentences": ["Two young guys ..."], "img_path": "....jpg"}     IGLUE's JSON lines
[/EN#1/people Two young guys] ...                                Entities, one file per picture
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from itertools import chain, compress, islice, pairwise, repeat
from operator import ne
from typing import BinaryIO, Literal

from pipelines.examples import Reject
from pipelines.recipe import Recipe
from pipelines.recipe_sources import Flickr30kSource
from pipelines.records import Captioned, Picture, Place, Record
from pipelines.sources.columns import Odd, caption_texts
from pipelines.sources.line_blocks import BOM, Block, blocks
from pipelines.sources.lines import (
    HEAD,
    byte_ranges,
    json_objects,
    line_text,
    opened,
    plain_files,
    rejected,
    rejected_line,
)
from pipelines.sources.pictures import PictureStore, picture_store
from pipelines.sources.pieces import Piece, whole_files
from pipelines.sources.records import Unusable, fault, reject
from pipelines.sources.values import BadRecord, caption_text, cell, identifier, kind

PIECE_FILES = 2_000
"""Of Entities, with one file per picture, in one piece."""

_Layout = Literal["token", "kaggle", "iglue", "entities"]

_TOKEN = re.compile(r"([^\t#]+)#([0-9]{1,9})(?:\t(.*))?", re.DOTALL)
_KAGGLE = re.compile(r"([^|]+)\|\s*([0-9]{1,9})\s*\|(.*)", re.DOTALL)
_KAGGLE_HEADER = re.compile(r"image_name\s*\|\s*comment_number\s*\|\s*comment\s*")
_TOKEN_LINE = re.compile(r"^([^\s#]+)#(0|[1-9][0-9]{0,8})\t(.*)$", re.MULTILINE)
_KAGGLE_LINE = re.compile(r"^([^\s|]+)\| *(0|[1-9][0-9]{0,8}) *\| *(.*)$", re.MULTILINE)
"""A line of the common kind."""
_ENTITY = re.compile(r"\[/EN#[0-9]+(?:/[^\s\]/]+)+ ([^\[\]]*)\]")


def pieces(recipe: Recipe, index: int, source: Flickr30kSource) -> list[Piece]:
    """Byte ranges of IGLUE's files, whole files with a line per caption, 2,000 files a piece of Entities.

    A piece of Entities has the numbers of its files as `start` and `end`.

    Raises:
        SettingsError: a file is in none of the layouts, or a glob mixes Entities with others.
    """
    found: list[Piece] = []
    entities = 0
    for number, (piece, head) in enumerate(plain_files(recipe, index)):
        key = ("sources", index, source.main)
        layout = _layout(piece, head)
        if layout is None:
            raise recipe.error(key, f"{piece.label} {_other_layout(head)}")
        entities += layout == "entities"
        if entities not in (0, number + 1):
            raise recipe.error(key, f"{piece.label} is in another layout than the files before it")
        if layout == "iglue":
            found.extend(byte_ranges(piece))
        elif layout != "entities" or number % PIECE_FILES == 0:
            found.append(piece)
    if entities:
        return [
            dataclasses.replace(piece, start=start, end=min(start + PIECE_FILES, entities))
            for piece, start in zip(found, range(0, entities, PIECE_FILES), strict=True)
        ]
    return found


def _layout(piece: Piece, head: bytes) -> _Layout | None:
    """How the captions of a file are written, by how it starts."""
    text = head.decode(errors="replace").lstrip()
    line = text.partition("\n")[0].rstrip()
    if text.startswith("{"):
        return None if re.match(r'\{\s*"(?:images|dataset|info)"', text) else "iglue"
    if "\t" in line and _TOKEN.fullmatch(line):
        return "token"
    if _KAGGLE_HEADER.fullmatch(line):
        return "kaggle"
    is_number = re.search(r"(?:^|/)[0-9]+\.txt$", piece.path, re.ASCII) is not None
    return "entities" if is_number or "[/EN#" in line else None


def _other_layout(head: bytes) -> str:
    if head.lstrip().startswith(b"{"):
        return "is in the layout of Karpathy or COCO; read it with `format: coco`"
    start = head.decode(errors="replace").lstrip()[:60]
    return (
        f"starts with {start!r}; must be `NAME.jpg#0<tab>CAPTION`, a header `image_name| comment_number| "
        "comment`, JSON lines with `sentences`, or Entities' `NUMBER.txt`"
    )


def read(recipe: Recipe, source: Flickr30kSource, piece: Piece) -> Iterator[Record | Reject]:
    """One record per picture where its lines stand together, as they do in all layouts."""
    store = picture_store(recipe.source_path(source.images))
    with opened(piece) as file:
        layout = _layout(piece, file.read(HEAD).removeprefix(BOM))
        if layout == "iglue":
            for place, value in json_objects(source, piece, file):
                yield from _of_object(source, store, place, value)
        elif layout != "entities":
            yield from _of_lines(source, store, _entries(source, store, piece, file, layout == "token"))
    if layout == "entities":
        files = recipe.source_files(piece.source)[piece.start : piece.end]
        for one in whole_files(recipe, piece.source, files):
            with opened(one) as file:
                yield from _of_lines(source, store, _entities(source, one, file))


def _of_object(
    source: Flickr30kSource, store: PictureStore, place: Place, value: dict[str, object] | Reject
) -> Iterator[Record | Reject]:
    if isinstance(value, Reject):
        yield value
        return
    try:
        name = value.get("img_path")
        if name is None:
            name = f"{identifier(cell(value, 'id'), 'id')}.jpg"
        if not isinstance(name, str):
            raise BadRecord(f"`img_path` is {kind(name)}, must be the name of a picture")
        sentences = cell(value, "sentences")
        if not isinstance(sentences, list) or not sentences:
            raise BadRecord(f"`sentences` is {kind(sentences)}, must be a list with captions")
        store.picture(name)
    except Unusable as error:
        yield rejected(source, place, value, "id", error)
        return
    entries: list[_Entry | Reject] = []
    for number, sentence in enumerate(sentences):
        if isinstance(sentence, str):
            entries.append(_Entry(place, name, number, sentence, sentence))
        else:
            fault = BadRecord(f"caption {number} of `sentences` is {kind(sentence)}, must be text")
            entries.append(rejected(source, place, value, "id", fault))
    yield from _of_lines(source, store, iter(entries))


@dataclasses.dataclass(frozen=True, slots=True)
class _Entry:
    """One caption as a file has it."""

    place: Place
    name: str
    number: int
    text: str
    raw: str


_Entries = Iterator[_Entry | Reject | list[Captioned]]
"""Captions of one picture after the other, or what was made of all captions of some pictures."""


def _entries(
    source: Flickr30kSource, store: PictureStore, piece: Piece, file: BinaryIO, token: bool
) -> _Entries:
    """The captions of a token file or of Kaggle's table."""
    for block in blocks(file, 0, piece.end):
        yield from _of_block(source, store, piece, block, token)


def _of_block(
    source: Flickr30kSource, store: PictureStore, piece: Piece, block: Block, token: bool
) -> _Entries:
    """What the lines of a block say.

    Where all are of the common kind, the pictures between the first and the last one, whose captions may go
    on in other blocks, are made together.
    """
    found = (_TOKEN_LINE if token else _KAGGLE_LINE).findall(block.decoded() or "")
    names = [name for name, _, _ in found]
    starts = block.starts()
    firsts = [0, *compress(range(1, len(names)), map(ne, names[1:], names))]
    made = None
    if len(found) == len(starts) and len(firsts) > 2:
        made = _together(store, piece, found, firsts[1:], (block.offset + starts).tolist())
    if made is None:
        yield from _one_by_one(source, piece, block, token)
        return
    middle, last = int(starts[firsts[1]]), int(starts[firsts[-1]])
    yield from _one_by_one(source, piece, Block(block.offset, block.text[:middle]), token)
    yield made
    yield from _one_by_one(source, piece, Block(block.offset + last, block.text[last:]), token)


def _together(
    store: PictureStore,
    piece: Piece,
    lines: Sequence[tuple[str, str, str]],
    firsts: Sequence[int],
    positions: Sequence[int],
) -> list[Captioned] | None:
    """The pictures of lines of the common kind; None where something must be looked at alone.

    Args:
        lines: name, number and caption of each.
        firsts: numbers of the lines that begin a picture, and last of the one behind the last picture.
    """
    odd: Odd = set()
    pictures = store.pictures([lines[first][0] for first in firsts[:-1]], odd)
    _, numbers, written = zip(*lines[firsts[0] : firsts[-1]], strict=True)
    captions = caption_texts(written, odd)
    sizes = [end - start for start, end in pairwise(firsts)]
    images = chain.from_iterable(map(repeat, [picture.image_id for picture in pictures], sizes))
    ids = [f"{image}#{number}" for image, number in zip(images, numbers, strict=True)]
    if odd or len(set(ids)) < len(ids):
        return None
    pairs = zip(ids, captions, strict=True)
    said = [tuple(islice(pairs, size)) for size in sizes]
    begins = [positions[first] for first in firsts[:-1]]
    places = map(Place, repeat(piece.label), repeat("byte"), begins, repeat(piece.stem))
    return list(map(Captioned, places, pictures, said))


def _one_by_one(
    source: Flickr30kSource, piece: Piece, block: Block, token: bool
) -> Iterator[_Entry | Reject]:
    pattern, form = (
        (_TOKEN, "`NAME.jpg#NUMBER<tab>CAPTION`") if token else (_KAGGLE, "`NAME.jpg| NUMBER| CAPTION`")
    )
    for offset, line, size in block.lines():
        place = piece.place("byte", offset)
        try:
            text = line_text(line, offset, size)
            found = pattern.fullmatch(text)
            if found is not None:
                yield _Entry(place, found[1].strip(), int(found[2]), found[3] or "", text)
            elif token or not _KAGGLE_HEADER.fullmatch(text):
                raise BadRecord(f"is not of the form {form}")
        except BadRecord as error:
            yield rejected_line(source, place, line, error)


def _entities(source: Flickr30kSource, piece: Piece, file: BinaryIO) -> Iterator[_Entry | Reject]:
    """The captions of a file of Entities, without the marks."""
    name = f"{piece.path.rpartition('/')[2].removesuffix('.txt')}.jpg"
    lines = chain.from_iterable(block.lines() for block in blocks(file, 0, piece.end))
    number = -1
    for number, (offset, line, size) in enumerate(lines):
        place = piece.place("byte", offset)
        try:
            raw = line_text(line, offset, size)
            text = _ENTITY.sub(r"\1", raw)
            if "[/EN#" in text:
                raise BadRecord("has a mark `[/EN#` that is not of the form `[/EN#NUMBER/KIND WORDS]`")
            yield _Entry(place, name, number, text, raw)
        except BadRecord as error:
            yield rejected_line(source, place, line, error)
    if number < 0:
        yield rejected_line(source, piece.place("byte", 0), b"", BadRecord("no captions in the file"))


def _of_lines(source: Flickr30kSource, store: PictureStore, entries: _Entries) -> Iterator[Record | Reject]:
    """The captions of each picture together; rejects follow the picture that they stand behind or in."""
    held: list[_Entry | Reject] = []
    name: str | None = None
    for entry in entries:
        if isinstance(entry, list):
            yield from _of_picture(source, store, held)
            yield from entry
            held, name = [], None
            continue
        if isinstance(entry, _Entry) and entry.name != name:
            yield from _of_picture(source, store, held)
            held, name = [], entry.name
        held.append(entry)
    yield from _of_picture(source, store, held)


def _of_picture(
    source: Flickr30kSource, store: PictureStore, entries: list[_Entry | Reject]
) -> Iterator[Record | Reject]:
    """The captions of one picture, and the rejects among them."""
    rejects: list[Reject] = []
    captions: dict[str, str] = {}
    place: Place | None = None
    picture: Picture | None = None
    for entry in entries:
        if isinstance(entry, Reject):
            rejects.append(entry)
            continue
        failed = entry.place.id
        try:
            picture = picture or store.picture(entry.name)
            failed = f"{picture.image_id}#{entry.number}"
            if failed in captions:
                raise BadRecord(f"number {entry.number} of {entry.name} stands there twice")
            captions[failed] = caption_text(entry.text, f"caption {entry.number}")
            place = place or entry.place
        except Unusable as error:
            rejects.append(reject(source.name, source.tasks[0], entry.place, failed, fault(error), entry.raw))
    if place is not None and picture is not None:
        yield Captioned(place, picture, tuple(captions.items()))
    yield from rejects
