"""What all workers of a machine need as local files, fetched from a remote filesystem once per machine."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pipelines.filesystem import cause_of, exists, files_matching, is_local, metadata_of
from pipelines.inputs import open_input
from translation.disk import whole_or_absent

if TYPE_CHECKING:
    from apache_beam.io.filesystem import FileMetadata

BLOCK = 2**24
"""Bytes that are copied at once."""

_LOCK = "lock"


class StagingError(RuntimeError):
    """A remote file or directory could not be fetched; the message names it and the cause."""


def staged(place: str | Path) -> Path:
    """A file or directory as local paths: as it is if it is local, else a copy in this machine's cache.

    The first process that asks fetches it while the others wait; a copy is whole or absent. One whose files
    changed at the source (size or time) is fetched again, into a folder of its own.

    Args:
        place: local path, or URL of any filesystem that Beam knows.

    Raises:
        StagingError: there is nothing, it cannot be read, or it changed while it was read.
    """
    if isinstance(place, Path) or is_local(place):
        return Path(place)
    url = place.rstrip("/")
    files = _listed(url)
    key = hashlib.sha256("\n".join([url, *map(_stamp, files)]).encode()).hexdigest()[:32]
    folder = staging_directory() / key
    copy = folder / PurePosixPath(url).name
    with _alone(folder):
        if not copy.exists():
            with whole_or_absent(copy) as new:
                _fetch(url, files, new)
    return copy


def staging_directory() -> Path:
    """Where copies are kept: in the user's cache folder, or where that cannot be written, a temporary one."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser(), "translate-mix", "staged")
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        # Containers run under users without a home.
        cache = Path(tempfile.gettempdir(), f"translate-mix-staged-{os.getuid()}")
        cache.mkdir(mode=0o700, exist_ok=True)
        # The name can be foretold: whoever made it could put other models there.
        if (found := cache.lstat()).st_uid != os.getuid() or found.st_mode & 0o022 or cache.is_symlink():
            raise StagingError(f"{cache}: is not yours alone; remove it, or set XDG_CACHE_HOME") from None
    return cache


def _listed(url: str) -> list[FileMetadata]:
    """The file of this name, or all files below it."""
    try:
        found = [metadata_of(url)] if exists(url) else files_matching(url, ["**"])
    except (OSError, ValueError) as error:
        raise StagingError(f"{url}: {cause_of(error)}") from error
    # Some stores have files of size 0 that stand for folders.
    files = [file for file in found if not file.path.endswith("/")]
    if not files:
        raise StagingError(f"{url}: there is no such file or directory")
    return sorted(files, key=lambda file: str(file.path))


def _stamp(file: FileMetadata) -> str:
    return f"{file.path}\t{file.size_in_bytes}\t{file.last_updated_in_seconds}"


def _fetch(url: str, files: Sequence[FileMetadata], new: Path) -> None:
    """Copies everything to `new`, a file or a folder."""
    for file in files:
        target = new / str(file.path)[len(url) + 1 :] if file.path != url else new
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open_input(str(file.path)) as remote, target.open("wb") as local:
                shutil.copyfileobj(remote, local, BLOCK)
                local.flush()
                os.fsync(local.fileno())
        except OSError as error:
            raise StagingError(f"{file.path}: cannot be fetched to {target}: {cause_of(error)}") from error
        if target.stat().st_size != file.size_in_bytes:
            raise StagingError(
                f"{file.path}: {file.size_in_bytes:,} bytes were listed, {target.stat().st_size:,} came; "
                "it changed meanwhile"
            )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process of this machine works on the folder; it is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
