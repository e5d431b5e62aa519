"""The bytes of a row's pictures: in the row, in a file that it names, or under `images/` of its mix."""

from __future__ import annotations

import io
import os
import re
import threading
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import unquote
from zipfile import BadZipFile, ZipFile

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from numpy.typing import NDArray

from training.mixes import Mix, MixError, filesystem_at
from training.pictures import MAX_BYTES, BadPicture
from translation.mix_folder import IMAGES

CACHED_GROUPS = 8
"""Row groups of `images/` that are kept, for their other pictures. One is read to get a picture, so files
with few pictures (8 to 16) in a row group are read best."""

OPEN_ZIPS = 64
"""Zips whose lists of members are kept: opening one anew reads its list again, of all members."""

_ZIP_BLOCK = 256 * 1024
"""Bytes that are read of a zip at once: a picture, mostly, with its header, in one request to a bucket."""

_FRAGMENT = re.compile(
    r"#(?:(?P<file>file)|offset=(?P<offset>[0-9]+)&size=(?P<size>[0-9]+)|member=(?P<member>[^&#]+)"
    r"|(?P<other>column=[^#]*|url=[^#]*))\Z"
)
"""How a mix names a picture that is no file of its own: a member of a tar or zip, a cell, a download."""


class StoredPictures:
    """The pictures of one mix. Threads may share it."""

    def __init__(self, mix: Mix) -> None:
        self.mix = mix
        self._filesystems: dict[str, pafs.FileSystem] = {}
        self._groups: OrderedDict[tuple[str, int], pa.ChunkedArray] = OrderedDict()
        self._lock = threading.Lock()
        self._zips: OrderedDict[str, ZipFile] = OrderedDict()
        self._zips_lock, self._zips_of = threading.Lock(), os.getpid()

    def get(self, cell: Mapping[str, Any], shared_id: str | None) -> bytes:
        """The encoded picture of a cell.

        Args:
            cell: `bytes` and `path`, of the column `image` or `second_image`.
            shared_id: see `training.mixes.shared_id`.

        Raises:
            BadPicture: it is nowhere, empty, or too large.
        """
        data = cell["bytes"]
        if data is None and shared_id is not None and self.is_shared:
            data = self._shared(shared_id)
        if data is None and cell["path"]:
            data = self._referenced(cell["path"])
        if data is None:
            raise BadPicture("missing", "the row holds neither bytes nor a path of its picture")
        if not data:
            raise BadPicture("missing", "0 bytes")
        return bytes(data)

    def _referenced(self, path: str) -> bytes:
        """The picture that a mix made with `images: reference` names."""
        fragment = _FRAGMENT.search(path)
        file = path[: fragment.start()] if fragment else path
        try:
            if fragment and fragment["other"]:
                raise BadPicture("not a file", f"{path}; make the mix with `images: embed`")
            if fragment and fragment["member"]:
                return self._zipped(file, unquote(fragment["member"]))
            with self._open(file) as opened:
                start, size = 0, opened.size()
                if fragment and fragment["offset"]:
                    start, size = int(fragment["offset"]), int(fragment["size"])
                _check_size(size, path)
                return bytes(opened.read_at(size, start))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BadPicture("missing", f"no file {file}") from error
        except (BadZipFile, KeyError, OSError, pa.ArrowException, MixError) as error:
            raise BadPicture("missing", f"{file}: {error}") from error

    def _open(self, file: str) -> pa.NativeFile:
        if "://" not in file:
            if not file.startswith("/"):
                return self.mix.open_file(file)
            return pafs.LocalFileSystem().open_input_file(file)
        store = "/".join(file.split("/", 3)[:3])
        filesystem = self._filesystems.get(store)
        if filesystem is None:
            filesystem = self._filesystems[store] = filesystem_at(file)[0]
        return filesystem.open_input_file(filesystem_at(file)[1])

    def _zipped(self, file: str, member: str) -> bytes:
        archive = self._opened_zip(file)
        _check_size(archive.getinfo(member).file_size, f"{file} member {member}")
        try:
            return archive.read(member)
        except (zlib.error, RuntimeError) as error:
            # Encrypted, or packed in a way that Python does not know.
            raise BadPicture("broken", f"{file} member {member}: {error}") from error

    def _opened_zip(self, file: str) -> ZipFile:
        """A zip with its list of members, for threads of this process."""
        with self._zips_lock:
            # Forked processes would move one another's place in the file.
            if self._zips_of != os.getpid():
                self._zips.clear()
                self._zips_of = os.getpid()
            archive = self._zips.get(file)
            if archive is None:
                # A file of ours is closed when the last thread has let go of it, not by the zip.
                opened: Any = io.BufferedReader(self._open(file), _ZIP_BLOCK)
                archive = self._zips[file] = ZipFile(opened)
                while len(self._zips) > OPEN_ZIPS:
                    self._zips.popitem(last=False)
            self._zips.move_to_end(file)
            return archive

    @cached_property
    def is_shared(self) -> bool:
        """Whether the mix has pictures under `images/`."""
        return bool(self.mix.shared_files)

    @cached_property
    def _index(self) -> tuple[NDArray[np.bytes_], NDArray[np.int64]]:
        """Ids in order, and for each the number of its file, its row group, and its row there."""
        ids: list[bytes] = []
        places: list[tuple[int, int, int]] = []
        for number, name in enumerate(self.mix.shared_files):
            try:
                with pq.ParquetFile(self.mix.open_file(name)) as file:
                    for column in ("image_id", "image"):
                        if column not in file.schema_arrow.names:
                            raise MixError(f"{self.mix.name(name)}: no column {column!r}")
                    found = file.read(columns=["image_id"]).column("image_id").to_pylist()
                    ids += [(one or "").encode() for one in found]
                    for group in range(file.num_row_groups):
                        rows = file.metadata.row_group(group).num_rows
                        places += [(number, group, row) for row in range(rows)]
            except (OSError, pa.ArrowException) as error:
                raise MixError(f"{self.mix.name(name)}: not readable as Parquet ({error})") from error
        array = np.array(ids, dtype=np.bytes_)
        order = np.argsort(array, kind="stable")
        return array[order], np.array(places, dtype=np.int64).reshape(-1, 3)[order]

    def _shared(self, picture: str) -> bytes | None:
        with self._lock:
            ids, places = self._index
            at = int(np.searchsorted(ids, picture.encode()))
            if at == len(ids) or ids[at] != picture.encode():
                raise BadPicture("missing", f"{IMAGES}/ of the mix has no picture {picture!r}")
            number, group, row = (int(place) for place in places[at])
            key = (self.mix.shared_files[number], group)
            if key not in self._groups:
                try:
                    with pq.ParquetFile(self.mix.open_file(key[0])) as file:
                        self._groups[key] = file.read_row_group(group, columns=["image"]).column("image")
                except (OSError, pa.ArrowException) as error:
                    raise MixError(
                        f"{self.mix.name(key[0])}: not readable as Parquet ({error}); `translate-mix verify` "
                        "lists all that is wrong"
                    ) from error
                while len(self._groups) > CACHED_GROUPS:
                    self._groups.popitem(last=False)
            self._groups.move_to_end(key)
            data: bytes | None = self._groups[key][row]["bytes"].as_py()
        return data


def _check_size(size: int, path: str) -> None:
    if size > MAX_BYTES:
        raise BadPicture("too large", f"{path}: {size:,} bytes, at most {MAX_BYTES:,}")
