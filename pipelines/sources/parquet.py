"""Parquet: row groups are the pieces of work; positions and made-up ids are rows of the file, from 0."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.examples import LeftOut, Reject
from pipelines.images import Cell, coco_id, content_id, parquet_file
from pipelines.recipe import Recipe, no_paths
from pipelines.recipe_sources import ParquetSource, Value
from pipelines.records import Picture, Record
from pipelines.sources.lines import plain_files
from pipelines.sources.pictures import UnusableImages
from pipelines.sources.pieces import Piece, SourceError
from pipelines.sources.records import (
    PictureCells,
    RecordReader,
    check_columns,
    only_picture,
    picture_role,
    reject,
    required_columns,
)
from pipelines.sources.values import BadRecord, kind

BATCH_ROWS = 2_048
"""Rows whose texts are decoded at a time."""

BATCH_PICTURES = 32
"""Pictures that are in memory together."""

LEAST_CAPTIONS = 5_000
"""Rows of a piece in which captions of other pictures are looked for: the hub's row groups have a hundred."""


def pieces(recipe: Recipe, index: int, source: ParquetSource) -> list[Piece]:
    """One piece per row group, or per several small ones for `matching`.

    Raises:
        SettingsError: a file is no Parquet, a column that the recipe names is missing or of an unfit type, or
            pictures in cells are to be referred to by paths.
    """
    found: list[Piece] = []
    for piece, _ in plain_files(recipe, index):
        try:
            with parquet_file(piece.path) as file:
                schema, groups = (
                    file.schema_arrow,
                    _ranges(file, LEAST_CAPTIONS * ("matching" in source.tasks)),
                )
        except (OSError, pa.ArrowException) as error:
            remedy = f"{piece.label} is no readable Parquet file: {_one_line(error)}"
            raise recipe.error(("sources", index, "path"), remedy) from error
        check_columns(recipe, index, source, schema.names, piece.label)
        for role, column in required_columns(source).items():
            held = schema.field(column).type
            if not _fits(role, held):
                remedy = f"column `{column}` of {piece.label} is {held}, {_WANTED[role]}"
                raise recipe.error(("sources", index, "columns", role), remedy)
        _check_joined(recipe, index, source, schema, piece)
        _check_where(recipe, index, source, schema, piece)
        if recipe.images == "reference" and _holds_bytes(source, schema):
            raise no_paths(recipe, source)
        found.extend(dataclasses.replace(piece, start=start, end=end) for start, end in groups)
    return found


def _ranges(file: pq.ParquetFile, least: int) -> list[tuple[int, int]]:
    """The row groups of a file, neighbours together until they have so many rows."""
    found = []
    start = rows = 0
    for group in range(file.num_row_groups):
        rows += file.metadata.row_group(group).num_rows
        if rows >= least or group + 1 == file.num_row_groups:
            found.append((start, group + 1))
            start, rows = group + 1, 0
    return found


_WANTED = {
    "id": "ids are strings or whole numbers",
    "image_id": "ids are strings or whole numbers",
    "image": "pictures are binary, struct<bytes: binary, path: string>, paths, or lists of one such",
    "caption": "captions are strings or lists of them",
    "question": "questions are strings",
    "answer": "answers are strings, lists of them, or lists of structs with `answer`",
    "rationale": "rationales are strings or lists of them",
    "text": "texts are strings",
    "url": "URLs are strings",
    "conversation": "conversations are lists of structs with from/value, role/content or user/assistant",
}


def _fits(role: str, held: pa.DataType) -> bool:
    held = _decoded(held)
    if role in ("id", "image_id"):
        # Whole numbers as doubles: pandas makes that of a column in which one is missing.
        return _is_text(held) or pa.types.is_integer(held) or pa.types.is_floating(held)
    listed = _is_list(held)
    inner = held.value_type if listed else held
    if role == "image":
        names = {field.name for field in inner} if pa.types.is_struct(inner) else set()
        return _is_text(inner) or _is_binary(inner) or "bytes" in names
    if role == "conversation":
        # As `datasets` stores a `Sequence` of mappings: one mapping of lists.
        in_lists = pa.types.is_struct(held) and any(_is_list(field.type) for field in held)
        return in_lists or (listed and pa.types.is_struct(inner))
    if role in ("question", "text", "url"):
        return _is_text(held)
    return _is_text(inner) or (role == "answer" and listed and pa.types.is_struct(inner))


def _check_joined(recipe: Recipe, index: int, source: ParquetSource, schema: pa.Schema, piece: Piece) -> None:
    """That columns which are joined hold text. Raises `SettingsError`."""
    for role in source.text_roles:
        further = source.further_columns(role)
        for number, column in enumerate((source.column(role), *further)):
            held = schema.field(column).type
            if further and not _is_text(_decoded(held)):
                remedy = f"column `{column}` of {piece.label} is {held}, only strings are joined"
                raise recipe.error(("sources", index, "columns", role, number), remedy)


def _check_where(recipe: Recipe, index: int, source: ParquetSource, schema: pa.Schema, piece: Piece) -> None:
    """That the columns of `where` can hold the values that are wanted. Raises `SettingsError`."""
    for column, wanted in source.where.items():
        held = _decoded(schema.field(column).type)
        for value in wanted if isinstance(wanted, tuple) else (wanted,):
            if not _can_be(held, value):
                remedy = f"column `{column}` of {piece.label} is {held}, so it is never {value!r}"
                raise recipe.error(("sources", index, "where", column), remedy)


def _can_be(held: pa.DataType, value: Value) -> bool:
    if value is None:
        return True
    if isinstance(value, bool):
        return bool(pa.types.is_boolean(held))
    if isinstance(value, str):
        return _is_text(held)
    return bool(pa.types.is_integer(held) or pa.types.is_floating(held) or pa.types.is_decimal(held))


def _decoded(held: pa.DataType) -> pa.DataType:
    """The type of the values, also where a dictionary holds them."""
    return held.value_type if pa.types.is_dictionary(held) else held


def _holds_bytes(source: ParquetSource, schema: pa.Schema) -> bool:
    """Whether the file has pictures that are needed and are bytes, not paths or URLs."""
    if "text" in source.tasks:
        return False
    column = source.column(picture_role(source))
    if column not in schema.names:
        return False
    held = _decoded(schema.field(column).type)
    return not _is_text(held.value_type if _is_list(held) else held)


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


def read(recipe: Recipe, source: ParquetSource, piece: Piece) -> Iterator[Record | Reject | LeftOut]:
    """The records and rejects of the piece's row groups."""
    row = -1
    try:
        with parquet_file(piece.path) as file:
            row = sum(file.metadata.row_group(group).num_rows for group in range(piece.start))
            reader = _reader(recipe, source, piece, file.schema_arrow)
            for group in range(piece.start, piece.end):
                if source.where and not _has_selected(reader, list(source.where), file, group):
                    rows = file.metadata.row_group(group).num_rows
                    yield LeftOut(source.name, rows)
                    row += rows
                    continue
                if reader.common is not None:
                    for batch in _batches(source, file, group):
                        yield from _together(source, reader, reader.common, piece, batch, row)
                        row += batch.num_rows
                    continue
                for record in _rows(source, file, group, row):
                    yield from _said(source, reader, piece, record, row)
                    row += 1
    except UnusableImages as error:
        raise SourceError(str(error)) from error
    except (OSError, pa.ArrowException) as error:
        remedy = "write the file anew, or take it out of the source"
        raise SourceError(
            f"{piece.path}: damaged at or after row {row}: {_one_line(error)}; {remedy}"
        ) from error


def _reader(recipe: Recipe, source: ParquetSource, piece: Piece, schema: pa.Schema) -> RecordReader:
    """What reads the rows; those with pictures in them one by one."""
    cells = PictureCells(recipe, source, piece)
    if _holds_bytes(source, schema):
        return RecordReader(source, _held_picture(source, piece, cells))
    return RecordReader(source, cells.one, cells.many)


def _said(
    source: ParquetSource,
    reader: RecordReader,
    piece: Piece,
    record: dict[str, object] | _Undecoded,
    row: int,
) -> Iterable[Record | Reject | LeftOut]:
    """What one row says."""
    place = piece.place("row", row)
    if not isinstance(record, _Undecoded):
        return reader.read(record, place, partial(_raw, record))
    if not reader.selects(record.record):
        return (LeftOut(source.name),)
    return (reject(source.name, source.tasks[0], place, place.id, record.reason, _raw(record.record)),)


def _together(
    source: ParquetSource,
    reader: RecordReader,
    common: Sequence[str],
    piece: Piece,
    batch: pa.RecordBatch,
    row: int,
) -> Iterable[Record | Reject | LeftOut]:
    """What the rows of a batch say, of which the first one is `row`."""
    names = batch.schema.names
    rows = range(row, row + batch.num_rows)

    def alone(at: int) -> Iterable[Record | Reject | LeftOut]:
        return _said(source, reader, piece, next(_records(names, batch.slice(at, 1))), row + at)

    try:
        values = {name: _values(batch.column(name)) for name in names}
    except (UnicodeDecodeError, pa.ArrowException):
        # Some text is no UTF-8.
        return chain.from_iterable(map(alone, range(batch.num_rows)))
    columns = [values.get(name, [None] * batch.num_rows) for name in common]
    return reader.read_many(piece, "row", rows, columns, alone)


def _values(column: pa.Array) -> list[object]:
    # In a third of the time of `to_pylist`; numbers would become others where some are null.
    values = column.to_numpy(zero_copy_only=False).tolist() if _is_text(column.type) else column.to_pylist()
    found: list[object] = values
    return found


@dataclass(frozen=True, slots=True)
class _PictureCell:
    """A cell of a column of pictures that is not null; by its path alone if it has no bytes."""

    row: int
    path: object
    data: bytes | None
    stored: bool
    """It has bytes, be they read or not."""


@dataclass(frozen=True, slots=True)
class _Undecoded:
    """A row with a text that is no UTF-8."""

    record: dict[str, object]
    """Its other columns."""
    reason: str


def _rows(
    source: ParquetSource, file: pq.ParquetFile, group: int, row: int
) -> Iterator[dict[str, object] | _Undecoded]:
    """The columns of each row of a row group that the source needs, by name."""
    names = _wanted(source, file.schema_arrow)
    cells: Iterator[object] | None = None
    pictures = source.column(picture_role(source))
    if _holds_bytes(source, file.schema_arrow):
        names.remove(pictures)
        cells = _picture_cells(source, file, group, row)
    for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], columns=names):
        for record in _records(names, batch):
            if cells is not None:
                cell = next(cells)
                (record.record if isinstance(record, _Undecoded) else record)[pictures] = cell
            yield record


def _batches(source: ParquetSource, file: pq.ParquetFile, group: int) -> Iterator[pa.RecordBatch]:
    """The columns of a row group that the source needs."""
    names = _wanted(source, file.schema_arrow)
    return iter(file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], columns=names))


def _wanted(source: ParquetSource, schema: pa.Schema) -> list[str]:
    """The columns of a file that the source needs, in the file's order."""
    wanted = {source.column("id"), *source.text_columns}
    if "text" not in source.tasks:
        wanted.add(source.column(picture_role(source)))
    if source.columns.image_id is not None:
        wanted.add(source.columns.image_id)
    wanted.update(source.where)
    return [name for name in schema.names if name in wanted]


def _has_selected(reader: RecordReader, names: Sequence[str], file: pq.ParquetFile, group: int) -> bool:
    """Whether a row group has a row that the recipe asks for; its pictures need not be read for that."""
    for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], columns=names):
        for record in _records(names, batch):
            if reader.selects(record.record if isinstance(record, _Undecoded) else record):
                return True
    return False


def _records(names: Sequence[str], batch: pa.RecordBatch) -> Iterator[dict[str, object] | _Undecoded]:
    columns = [batch.column(name) for name in names]
    try:
        decoded = [column.to_pylist() for column in columns]
    except UnicodeDecodeError:
        yield from (_record(names, columns, row) for row in range(batch.num_rows))
        return
    for values in zip(*decoded, strict=True):
        yield dict(zip(names, values, strict=True))


def _record(names: Sequence[str], columns: Sequence[pa.Array], row: int) -> dict[str, object] | _Undecoded:
    """A row of a batch in which some text cannot be decoded."""
    record: dict[str, object] = {}
    reason = None
    for name, column in zip(names, columns, strict=True):
        try:
            record[name] = column[row].as_py()
        except UnicodeDecodeError as error:
            bad = error.object[error.start]
            reason = reason or f"no UTF-8 at byte {error.start} (0x{bad:02x}) of column {name!r}"
    return record if reason is None else _Undecoded(record, reason)


def _picture_cells(
    source: ParquetSource, file: pq.ParquetFile, group: int, row: int
) -> Iterator[_PictureCell | list[None] | None]:
    """The cells of the column of pictures; bytes are read only where an id must be made from them.

    Of a list of several only their number is told: no record has more than one.
    """
    column = source.column("image")
    held = file.schema_arrow.field(column).type
    fields = {field.name for field in held} if pa.types.is_struct(held) else set()
    number = file.metadata.row_group(group).num_rows
    if _has_no_null(file, group, f"{column}.bytes" if fields else column):
        paths: Sequence[object] | None = None
        if source.columns.image_id is not None:
            paths = [None] * number
        elif "path" in fields:
            table = file.read_row_group(group, columns=[f"{column}.path"])
            paths = _paths(table.column(column))
        if paths is not None and (
            source.columns.image_id is not None
            or all(isinstance(path, str) and coco_id(path) for path in paths)
        ):
            for position, path in enumerate(paths):
                yield _PictureCell(row + position, path, None, stored=True)
            return
    for batch in file.iter_batches(batch_size=BATCH_PICTURES, row_groups=[group], columns=[column]):
        for listed in _cells(batch.column(0)):
            if isinstance(listed, list) and len(listed) != 1:
                yield [None] * len(listed)
                row += 1
                continue
            value = only_picture(listed)
            data, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
            if value is None:
                yield None
            else:
                data = data if isinstance(data, bytes) else None
                yield _PictureCell(row, path, data, stored=bool(data))
            row += 1


def _paths(column: pa.ChunkedArray) -> list[object]:
    try:
        return [cell and cell["path"] for cell in column.to_pylist()]
    except UnicodeDecodeError:
        return [None]


def _cells(column: pa.Array) -> Iterator[object]:
    """The cells of a column of pictures; a path that cannot be decoded is none."""
    try:
        yield from column.to_pylist()
    except UnicodeDecodeError:
        for cell in column:
            try:
                yield cell.as_py()
            except UnicodeDecodeError:
                yield {"bytes": cell["bytes"].as_py(), "path": None}


def _has_no_null(file: pq.ParquetFile, group: int, path: str) -> bool:
    """Whether the statistics of a row group say that a column, by its path, holds no null."""
    metadata = file.metadata.row_group(group)
    for number in range(metadata.num_columns):
        chunk = metadata.column(number)
        if chunk.path_in_schema == path:
            known = chunk.statistics
            return known is not None and bool(known.has_null_count) and known.null_count == 0
    return False


def _held_picture(source: ParquetSource, piece: Piece, cells: PictureCells) -> Callable[[object], Picture]:
    """What makes the picture of a cell that may hold its bytes; they are named by COCO's file name, else by
    their content.

    Other file names in Hugging Face's `path` say nothing: in many data sets all of them are equal.
    """
    column = source.column("image")

    def picture(cell: object) -> Picture:
        assert isinstance(cell, _PictureCell)
        path = cell.path if isinstance(cell.path, str) else None
        if not cell.stored and path is None:
            raise BadRecord(f"column {column!r} holds no picture: no bytes and {kind(cell.path)} as path")
        if not cell.stored:
            return cells.one(path)
        locator = Cell(piece.path, column, cell.row).locator
        if source.columns.image_id is not None:
            # What that column says takes the place of an id made here.
            return Picture(locator, "")
        image_id = coco_id(path) if path is not None else None
        if image_id is None:
            assert cell.data is not None, "bytes are left out only where they are not needed"
            image_id = content_id(cell.data)
        return Picture(locator, image_id)

    return picture


def _raw(record: dict[str, object]) -> str:
    return json.dumps(record, ensure_ascii=False, default=_shown)


def _shown(value: object) -> object:
    if isinstance(value, _PictureCell):
        return {"bytes": "<not read>" if value.data is None else value.data, "path": value.path}
    return f"<{len(value):,} bytes>" if isinstance(value, bytes) else str(value)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
