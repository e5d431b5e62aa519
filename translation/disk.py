"""What a local disk has to be told, or asked, so that nothing on it is lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path


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


def sync_tree(folder: Path) -> None:
    """Puts every file and folder below on disk, and the folder itself.

    Raises:
        OSError: the disk fails.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)
