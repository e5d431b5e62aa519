"""Remote files that a machine fetches once, through a remote filesystem that is a folder."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import staging
from pipelines.staging import StagingError, staged, staging_directory
from tests.pipelines.remote_folder import RemoteFolder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_is_local_stays_where_it_is(tmp_path: Path) -> None:
    assert staged(str(tmp_path / "model")) == tmp_path / "model"
    assert staged(tmp_path / "model") == tmp_path / "model"


def test_a_file_keeps_its_name(remote: RemoteFolder) -> None:
    (remote.folder / "lid").mkdir()
    (remote.folder / "lid" / "lid218.ftz").write_bytes(b"weights")
    copy = staged(remote.url("lid/lid218.ftz"))
    assert copy.name == "lid218.ftz"
    assert copy.read_bytes() == b"weights"


def test_a_directory_comes_whole(remote: RemoteFolder) -> None:
    (remote.folder / "model" / "deep").mkdir(parents=True)
    (remote.folder / "model" / "model.bin").write_bytes(b"a" * 100)
    (remote.folder / "model" / "deep" / "vocabulary").write_bytes(b"b")
    copy = staged(remote.url("model/"))
    assert copy.name == "model"
    assert {str(path.relative_to(copy)): path.read_bytes() for path in copy.rglob("*") if path.is_file()} == {
        "model.bin": b"a" * 100,
        "deep/vocabulary": b"b",
    }


def test_it_is_fetched_once_and_again_when_it_changes(remote: RemoteFolder) -> None:
    file = remote.folder / "table.tsv"
    file.write_bytes(b"one")
    first = staged(remote.url("table.tsv"))
    inode = first.stat().st_ino
    assert staged(remote.url("table.tsv")).stat().st_ino == inode
    file.write_bytes(b"other")
    assert staged(remote.url("table.tsv")).read_bytes() == b"other"
    assert first.read_bytes() == b"one"


def test_what_a_killed_process_had_begun_is_fetched_anew(remote: RemoteFolder, cache: Path) -> None:
    (remote.folder / "model").mkdir()
    (remote.folder / "model" / "model.bin").write_bytes(b"whole")
    copy = staged(remote.url("model"))
    begun = copy.rename(copy.with_name(".model.partial"))
    (begun / "model.bin").write_bytes(b"half")
    (begun / "left over").write_bytes(b"")
    again = staged(remote.url("model"))
    assert [path.name for path in again.iterdir()] == ["model.bin"]
    assert (again / "model.bin").read_bytes() == b"whole"


def test_threads_that_ask_at_once_get_one_copy(remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    (remote.folder / "model.bin").write_bytes(b"x" * 1000)
    fetched: list[str] = []
    fetch: Callable[..., None] = staging._fetch

    def counted(url: str, *arguments: object) -> None:
        fetched.append(url)
        fetch(url, *arguments)

    monkeypatch.setattr(staging, "_fetch", counted)
    threads = [threading.Thread(target=staged, args=(remote.url("model.bin"),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fetched) == 1


def test_what_is_not_there_is_an_error_that_names_it(remote: RemoteFolder) -> None:
    with pytest.raises(StagingError, match=r"no-model: there is no such file or directory"):
        staged(remote.url("no-model"))


def test_a_filesystem_that_beam_does_not_know_is_an_error() -> None:
    with pytest.raises(StagingError, match="nowhere://bucket/model"):
        staged("nowhere://bucket/model")


def test_without_a_home_that_can_be_written_copies_go_to_a_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert staging_directory().parent == tmp_path
    assert staging_directory().stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_temporary_folder_that_others_can_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    staging_directory().chmod(mode)
    with pytest.raises(StagingError, match="is not yours alone; remove it, or set XDG_CACHE_HOME"):
        staging_directory()


def test_names_that_look_like_patterns_are_names(remote: RemoteFolder) -> None:
    for name in ("model [8]", "model 8"):
        (remote.folder / name).mkdir()
        (remote.folder / name / "a[0].bin").write_text(name)
    copy = staged(remote.url("model [8]"))
    assert (copy / "a[0].bin").read_text() == "model [8]"
    assert staged(remote.url("model [8]/a[0].bin")).read_text() == "model [8]"
