"""JSON lines, one object each. Files are read in byte ranges, so positions and made-up ids are offsets."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pipelines.examples import Reject
from pipelines.recipe import Recipe
from pipelines.recipe_sources import JsonlSource
from pipelines.records import Record
from pipelines.sources.lines import json_line_pieces, json_objects, json_text, opened
from pipelines.sources.pieces import Piece
from pipelines.sources.records import picture_of_cell, record_of


def pieces(recipe: Recipe, index: int, source: JsonlSource) -> list[Piece]:
    """Byte ranges of the files; a line belongs to the range that it starts in.

    Raises:
        SettingsError: a file is compressed, UTF-16, or one JSON list and no lines.
    """
    return json_line_pieces(recipe, index)


def read(recipe: Recipe, source: JsonlSource, piece: Piece) -> Iterator[Record | Reject]:
    """The records and rejects of the lines that start in the piece."""
    picture = picture_of_cell(recipe, source, piece)
    with opened(piece) as file:
        for place, value in json_objects(source, piece, file):
            if isinstance(value, Reject):
                yield value
            else:
                yield from record_of(source, value, place, picture, partial(json_text, value))
