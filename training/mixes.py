"""A mix as the trainer sees it: the row groups of one split's shards, from the Parquet footers.

It may lie on a local disk, at gs:// or s3://, or anywhere `fsspec` reaches (`hf://datasets/OWNER/NAME`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from numpy.typing import NDArray

from translation.mix_folder import DATA, IMAGES, MANIFEST, SHARD, TRAIN
from translation.row import IMAGE_COLUMNS, PAIRED, row_schema
from translation.store_urls import arrow_uri

TEXT_COLUMNS = ("id", "task", "prompt_language", "language", "prompt", "target")
COLUMNS = (*TEXT_COLUMNS, "image_id", *IMAGE_COLUMNS)
"""What training reads of a row; mixes of before there were two pictures have no `second_image`."""
OPTIONAL = frozenset({"image_id", "second_image"})

FOOTERS_AT_ONCE = 16
"""Footers of a bucket are waited for, not computed."""

K = TypeVar("K")
V = TypeVar("V")


class MixError(ValueError):
    """A mix that cannot be trained on; the message names the file, what is wrong and what to do."""


class EmptySplit(MixError):
    """A finished mix without rows of the wanted split."""


def shared_id(column: str, cell: Mapping[str, Any], image_id: str | None) -> str | None:
    """What the picture of a row's column is called under `IMAGES`.

    Args:
        cell: `bytes` and `path` of the column. The path is the name; a first picture without one is named by
            the row.
        image_id: of the row.
    """
    return cell["path"] or (image_id if column == IMAGE_COLUMNS[0] else None)


@dataclass(frozen=True)
class RowGroup:
    """Rows that are read at once."""

    file: str
    """Relative to the mix: `data/deu_Latn/train-00000-of-00004.parquet`."""
    index: int
    """In the file."""
    rows: int
    bytes: int
    """In memory, with the pictures that it embeds."""
    language: str
    """NLLB code of the targets."""


class Mix:
    """The rows of one split of a mix, and its files."""

    def __init__(self, location: str, split: str = TRAIN, without: pa.Array | None = None) -> None:
        """Reads the footers of all shards.

        Args:
            location: a directory or a URL.
            split: `train` or `validation`.
            without: split keys (see `split_keys`) of rows that are left out, as if the mix did not have them;
                to find them, the ids of all rows are read.

        Raises:
            MixError: no mix, an unfinished one, one without rows of this split, or a shard that is missing,
                broken, of another schema, or not what the manifest says.
        """
        self.location, self.split = location, split
        self.left_out = 0
        """Rows of the split that are as if they were not there."""
        self.filesystem, self.root = filesystem_at(location)
        present = self.files_below(DATA)
        manifest = self._read_manifest()
        shards = self._shards(present, manifest)
        footers = _at_once(self._footer, shards)
        self._footers = dict(zip(shards, footers, strict=True))
        for file, rows in manifest.items():
            if rows != self._footers[file].num_rows:
                raise MixError(
                    f"{self.name(file)}: holds {self._footers[file].num_rows:,} rows, {rows:,} stand in "
                    f"{MANIFEST}; `translate-mix verify` lists all that is wrong with the mix"
                )
        self.groups = tuple(self._groups())
        """Row groups that hold rows, in the order of their files."""
        if not self.groups:
            raise EmptySplit(
                f"{location}: the mix is empty, no row was accepted"
                if split == TRAIN
                else f"{location}: the mix has no rows of the split {split!r}; it was made with "
                "`validation: 0`, or with too few pictures for its share"
            )
        self._kept: dict[RowGroup, NDArray[np.bool_]] = {}
        """Of groups that rows are left out of."""
        if without is not None:
            whole = self.rows
            self._leave_out(without)
            if not self.groups:
                raise EmptySplit(
                    f"{location}: all of its {whole:,} rows of the split {split!r} are left out, since other "
                    "mixes hold out what they show; leave it out too, or make the others with a smaller "
                    "`validation`"
                )

    @property
    def rows(self) -> int:
        return sum(group.rows for group in self.groups)

    @property
    def digest(self) -> str:
        """Of the names and sizes of all row groups, and of what is left out of them.

        Another one means other data, or another order of it.
        """
        footers = {file: footer.serialized_size for file, footer in self._footers.items()}
        lines = [
            f"{group.file} {group.index} {group.rows} {group.bytes} {footers[group.file]}"
            for group in self.groups
        ]
        digest = hashlib.sha256("\n".join(lines).encode())
        for mask in self._kept.values():
            digest.update(mask.tobytes())
        return digest.hexdigest()[:16]

    def name(self, file: str) -> str:
        """A file of the mix as messages name it."""
        return f"{self.location.rstrip('/')}/{file}"

    def read(self, group: RowGroup, columns: Iterable[str]) -> pa.Table:
        """Columns of a row group, without those optional ones that the mix does not have.

        Args:
            columns: `image.path` is a part of one.

        Raises:
            MixError: it cannot be read.
        """
        present = set(self._footers[group.file].schema.to_arrow_schema().names)
        wanted = [column for column in columns if column.partition(".")[0] in present]
        try:
            with self._open(group.file, self._footers[group.file]) as file:
                table = file.read_row_group(group.index, columns=wanted)
        except (OSError, pa.ArrowException) as error:
            raise self._broken(group.file, error) from error
        return table.filter(self._kept[group]) if group in self._kept else table

    def split_keys(self, group: RowGroup) -> pa.ChunkedArray:
        """What each row of a row group stands on one side of its mix's split with.

        That is the id of its picture; of a row without one, the id of its example in any language. No picture
        is read for it, so it is the same wherever the mix has its pictures.

        Raises:
            MixError: it cannot be read.
        """
        table = self.read(group, ["image_id"])
        images = table.column("image_id").cast(pa.string()) if table.num_columns else None
        if images is not None and not images.null_count:
            return images
        examples = pc.replace_substring_regex(self.read(group, ["id"]).column("id"), "/[^/]*$", "")
        return (
            examples.cast(pa.string()) if images is None else pc.coalesce(images, examples.cast(pa.string()))
        )

    def shows_pairs(self, group: RowGroup) -> bool:
        """Whether rows of a row group may have a second picture, by the file's footer."""
        columns = self._footers[group.file].row_group(group.index)
        for number in range(columns.num_columns):
            column = columns.column(number)
            if column.path_in_schema.startswith(f"{IMAGE_COLUMNS[1]}."):
                counted = column.statistics
                if counted is None or not counted.has_null_count or counted.null_count < column.num_values:
                    return True
        return False

    def keys_of_pairs(self, group: RowGroup) -> tuple[NDArray[np.int64], pa.Array]:
        """What rows with two pictures, whose id is `left+right`, stand on one side of a split with besides.

        Returns:
            Row numbers, and for each the id of one of its pictures. Where ids have a `+` of their own, all
            that they may be.

        Raises:
            MixError: it cannot be read.
        """
        rows: list[int] = []
        keys: list[str] = []
        if self.shows_pairs(group):
            table = self.read(group, ["image_id", f"{IMAGE_COLUMNS[1]}.path"])
            two = pc.is_valid(table.column(IMAGE_COLUMNS[1])).to_numpy()
            for row in np.flatnonzero(two).tolist():
                name = table.column("image_id")[row].as_py() or ""
                for plus in re.finditer(re.escape(PAIRED), name):
                    rows += [row, row]
                    keys += [name[: plus.start()], name[plus.end() :]]
        return np.array(rows, np.int64), pa.array(keys, pa.string())

    def _leave_out(self, keys: pa.Array) -> None:
        """Takes the rows with these split keys out of `groups` and of what is read of them."""

        def kept(group: RowGroup) -> NDArray[np.bool_]:
            found: NDArray[np.bool_] = pc.is_in(self.split_keys(group), value_set=keys).to_numpy().copy()
            rows, of_pairs = self.keys_of_pairs(group)
            found[rows[pc.is_in(of_pairs, value_set=keys).to_numpy(zero_copy_only=False)]] = True
            return ~found

        groups: list[RowGroup] = []
        for group, mask in zip(self.groups, _at_once(kept, self.groups), strict=True):
            rows = int(mask.sum())
            if rows == group.rows:
                groups.append(group)
            elif rows:
                groups.append(replace(group, rows=rows, bytes=group.bytes * rows // group.rows))
                self._kept[groups[-1]] = mask
            self.left_out += group.rows - rows
        self.groups = tuple(groups)

    @cached_property
    def shared_files(self) -> list[str]:
        """The files under `IMAGES`, relative to the mix; raises `MixError`."""
        return sorted(self.files_below(IMAGES))

    def open_file(self, path: str) -> pa.NativeFile:
        """A file of the mix for reading; raises OSError."""
        return self.filesystem.open_input_file(f"{self.root}/{path}")

    def _open(self, file: str, footer: pq.FileMetaData | None = None) -> pq.ParquetFile:
        # One large read suits a bucket; from a local disk it takes four times as long as many small ones.
        remote = not isinstance(self.filesystem, pafs.LocalFileSystem)
        return pq.ParquetFile(self.open_file(file), metadata=footer, pre_buffer=remote)

    def _shards(self, present: Sequence[str], manifest: Mapping[str, int]) -> list[str]:
        """Files of the split, relative to the mix, in order; what stands beside them is not of the mix."""
        expected = sorted(manifest)
        if missing := sorted(set(expected) - set(present)):
            raise MixError(
                f"{self.name(missing[0])}: the file is missing, {len(missing)} of {len(expected)} are; "
                "fetch the mix again, or make it again with `translate-mix run --overwrite`"
            )
        return expected

    def files_below(self, folder: str) -> list[str]:
        """Parquet files in a folder of the mix, relative to the mix; none where there is no such folder.

        Raises:
            MixError: it cannot be listed, or there is no mix at all.
        """
        selector = pafs.FileSelector(f"{self.root}/{folder}", recursive=True, allow_not_found=True)
        try:
            infos = self.filesystem.get_file_info(selector)
            present = [
                info.path
                for info in infos
                if info.type == pafs.FileType.File and info.path.endswith(".parquet")
            ]
            if not present and not self._exists("") and not self._exists(MANIFEST):
                raise MixError(f"{self.location}: no such directory")
        except OSError as error:
            raise MixError(f"{self.location}: cannot be listed: {error}") from error
        return [PurePosixPath(path).relative_to(PurePosixPath(self.root)).as_posix() for path in present]

    def _split_of(self, file: str) -> str | None:
        match = SHARD.fullmatch(file)
        return match["split"] if match else None

    def _read_manifest(self) -> dict[str, int]:
        """Files of the split -> rows."""
        if not self._exists(MANIFEST):
            raise MixError(
                f"{self.location}: no {MANIFEST}, so this is no finished mix; `translate-mix run` into the "
                "same directory finishes it, and `translate-mix push` a copy on the hub"
            )
        try:
            with self.open_file(MANIFEST) as file:
                content = json.loads(file.read())
            files = {entry["path"]: entry["rows"] for entry in content["files"] if entry["accepted"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MixError(
                f"{self.name(MANIFEST)}: damaged ({error}); fetch or make the mix again"
            ) from error
        return {file: rows for file, rows in files.items() if self._split_of(file) == self.split}

    def _exists(self, name: str) -> bool:
        path = f"{self.root}/{name}".rstrip("/")
        return bool(self.filesystem.get_file_info(path).type != pafs.FileType.NotFound)

    def _footer(self, shard: str) -> pq.FileMetaData:
        try:
            with self._open(shard) as file:
                footer, schema = file.metadata, file.schema_arrow
        except (OSError, pa.ArrowException) as error:
            raise self._broken(shard, error) from error
        check_schema(schema, self.name(shard))
        return footer

    def _broken(self, file: str, error: Exception) -> MixError:
        return MixError(
            f"{self.name(file)}: not readable as Parquet ({_first_line(error)}); "
            "`translate-mix verify` lists all that is wrong with the mix"
        )

    def _groups(self) -> Iterable[RowGroup]:
        for shard, footer in self._footers.items():
            language = PurePosixPath(shard).parent.name
            for index in range(footer.num_row_groups):
                group = footer.row_group(index)
                if group.num_rows:
                    yield RowGroup(shard, index, group.num_rows, group.total_byte_size, language)

    def task_counts(self) -> list[dict[str | None, int]]:
        """How many rows of each task every one of `groups` holds; reads that column of all shards.

        Raises:
            MixError: a shard cannot be read.
        """
        return _at_once(self._tasks_of, self.groups)

    def _tasks_of(self, group: RowGroup) -> dict[str | None, int]:
        counts = self.read(group, ["task"]).column("task").value_counts().to_pylist()
        if any(entry["values"] is None for entry in counts):
            raise MixError(f"{self.name(group.file)}: a row has no task; `translate-mix verify` tells more")
        return {entry["values"]: entry["counts"] for entry in counts}


def check_schema(schema: pa.Schema, name: str) -> None:
    """Whether a shard has the columns of `translation.row` that training reads.

    Raises:
        MixError: one is missing or of another type; names the file `name` and the column.
    """
    wanted = row_schema()
    for column in COLUMNS:
        if column not in schema.names:
            if column in OPTIONAL:
                continue
            raise MixError(
                f"{name}: no column {column!r} (it has {', '.join(schema.names) or 'none'}); is this a "
                "mix of translate-mix?"
            )
        found, right = schema.field(column).type, wanted.field(column).type
        if _shape(found) != _shape(right):
            raise MixError(f"{name}: column {column!r} is {found}, it must be {right}")


def _shape(kind: pa.DataType) -> Any:
    """The type, without how long its offsets are and what order its fields have."""
    if pa.types.is_struct(kind):
        return {field.name: _shape(field.type) for field in kind}
    same = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}
    return same.get(kind, kind)


def filesystem_at(location: str) -> tuple[pafs.FileSystem, str]:
    """The filesystem of a directory or URL, and the path there.

    Raises:
        MixError: no library here reaches it.
    """
    if "://" not in location:
        return pafs.LocalFileSystem(), Path(location).expanduser().absolute().as_posix().rstrip("/")
    scheme = location.split("://", 1)[0]
    try:
        if scheme in _NATIVE:
            # Arrow has options of its own behind a question mark.
            place, mark, options = location.partition("?")
            filesystem, path = pafs.FileSystem.from_uri(arrow_uri(place) + mark + options)
        else:
            from fsspec.core import url_to_fs  # type: ignore[import-untyped]

            remote, path = url_to_fs(location)
            filesystem = pafs.PyFileSystem(pafs.FSSpecHandler(remote))
    except (OSError, ValueError, ImportError, pa.ArrowException) as error:
        raise MixError(f"{location}: cannot be opened: {_first_line(error)}") from error
    return filesystem, path.rstrip("/")


_NATIVE = frozenset({"file", "gs", "gcs", "s3"})
"""Schemes that Arrow itself reads; the others go through fsspec."""


def _at_once(function: Callable[[K], V], items: Sequence[K]) -> list[V]:
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        return list(pool.map(function, items))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
