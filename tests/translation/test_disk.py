from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from tests.conftest import Synced
from translation.disk import rename, sync_tree, whole_or_absent, write_whole


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


def test_content_is_on_disk_before_the_name_and_the_name_before_it_returns(
    tmp_path: Path, synced: list[Synced]
) -> None:
    write_whole(tmp_path / "file", b"content")
    assert synced == [(tmp_path / ".file.partial", 7), (tmp_path, ("file",))]
    synced.clear()
    with whole_or_absent(tmp_path / "folder", attempt="first") as folder:
        folder.mkdir()
        (folder / "file").write_bytes(b"content")
    assert synced == [
        (tmp_path / ".folder.first.partial/file", 7),
        (tmp_path / ".folder.first.partial", ("file",)),
        (tmp_path, ("file", "folder")),
    ]
    synced.clear()
    rename(tmp_path / "file", tmp_path / "folder/file")
    assert synced == [(tmp_path / "folder", ("file",))]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_not_whole_is_absent_and_what_was_there_stays(tmp_path: Path, kind: str) -> None:
    """Also where a kill left something before."""

    def write(path: Path, text: str) -> None:
        if kind == "folder":
            path.mkdir()
            path = path / "file"
        path.write_text(text)

    def fail(error: BaseException) -> None:
        with whole_or_absent(tmp_path / "it") as new:
            write(new, "half")
            raise error

    write(tmp_path / ".it.partial", "left by a kill")
    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt())
    assert not list(tmp_path.iterdir())
    write(tmp_path / "it", "first")
    with pytest.raises(ValueError, match="broken"):
        fail(ValueError("broken"))
    assert [path.name for path in tmp_path.iterdir()] == ["it"]
    assert next(path for path in tmp_path.rglob("*") if path.is_file()).read_text() == "first"


def test_a_file_is_replaced(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"first")
    write_whole(tmp_path / "file", b"second", attempt="2")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"second"]
