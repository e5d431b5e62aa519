"""The end of the graph: rows -> Parquet shards, each sorted by id, written atomically and read back.

Which shard a row stands in, and where in it, depends on its content alone, so the files of two runs are
the same byte for byte. Image bytes are read here, one row group at a time; no shuffle carries them.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import BinaryIO, TypeVar

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.metrics import Metrics
from numpy.typing import NDArray

from pipelines import progress
from pipelines.blocks import bucket_of
from pipelines.filesystem import join, write_atomically
from pipelines.images import EMBED, SHARED, image_bytes, picture_name, plain_path
from pipelines.mix_files import ShardFile, schema_of
from pipelines.reasons import keep_pictures, short_reasons
from pipelines.rows import pack, unpack_rows
from translation.languages import ENGLISH
from translation.mix_folder import DATA, REJECTED, TRAIN, numbered
from translation.row import ACCEPT, IMAGE_COLUMNS, row_schema

Renamed = Mapping[tuple[str, str], str]
"""Id and locator of pictures of a shared mix that another one has the id of -> what rows name them by."""

ORDER = ("id", "reason", "source_target")
"""Columns that the rows of a shard are sorted by; null sorts as the empty string."""

ROW_GROUP_BYTES = 64 * 2**20
ROW_GROUP_ROWS = 1000
ROW_BYTES = 4000
"""A row without its picture, in a worker's memory while its shard is written; on disk it is smaller."""

SLOTS = 1024
"""Into so many slots the rows of a part are hashed; a shard is a run of slots."""

Part = tuple[str, str, str]
"""(`data` or `rejected`, NLLB code, split): a series of shards."""

Cuts = tuple[int, ...]
"""The first slot of each shard of a part but the first."""


SIZES, REASONS, QUESTIONS = "sizes", "reasons", "questions"
"""Outputs: (part, bytes of its rows by slot); ((NLLB code, short reason), rows); the same of English rows by
the language of their question, if that is another."""


class WriteMix(beam.PTransform):
    """Blocks of rows -> `ShardFile`s under `directory`, and counts of `REASONS` and `QUESTIONS`."""

    def __init__(
        self,
        directory: str,
        images: str,
        shard_megabytes: int,
        renamed: beam.PCollection | None = None,
        progress_directory: str | None = None,
    ) -> None:
        """
        Args:
            images: see `pipelines.images.EMBED`.
            renamed: entries of a `Renamed`, for `SHARED`.
        """
        super().__init__()
        self._directory, self._images, self._renamed = directory, images, renamed
        self._progress = progress_directory
        self._shard_bytes = shard_megabytes * 2**20

    def expand(self, rows: beam.PCollection) -> dict[str, beam.PCollection]:
        placed = rows | "Place in parts" >> beam.ParDo(PlaceInParts(self._images == EMBED)).with_outputs(
            SIZES, REASONS, QUESTIONS, main="blocks"
        )
        cuts = beam.pvalue.AsDict(
            placed[SIZES]
            | "Size of parts" >> beam.CombinePerKey(sum)
            | "Shards of parts" >> beam.Map(_with_cuts, self._shard_bytes)
        )
        renamed = {} if self._renamed is None else beam.pvalue.AsDict(self._renamed)
        files = (
            placed.blocks
            | "Place in shards" >> beam.FlatMap(_with_shard, cuts)
            | "Group shards" >> beam.GroupByKey()
            | "Write shards"
            >> beam.ParDo(WriteShard(self._directory, self._images, self._progress), cuts, renamed)
        )
        return {
            "files": files,
            REASONS: placed[REASONS] | "Count reasons" >> beam.CombinePerKey(sum),
            QUESTIONS: placed[QUESTIONS] | "Count questions" >> beam.CombinePerKey(sum),
        }


class PlaceInParts(beam.DoFn):
    """A block of rows -> (part, block) for each part that has some of them."""

    def __init__(self, embed: bool) -> None:
        self._embed = embed

    def process(self, block: bytes) -> Iterator[object]:
        rows = unpack_rows(block)
        if self._embed:
            sizes = np.where(keep_pictures(rows), rows.column("image_size").to_numpy(), 0) + ROW_BYTES
        else:
            sizes = np.full(len(rows), ROW_BYTES)
        slots = _slots(rows)
        places: dict[Part, list[int]] = {}
        told = (rows.column(name).to_pylist() for name in ("verdict", "language", "split"))
        for index, (verdict, language, split) in enumerate(zip(*told, strict=True)):
            part = (DATA, language, split) if verdict == ACCEPT else (REJECTED, language, TRAIN)
            places.setdefault(part, []).append(index)
        for part, indices in places.items():
            yield part, pack(rows.take(pa.array(indices)))
            of_slots = sizes_of_slots(slots[indices], sizes[indices])
            yield beam.pvalue.TaggedOutput(SIZES, (part, of_slots))
        reasons = short_reasons(rows.column("reason")).to_pylist()
        for element in Counter(zip(rows.column("language").to_pylist(), reasons, strict=True)).items():
            _count(*element)
            yield beam.pvalue.TaggedOutput(REASONS, element)
        for of_question in Counter(zip(questions_of(rows), reasons, strict=True)).items():
            if of_question[0][0] is not None:
                yield beam.pvalue.TaggedOutput(QUESTIONS, of_question)


def questions_of(rows: pa.RecordBatch | pa.Table) -> list[str | None]:
    """NLLB code of the question of each row with an English target, where that is another; None elsewhere."""
    codes, asked = rows.column("language"), rows.column("question_language")
    found: list[str | None] = pc.if_else(
        pc.and_(pc.equal(codes, ENGLISH), pc.not_equal(asked, ENGLISH)), asked, None
    ).to_pylist()
    return found


def _count(kind: tuple[str, str | None], rows: int) -> None:
    """For the pages of a remote runner; the mix is counted by the graph, which counts no row twice."""
    language, reason = kind
    verdict = "accepted" if reason is None else "rejected"
    for name in (verdict, f"{verdict}/{language}", *(() if reason is None else (f"reason/{reason}",))):
        Metrics.counter("translate_mix", name).inc(rows)


def _with_cuts(sizes: tuple[Part, NDArray[np.int64]], limit: int) -> tuple[Part, Cuts]:
    part, of_slots = sizes
    return part, cuts_for(of_slots, limit)


def _slots(rows: pa.RecordBatch) -> NDArray[np.int64]:
    keys = zip(rows.column("image_id").to_pylist(), rows.column("id").to_pylist(), strict=True)
    return np.array([slot_of(key_of(image_id, row_id)) for image_id, row_id in keys], np.int64)


def _with_shard(
    element: tuple[Part, bytes], cuts: dict[Part, Cuts]
) -> Iterator[tuple[tuple[Part, int], bytes]]:
    part, block = element
    if not cuts[part]:
        yield (part, 0), block
        return
    rows = unpack_rows(block)
    of_rows = np.searchsorted(cuts[part], _slots(rows), "right")
    for shard in np.unique(of_rows).tolist():
        yield (part, shard), pack(rows.filter(pa.array(of_rows == shard)))


def sizes_of_slots(slots: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes in each slot, shape (SLOTS,), from the slot and the bytes of each row."""
    return np.bincount(slots, weights=sizes, minlength=SLOTS).astype(np.int64)


def cuts_for(sizes: NDArray[np.int64], limit: int) -> Cuts:
    """Where a part is cut into shards of much the same size, none above the limit if slots allow that.

    Args:
        sizes: bytes in each slot, each row `ROW_BYTES` and its pictures.
        limit: bytes.
    """
    total = int(sizes.sum())
    before = np.cumsum(sizes) - sizes
    shards, largest = max(1, -(-total // limit)), max(limit, sizes.max())
    of_slots = before * shards // max(total, 1)
    while np.bincount(of_slots, weights=sizes).max() > largest:
        shards += 1
        of_slots = before * shards // total
    # A run of slots without rows is no shard.
    starts = [int(np.flatnonzero(of_slots == shard)[0]) for shard in np.unique(of_slots[sizes > 0])]
    return tuple(starts[1:])


def slot_of(key: str) -> int:
    """Which slot of its part holds the rows of a key."""
    return bucket_of(key, SLOTS)


def key_of(image_id: str | None, row_id: str) -> str:
    """What decides on the shard of a row: rows of one image stay together."""
    return image_id or row_id


def shard_name(part: Part, shard: int, shards: int) -> str:
    """`data/deu_Latn/train-00000-of-00004.parquet`; rejects have no split."""
    kind, language, split = part
    stem = split if kind == DATA else REJECTED
    return f"{kind}/{language}/{numbered(stem, shard, shards)}"


class WriteShard(beam.DoFn):
    """((part, shard), blocks of its rows) -> one `ShardFile`."""

    def __init__(self, directory: str, images: str, progress_directory: str | None) -> None:
        self._directory, self._images, self._progress = directory, images, progress_directory
        self._bytes = Metrics.distribution("translate_mix", "shard_bytes")

    def start_bundle(self) -> None:
        progress.enter(self._progress, progress.WRITING)

    def process(
        self, element: tuple[tuple[Part, int], Iterable[bytes]], cuts: dict[Part, Cuts], renamed: Renamed
    ) -> Iterator[ShardFile]:
        (part, shard), blocks = element
        rows = pa.Table.from_batches(map(unpack_rows, blocks))
        name = shard_name(part, shard, len(cuts[part]) + 1)
        path = join(self._directory, *name.split("/"))
        if self._images == SHARED:
            tables = _with_names(rows, renamed)
        else:
            tables = _with_pictures(rows, self._images == EMBED)
        file = write_shard(path, name, part, tables, len(rows), self._directory, schema_of(self._images))
        progress.record(self._progress, progress.WRITTEN, file.rows)
        self._bytes.update(file.size)
        yield file


def write_shard(
    path: str, name: str, part: Part, tables: Iterable[pa.Table], rows: int, within: str, schema: pa.Schema
) -> ShardFile:
    """Writes row groups, ordered, as one file at `path`, atomically, and checks what arrived.

    Args:
        name: the path in the mix, which `path` may come to later.
        rows: how many the tables hold.
        within: the mix, which must be there still.
        schema: of the file, with its metadata.

    Raises:
        OutputError: disk full, no permission, or another number of rows was written.
    """
    kind, language, split = part
    written = write_atomically(
        path,
        lambda file: write_tables(file, tables, schema),
        attempt=uuid.uuid4().hex,
        check=lambda file: check_table(file, rows, schema),
        within=within,
    )
    return ShardFile(name, rows, written.sha256, written.size, language, split, kind == DATA)


def write_tables(file: BinaryIO, tables: Iterable[pa.Table], schema: pa.Schema | None = None) -> None:
    """Each table as a row group, as `datasets` likes it: images plain and uncompressed, page index.

    Args:
        schema: that of rows by default.
    """
    schema = row_schema() if schema is None else schema
    image_columns = {f"{column}.bytes" for column in IMAGE_COLUMNS}
    leaves = _leaves(schema)
    writer = pq.ParquetWriter(
        file,
        schema,
        compression={leaf: "none" if leaf in image_columns else "zstd" for leaf in leaves},
        use_dictionary=[leaf for leaf in leaves if leaf not in image_columns],
        write_page_index=True,
        use_content_defined_chunking=True,
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


def _with_pictures(rows: pa.Table, embed: bool) -> Iterator[pa.Table]:
    """The row groups of a shard, with the pictures that an embedding mix holds if `embed`.

    A mix without pictures keeps where they were read from, else only the file name: paths of this machine are
    of no use in a mix that carries its pictures.
    """
    sizes = np.zeros(len(rows), np.int64)
    if embed:
        kept = np.concatenate([keep_pictures(batch) for batch in rows.to_batches()])
        sizes = np.where(kept, rows.column("image_size").to_numpy(), 0)
    schema = row_schema()
    for group, group_sizes in ordered_groups(rows, sizes):
        columns = {
            name: _pictures(group.column(name).to_pylist(), group_sizes > 0 if embed else None)
            for name in IMAGE_COLUMNS
        }
        arrays = [columns.get(name, group.column(name)) for name in schema.names]
        yield pa.Table.from_arrays(arrays, schema=schema)


def _pictures(locators: Sequence[str | None], kept: NDArray[np.bool_] | None) -> pa.Array:
    """The image structs of rows; with bytes where they are kept, None: nowhere."""
    # Rows that stand side by side often show the same picture.
    read = cache(image_bytes)
    cells = [
        locator
        and {
            "bytes": read(locator) if kept is not None and kept[index] else None,
            "path": plain_path(locator) if kept is None else picture_name(locator),
        }
        for index, locator in enumerate(locators)
    ]
    return pa.array(cells, row_schema().field(IMAGE_COLUMNS[0]).type)


def picture_ids(rows: pa.RecordBatch | pa.Table) -> dict[str, list[str | None]]:
    """By image column, the id of each row's picture; None without."""
    own, of_pair = rows.column("image_id").to_pylist(), rows.column("picture_ids").to_pylist()
    found: dict[str, list[str | None]] = {}
    for place, name in enumerate(IMAGE_COLUMNS):
        there = rows.column(name).is_valid().to_pylist()
        found[name] = [
            (pair[place] if pair else image_id) if shown else None
            for image_id, pair, shown in zip(own, of_pair, there, strict=True)
        ]
    return found


def _with_names(rows: pa.Table, renamed: Renamed) -> Iterator[pa.Table]:
    """The row groups of a shard whose rows only name the pictures that `images/` has of them."""
    schema = row_schema()
    for group, _ in ordered_groups(rows, np.zeros(len(rows), np.int64)):
        batch = group.to_batches()[0]
        kept, ids = keep_pictures(batch), picture_ids(batch)
        columns = {}
        for name in IMAGE_COLUMNS:
            cells = [
                {"bytes": None, "path": renamed.get((image_id, locator), image_id)}
                if keep and image_id is not None
                else None
                for image_id, locator, keep in zip(
                    ids[name], batch.column(name).to_pylist(), kept, strict=True
                )
            ]
            columns[name] = pa.array(cells, schema.field(name).type)
        arrays = [columns.get(name, group.column(name)) for name in schema.names]
        yield pa.Table.from_arrays(arrays, schema=schema)


def ordered_groups(rows: pa.Table, sizes: NDArray[np.int64]) -> Iterator[tuple[pa.Table, NDArray[np.int64]]]:
    """The row groups of a shard in the order of its rows, with the bytes of the pictures of each row."""
    texts = {name: pc.fill_null(rows.column(name), "") for name in ORDER}
    order = pc.sort_indices(pa.table(texts), [(name, "ascending") for name in ORDER]).to_numpy()
    whole = sizes + _text_bytes(rows)
    for group in row_groups(zip(order.tolist(), whole[order].tolist(), strict=True)):
        yield rows.take(pa.array(group)).combine_chunks(), sizes[group]


def _text_bytes(rows: pa.Table) -> NDArray[np.int64]:
    """Of all texts in each row; few are long, but those may be very long."""
    found = np.zeros(len(rows), np.int64)
    for field in row_schema():
        if pa.types.is_string(field.type):
            found += pc.fill_null(pc.binary_length(rows.column(field.name)), 0).to_numpy()
    return found


_Item = TypeVar("_Item")


def row_groups(rows: Iterable[tuple[_Item, int]]) -> Iterator[list[_Item]]:
    """Runs of rows, which come with the size of their pictures and texts, bounded in number and bytes."""
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


def check_table(file: BinaryIO, rows: int, schema: pa.Schema) -> None:
    """Reads the footer of a file that was written; raises ValueError if it holds something else."""
    parquet = pq.ParquetFile(file)
    if parquet.metadata.num_rows != rows:
        raise ValueError(f"{parquet.metadata.num_rows:,} rows arrived, {rows:,} were written")
    if not parquet.schema_arrow.equals(schema, check_metadata=True):
        raise ValueError("other columns arrived than were written")
