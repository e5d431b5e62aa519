"""JSON lines, one object each. Files are read in byte ranges, so positions and made-up ids are offsets."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from pipelines.examples import Example, Reject
from pipelines.recipe import JsonlSource, Recipe
from pipelines.sources.pieces import Piece, SourceError, images_folder, picture_in, whole_files
from pipelines.sources.records import BadRecord, Picture, kind, record_examples, reject

PIECE_BYTES = 32 * 1024 * 1024
"""Of one piece: some 100,000 captions."""

MAX_LINE = 10 * 1024 * 1024
"""Bytes of a line; a longer one is skipped without being held in memory."""

_BOM = b"\xef\xbb\xbf"


def pieces(recipe: Recipe, index: int, source: JsonlSource) -> list[Piece]:
    """Byte ranges of at most `PIECE_BYTES`; a line belongs to the range that it starts in.

    Raises:
        RecipeError: a file is compressed, or one JSON list and no lines.
    """
    found: list[Piece] = []
    for piece in whole_files(recipe, index):
        try:
            with open(piece.path, "rb") as file:
                head = file.read(4096).removeprefix(_BOM).lstrip()
        except OSError as error:
            raise recipe.error(("sources", index, "path"), f"{piece.label}: {error.strerror}") from error
        if head.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ", b"PK\x03\x04")):
            raise recipe.error(("sources", index, "path"), f"{piece.label} is compressed; unpack it first")
        if head.startswith(b"["):
            remedy = (
                f"{piece.label} is one JSON list, not a line per record; `jq -c '.[]'` turns it into lines"
            )
            raise recipe.error(("sources", index, "path"), remedy)
        starts = range(0, max(piece.end, 1), PIECE_BYTES)
        found.extend(
            dataclasses.replace(piece, start=start, end=min(start + PIECE_BYTES, piece.end))
            for start in starts
        )
    return found


def read(recipe: Recipe, source: JsonlSource, piece: Piece) -> Iterator[Example | Reject]:
    """The examples and rejects of the lines that start in the piece."""
    folder = images_folder(recipe, source, piece)
    try:
        with open(piece.path, "rb") as file:
            for offset, line, size in _lines(file, piece.start, piece.end):
                yield from _examples(source, piece, folder, offset, line, size)
    except OSError as error:
        raise SourceError(f"{piece.path}: cannot be read on: {error.strerror or error}") from error


def _examples(
    source: JsonlSource, piece: Piece, folder: Path, offset: int, line: bytes, size: int
) -> Iterator[Example | Reject]:
    place = piece.place("byte", offset)
    raw = partial(_raw, line)
    try:
        if size > MAX_LINE:
            raise BadRecord(f"line of {size:,} bytes, at most {MAX_LINE:,}")
        record = _record(line, offset)
    except BadRecord as error:
        yield reject(source.name, source.task, place, place.id, str(error), raw())
        return

    def picture(value: object) -> Picture:
        if not isinstance(value, str):
            raise BadRecord(
                f"column {source.column('image')!r} is {kind(value)}, must be the path of a picture"
            )
        return picture_in(folder, value)

    yield from record_examples(source, record, place, picture, raw)


def _raw(line: bytes) -> str:
    return line[:8_000].decode("utf-8", errors="replace").strip()


def _record(line: bytes, offset: int) -> dict[str, object]:
    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError as error:
        bad = line[error.start]
        raise BadRecord(f"no UTF-8 at byte {offset + error.start} (0x{bad:02x})") from error
    except json.JSONDecodeError as error:
        raise BadRecord(f"no JSON: {error.msg} at character {error.pos} of the line") from error
    except RecursionError as error:
        raise BadRecord("no usable JSON: nested too deeply") from error
    except ValueError as error:
        # A number of more than 4,300 digits.
        raise BadRecord(f"no usable JSON: {error}") from error
    if not isinstance(record, dict):
        raise BadRecord(f"is {kind(record)}, must be an object")
    return record


def _lines(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, bytes, int]]:
    """Offset, content and size of the lines that start in [start, end); of a too long one only the head."""
    if start:
        # A line that starts exactly at `start` has its predecessor's line break right before it.
        file.seek(start - 1)
        _skip_line(file)
    offset = file.tell()
    while offset < end:
        line = file.readline(MAX_LINE + 2)
        if not line:
            return
        rest = 0 if line.endswith(b"\n") else _skip_line(file)
        here, offset = offset, offset + len(line) + rest
        if here == 0:
            line, here = line.removeprefix(_BOM), here + len(_BOM) * line.startswith(_BOM)
        content = line.strip()
        if content or rest:
            yield here + len(line) - len(line.lstrip()), content, len(content) + rest


def _skip_line(file: BinaryIO) -> int:
    """Reads on to the next line without holding the rest of this one; returns the bytes read."""
    size = 0
    while chunk := file.readline(1024 * 1024):
        size += len(chunk)
        if chunk.endswith(b"\n"):
            break
    return size
