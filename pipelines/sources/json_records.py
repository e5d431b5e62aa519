"""JSON files of one list or object of records; positions and made-up ids are offsets in bytes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pipelines.examples import LeftOut, Reject
from pipelines.recipe import Recipe
from pipelines.recipe_sources import JsonSource
from pipelines.records import Record
from pipelines.sources.json_lines import Broken
from pipelines.sources.lines import json_text, opened
from pipelines.sources.lists import first_objects, list_objects, pieces_and_firsts
from pipelines.sources.pieces import Piece
from pipelines.sources.records import RecordReader, check_first_records, picture_of_cell
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
    reader = RecordReader(source, picture_of_cell(recipe, source, piece))
    column = source.column("id")
    with opened(piece) as file:
        for position, key, value in list_objects(source, piece, file, source.field):
            if isinstance(value, Reject):
                yield value
                continue
            record = value if key is None or value.get(column) is not None else {**value, column: key}
            place = piece.place("byte", position)
            yield from reader.read(record, place, partial(json_text, value))
