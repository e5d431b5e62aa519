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
from typing import BinaryIO

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems

from pipelines.assignment import TRAIN, split_of
from pipelines.filesystem import OutputError, join, write_atomically
from pipelines.images import image_bytes
from pipelines.rows import Row
from translation.row import ACCEPT, row_schema

DATA, REJECTED = "data", "rejected"

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

    def __init__(
        self, directory: str, seed: int, validation: float, embed: bool, shard_megabytes: int
    ) -> None:
        super().__init__()
        self._directory, self._seed = directory, seed
        self._validation, self._embed = validation, embed
        self._shard_bytes = shard_megabytes * 2**20

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        placed = rows | "Place in part" >> beam.Map(_with_part, self._seed, self._validation, self._embed)
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


def _with_part(
    element: tuple[Row, int], seed: int, validation: float, embed: bool
) -> tuple[Part, tuple[Row, int]]:
    row, image_size = element
    accepted = row["verdict"] == ACCEPT
    held_out = row["image_id"] or row["id"]
    split = split_of(seed, held_out, validation) if accepted else TRAIN
    size = ROW_BYTES + (image_size if embed and accepted else 0)
    return (DATA if accepted else REJECTED, row["language"], split), (row, size)


def _with_shards(total: tuple[Part, int], shard_bytes: int) -> tuple[Part, int]:
    part, size = total
    return part, max(1, -(-size // shard_bytes))


def _with_shard(
    element: tuple[Part, tuple[Row, int]], shards: dict[Part, int]
) -> tuple[tuple[Part, int], Row]:
    part, (row, _) = element
    digest = hashlib.blake2b((row["image_id"] or row["id"]).encode(), digest_size=8).digest()
    return (part, int.from_bytes(digest, "big") % shards[part]), row


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
        ordered = sorted(rows, key=lambda row: (row["id"], row["reason"] or "", row["source_target"] or ""))
        name = shard_name(part, shard, shards[part])
        path = join(self._directory, *name.split("/"))
        kind, language, split = part

        def write(file: BinaryIO) -> None:
            # Paths of this machine are of no use in a mix that carries its pictures.
            write_rows(file, ordered, embed=self._embed and kind == DATA, keep_paths=not self._embed)

        written = write_atomically(path, write, attempt=uuid.uuid4().hex)
        _check(path, len(ordered))
        yield ShardFile(name, len(ordered), written.sha256, written.size, language, split, kind == DATA)


def write_rows(file: BinaryIO, rows: list[Row], embed: bool, keep_paths: bool) -> None:
    """Rows as Parquet, as `datasets` likes it: images uncompressed and without dictionary, page index.

    Args:
        embed: with the bytes of the pictures.
        keep_paths: with where they were read from, else only the file name.
    """
    schema = row_schema()
    image_columns = {"image.bytes"}
    leaves = _leaves(schema)
    writer = pq.ParquetWriter(
        file,
        schema,
        compression={leaf: "none" if leaf in image_columns else "zstd" for leaf in leaves},
        use_dictionary=[leaf for leaf in leaves if leaf not in image_columns],
        write_page_index=True,
    )
    with writer:
        for group in _row_groups(rows, embed, keep_paths):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def _leaves(schema: pa.Schema) -> list[str]:
    """Dotted paths of the columns that Parquet stores."""
    leaves = []
    for field in schema:
        if pa.types.is_struct(field.type):
            leaves += [f"{field.name}.{inner.name}" for inner in field.type]
        else:
            leaves.append(field.name)
    return leaves


def _row_groups(rows: list[Row], embed: bool, keep_paths: bool) -> Iterator[list[Row]]:
    """Runs of rows, with their pictures if `embed`, bounded in number and bytes."""
    group: list[Row] = []
    size = 0
    for row in rows:
        path = row["image"]["path"] if row["image"] else None
        data = image_bytes(path) if embed and path else None
        size += len(data or b"") + ROW_BYTES
        if group and (len(group) >= ROW_GROUP_ROWS or size > ROW_GROUP_BYTES):
            yield group
            group, size = [], len(data or b"") + ROW_BYTES
        group.append(
            row | {"image": path and {"bytes": data, "path": path if keep_paths else _file_name(path)}}
        )
    if group:
        yield group


def _file_name(path: str) -> str:
    return str(FileSystems.split(path)[1])


def _check(path: str, rows: int) -> None:
    """Reads the footer of a finished file."""
    with FileSystems.open(path) as file:
        found = pq.read_metadata(io.BytesIO(file.read()) if not file.seekable() else file).num_rows
    if found != rows:
        raise OutputError(f"{path}: holds {found:,} rows, {rows:,} were written")
