"""What sources of lines share: files cut into byte ranges, their lines, and JSON lines as objects."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import PurePosixPath
from typing import BinaryIO

from pipelines.examples import Reject
from pipelines.inputs import open_input
from pipelines.recipe import Recipe
from pipelines.recipe_sources import Source
from pipelines.records import Place
from pipelines.sources import json_lines
from pipelines.sources.line_blocks import BOM, MAX_LINE
from pipelines.sources.pictures import UnusableImages, picture_files
from pipelines.sources.pieces import Piece, SourceError, disk_failures, whole_files
from pipelines.sources.records import fault, reject
from pipelines.sources.values import BadRecord, cell, identifier, kind
from pipelines.store_errors import StoreError

PIECE_BYTES = 32 * 1024 * 1024
"""Of one piece: some 100,000 captions."""

HEAD = 4096
"""Bytes at the start of a file by which its kind is told."""

_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ", b"PK\x03\x04")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def plain_files(recipe: Recipe, index: int) -> Iterator[tuple[Piece, bytes]]:
    """The files of a source as whole pieces, each with its first bytes without byte order mark.

    Raises:
        SettingsError: a file is unreadable, compressed or UTF-16, or `images` cannot be used.
    """
    check_images(recipe, index)
    key = ("sources", index, recipe.sources[index].main)
    for piece in distinct_stems(whole_files(recipe, index)):
        try:
            with open_input(piece.path, HEAD) as file:
                head = file.read(HEAD)
        except OSError as error:
            raise recipe.error(key, f"{piece.label}: {error.strerror}") from error
        if head.startswith(_COMPRESSED):
            raise recipe.error(key, f"{piece.label} is compressed; unpack it first")
        if head.startswith(_UTF_16):
            remedy = f"{piece.label} is UTF-16, must be UTF-8; `iconv -f UTF-16 -t UTF-8` turns it into that"
            raise recipe.error(key, remedy)
        yield piece, head.removeprefix(BOM)


def check_images(recipe: Recipe, index: int) -> None:
    """That pictures can be read from what a source names as `images`. Raises `SettingsError`."""
    images: str | None = getattr(recipe.sources[index], "images", None)
    if images is not None:
        try:
            picture_files(recipe.source_path(images))
        except (UnusableImages, StoreError) as error:
            raise recipe.error(("sources", index, "images"), str(error)) from error


def distinct_stems(pieces: list[Piece]) -> list[Piece]:
    """The pieces of whole files, with suffixes in their stems where else two of them would be equal; and with
    a digest of the file's place where that does not help: `x.a.jsonl` beside `x/a.jsonl`.
    """
    if len({piece.stem for piece in pieces}) == len(pieces):
        return pieces
    longer = [piece.stem + PurePosixPath(piece.path).suffix for piece in pieces]
    counts = Counter(longer)
    stems = [
        stem
        if counts[stem] == 1
        else f"{stem}-{hashlib.blake2b(piece.label.encode(), digest_size=4).hexdigest()}"
        for stem, piece in zip(longer, pieces, strict=True)
    ]
    return [dataclasses.replace(piece, stem=stem) for stem, piece in zip(stems, pieces, strict=True)]


def byte_ranges(piece: Piece) -> Iterator[Piece]:
    """A file's ranges of at most `PIECE_BYTES`; a line belongs to the range that it starts in."""
    for start in range(0, max(piece.end, 1), PIECE_BYTES):
        yield dataclasses.replace(piece, start=start, end=min(start + PIECE_BYTES, piece.end))


def json_line_pieces(recipe: Recipe, index: int) -> list[Piece]:
    """The byte ranges of a source's files of JSON lines. Raises `SettingsError` as `json_line_files`."""
    return [part for piece, _ in json_line_files(recipe, index) for part in byte_ranges(piece)]


def json_line_files(recipe: Recipe, index: int) -> Iterator[tuple[Piece, bytes]]:
    """A source's files of JSON lines as whole pieces, with their first bytes.

    Raises:
        SettingsError: as `plain_files`, or a file is one JSON list and no lines.
    """
    for piece, head in plain_files(recipe, index):
        if head.lstrip().startswith(b"["):
            remedy = f"{piece.label} is one JSON list, not a line per record"
            if recipe.sources[index].format == "jsonl":
                remedy += "; `format: json` reads it"
            else:
                remedy += "; `jq -c '.[]'` turns it into lines"
            raise recipe.error(("sources", index, recipe.sources[index].main), remedy)
        yield piece, head


@contextmanager
def opened(piece: Piece) -> Iterator[BinaryIO]:
    """The file of a piece, to be read within; a failure of the disk or an archive is a `SourceError`."""
    try:
        with disk_failures(piece), open_input(piece.path) as file:
            yield file
    except UnusableImages as error:
        raise SourceError(str(error)) from error


def json_objects(
    source: Source, piece: Piece, file: BinaryIO
) -> Iterator[tuple[Place, dict[str, object] | Reject]]:
    """The objects of the JSON lines that start in the piece; a line that is none is a reject."""
    for offset, value in json_lines.lines(file, piece.start, piece.end):
        place = piece.place("byte", offset)
        yield place, json_object(source, place, value)


def json_objects_together(
    source: Source, piece: Piece, file: BinaryIO, columns: json_lines.Columns
) -> Iterator[tuple[Place, dict[str, object] | Reject] | json_lines.Together]:
    """The same objects as of `json_objects`, many of them together."""
    for found in json_lines.lines_together(file, piece.start, piece.end, columns):
        if isinstance(found, json_lines.Together):
            yield found
        else:
            place = piece.place("byte", found[0])
            yield place, json_object(source, place, found[1])


def json_object(source: Source, place: Place, value: object) -> dict[str, object] | Reject:
    """A value of JSON, which is a reject where it is no object."""
    if isinstance(value, dict):
        return value
    if isinstance(value, json_lines.Broken):
        return reject(source.name, source.tasks[0], place, place.id, value.reason, value.raw)
    why = f"is {kind(value)}, must be an object"
    return reject(source.name, source.tasks[0], place, place.id, why, json_text(value))


def first_lines(file: BinaryIO, number: int | None = None) -> Iterator[dict[str, object]]:
    """Those among the first JSON lines of a file, or all of them, that are objects."""
    for _, value in islice(json_lines.lines(file, 0, 2**62), number):
        if isinstance(value, dict):
            yield value


def rejected(
    source: Source, place: Place, value: dict[str, object], id_key: str, error: ValueError
) -> Reject:
    """The reject of an object of a data set's own layout, by its id where that is one."""
    source_id = place.id
    with suppress(BadRecord):
        source_id = identifier(cell(value, id_key), id_key)
    return reject(source.name, source.tasks[0], place, source_id, fault(error), json_text(value))


def rejected_line(source: Source, place: Place, line: bytes, error: BadRecord) -> Reject:
    """The reject of a line that is no record."""
    raw = line[:8_000].decode(errors="replace")
    return reject(source.name, source.tasks[0], place, place.id, str(error), raw)


def line_text(line: bytes, offset: int, size: int) -> str:
    """The text of a line as `Block.lines` gives it. Raises `BadRecord`: it is too long, or no UTF-8."""
    if size > MAX_LINE:
        raise BadRecord(f"line of {size:,} bytes, at most {MAX_LINE:,}")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        bad = f"0x{line[error.start]:02x}"
        raise BadRecord(f"no UTF-8 at byte {offset + error.start} ({bad})") from error


def json_text(value: object) -> str:
    """A value that was read from JSON as text, for rejects."""
    return json.dumps(value, ensure_ascii=False, default=str)
