"""JSON files of one list or object of records; positions and made-up ids are offsets in bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from pipelines.examples import LeftOut, Reject
from pipelines.recipe import Recipe
from pipelines.recipe_sources import JsonSource
from pipelines.records import Record
from pipelines.sources.json_lines import Broken, Columns, Together
from pipelines.sources.lines import json_text, opened
from pipelines.sources.lists import first_objects, list_objects, list_objects_together, pieces_and_firsts
from pipelines.sources.pieces import Piece
from pipelines.sources.records import PictureCells, RecordReader, check_first_records
from pipelines.sources.values import kind, shown


def pieces(recipe: Recipe, index: int, source: JsonSource) -> list[Piece]:
    """One piece per file.

    Raises:
        SettingsError: as `pieces_and_firsts`, what stands at the top are no records, or a column of `where`
            is in none of the first ones.
    """
    found = []
    for piece, first in pieces_and_firsts(
        recipe, index, None if source.field is None else "object", source.field
    ):
        found.append(piece)
        if first is not None and first[1] is not None and not isinstance(first[2], dict | Broken):
            remedy = "name the key of the records as `field`; `format: jsonl` reads one object a line"
            what = f"{shown(first[1])} is {kind(first[2])}, no record"
            raise recipe.error(("sources", index, "field"), f"{piece.label}: {what}; {remedy}")
    if found and source.looked_up:
        with opened(found[0]) as file:
            check_first_records(recipe, index, source, first_objects(file, source.field), found[0].label)
    return found


def read(recipe: Recipe, source: JsonSource, piece: Piece) -> Iterator[Record | Reject | LeftOut]:
    """The records and rejects of the file; the keys of an object of records are their ids."""
    cells = PictureCells(recipe, source, piece)
    reader = RecordReader(source, cells.one, cells.many)
    column = source.column("id")

    def read_one(
        position: int, key: str | None, value: dict[str, object] | Reject
    ) -> Sequence[Record | Reject | LeftOut]:
        if isinstance(value, Reject):
            return (value,)
        record = value if key is None or value.get(column) is not None else {**value, column: key}
        return reader.read(record, piece.place("byte", position), partial(json_text, value))

    with opened(piece) as file:
        if reader.common is None:
            for item in list_objects(source, piece, file, source.field):
                yield from read_one(*item)
            return
        for found in list_objects_together(source, piece, file, Columns(reader.common), source.field):
            if isinstance(found, tuple):
                yield from read_one(*found)
                continue

            def alone(at: int, together: Together = found) -> Sequence[Record | Reject | LeftOut]:
                return read_one(together.positions[at], None, together.record(at))

            yield from reader.read_many(piece, "byte", found.positions, found.columns, alone)
