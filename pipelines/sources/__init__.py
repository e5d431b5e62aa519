"""Readers: each turns one format on disk into examples and rejects, a piece of a file at a time."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.examples import Example, Reject
from pipelines.recipe import CocoSource, JsonlSource, Recipe
from pipelines.sources import coco, jsonl, parquet
from pipelines.sources.pieces import Piece, SourceError

__all__ = ["Piece", "SourceError", "pieces", "read_piece"]


def pieces(recipe: Recipe) -> list[Piece]:
    """The independent pieces of work of all sources, in order; opens each file to check its layout.

    Raises:
        RecipeError: a file is not in the source's format, or lacks a column that the recipe names.
    """
    found: list[Piece] = []
    for index, source in enumerate(recipe.sources):
        if isinstance(source, CocoSource):
            found.extend(coco.pieces(recipe, index, source))
        elif isinstance(source, JsonlSource):
            found.extend(jsonl.pieces(recipe, index, source))
        else:
            found.extend(parquet.pieces(recipe, index, source))
    return found


def read_piece(recipe: Recipe, piece: Piece) -> Iterator[Example | Reject]:
    """The examples and rejects of one piece, in the order of the file; at least one of them for each record.

    Ids that occur twice are left to the caller, who alone sees all pieces.

    Raises:
        SourceError: the file cannot be read on, although it could be opened before.
    """
    source = recipe.sources[piece.source]
    if isinstance(source, CocoSource):
        return coco.read(recipe, source, piece)
    if isinstance(source, JsonlSource):
        return jsonl.read(recipe, source, piece)
    return parquet.read(recipe, source, piece)
