"""Who may write into a mix's directory: one process at a time, by a lock file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from translation.mix_folder import LOCK, WORK


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """A directory on this machine in which no other process works; makes it where it is missing.

    Raises:
        ValueError: another process holds the lock.
        OSError: the lock cannot be written.
    """
    lock = directory / WORK / LOCK
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w", encoding="ascii") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it before may have finished meanwhile, and then the file is another one, or none.
            ours = os.path.samestat(os.fstat(held.fileno()), lock.stat())
        except (BlockingIOError, FileNotFoundError):
            ours = False
        if not ours:
            raise ValueError(f"{directory}: another run is writing there")
        yield
