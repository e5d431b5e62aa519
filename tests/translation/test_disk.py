from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from translation.disk import sync_tree


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EBADF])
def test_a_filesystem_that_does_not_sync_folders_is_borne(
    tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c").write_text("c")
    fsync, synced = os.fsync, []

    def of_files_alone(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, "no folders here")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", of_files_alone)
    sync_tree(tmp_path)
    everything = [tmp_path, *tmp_path.rglob("*")]
    assert sorted(synced) == sorted(path.stat().st_ino for path in everything)


def test_a_disk_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(descriptor: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="broken"):
        sync_tree(tmp_path)
