"""Parquet: row groups are the pieces of work; positions and made-up ids are rows of the file, from 0."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.examples import Example, Reject
from pipelines.images import Cell, coco_id, content_id
from pipelines.recipe import ParquetSource, Recipe
from pipelines.sources.pieces import Piece, SourceError, images_folder, picture_in, whole_files
from pipelines.sources.records import BadRecord, Picture, kind, record_examples, reject

BATCH_ROWS = 64
"""Rows decoded at a time; their pictures are in memory together."""


def pieces(recipe: Recipe, index: int, source: ParquetSource) -> list[Piece]:
    """One piece per row group.

    Raises:
        RecipeError: a file is no Parquet, or a column that the recipe names is missing or of an unfit type.
    """
    found: list[Piece] = []
    for piece in whole_files(recipe, index):
        try:
            with pq.ParquetFile(piece.path) as file:
                schema, groups = file.schema_arrow, file.num_row_groups
        except (OSError, pa.ArrowException) as error:
            remedy = f"{piece.label} is no readable Parquet file: {_one_line(error)}"
            raise recipe.error(("sources", index, "path"), remedy) from error
        _check_columns(recipe, index, source, schema, piece.label)
        found.extend(dataclasses.replace(piece, start=group, end=group + 1) for group in range(groups))
    return found


def _check_columns(recipe: Recipe, index: int, source: ParquetSource, schema: pa.Schema, label: str) -> None:
    required = {role: source.column(role) for role in source.text_roles}
    if source.task != "instruct" or source.columns.image is not None:
        required["image"] = source.column("image")
    if source.columns.id is not None:
        required["id"] = source.columns.id
    if source.columns.image_id is not None:
        required["image_id"] = source.columns.image_id
    for role, column in required.items():
        key = ("sources", index, "columns", role)
        if column not in schema.names:
            remedy = f"{label} has no column `{column}`; it has {', '.join(schema.names)}"
            raise recipe.error(key, remedy)
        held = schema.field(column).type
        if not _fits(role, held):
            raise recipe.error(key, f"column `{column}` of {label} is {held}, {_WANTED[role]}")


_WANTED = {
    "id": "ids are strings or whole numbers",
    "image_id": "ids are strings or whole numbers",
    "image": "pictures are binary, struct<bytes: binary, path: string>, or the string of a path",
    "caption": "captions are strings or lists of them",
    "question": "questions are strings",
    "answer": "answers are strings, lists of them, or lists of structs with `answer`",
    "conversation": "conversations are lists of structs with from/value or role/content",
}


def _fits(role: str, held: pa.DataType) -> bool:
    if pa.types.is_dictionary(held):
        held = held.value_type
    if role in ("id", "image_id"):
        return _is_text(held) or pa.types.is_integer(held)
    if role == "image":
        names = {field.name for field in held} if pa.types.is_struct(held) else set()
        return _is_text(held) or _is_binary(held) or "bytes" in names
    listed = _is_list(held)
    inner = held.value_type if listed else held
    if role == "conversation":
        return listed and pa.types.is_struct(inner)
    if role == "question":
        return _is_text(held)
    return _is_text(inner) or (role == "answer" and listed and pa.types.is_struct(inner))


def _is_text(held: pa.DataType) -> bool:
    return bool(pa.types.is_string(held) or pa.types.is_large_string(held) or pa.types.is_string_view(held))


def _is_binary(held: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(held)
        or pa.types.is_large_binary(held)
        or pa.types.is_fixed_size_binary(held)
        or pa.types.is_binary_view(held)
    )


def _is_list(held: pa.DataType) -> bool:
    return bool(pa.types.is_list(held) or pa.types.is_large_list(held) or pa.types.is_fixed_size_list(held))


def read(recipe: Recipe, source: ParquetSource, piece: Piece) -> Iterator[Example | Reject]:
    """The examples and rejects of the piece's row groups."""
    folder = images_folder(recipe, source, piece)
    row = -1
    try:
        with pq.ParquetFile(piece.path) as file:
            row = sum(file.metadata.row_group(group).num_rows for group in range(piece.start))
            wanted = {source.column(role) for role in ("id", "image", *source.text_roles)}
            if source.columns.image_id is not None:
                wanted.add(source.columns.image_id)
            batches = file.iter_batches(
                batch_size=BATCH_ROWS,
                row_groups=list(range(piece.start, piece.end)),
                columns=[name for name in file.schema_arrow.names if name in wanted],
            )
            for batch in batches:
                for index in range(batch.num_rows):
                    yield from _examples(source, piece, folder, batch, index, row)
                    row += 1
    except (OSError, pa.ArrowException) as error:
        remedy = "write the file anew, or take it out of the source"
        raise SourceError(
            f"{piece.path}: damaged at or after row {row}: {_one_line(error)}; {remedy}"
        ) from error


def _examples(
    source: ParquetSource, piece: Piece, folder: Path, batch: pa.RecordBatch, index: int, row: int
) -> Iterator[Example | Reject]:
    place = piece.place("row", row)
    record: dict[str, object] = {}
    raw = partial(_raw, record)
    try:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            try:
                record[name] = column[index].as_py()
            except UnicodeDecodeError as error:
                bad = error.object[error.start]
                raise BadRecord(f"no UTF-8 at byte {error.start} (0x{bad:02x}) of column {name!r}") from error
    except BadRecord as error:
        yield reject(source.name, source.task, place, place.id, str(error), raw())
        return
    image = partial(_picture, source, piece, folder, row)
    yield from record_examples(source, record, place, image, raw)


def _picture(source: ParquetSource, piece: Piece, folder: Path, row: int, value: object) -> Picture:
    """Of a cell with bytes: named by COCO's file name where it has one, else by its content.

    Other file names in Hugging Face's `path` say nothing: in many data sets all of them are equal.
    """
    if isinstance(value, str):
        return picture_in(folder, value)
    column = source.column("image")
    path = value.get("path") if isinstance(value, dict) else None
    data = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(data, bytes) and data:
        name = coco_id(path) if isinstance(path, str) else None
        return Picture(Cell(piece.path, column, row).locator, name or content_id(data))
    if isinstance(path, str):
        return picture_in(folder, path)
    raise BadRecord(f"column {column!r} holds no picture: {kind(data)} bytes and {kind(path)} as path")


def _raw(record: dict[str, object]) -> str:
    return json.dumps(record, ensure_ascii=False, default=_bytes_shown)


def _bytes_shown(value: object) -> str:
    return f"<{len(value):,} bytes>" if isinstance(value, bytes) else str(value)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
