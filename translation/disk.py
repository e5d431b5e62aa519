"""What a local disk has to be told, or asked, so that nothing on it is lost."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PARTIAL = ".partial"
"""How the name of a file or folder ends that is being written."""


@contextmanager
def whole_or_absent(path: Path, attempt: str = "") -> Iterator[Path]:
    """Gives a name beside `path` for a file or folder, which gets its own name once it is whole and on disk.

    If the block or the disk fails, nothing new is left behind, and an earlier file of this name stays as it
    was. What a kill left of an earlier attempt is removed first.

    Args:
        attempt: tells those apart that may write the same at once; part of the other name.

    Raises:
        OSError: the disk fails.
    """
    with _renamed_at_end(path, attempt) as temporary:
        yield temporary
        sync_tree(temporary)


def write_whole(path: Path, data: bytes, attempt: str = "") -> None:
    """Writes a file as `whole_or_absent`."""
    with _renamed_at_end(path, attempt) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        # By the descriptor that wrote: it is told of every error, one opened later need not be.
        os.fsync(file.fileno())


@contextmanager
def _renamed_at_end(path: Path, attempt: str) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{attempt}{PARTIAL}" if attempt else f".{path.name}{PARTIAL}")
    try:
        _remove(temporary)
        yield temporary
        rename(temporary, path)
    except BaseException:
        # The error that led here is the one to tell of.
        with suppress(OSError):
            _remove(temporary)
        raise


def rename(path: Path, target: Path) -> None:
    """Gives a file or folder another name, which outlasts a power failure.

    Raises:
        OSError: the disk fails, or a folder that is not empty has the name.
    """
    path.replace(target)
    sync_folder(target.absolute().parent)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync_folder(folder: str | Path) -> None:
    """Puts new names in a folder on disk, so that they outlast a power failure.

    Raises:
        OSError: the disk fails.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        # A folder that may be written to, but not read.
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network filesystems do not sync folders; PostgreSQL passes over the same two.
        if error.errno not in (errno.EINVAL, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def sync_tree(top: Path) -> None:
    """Puts a file on disk, or a folder with every file and folder below.

    Raises:
        OSError: the disk fails.
    """
    for path in [*sorted(top.rglob("*")), top]:
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
