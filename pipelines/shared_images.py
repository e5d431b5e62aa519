"""`images: shared`: each picture of a mix once, in Parquet files of its own; the rows only name it.

Rows name a picture by its id. Where sources have different pictures of one id (`1.jpg` in two folders), the
one whose SHA-256 comes first has it, and the others are named `<id>~<start of their SHA-256>`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

import apache_beam as beam
import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.blocks import Gathered, Packer, at_the_end, bucket_of
from pipelines.filesystem import join, write_atomically
from pipelines.images import content_id, image_bytes, picture_name
from pipelines.mix_files import IMAGE_SCHEMA, ImageFile
from pipelines.reasons import keep_pictures
from pipelines.rows import unpack_rows
from pipelines.sink import (
    ROW_GROUP_BYTES,
    SLOTS,
    Cuts,
    check_table,
    cuts_for,
    picture_ids,
    sizes_of_slots,
    write_tables,
)
from translation.mix_folder import IMAGES, numbered

PICTURES_PER_GROUP = 16
"""Rows of a row group: who wants one picture reads so many."""

RENAMED, SIZES = "renamed", "picture_sizes"
"""Outputs: entries of `pipelines.sink.Renamed`; bytes of the pictures by slot."""


class Shown(msgspec.Struct, frozen=True, gc=False):
    """A picture that rows show."""

    image_id: str
    locator: str
    size: int
    """Bytes; of two pictures of one row, both together."""


SHOWN = Packer(Shown)


class ShareImages(beam.PTransform):
    """Blocks of rows -> `files`, the `ImageFile`s under `directory`, and `RENAMED`."""

    def __init__(self, directory: str, shard_megabytes: int, buckets: int) -> None:
        super().__init__()
        self._directory, self._buckets = directory, buckets
        self._shard_bytes = shard_megabytes * 2**20

    def expand(self, rows: beam.PCollection) -> dict[str, beam.PCollection]:
        told = (
            rows
            | "Pictures" >> beam.ParDo(GatherShown(self._buckets))
            | "Group by image id" >> beam.GroupByKey()
            | "Tell apart" >> beam.ParDo(TellApart()).with_outputs(RENAMED, SIZES, main="pictures")
        )
        cuts = beam.pvalue.AsDict(
            told[SIZES]
            | "Size of pictures" >> beam.CombinePerKey(sum)
            | "Shards of pictures" >> beam.Map(_with_cuts, self._shard_bytes)
        )
        files = (
            told.pictures
            | "Place pictures" >> beam.FlatMap(_with_shard, cuts)
            | "Group pictures" >> beam.GroupByKey()
            | "Write pictures" >> beam.ParDo(WriteImages(self._directory), cuts)
        )
        return {"files": files, RENAMED: told[RENAMED]}


class GatherShown(beam.DoFn):
    """Blocks of rows -> (bucket of an image id, block of `Shown`) of all pictures that the mix keeps."""

    def __init__(self, buckets: int) -> None:
        self._buckets = buckets

    def start_bundle(self) -> None:
        self._shown = Gathered(SHOWN)

    def process(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        rows = unpack_rows(block)
        sizes, kept = rows.column("image_size").to_pylist(), keep_pictures(rows)
        found = set()
        for name, ids in picture_ids(rows).items():
            for image_id, locator, size, keep in zip(
                ids, rows.column(name).to_pylist(), sizes, kept, strict=True
            ):
                if keep and image_id is not None:
                    found.add((image_id, locator, size))
        # In order, so that the same rows make the same blocks.
        for image_id, locator, size in sorted(found):
            self._shown.add(bucket_of(image_id, self._buckets), Shown(image_id, locator, size))
        if self._shown.full:
            yield from self._shown.drain()

    def finish_bundle(self) -> Iterator[object]:
        yield from at_the_end(self._shown.drain())


class TellApart(beam.DoFn):
    """(bucket, blocks of `Shown`) -> a block of different pictures, each by the name that rows shall use."""

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[object]:
        """All that is shown by an id must be among these."""
        places: dict[str, dict[str, int]] = {}
        for shown in SHOWN.unpack_all(element[1]):
            sizes = places.setdefault(shown.image_id, {})
            # A row that shows it alone tells its size, one that shows two of them only a bound.
            sizes[shown.locator] = min(shown.size, sizes.get(shown.locator, shown.size))
        pictures = []
        for image_id, sizes in sorted(places.items()):
            for name, locators in _told_apart(image_id, sizes).items():
                pictures.append(Shown(name, locators[0], min(sizes[locator] for locator in locators)))
                if name != image_id:
                    for locator in locators:
                        yield beam.pvalue.TaggedOutput(RENAMED, ((image_id, locator), name))
        of_slots = sizes_of_slots(_slots(pictures), np.array([one.size for one in pictures], np.int64))
        yield beam.pvalue.TaggedOutput(SIZES, (IMAGES, of_slots))
        yield SHOWN.pack(pictures)


def _told_apart(image_id: str, locators: Iterable[str]) -> Mapping[str, list[str]]:
    """The pictures that go by an id, by the names that rows shall use, and where each of them is."""
    # By name first, which is the same on another machine.
    ordered = sorted(locators, key=lambda locator: (picture_name(locator), locator))
    if len(ordered) == 1:
        return {image_id: ordered}
    by_content: dict[str, list[str]] = {}
    for locator in ordered:
        by_content.setdefault(content_id(image_bytes(locator)), []).append(locator)
    first, *others = sorted(by_content)
    return {image_id: by_content[first]} | {f"{image_id}~{other}": by_content[other] for other in others}


def _slots(pictures: Iterable[Shown]) -> NDArray[np.int64]:
    return np.array([bucket_of(one.image_id, SLOTS) for one in pictures], np.int64)


def _with_cuts(sizes: tuple[str, NDArray[np.int64]], limit: int) -> tuple[str, Cuts]:
    key, of_slots = sizes
    return key, cuts_for(of_slots, limit)


def _with_shard(block: bytes, cuts: Mapping[str, Cuts]) -> Iterator[tuple[int, bytes]]:
    pictures = SHOWN.unpack(block)
    of_pictures = np.searchsorted(cuts[IMAGES], _slots(pictures), "right")
    for shard in np.unique(of_pictures).tolist():
        yield shard, SHOWN.pack([one for one, at in zip(pictures, of_pictures, strict=True) if at == shard])


class WriteImages(beam.DoFn):
    """(shard, blocks of its pictures) -> one `ImageFile`."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def process(self, element: tuple[int, Iterable[bytes]], cuts: Mapping[str, Cuts]) -> Iterator[ImageFile]:
        shard, blocks = element
        pictures = sorted(SHOWN.unpack_all(blocks), key=lambda one: one.image_id)
        name = f"{IMAGES}/{numbered(IMAGES, shard, len(cuts[IMAGES]) + 1)}"

        def write(file: BinaryIO) -> None:
            write_tables(file, map(_table, _groups(pictures)), IMAGE_SCHEMA)

        written = write_atomically(
            join(self._directory, *name.split("/")),
            write,
            attempt=uuid.uuid4().hex,
            check=lambda file: check_table(file, len(pictures), IMAGE_SCHEMA),
            within=self._directory,
        )
        yield ImageFile(name, len(pictures), written.sha256, written.size)


def _groups(pictures: Iterable[Shown]) -> Iterator[list[Shown]]:
    """Runs of pictures, bounded in number and bytes."""
    group: list[Shown] = []
    size = 0
    for one in pictures:
        if group and (len(group) >= PICTURES_PER_GROUP or size + one.size > ROW_GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(one)
        size += one.size
    if group:
        yield group


def _table(pictures: Iterable[Shown]) -> pa.Table:
    rows = [
        {
            "image_id": one.image_id,
            "image": {"bytes": image_bytes(one.locator), "path": picture_name(one.locator)},
        }
        for one in pictures
    ]
    return pa.Table.from_pylist(rows, schema=IMAGE_SCHEMA)
