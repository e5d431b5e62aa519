"""Files that are whole or absent, on any filesystem Beam knows (local, gs://, s3://, ...)."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems


class OutputError(RuntimeError):
    """Writing the output failed; the message names the file and the cause."""


@dataclass(frozen=True)
class Written:
    """A file that was closed, checked and renamed to its final name."""

    sha256: str
    size: int


def is_local(path: str) -> bool:
    return FileSystems.get_scheme(path) is None


def join(*parts: str) -> str:
    return str(FileSystems.join(*parts))


def exists(path: str) -> bool:
    return bool(FileSystems.exists(path))


def make_directory(path: str) -> None:
    """The directory and its parents; fine where it exists already."""
    if is_local(path):
        Path(path).mkdir(parents=True, exist_ok=True)
    elif not exists(path):
        FileSystems.mkdirs(path)


def write_atomically(path: str, write: Callable[[BinaryIO], None], attempt: str) -> Written:
    """Calls `write` on a temporary file beside `path`, closes and syncs it, checks its size, renames it.

    Args:
        attempt: tells writers of the same file apart (a bundle may run twice); part of the temporary name.

    Raises:
        OutputError: disk full, no permission, failed rename, ...; no file of the final name is left behind.
    """
    temporary = join(FileSystems.split(path)[0], f".{FileSystems.split(path)[1]}.{attempt}.partial")
    try:
        make_directory(FileSystems.split(path)[0])
        with FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            hashing = _Hashing(file)
            write(hashing)  # type: ignore[arg-type]
            if is_local(path):
                file.flush()
        if is_local(path):
            descriptor = os.open(temporary, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        size = file_size(temporary)
        if size != hashing.size:
            raise OutputError(f"{temporary}: {hashing.size:,} bytes were written, {size:,} arrived")
        FileSystems.rename([temporary], [path])
    except (OSError, BeamIOError) as error:
        remove(temporary)
        raise OutputError(f"cannot write {path}: {_cause(error)}") from error
    return Written(hashing.digest.hexdigest(), hashing.size)


def file_size(path: str) -> int:
    """In bytes."""
    if is_local(path):
        return os.stat(path).st_size
    return int(FileSystems.match([path])[0].metadata_list[0].size_in_bytes)


def move(source: str, path: str) -> None:
    """Renames a file, over what stands at `path`, whose folder is made where it is missing.

    Raises:
        OutputError: no permission, ...
    """
    try:
        make_directory(FileSystems.split(path)[0])
        FileSystems.rename([source], [path])
    except (OSError, BeamIOError) as error:
        raise OutputError(f"cannot write {path}: {_cause(error)}") from error


def remove(path: str) -> None:
    """Deletes a file, or a folder with all that is in it; fine where there is none.

    Raises:
        OutputError: no permission, ...
    """
    try:
        if is_local(path):
            # Beam takes the name for a pattern.
            if Path(path).is_dir():
                shutil.rmtree(path)
            elif os.path.lexists(path):
                Path(path).unlink(missing_ok=True)
        elif exists(path):
            FileSystems.delete([path])
    except (OSError, BeamIOError) as error:
        raise OutputError(f"cannot delete {path}: {_cause(error)}") from error


def write_text(path: str, text: str) -> Written:
    """A small text file, atomically."""
    return write_atomically(path, lambda file: _write_bytes(file, text.encode()), "text")


def _write_bytes(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def read_text(path: str) -> str:
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        return str(file.read().decode())


def _cause(error: Exception) -> str:
    details = getattr(error, "exception_details", None)
    if details:
        return "; ".join(f"{path}: {cause}" for path, cause in details.items())
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


class _Hashing:
    """A write-only file that digests and counts what passes through."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        self._file.write(view)
        self.digest.update(view)
        self.size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """The owner closes the file."""

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False
