"""What all tests share: generated cases that are the same in every run, and what is put on disk."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("same cases", derandomize=True)
settings.load_profile("same cases")


@pytest.fixture
def default_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end processes, though whoever started the tests ignores them, as `nohup` does."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


Synced = tuple[Path, int | tuple[str, ...]]
"""A file and its size, or a folder and the names in it, when it was put on disk."""


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Synced]:
    """The files and folders that are put on disk from now on, in order."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc to name descriptors")
    made: list[Synced] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        made.append((path, tuple(sorted(os.listdir(path))) if path.is_dir() else path.stat().st_size))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    return made
