"""JSON lines, one object each. Files are read in byte ranges, so positions and made-up ids are offsets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import orjson

from pipelines.examples import LeftOut, Reject
from pipelines.inputs import open_input
from pipelines.recipe import Recipe
from pipelines.recipe_sources import JsonlSource
from pipelines.records import Record
from pipelines.sources.json_lines import Columns, Together, lines, lines_together
from pipelines.sources.line_blocks import BOM, MAX_LINE
from pipelines.sources.lines import (
    HEAD,
    byte_ranges,
    first_lines,
    json_line_files,
    json_object,
    json_text,
    opened,
)
from pipelines.sources.pieces import Piece
from pipelines.sources.records import PictureCells, RecordReader, check_first_records
from pipelines.sources.values import shown


def pieces(recipe: Recipe, index: int, source: JsonlSource) -> list[Piece]:
    """Byte ranges of the files; a line belongs to the range that it starts in.

    Raises:
        SettingsError: a file is compressed, UTF-16, or one JSON list or object and no lines, or a column of
            `where` is in none of the first records.
    """
    found: list[Piece] = []
    for whole, head in json_line_files(recipe, index):
        _check_lines(recipe, index, source, whole, head)
        found.extend(byte_ranges(whole))
    if found and source.looked_up:
        with opened(found[0]) as file:
            check_first_records(recipe, index, source, first_lines(file), found[0].label)
    return found


def _check_lines(recipe: Recipe, index: int, source: JsonlSource, piece: Piece, head: bytes) -> None:
    """That a file is not one object with the records in it. Raises `SettingsError`."""
    first, _, more = head.partition(b"\n")
    if not more and piece.end > HEAD:
        with open_input(piece.path, HEAD) as file:
            first = file.readline(MAX_LINE).removeprefix(BOM)
            more = file.read(1)
    alone = not more
    keys = ""
    if first.strip() != b"{":
        try:
            value = orjson.loads(first) if alone else None
        except orjson.JSONDecodeError:
            return
        if not isinstance(value, dict) or any(source.column(role) in value for role in source.text_roles):
            return
        found = [key for key, one in value.items() if isinstance(one, list | dict) and one]
        if not found:
            return
        keys = f" of {', '.join(map(shown, found[:6]))}"
    remedy = "`format: json` reads it, with the key of the records as `field`"
    raise recipe.error(("sources", index, "path"), f"{piece.label} is one JSON object{keys}; {remedy}")


def read(recipe: Recipe, source: JsonlSource, piece: Piece) -> Iterator[Record | Reject | LeftOut]:
    """The records and rejects of the lines that start in the piece."""
    cells = PictureCells(recipe, source, piece)
    reader = RecordReader(source, cells.one, cells.many)

    def read_one(position: int, value: object) -> Sequence[Record | Reject | LeftOut]:
        place = piece.place("byte", position)
        record = json_object(source, place, value)
        if isinstance(record, Reject):
            return (record,)
        return reader.read(record, place, partial(json_text, record))

    with opened(piece) as file:
        if reader.common is None:
            for position, value in lines(file, piece.start, piece.end):
                yield from read_one(position, value)
            return
        for found in lines_together(file, piece.start, piece.end, Columns(reader.common)):
            if isinstance(found, tuple):
                yield from read_one(*found)
                continue

            def alone(at: int, together: Together = found) -> Sequence[Record | Reject | LeftOut]:
                return read_one(together.positions[at], together.record(at))

            yield from reader.read_many(piece, "byte", found.positions, found.columns, alone)
