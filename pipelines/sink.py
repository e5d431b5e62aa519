"""The end of the graph: rows -> Parquet shards, each sorted by id, written atomically and read back.

Which shard a row stands in, and where in it, depends on its content alone, so the files of two runs are
the same byte for byte. Image bytes are read here, one row group at a time; no shuffle carries them.
"""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems

from pipelines.filesystem import OutputError, join, write_atomically
from pipelines.images import image_bytes, picture_name, plain_path
from pipelines.rows import Row, keeps_picture, key_of
from pipelines.split import TRAIN
from translation.row import ACCEPT, IMAGE_COLUMNS, row_schema

DATA, REJECTED = "data", "rejected"

ORDER = ("id", "reason", "source_target")
"""Columns that the rows of a shard are sorted by; null sorts as the empty string."""

ROW_GROUP_BYTES = 64 * 2**20
ROW_GROUP_ROWS = 1000
ROW_BYTES = 4000
"""A row without its picture, in a worker's memory while its shard is written; on disk it is smaller."""

Part = tuple[str, str, str]
"""(`data` or `rejected`, NLLB code, split): a series of shards."""


@dataclass(frozen=True)
class ShardFile:
    """One finished Parquet file."""

    path: str
    """Relative to the mix."""
    rows: int
    sha256: str
    size: int
    language: str
    split: str
    accepted: bool


class WriteMix(beam.PTransform):
    """(row, image size) -> `ShardFile`s under `directory`."""

    def __init__(self, directory: str, embed: bool, shard_megabytes: int) -> None:
        super().__init__()
        self._directory, self._embed = directory, embed
        self._shard_bytes = shard_megabytes * 2**20

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        placed = rows | "Place in part" >> beam.Map(_with_part, self._embed)
        sizes = placed | "Sizes" >> beam.Map(lambda element: (element[0], element[1][1]))
        shards = beam.pvalue.AsDict(
            sizes
            | "Size of parts" >> beam.CombinePerKey(sum)
            | "Shards of parts" >> beam.Map(_with_shards, self._shard_bytes)
        )
        return (
            placed
            | "Place in shard" >> beam.Map(_with_shard, shards)
            | "Group shards" >> beam.GroupByKey()
            | "Write shards" >> beam.ParDo(WriteShard(self._directory, self._embed), shards)
        )


def _with_part(element: tuple[Row, int], embed: bool) -> tuple[Part, tuple[Row, int]]:
    row, image_size = element
    accepted = row["verdict"] == ACCEPT
    split = row["split"] if accepted else TRAIN
    size = ROW_BYTES + (image_size if embed and keeps_picture(row) else 0)
    return (DATA if accepted else REJECTED, row["language"], split), (row, size)


def _with_shards(total: tuple[Part, int], shard_bytes: int) -> tuple[Part, int]:
    part, size = total
    return part, shards_for(size, shard_bytes)


def _with_shard(
    element: tuple[Part, tuple[Row, int]], shards: dict[Part, int]
) -> tuple[tuple[Part, int], Row]:
    part, (row, _) = element
    return (part, shard_of(key_of(row["image_id"], row["id"]), shards[part])), row


def shards_for(size: int, shard_bytes: int) -> int:
    """How many shards a part has whose rows have that many bytes, each `ROW_BYTES` and its picture."""
    return max(1, -(-size // shard_bytes))


def shard_of(key: str, shards: int) -> int:
    """Which of the shards of a part holds the rows of a key."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") % shards


def shard_name(part: Part, shard: int, shards: int) -> str:
    """`data/deu_Latn/train-00000-of-00004.parquet`; rejects have no split."""
    kind, language, split = part
    stem = split if kind == DATA else REJECTED
    return f"{kind}/{language}/{stem}-{shard:05d}-of-{shards:05d}.parquet"


class WriteShard(beam.DoFn):
    """((part, shard), its rows) -> one `ShardFile`."""

    def __init__(self, directory: str, embed: bool) -> None:
        self._directory, self._embed = directory, embed

    def process(
        self, element: tuple[tuple[Part, int], Iterable[Row]], shards: dict[Part, int]
    ) -> Iterator[ShardFile]:
        (part, shard), rows = element
        ordered = sorted(rows, key=lambda row: [row[column] or "" for column in ORDER])
        name = shard_name(part, shard, shards[part])
        # Paths of this machine are of no use in a mix that carries its pictures.
        tables = row_tables(ordered, embed=self._embed, keep_paths=not self._embed)
        yield write_shard(join(self._directory, *name.split("/")), name, part, tables, len(ordered))


def write_shard(path: str, name: str, part: Part, tables: Iterable[pa.Table], rows: int) -> ShardFile:
    """Writes row groups, ordered, as one file at `path`, atomically, and checks what arrived.

    Args:
        name: the path in the mix, which `path` may come to later.
        rows: how many the tables hold.

    Raises:
        OutputError: disk full, no permission, or another number of rows was written.
    """
    kind, language, split = part
    written = write_atomically(path, lambda file: write_tables(file, tables), attempt=uuid.uuid4().hex)
    _check(path, rows)
    return ShardFile(name, rows, written.sha256, written.size, language, split, kind == DATA)


def write_tables(file: BinaryIO, tables: Iterable[pa.Table]) -> None:
    """Each table as a row group, as `datasets` likes it: images plain and uncompressed, page index."""
    schema = row_schema()
    image_columns = {f"{column}.bytes" for column in IMAGE_COLUMNS}
    leaves = _leaves(schema)
    writer = pq.ParquetWriter(
        file,
        schema,
        compression={leaf: "none" if leaf in image_columns else "zstd" for leaf in leaves},
        use_dictionary=[leaf for leaf in leaves if leaf not in image_columns],
        write_page_index=True,
    )
    with writer:
        for table in tables:
            writer.write_table(table)


def _leaves(schema: pa.Schema) -> list[str]:
    """Dotted paths of the columns that Parquet stores."""
    leaves = []
    for field in schema:
        if pa.types.is_struct(field.type):
            leaves += [f"{field.name}.{inner.name}" for inner in field.type]
        else:
            leaves.append(field.name)
    return leaves


def row_tables(rows: Iterable[Row], embed: bool, keep_paths: bool) -> Iterator[pa.Table]:
    """Row groups of rows, with the pictures that an embedding mix holds if `embed`.

    Args:
        keep_paths: with where the pictures were read from, else only the file name.
    """
    for group in row_groups(_with_picture(row, embed, keep_paths) for row in rows):
        yield pa.Table.from_pylist(group, schema=row_schema())


def _with_picture(row: Row, embed: bool, keep_paths: bool) -> tuple[Row, int]:
    """The row as it is stored, and the bytes of its pictures."""
    stored, size = dict(row), 0
    for column in IMAGE_COLUMNS:
        path = row[column]["path"] if row[column] else None
        data = image_bytes(path) if embed and path and keeps_picture(row) else None
        stored[column] = path and {
            "bytes": data,
            "path": plain_path(path) if keep_paths else picture_name(path),
        }
        size += len(data or b"")
    return stored, size


_Item = TypeVar("_Item")


def row_groups(rows: Iterable[tuple[_Item, int]]) -> Iterator[list[_Item]]:
    """Runs of rows, which come with the size of their pictures, bounded in number and bytes."""
    group: list[_Item] = []
    size = 0
    for row, image_size in rows:
        size += image_size + ROW_BYTES
        if group and (len(group) >= ROW_GROUP_ROWS or size > ROW_GROUP_BYTES):
            yield group
            group, size = [], image_size + ROW_BYTES
        group.append(row)
    if group:
        yield group


def _check(path: str, rows: int) -> None:
    """Reads the footer of a finished file."""
    with FileSystems.open(path) as file:
        found = pq.read_metadata(io.BytesIO(file.read()) if not file.seekable() else file).num_rows
    if found != rows:
        raise OutputError(f"{path}: holds {found:,} rows, {rows:,} were written")
