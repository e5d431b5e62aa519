"""Files that are whole or absent, on any filesystem Beam knows (local, gs://, s3://, ...).

Beam is imported only for files far away: it takes longer than a look at a mix of this machine.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pipelines.store_errors import StoreError, http_status
from translation.disk import PARTIAL, rename, sync_folder

if TYPE_CHECKING:
    from apache_beam.io.filesystem import BeamIOError, FileMetadata, FileSystem
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

BLOCK = 2**20
"""Bytes that are read at once."""

_OBJECT_STORES = ("gs", "s3", "azfs")

_MAGIC = re.compile(r"[*?[]")
"""What Beam takes for a part of a pattern."""

_NOT_FOUND = 404

_REFUSED = {401: "not signed in to the store, or for another account", 403: "no permission"}


class OutputError(RuntimeError):
    """Writing the output failed; the message names the file and the cause."""


@dataclass(frozen=True)
class Written:
    """A file that was closed, checked and renamed to its final name."""

    sha256: str
    size: int


_URL = re.compile(r"(?P<scheme>[a-zA-Z][-a-zA-Z0-9+.]*)://.*")
"""As Beam tells them from files of this machine."""


def is_local(path: str) -> bool:
    return _scheme(path) is None


def _scheme(path: str) -> str | None:
    found = _URL.match(path.strip())
    return None if found is None else found["scheme"]


class NoFilesystem(ValueError):
    """None is installed for URLs of this scheme."""

    def __init__(self, path: str, cause: str) -> None:
        super().__init__(f"{path}: {cause}")
        self.cause = cause


def system_of(path: str) -> FileSystem:
    """The filesystem that a file or folder is in.

    Raises:
        NoFilesystem: there is none, it lacks its client, or (`hdfs://`) options that it needs.
    """
    from apache_beam.io.filesystem import BeamIOError, FileSystem

    try:
        return beam_filesystems().get_filesystem(path)
    except BeamIOError as error:
        cause = f"no filesystem for {_scheme(path)}:// is installed: {_without_path(error)}"
        raise NoFilesystem(path, cause) from error
    except ValueError as error:
        scheme = _scheme(path)
        if any(one.scheme() == scheme for one in FileSystem.get_all_subclasses()):
            raise NoFilesystem(path, str(error)) from error
        # Beam advises its extra `gcp` for any.
        cause = f"no filesystem for {scheme}:// is installed (gs:// needs the extra `gcp`, s3:// `aws`)"
        raise NoFilesystem(path, cause) from error


def _without_path(error: BeamIOError) -> str:
    return "; ".join(str(one) for one in (error.exception_details or {}).values()) or str(error)


def join(path: str, *parts: str) -> str:
    """Raises `NoFilesystem`."""
    return os.path.join(path, *parts) if is_local(path) else str(system_of(path).join(path, *parts))


def _split(path: str) -> tuple[str, str]:
    """Folder and name."""
    if is_local(path):
        return os.path.split(os.path.abspath(path))
    folder, name = system_of(path).split(path)
    return str(folder), str(name)


def beam_filesystems() -> type[FileSystems]:
    """Beam's filesystems; until a pipeline gives them its options they take accounts from the environment."""
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    if FileSystems._pipeline_options is None:
        # s3:// does not work without any.
        FileSystems.set_options(PipelineOptions([]))
    found: type[FileSystems] = FileSystems
    return found


def set_filesystem_options(options: PipelineOptions) -> None:
    """Accounts and endpoints of remote filesystems, for all that this process reads and writes later."""
    from apache_beam.io.filesystems import FileSystems

    FileSystems.set_options(options)


def filesystem_options() -> dict[str, Any]:
    """What was set by `set_filesystem_options`, without defaults, for another process."""
    found: dict[str, Any] = beam_filesystems()._pipeline_options.get_all_options(drop_default=True)
    return found


def exists(path: str) -> bool:
    """Whether there is such a file, or on a filesystem with folders such a folder.

    Raises:
        OSError: the store refuses to say, or does not answer.
    """
    if is_local(path):
        return os.path.exists(path)
    with errors_of_store(path):
        return bool(beam_filesystems().exists(path))


def files_matching(directory: str, patterns: Iterable[str]) -> list[FileMetadata]:
    """The files of a directory with these names; `*` is any part of a name, `**` of a path. In no order.

    Raises:
        OSError: the store refuses to say, or does not answer.
    """
    start = join(directory, "")
    # Beam has no way to quote what the directory's own name holds of patterns.
    anyhow = _MAGIC.sub("?", directory)
    with errors_of_store(directory):
        matches = beam_filesystems().match([join(anyhow, *one.split("/")) for one in patterns])
    found = [one for match in matches for one in match.metadata_list]
    return [one for one in found if str(one.path).startswith(start)]


@contextmanager
def errors_of_store(path: str) -> Iterator[None]:
    """Exceptions of a store's client become OSErrors, which say what is wrong in words."""
    try:
        yield
    except Exception as error:
        if is_local(path):
            raise
        status = http_status(error)
        if status == _NOT_FOUND:
            raise FileNotFoundError(errno.ENOENT, "there is no such file", path) from error
        if isinstance(error, OSError) and status is None:
            raise
        raise StoreError(errno.EIO, _REFUSED.get(status or 0) or cause_of(error), path) from error


def make_directory(path: str) -> None:
    """The directory and its parents, on disk when it returns; fine where it exists already."""
    if is_local(path):
        new = [folder for folder in (Path(path), *Path(path).parents) if not folder.exists()]
        Path(path).mkdir(parents=True, exist_ok=True)
        for folder in new:
            sync_folder(folder.parent)
    elif not _is_flat(path) and not exists(path):
        beam_filesystems().mkdirs(path)


def _is_flat(path: str) -> bool:
    """Whether it lies in a store of objects, which has no folders."""
    return _scheme(path) in _OBJECT_STORES


def write_atomically(
    path: str,
    write: Callable[[BinaryIO], None],
    attempt: str,
    check: Callable[[BinaryIO], None] | None = None,
    within: str | None = None,
) -> Written:
    """Calls `write` on a temporary file beside `path`, syncs and closes it, reads it back, renames it.

    Args:
        attempt: tells writers of the same file apart (a bundle may run twice); part of the temporary name.
        check: looks at what was read back before it gets its name, and raises ValueError if it is wrong.
        within: folders are made below this one only; where it was removed, a write must not bring it back
            and pass for the whole. Stores far away have no folders.

    Raises:
        OutputError: disk full, no permission, failed rename, other bytes arrived than were written, ...; an
            earlier file of that name stays as it was, and no new one is left behind.
    """
    folder, name = _split(path)
    temporary = join(folder, f".{name}.{attempt}{PARTIAL}")
    size = 0
    try:
        if within is not None and is_local(within) and not Path(within).is_dir():
            raise OutputError(f"cannot write {path}: {within} was removed; give the same command again")
        make_directory(folder)
        with _create(temporary) as file:
            hashing = _Hashing(file)
            try:
                write(hashing)  # type: ignore[arg-type]
                if is_local(path):
                    file.flush()
                    # By the descriptor that wrote: it is told of every error, one opened later need not be.
                    os.fsync(file.fileno())
            finally:
                size = hashing.size
        written = Written(hashing.digest.hexdigest(), size)
        _check_arrived(temporary, written, check)
        _rename(temporary, path, written)
    except BaseException as error:
        _discard(temporary)
        if isinstance(error, _Unfit):
            raise OutputError(f"cannot write {path}: {error}") from error
        # Clients of remote stores have exceptions of their own.
        if isinstance(error, OSError) or (isinstance(error, Exception) and not is_local(path)):
            raise failed_write(error, path, size) from error
        raise
    return written


def _create(path: str) -> BinaryIO:
    if is_local(path):
        # Beam would make the folder again if it was removed just now.
        return open(path, "wb")
    from apache_beam.io.filesystem import CompressionTypes

    file: BinaryIO = beam_filesystems().create(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return file


class _Unfit(Exception):
    """What was read back is not what was written."""


def _check_arrived(path: str, written: Written, check: Callable[[BinaryIO], None] | None) -> None:
    with open_binary(path) as file:
        if is_local(path) and hasattr(os, "posix_fadvise"):
            # From the disk, not from the memory that holds what was written.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        arrived = digest_of(file)
    if arrived.size != written.size:
        raise _Unfit(f"{written.size:,} bytes were written, {arrived.size:,} arrived")
    if arrived != written:
        raise _Unfit("what was read back is not what was written; the disk or the memory is failing")
    if check is not None:
        with open_binary(path) as file:
            try:
                check(file)
            except ValueError as error:
                raise _Unfit(str(error)) from error


def _rename(temporary: str, path: str, written: Written) -> None:
    if is_local(path):
        os.replace(temporary, path)
        try:
            sync_folder(Path(path).absolute().parent)
        except OSError:
            _discard(path)
            raise
        return
    beam_filesystems().rename([temporary], [path])
    # Not every filesystem tells of a rename that failed; most copy and delete.
    if not exists(path) or exists(temporary):
        raise _Unfit("it was not renamed, and the filesystem gave no reason")
    if (found := file_size(path)) != written.size:
        _discard(path)
        raise _Unfit(f"{written.size:,} bytes were renamed, {found:,} arrived")


def _discard(path: str) -> None:
    # The error that led here is the one to tell of; the next run deletes what is left.
    with suppress(OutputError):
        remove(path)


def open_binary(path: str) -> BinaryIO:
    """Opens a file for reading, as it is stored.

    Raises:
        OSError: there is none, no permission, ...
    """
    if is_local(path):
        return open(path, "rb")
    from apache_beam.io.filesystem import CompressionTypes

    with errors_of_store(path):
        file: BinaryIO = beam_filesystems().open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return file


def digest_of(file: BinaryIO) -> Written:
    """Digest and size of what is left to read in a file."""
    digest, size, block = hashlib.sha256(), 0, bytearray(BLOCK)
    view = memoryview(block)
    while length := file.readinto(block):  # type: ignore[attr-defined]
        digest.update(view[:length])
        size += length
    return Written(digest.hexdigest(), size)


def file_size(path: str) -> int:
    """In bytes.

    Raises:
        OSError: there is no such file, no permission, ...
    """
    if is_local(path):
        return os.stat(path).st_size
    return int(metadata_of(path).size_in_bytes)


def metadata_of(path: str) -> FileMetadata:
    """Size and time of a file far away.

    Raises:
        OSError: as `file_size`.
    """
    with errors_of_store(path):
        # Its `match` would take the name for a pattern.
        return beam_filesystems().get_filesystem(path).metadata(path)


def move(source: str, path: str) -> None:
    """Renames a file, over what stands at `path`, whose folder is made where it is missing.

    Raises:
        OutputError: no permission, ...
    """
    try:
        make_directory(_split(path)[0])
        if is_local(path):
            rename(Path(source), Path(path))
        else:
            with errors_of_store(path):
                beam_filesystems().rename([source], [path])
    except OSError as error:
        raise failed_write(error, path) from error


def remove_matching(directory: str, folders: Iterable[str], path: re.Pattern[str]) -> None:
    """Deletes the files in some folders of a directory far away; `data/*` is all folders in `data`.

    Args:
        path: of a file that is deleted, relative to the directory.

    Raises:
        OutputError: no permission, ...
    """
    try:
        found = [str(one.path) for one in files_matching(directory, [f"{folder}/*" for folder in folders])]
        start = len(join(directory, ""))
        old = [one for one in found if path.fullmatch(one[start:])]
        if old:
            _delete(old)
    except OSError as error:
        raise failed_write(error, directory) from error


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
            else:
                return
            sync_folder(Path(path).absolute().parent)
        elif exists(path):
            _delete([path])
    except OSError as error:
        raise OutputError(f"cannot delete {path}: {cause_of(error)}") from error


def _delete(paths: list[str]) -> None:
    """Deletes files of one store."""
    from apache_beam.io.filesystem import BeamIOError

    with errors_of_store(paths[0]):
        system = beam_filesystems().get_filesystem(paths[0])
        if system.scheme() != "gs" or not any(map(_MAGIC.search, paths)):
            system.delete(paths)
            return
        # That of Cloud Storage takes names for patterns.
        failed = {path: error for path, error in system._gcsIO().delete_batch(paths) if error}
        if failed:
            raise BeamIOError("Delete operation failed", failed)


def write_text(path: str, text: str, within: str | None = None) -> Written:
    """A small text file, as `write_atomically`."""

    def write(file: BinaryIO) -> None:
        file.write(text.encode())

    return write_atomically(path, write, "text", within=within)


def read_text(path: str) -> str:
    with open_binary(path) as file, errors_of_store(path):
        return file.read().decode()


def cause_of(error: BaseException) -> str:
    """What a filesystem says of a failure, without the name of the file if it can be told apart."""
    details = getattr(error, "exception_details", None)
    if details:
        return "; ".join(f"{path}: {cause}" for path, cause in details.items())
    if not isinstance(error, OSError):
        return str(error)
    # Arrow says first what it was about to do.
    return re.sub(r"^.*\. Detail: \[errno \d+\] ", "", error.strerror or str(error), flags=re.DOTALL)


def failed_write(error: BaseException, path: str, size: int = 0) -> OutputError:
    """What is wrong, where, and what to do about it.

    Args:
        error: a filesystem's.
        size: bytes that were written before it failed.
    """
    return OutputError(f"cannot write {path}: {_cause_of_failed_write(error, path, size)}")


def _cause_of_failed_write(error: BaseException, path: str, size: int) -> str:
    cause, code = cause_of(error), getattr(error, "errno", None)
    if not is_local(path):
        status = http_status(error)
        if status == _NOT_FOUND:
            bucket = "/".join(path.split("/")[:3])
            return f"there is no bucket {bucket}, or it cannot be seen from this account"
        return _REFUSED.get(status or 0) or cause
    folders = Path(path).absolute().parents
    if code in (errno.EEXIST, errno.ENOTDIR):
        blocking = next((folder for folder in folders if folder.exists() and not folder.is_dir()), None)
        return f"{blocking} is a file, and a folder is wanted there" if blocking else cause
    if code == errno.EISDIR:
        return "a folder of that name is in the way"
    if code == errno.ENOENT and not folders[0].exists():
        return f"the folder {folders[0]} was removed meanwhile"
    if code == errno.EFBIG:
        return f"{cause}: a limit of this process or of the filesystem, reached after {size:,} bytes"
    if code in (errno.ENOSPC, errno.EDQUOT):
        folder = next(folder for folder in folders if folder.exists())
        return f"{cause} after {size:,} bytes; {_room(folder)}; make room and give the same command again"
    return cause


def _room(folder: Path) -> str:
    disk = os.statvfs(folder)
    if disk.f_files and not disk.f_favail:
        return f"{folder} can hold no more files, however small"
    free, whole = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    return f"{free / 1e6:,.1f} of {whole / 1e6:,.1f} MB are free in {folder}"


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
