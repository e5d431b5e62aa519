"""Places of input: absolute local paths, or URLs (gs://, s3://, ...) of filesystems that Beam knows.

Local places are opened by Python itself. Files far away are read by ranges; what fails there in a way that
may pass is tried again, and whatever is left is an `OSError` as a disk's.
"""

from __future__ import annotations

import errno
import glob
import io
import os
import posixpath
import re
import threading
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

from pipelines.store_errors import StoreError, errors_within, status_of

if TYPE_CHECKING:
    from apache_beam.io.filesystem import FileMetadata, FileSystem

BLOCK = 4 * 1024 * 1024
"""Bytes of a file far away that are fetched at once where it is read on and on; a request takes as long as
some megabytes."""

PEEK = 64 * 1024
"""The same where only parts of it are read."""

WAITS_S = (0.5, 2.0, 8.0)
"""Pauses before a store is asked again. The clients of most stores have tried several times before."""

OPEN_FILES = 64
"""Files far away that a process keeps open."""

RECENT_S = 60
"""How long a file far away counts as unchanged without being asked for."""

_GLOB = re.compile(r"\*\*/|\*\*?|\?|\[[!^]?\]?[^\]/]*\]")
_SEEN = r"(?!\.)"
"""No wildcard stands for the dot that a hidden name begins with."""
_MAGIC = re.compile(r"[*?[]")
_URL = re.compile(r"[a-zA-Z][-a-zA-Z0-9+.]*://")

_PASSING = frozenset({408, 425, 429})
"""Answers of a server between 400 and 499 that may be others later."""

T = TypeVar("T")


class Stamp(NamedTuple):
    """By which a file that was changed is known."""

    size: int
    """In bytes."""
    changed: float
    """Nanoseconds since 1970; seconds for a file far away."""


def is_url(place: str) -> bool:
    """Whether a place is far away."""
    # The first test is for speed: it is asked once for each picture.
    return "://" in place and _URL.match(place) is not None


def place_in(folder: str, written: str) -> str:
    """What is written in a file of this folder, as an absolute place: a URL, or a path with `~` and all.

    URLs come without `..`, which means nothing to a store; local paths keep theirs, where links may stand.
    """
    if is_url(written):
        return _normal(written)
    path = Path(written).expanduser()
    if is_url(folder) and not path.is_absolute():
        return _normal(f"{folder}/{written}")
    return str((Path(folder) / path).absolute())


def _normal(url: str) -> str:
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    path = posixpath.normpath(f"/{key.lstrip('/')}").rstrip("/")
    return f"{scheme}://{bucket}{path}"


def parent(place: str) -> str:
    """The folder that a file is in."""
    return place.rpartition("/")[0] if is_url(place) else str(Path(place).parent)


def name_of(place: str) -> str:
    """The last part of a place."""
    return PurePosixPath(place).name


def stamp(place: str) -> Stamp:
    """Size and time of the last change of a file.

    Raises:
        OSError: there is none (`FileNotFoundError`), it may not be read (`PermissionError`), or it cannot.
    """
    if not is_url(place):
        status = os.stat(place)
        return Stamp(status.st_size, status.st_mtime_ns)
    system = _system(place)
    found: FileMetadata = _patiently(place, lambda: system.metadata(place))
    return Stamp(int(found.size_in_bytes), float(found.last_updated_in_seconds))


def recent_stamp(place: str) -> Stamp:
    """As `stamp`, but of a file far away it may be a minute old: it is asked for with each picture in it."""
    return _remembered_stamp(place, int(time.monotonic() // RECENT_S)) if is_url(place) else stamp(place)


@lru_cache(maxsize=1024)
def _remembered_stamp(place: str, period: int) -> Stamp:
    return stamp(place)


def is_file(place: str) -> bool:
    """Whether there is such a file. Raises `OSError` where a store does not say."""
    if not is_url(place):
        return os.path.isfile(place)
    try:
        stamp(place)
    except FileNotFoundError:
        return False
    return True


def is_dir(place: str) -> bool:
    """Whether there is such a folder; far away, any file below it. Raises `OSError` as `is_file`."""
    return first_file(f"{place}/") is not None if is_url(place) else os.path.isdir(place)


def first_file(start: str) -> str | None:
    """The first file whose URL starts so; None if there is none. Raises `OSError` as `stamp`."""
    return _patiently(start, lambda: next(_listed(start), None))


def files_below(folder: str) -> list[str]:
    """The files in a folder far away and in all below it, by their paths in it, sorted.

    Raises:
        OSError: as `stamp`, or the store cannot list them.
    """
    start = f"{folder}/"
    found = _patiently(folder, lambda: [path[len(start) :] for path in _listed(start, deep=True)])
    return sorted(path for path in found if _is_name(path))


def folders_in(folder: str) -> list[str]:
    """The names of the folders in a folder far away, sorted. Raises `OSError` as `files_below`."""
    start = f"{folder}/"
    found = _patiently(
        folder, lambda: {path[len(start) :].partition("/") for path in _listed(start, deep=True)}
    )
    return sorted({name for name, slash, _ in found if slash and name})


def _is_name(path: str) -> bool:
    # Some stores have files of no size that stand for folders.
    return bool(path) and not path.endswith("/")


def _listed(start: str, deep: bool = False) -> Iterator[str]:
    """The files whose URLs start so.

    Args:
        deep: also those in folders below, which stores without true folders list anyway.
    """
    system = _system(start)
    if not system.has_dirs():
        yield from (str(one.path) for one in system._list(start))
        return
    if deep:
        remedy = "its folders cannot be listed with all below them; pack the files into .tar files"
        raise StoreError(errno.ENOTSUP, remedy, start)
    found = (str(one.path) for one in system._list(start.rpartition("/")[0]))
    yield from (path for path in found if path.startswith(start))


def matching(pattern: str) -> list[str]:
    """The files that a pattern names, sorted; `**/` stands for folders, and `*` for no hidden name.

    Raises:
        OSError: as `stamp`, or the store cannot list them.
    """
    if not is_url(pattern):
        found = glob.glob(with_folders_by_name(pattern), recursive=True)
        return [path for path in sorted(found) if os.path.isfile(path)]
    magic = _MAGIC.search(pattern)
    if magic is None:
        return [pattern] if is_file(pattern) else []
    start, deep = pattern[: magic.start()], "/" in pattern[magic.start() :]
    fits = re.compile(pattern_expression(pattern), re.DOTALL)
    found = _patiently(pattern, lambda: list(filter(fits.fullmatch, _listed(start, deep))))
    return sorted(path for path in found if _is_name(path))


def with_folders_by_name(pattern: str) -> str:
    """The pattern of files of this machine, its first folders as their names if there are such.

    What a recipe's own folder is called (`data [old]`) is no pattern that somebody wrote.
    """
    if is_url(pattern):
        return pattern
    parts = pattern.split("/")
    names: list[str] = []
    for number, part in enumerate(parts[:-1], 1):
        if _MAGIC.search(part) and not os.path.isdir("/".join(parts[:number])):
            break
        names.append(glob.escape(part))
    return "/".join([*names, *parts[len(names) :]])


def pattern_expression(pattern: str) -> str:
    """The regular expression of a pattern, or of a part of one, as `glob` understands it."""
    written, end = "", 0
    for found in _GLOB.finditer(pattern):
        written += re.escape(pattern[end : found.start()])
        end = found.end()
        begins = found.start() > 0 and pattern[found.start() - 1] == "/"
        if begins and found[0].startswith("**") and (found[0] == "**/" or end == len(pattern)):
            written += rf"(?:{_SEEN}[^/]+/)*" + ("" if found[0] == "**/" else rf"{_SEEN}[^/]*")
            continue
        written += _SEEN if begins else ""
        if found[0].startswith("*"):
            written += "[^/]*/" if found[0] == "**/" else "[^/]*"
        elif found[0] == "?":
            written += "[^/]"
        else:
            inner = re.sub(r"[\\\[]", r"\\\g<0>", found[0][1:-1])
            written += f"[{'^' + inner[1:] if inner.startswith('!') else inner}]"
    return written + re.escape(pattern[end:])


def open_input(place: str | os.PathLike[str], block: int = BLOCK) -> BinaryIO:
    """Opens a file for reading; it is seekable, and buffered.

    Args:
        block: bytes that are fetched at once where it is far away.

    Raises:
        OSError: as `stamp`; reading on raises the same.
    """
    path = os.fspath(place)
    if not is_url(path):
        return open(path, "rb")
    return io.BufferedReader(RemoteFile(path), block)


def open_ranges(place: str) -> io.FileIO | io.BufferedReader:
    """Opens a file of which `read_at` reads ranges, most of them in order. Raises as `open_input`."""
    return io.BufferedReader(RemoteFile(place), BLOCK) if is_url(place) else io.FileIO(place)


def read_at(file: io.FileIO | io.BufferedReader, offset: int, size: int) -> bytes:
    """Bytes of a file from `open_ranges`; fewer where it ends. Raises as `open_input`."""
    if isinstance(file, io.FileIO):
        return os.pread(file.fileno(), size, offset)
    file.seek(offset)
    return file.read(size)


def read_range(place: str, offset: int, size: int) -> bytes:
    """Bytes of a file, and no others; one far away is kept open for the next. Raises as `open_input`."""
    if is_url(place):
        return _kept_open(place, os.getpid(), threading.get_ident()).bytes_at(offset, size)
    with io.FileIO(place) as file:
        return read_at(file, offset, size)


# Of one thread and process each, since they have a position.
@lru_cache(maxsize=OPEN_FILES)
def _kept_open(place: str, process: int, thread: int) -> RemoteFile:
    return RemoteFile(place)


def read_bytes(place: str, limit: int | None = None) -> bytes:
    """A whole file; only `limit` bytes and one more of a longer one. Raises as `open_input`."""
    if not is_url(place):
        with open(place, "rb") as local:
            return local.read() if limit is None else local.read(limit + 1)
    with RemoteFile(place) as file:
        return file.bytes_at(0, file.size if limit is None else min(file.size, limit + 1))


class RemoteFile(io.RawIOBase):
    """A file far away, of which each read fetches one range.

    Raises:
        OSError: as `stamp`, here and with each read.
    """

    def __init__(self, place: str) -> None:
        super().__init__()
        self._place = place
        self._file = _patiently(place, lambda: _opened(place))
        self.size = int(_patiently(place, lambda: self._file.seek(0, io.SEEK_END)))
        """In bytes."""
        self._position = 0

    def bytes_at(self, offset: int, size: int) -> bytes:
        """Bytes from `offset` on; fewer where the file ends."""
        found = []
        end = min(offset + size, self.size)
        while offset < end:
            data = self._fetched(offset, end - offset)
            found.append(data)
            offset += len(data)
        return found[0] if len(found) == 1 else b"".join(found)

    def _fetched(self, offset: int, size: int) -> bytes:
        failed = False

        def fetch() -> bytes:
            nonlocal failed
            if failed:
                # Its connection may be what failed.
                self._file = _opened(self._place)
            failed = True
            self._file.seek(offset)
            data: bytes = self._file.read(size)
            if not data:
                raise ConnectionError(f"no byte came of {size:,} from byte {offset:,} on")
            failed = False
            return data

        return _patiently(self._place, fetch)

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self.bytes_at(self._position, len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(start + offset, 0)
        return self._position

    def close(self) -> None:
        if not self.closed:
            super().close()
            file = getattr(self, "_file", None)
            if file is not None:
                file.close()


def _system(place: str) -> FileSystem:
    # Here, because importing Beam takes seconds, which a process that reads the disk alone need not wait for.
    from pipelines.filesystem import NoFilesystem, system_of

    try:
        return system_of(place)
    except NoFilesystem as error:
        raise StoreError(errno.EPROTONOSUPPORT, error.cause, place) from error


def _opened(place: str) -> Any:
    """The store's own file, without what it reads ahead: 16 MB at each seek."""
    from apache_beam.io.filesystem import CompressionTypes

    system = _system(place)
    process, thread = os.getpid(), threading.get_ident()
    if system.scheme() == "gs":
        # Its reader has no file below that could be had; but then, its block can be chosen.
        options = _Same(system._pipeline_options)
        client = _cloud_storage(options, process, os.environ.get("STORAGE_EMULATOR_HOST"))
        return client.open(place, "rb", read_buffer_size=1)
    if system.scheme() == "s3":
        client = _s3(_Same(system._options), process, thread, os.environ.get("AWS_ENDPOINT_URL"))
        return client.open(place, "rb").detach()
    file = system.open(place, compression_type=CompressionTypes.UNCOMPRESSED)
    return file.detach() if isinstance(file, io.BufferedReader) else file


class _Same:
    """Options of Beam, equal to themselves alone."""

    def __init__(self, options: Any) -> None:
        self.options = options

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.options is self.options

    def __hash__(self) -> int:
        return id(self.options)


# Beam makes a client, and so a connection, for each file. That of Cloud Storage may be shared by threads, but
# that of S3 has one download at a time.
@lru_cache(maxsize=4)
def _cloud_storage(options: _Same, process: int, emulator: str | None) -> Any:
    from apache_beam.io.gcp.gcsio import GcsIO

    return GcsIO(pipeline_options=options.options)


@lru_cache(maxsize=32)
def _s3(options: _Same, process: int, thread: int, emulator: str | None) -> Any:
    from apache_beam.io.aws.s3io import S3IO

    return S3IO(options=options.options)


def _patiently(place: str, ask: Callable[[], T]) -> T:
    """What a store answers, asked again where it fails in a way that may pass.

    Raises:
        OSError: as `stamp`.
    """
    for wait_s in (*WAITS_S, None):
        try:
            return ask()
        except (MemoryError, TypeError, AttributeError):
            raise
        except Exception as error:
            # Clients of remote stores have exceptions of their own.
            final = _final(error, place)
            if final is not None:
                raise final from error
            if wait_s is None:
                asked = f"no answer from the store, asked {len(WAITS_S) + 1} times"
                raise StoreError(errno.EIO, f"{asked}: {_cause(error)}", place) from error
        time.sleep(wait_s)
    raise AssertionError("unreachable")


def _final(error: BaseException, place: str) -> OSError | None:
    """The error to raise at once; None where asking again may help."""
    for one in errors_within(error):
        code = status_of(one)
        if isinstance(one, FileNotFoundError) or code == 404:
            return FileNotFoundError(errno.ENOENT, "No such file", place)
        if isinstance(one, PermissionError) or code in (401, 403):
            return PermissionError(errno.EACCES, f"Permission denied: {_cause(one)}", place)
        if isinstance(one, StoreError):
            return one
        if code is not None and 400 <= code < 500 and code not in _PASSING:
            return StoreError(errno.EIO, _cause(one), place)
    return None


def _cause(error: BaseException) -> str:
    *_, inner = errors_within(error)
    return f"{type(inner).__name__}: {' '.join(str(inner).split())[:300]}"
