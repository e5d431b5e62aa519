"""The files of a translation memory: Parquet segments that are whole or set aside, on any filesystem.

A segment is never changed. Its name holds a digest of its bytes, so that a damaged one is told from a whole
one, and two writers of the same segment write the same file. Filesystems are those of `pyarrow.fs` (local,
gs://, s3://, ...), and those of fsspec for other schemes, if it is installed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from translation.disk import PARTIAL, write_whole
from translation.store_urls import arrow_uri

SCHEMA = pa.schema(
    [
        pa.field("key", pa.binary(16), nullable=False),
        pa.field("call", pa.binary(16), nullable=False),
        pa.field("engine", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("decoding", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("target", pa.string(), nullable=False),
        pa.field("whole", pa.bool_(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("translation", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("cut_off", pa.bool_(), nullable=False),
        pa.field("unknown", pa.bool_(), nullable=False),
        pa.field("empty", pa.bool_(), nullable=False),
    ]
)
"""A row is one translation. `key`: digest of everything that it depends on; `call`: of the texts that were
translated with it, whose number and lengths change the last digits of scores."""

ROW_GROUP_ROWS = 512
"""What is read at once to look up one text."""

DAMAGED = ".damaged"

_REPEATED = ["call", "engine", "model", "decoding", "source", "target"]
_COMPRESSION = {name: "none" if name == "key" else "zstd" for name in SCHEMA.names}

_NAME = re.compile(
    r"(?P<generation>\d{6})-(?P<number>\d{6})-(?P<digest>[0-9a-f]{32})(?P<given>\.given)?\.parquet"
)

_CONNECTIONS = 16

_OBJECT_STORES = ("gcs", "s3", "abfs")
"""Arrow's names of filesystems without folders, where a file appears once all of it has arrived."""

_GCS_PATIENCE_S = 120
"""See `arrow_uri`."""


class MemoryFolderError(RuntimeError):
    """The folder of a translation memory cannot be read or written; names the file and the cause."""


@dataclass(frozen=True, order=True)
class Segment:
    """A file of the memory, as its name tells; the order is that of writing."""

    generation: int
    """Runs that had begun when it was written, counted from 1."""
    number: int
    """Among the compacted ones of a generation; 0 as a run writes it."""
    digest: str
    given: bool
    """Holds translations that were imported, and none that an engine made."""

    @property
    def name(self) -> str:
        return f"{self.generation:06d}-{self.number:06d}-{self.digest}{'.given' * self.given}.parquet"


def parse_name(name: str) -> Segment | None:
    """The segment that a file name means, None for any other file."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    return Segment(
        int(match["generation"]), int(match["number"]), match["digest"], match["given"] is not None
    )


class SegmentFolder:
    """A folder of segments on a local or remote filesystem."""

    def __init__(self, folder: str) -> None:
        """Raises MemoryFolderError if no filesystem knows the scheme of `folder`, or its store fails."""
        self.folder = folder
        self.local = "://" not in folder
        self._flat = False
        """An object store: nothing needs to be made before a file is written, or renamed after it."""
        self._made = False
        """Whether the folder is there; where it is far away, this need not be asked for every file."""
        if self.local:
            self._files, self._path = fs.LocalFileSystem(), str(Path(folder).absolute())
            return
        try:
            self._files, self._path = fs.FileSystem.from_uri(arrow_uri(folder, _GCS_PATIENCE_S))
            self._flat = self._files.type_name in _OBJECT_STORES
        except pa.ArrowInvalid:
            try:
                self._files, self._path = fs.FileSystem.from_uri(f"fsspec+{folder}")
            except (ImportError, ValueError) as error:
                raise MemoryFolderError(f"{folder}: no filesystem for this scheme: {error}") from error
        except OSError as error:
            # To find a bucket's region, its store is asked at once.
            raise MemoryFolderError(f"cannot read {folder}: {_cause(error)}") from error

    def names(self) -> list[str]:
        """Of all files in it, in order; none where there is no folder."""
        selector = fs.FileSelector(self._path, allow_not_found=True)
        try:
            return sorted(info.base_name for info in self._files.get_file_info(selector) if info.is_file)
        except OSError as error:
            raise MemoryFolderError(f"cannot read {self.folder}: {_cause(error)}") from error

    def segments(self) -> list[Segment]:
        """In the order of writing."""
        return sorted(segment for name in self.names() if (segment := parse_name(name)) is not None)

    def size(self, name: str) -> int:
        """In bytes."""
        return int(self._files.get_file_info(self._join(name)).size or 0)

    def read(self, name: str) -> pa.Buffer:
        """The bytes of a file; mapped into memory, not copied, if it is on this machine.

        Raises:
            FileNotFoundError: there is no such file.
            MemoryFolderError: it cannot be read.
        """
        try:
            if self.local:
                if not os.path.getsize(self._join(name)):
                    return pa.py_buffer(b"")
                with pa.memory_map(self._join(name)) as file:
                    return file.read_buffer()
            with self._files.open_input_stream(self._join(name)) as file:
                return pa.py_buffer(file.read())
        except FileNotFoundError:
            raise
        except OSError as error:
            raise MemoryFolderError(f"cannot read {self.folder}/{name}: {_cause(error)}") from error

    def read_whole(self, segment: Segment) -> tuple[Segment, pa.Buffer] | None:
        """A segment and its bytes, if they are as they were written; else what is left whole of it.

        A damaged one is set aside, and its whole row groups become a segment of their own. None if there are
        none, or another process is about it.

        Raises:
            MemoryFolderError: it cannot be read, or a damaged one cannot be renamed.
        """
        try:
            data = self.read(segment.name)
        except FileNotFoundError:
            return None
        if _digest(data) == segment.digest:
            return segment, data
        left = _salvaged(data, segment.digest)
        saved = None
        if left is not None:
            data = encoded([left])
            saved = self.write_encoded(data, segment.generation, number=segment.number, given=segment.given)
        self._move(segment.name, segment.name + DAMAGED, missing_ok=True)
        return None if saved is None else (saved, data)

    def read_all(self, segments: Sequence[Segment]) -> Iterator[tuple[Segment, pa.Buffer] | None]:
        """`read_whole` of each in order; several at once where the way is long."""
        if self.local:
            yield from map(self.read_whole, segments)
            return
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            # Not all at once: what has been read waits in this process.
            for start in range(0, len(segments), 4 * _CONNECTIONS):
                yield from pool.map(self.read_whole, segments[start : start + 4 * _CONNECTIONS])

    def write(
        self, tables: Iterable[pa.Table], generation: int, *, number: int = 0, given: bool = False
    ) -> Segment:
        """Writes a segment in one step: under another name, synced, renamed.

        Raises:
            MemoryFolderError: disk full, no permission, ...; no file is left behind.
        """
        return self.write_encoded(encoded(tables), generation, number=number, given=given)

    def write_encoded(
        self, data: pa.Buffer, generation: int, *, number: int = 0, given: bool = False
    ) -> Segment:
        """As `write`, of what `encoded` made."""
        segment = Segment(generation, number, _digest(data), given)
        self.write_bytes(segment.name, data)
        return segment

    def write_bytes(self, name: str, data: bytes | pa.Buffer) -> None:
        """Writes a file in one step; see `write`."""
        attempt = uuid.uuid4().hex
        # Stores of objects have a whole file or none.
        temporary = name if self._flat else f".{name}.{attempt}{PARTIAL}"
        try:
            if self.local or not (self._made or self._flat):
                self._files.create_dir(self._path, recursive=True)
                self._made = True
            if self.local:
                write_whole(Path(self._join(name)), data, attempt)
                return
            with self._files.open_output_stream(self._join(temporary)) as stream:
                stream.write(data)
            if temporary != name:
                self._files.move(self._join(temporary), self._join(name))
        except OSError as error:
            if temporary != name and not self.local:
                self._discard(temporary)
            no_bucket = self._flat and isinstance(error, FileNotFoundError)
            cause = "there is no such bucket" if no_bucket else _cause(error)
            raise MemoryFolderError(
                f"cannot write {self.folder}/{name}: {cause}{self._room(error)}"
            ) from error

    def remove(self, names: Iterable[str]) -> None:
        """Deletes files; fine where there are none.

        Raises:
            MemoryFolderError: no permission, ...
        """
        for name in names:
            try:
                self._files.delete_file(self._join(name))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise MemoryFolderError(f"cannot delete {self.folder}/{name}: {_cause(error)}") from error

    def _move(self, name: str, to: str, *, missing_ok: bool) -> None:
        try:
            self._files.move(self._join(name), self._join(to))
        except OSError as error:
            if missing_ok and name not in self.names():
                return
            raise MemoryFolderError(f"cannot rename {self.folder}/{name}: {_cause(error)}") from error

    def _room(self, error: OSError) -> str:
        """What is left on a disk that is full."""
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not os.path.isdir(self._path):
            return ""
        free = shutil.disk_usage(self._path).free
        return f"; {free / 1e6:,.1f} MB are free in {self.folder}; make room and give the same command again"

    def _discard(self, name: str) -> None:
        try:
            self._files.delete_file(self._join(name))
        except OSError:
            # The error that led here is the one to tell; the next run deletes what is left.
            return

    def _join(self, name: str) -> str:
        return f"{self._path}/{name}"


def rows(data: pa.Buffer, columns: Sequence[str] | None = None) -> pa.Table:
    """What a whole segment holds."""
    return pq.ParquetFile(pa.BufferReader(data)).read(columns=columns, use_threads=False)


def batches(data: pa.Buffer) -> Iterator[pa.Table]:
    """What a whole segment holds, a few thousand rows at a time."""
    for batch in pq.ParquetFile(pa.BufferReader(data)).iter_batches(8 * ROW_GROUP_ROWS, use_threads=False):
        yield pa.Table.from_batches([batch]).cast(SCHEMA)


def table_of(
    keys: Sequence[bytes],
    call: bytes,
    origin: Sequence[str],
    whole: bool,
    entries: Sequence[tuple[object, ...]],
) -> pa.Table:
    """Rows of one call.

    Args:
        origin: engine, model, decoding.
        entries: of each row the columns from `source` on, without `whole`.
    """
    number = len(keys)
    repeated = [list(repeat(value, number)) for value in (call, *origin)]
    source, target, *rest = zip(*entries, strict=True)
    columns = [keys, *repeated, source, target, list(repeat(whole, number)), *rest]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def encoded(tables: Iterable[pa.Table]) -> pa.Buffer:
    """A Parquet file; every row group but the last has `ROW_GROUP_ROWS`."""
    sink = pa.BufferOutputStream()
    writer = pq.ParquetWriter(
        sink,
        SCHEMA,
        compression=_COMPRESSION,
        use_dictionary=_REPEATED,
        write_statistics=False,
        write_page_checksum=True,
        store_schema=False,
    )
    with writer:
        waiting = SCHEMA.empty_table()
        for table in tables:
            waiting = pa.concat_tables([waiting, table])
            ready = len(waiting) // ROW_GROUP_ROWS * ROW_GROUP_ROWS
            if ready:
                writer.write_table(waiting.slice(0, ready), row_group_size=ROW_GROUP_ROWS)
                waiting = waiting.slice(ready).combine_chunks()
        if len(waiting):
            writer.write_table(waiting)
    return sink.getvalue()


def _digest(data: pa.Buffer) -> str:
    """Of the whole file, then of its footer, so that damage is told from damage that can be read past."""
    return _hashed(data) + _hashed(_footer(data))


def _hashed(data: pa.Buffer) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _footer(data: pa.Buffer) -> pa.Buffer:
    """With its length and the magic number; empty where there is none."""
    length = int.from_bytes(data[-8:-4].to_pybytes(), "little") + 8 if data.size >= 8 else 0
    return data.slice(data.size - length) if 8 < length <= data.size else data.slice(0, 0)


def _salvaged(data: pa.Buffer, digest: str) -> pa.Table | None:
    """The row groups of a damaged file in which every page has its checksum; None if there are none.

    Without the footer as it was written, nothing is believed.
    """
    if _hashed(_footer(data)) != digest[16:]:
        return None
    file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    whole = []
    for group in range(file.metadata.num_row_groups):
        try:
            whole.append(file.read_row_group(group, use_threads=False).cast(SCHEMA))
        except (OSError, pa.ArrowException):
            continue
    return pa.concat_tables(whole) if whole else None


def _cause(error: OSError) -> str:
    """Without what only the client library's developers know to read."""
    text = re.split(r"\. Detail:| error_info=", error.strerror or str(error))[0]
    text = text.rpartition("with a last message of ")[2]
    # Some stores answer with pages.
    return os.strerror(errno.EACCES) if error.errno == errno.EACCES else " ".join(text.split())
