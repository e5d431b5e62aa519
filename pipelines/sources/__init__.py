"""Readers: each turns one format on disk into records and rejects, a piece of a file at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from pipelines.examples import Example, LeftOut, Reject
from pipelines.names import names_of
from pipelines.recipe import Recipe
from pipelines.recipe_sources import ImagenetSource
from pipelines.records import Record
from pipelines.sources import (
    aokvqa,
    capfilt,
    coco,
    csv_lines,
    flickr30k,
    gqa,
    imagenet,
    json_records,
    jsonl,
    llava,
    nlvr2,
    parquet,
    snli_ve,
    text,
    vqav2,
    webdataset,
)
from pipelines.sources.pieces import Piece, SourceError, disk_failures
from pipelines.sources.selection import without_answers
from pipelines.tasks import examples_of

__all__ = ["Piece", "SourceError", "pieces", "read_piece", "read_records"]


class Reader(Protocol):
    """What the module of a format has."""

    def pieces(self, recipe: Recipe, index: int, source: Any) -> list[Piece]:
        """The independent parts of a source; opens files to check their layout, and raises SettingsError."""

    def read(self, recipe: Recipe, source: Any, piece: Piece) -> Iterator[Record | Reject | LeftOut]:
        """The records and rejects of a piece, in the order of the file, and how many are left out."""


READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "aokvqa": aokvqa,
        "capfilt": capfilt,
        "coco": coco,
        "csv": csv_lines,
        "flickr30k": flickr30k,
        "gqa": gqa,
        "imagenet": imagenet,
        "json": json_records,
        "jsonl": jsonl,
        "llava": llava,
        "nlvr2": nlvr2,
        "parquet": parquet,
        "snli_ve": snli_ve,
        "text": text,
        "vqav2": vqav2,
        "webdataset": webdataset,
    }
)
"""`format` -> reader."""


def pieces(recipe: Recipe) -> list[Piece]:
    """The independent pieces of work of all sources, in order; opens each file to check its layout.

    Raises:
        SettingsError: a file cannot be read, is not in the source's format, or lacks a column that the recipe
            names.
    """
    found: list[Piece] = []
    for index, source in enumerate(recipe.sources):
        try:
            found.extend(READERS[source.format].pieces(recipe, index, source))
        except OSError as error:
            cause = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise recipe.error(("sources", index), cause) from error
    return found


def read_records(recipe: Recipe, piece: Piece) -> Iterator[Record | Reject | LeftOut]:
    """The records and rejects of one piece, in the order of the file.

    Raises:
        SourceError: the file cannot be read on, although it could be opened before.
    """
    source = recipe.sources[piece.source]
    with disk_failures(piece):
        records = READERS[source.format].read(recipe, source, piece)
        yield from without_answers(source, records) if source.skip_answers else records


def read_piece(recipe: Recipe, piece: Piece) -> Iterator[Example | Reject | LeftOut]:
    """The examples and rejects of one piece, those of a record together but for matching, which comes later.

    Ids that occur twice are left to the caller, who alone sees all pieces.

    Raises:
        SourceError: the file cannot be read on, although it could be opened before.
    """
    source = recipe.sources[piece.source]
    names = names_of(recipe, piece.source) if isinstance(source, ImagenetSource) else None
    return examples_of(source, read_records(recipe, piece), recipe.seed, names)
