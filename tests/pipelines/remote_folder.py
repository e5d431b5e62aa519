"""A filesystem of Beam that is far away in all but distance: objects under `kept://`, kept in a folder.

It has no folders, as the stores of clouds, and errors of its own. It counts what it is asked, and fails when
it is told to.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import fsspec
from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata, FileSystem
from apache_beam.io.filesystemio import Downloader, DownloaderStream
from fsspec.implementations.local import LocalFileSystem

FOLDER = "KEPT_FOLDER"
"""Environment variable: the folder, in every process of a test."""

READ_AHEAD = 16 * 1024 * 1024
"""As Beam's own stores."""


class StoreFault(Exception):
    """What the client of a store raises: of no class that the standard library or Beam knows."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class _Range(Downloader):  # type: ignore[misc]
    def __init__(self, system: KeptFileSystem, url: str) -> None:
        self._system, self._url = system, url
        self._size = system.metadata(url).size_in_bytes

    @property
    def size(self) -> int:
        return int(self._size)

    def get_range(self, start: int, end: int) -> bytes:
        self._system.asked("range", self._url, start, end)
        with open(self._system.here(self._url), "rb") as file:
            file.seek(start)
            return file.read(end - start)


class KeptFileSystem(FileSystem):  # type: ignore[misc]
    """Objects under `kept://BUCKET/`, files of `KEPT_FOLDER/BUCKET/`."""

    requests: list[tuple[str, str, int, int]] = []  # noqa: RUF012 (what a test looks at)
    """(`metadata`, `range` or `list`, URL, first and last byte or 0) of this process."""
    faults: list[Exception] = []  # noqa: RUF012
    """Raised one after another, each once, before anything else is answered."""

    @classmethod
    def scheme(cls) -> str:
        return "kept"

    def has_dirs(self) -> bool:
        return False

    def asked(self, what: str, url: str, start: int = 0, end: int = 0) -> None:
        self.requests.append((what, url, start, end))
        if self.faults:
            raise self.faults.pop(0)

    def here(self, url: str) -> Path:
        return Path(os.environ[FOLDER], url.removeprefix("kept://"))

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath.rstrip("/"), *(path.strip("/") for path in paths)])

    def split(self, path: str) -> tuple[str, str]:
        folder, _, name = path.rpartition("/")
        return folder, name

    def mkdirs(self, path: str) -> None:
        """There are none."""

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        self.asked("list", dir_or_prefix)
        top = Path(os.environ[FOLDER])
        folder = self.here(dir_or_prefix) if dir_or_prefix.endswith("/") else self.here(dir_or_prefix).parent
        for path in [folder, *sorted(folder.rglob("*"))]:
            # A store's console makes such an object where a user makes a folder.
            is_empty = path.is_dir() and not any(path.iterdir())
            url = f"kept://{path.relative_to(top).as_posix()}{'/' if is_empty else ''}"
            if (is_empty or path.is_file()) and url.startswith(dir_or_prefix):
                yield FileMetadata(url, path.stat().st_size, path.stat().st_mtime)

    def metadata(self, path: str) -> FileMetadata:
        try:
            self.asked("metadata", path)
            if not self.here(path).is_file():
                raise StoreFault("404 no such object", 404)
            if not os.access(self.here(path), os.R_OK) or self.here(path).name.startswith("secret"):
                raise StoreFault("403 Forbidden", 403)
        except StoreFault as error:
            raise BeamIOError("Metadata operation failed", {path: error}) from error
        status = self.here(path).stat()
        return FileMetadata(path, status.st_size, status.st_mtime)

    def exists(self, path: str) -> bool:
        return self.here(path).is_file()

    def size(self, path: str) -> int:
        return int(self.metadata(path).size_in_bytes)

    def last_updated(self, path: str) -> float:
        return float(self.metadata(path).last_updated_in_seconds)

    def checksum(self, path: str) -> str:
        return str(self.metadata(path))

    def open(
        self,
        path: str,
        mime_type: str = "",
        compression_type: str = CompressionTypes.AUTO,
    ) -> BinaryIO:
        assert compression_type == CompressionTypes.UNCOMPRESSED, "whatever its name, a file is read as it is"
        return io.BufferedReader(DownloaderStream(_Range(self, path)), READ_AHEAD)

    def create(
        self, path: str, mime_type: str = "", compression_type: str = CompressionTypes.AUTO
    ) -> BinaryIO:
        self.here(path).parent.mkdir(parents=True, exist_ok=True)
        return self.here(path).open("wb")

    def copy(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            self.here(target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.here(source), self.here(target))

    def rename(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        self.copy(source_file_names, destination_file_names)
        self.delete(source_file_names)

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            self.here(path).unlink(missing_ok=True)


class KeptFiles(LocalFileSystem):  # type: ignore[misc]
    """The same for what goes through fsspec: the translation memory."""

    protocol = "kept"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("kept://", f"{os.environ[FOLDER]}/")))


fsspec.register_implementation("kept", KeptFiles, clobber=True)


@dataclass(frozen=True)
class RemoteFolder:
    """A folder far away, and where it is kept."""

    folder: Path

    def url(self, name: str) -> str:
        """The URL of what is in it."""
        return f"kept://{self.folder.name}/{name}"


def url_of(path: Path, folder: Path) -> str:
    """The URL of a file or folder in `KEPT_FOLDER`."""
    return f"kept://{path.relative_to(folder).as_posix()}"


def forget() -> None:
    """Clears what was recorded, and the faults that are left."""
    KeptFileSystem.requests.clear()
    KeptFileSystem.faults.clear()
