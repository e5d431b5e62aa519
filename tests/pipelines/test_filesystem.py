"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pytest
from apache_beam.io.filesystem import BeamIOError, FileSystem
from apache_beam.io.localfilesystem import LocalFileSystem

from pipelines.filesystem import (
    OutputError,
    Written,
    cause_of,
    exists,
    make_directory,
    move,
    read_text,
    remove,
    write_atomically,
    write_text,
)


def writer(data: bytes) -> Callable[[BinaryIO], None]:
    def write(file: BinaryIO) -> None:
        file.write(data)

    return write


def test_a_file_appears_with_its_digest_and_size(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    written = write_text(str(path), "größer")
    assert path.read_bytes() == "größer".encode()
    assert written.sha256 == hashlib.sha256("größer".encode()).hexdigest()
    assert written.size == 8
    assert read_text(str(path)) == "größer"
    assert [entry.name for entry in path.parent.iterdir()] == ["b.txt"]


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    write_text(path, "old")
    write_text(path, "new")
    assert read_text(path) == "new"


def test_a_write_that_fails_leaves_nothing_and_keeps_the_old(tmp_path: Path) -> None:
    def fail(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "file"
    write_text(str(path), "old")
    with pytest.raises(
        OutputError, match=r"cannot write .*file: No space left on device after 4 bytes; .* MB"
    ):
        write_atomically(str(path), fail, "x")
    assert path.read_text(encoding="utf-8") == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [RuntimeError("a picture is gone"), KeyboardInterrupt()])
def test_whatever_stops_a_write_leaves_no_temporary_file(tmp_path: Path, error: BaseException) -> None:
    def fail(file: BinaryIO) -> None:
        file.write(b"half")
        raise error

    with pytest.raises(type(error)):
        write_atomically(str(tmp_path / "file"), fail, "x")
    assert not list(tmp_path.iterdir())


def test_a_folder_of_that_name_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    (path / "full").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"cannot write .*taken: a folder of that name is in the way"):
        write_text(str(path), "text")
    assert exists(str(path / "full"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize("inside", ["file/b.txt", "file/a/b.txt"])
def test_a_file_where_a_folder_is_wanted_is_named(tmp_path: Path, inside: str) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=rf"{tmp_path}/file is a file, and a folder is wanted there"):
        write_text(str(tmp_path / inside), "text")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_a_folder_that_is_removed_meanwhile_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "folder"

    def write(file: BinaryIO) -> None:
        file.write(b"text")
        remove(str(folder))

    with pytest.raises(OutputError, match=f"the folder {folder} was removed meanwhile"):
        write_atomically(str(folder / "file"), write, "x")
    assert not folder.exists()


def test_a_folder_that_was_removed_before_is_not_made_again(tmp_path: Path) -> None:
    mix = tmp_path / "mix"
    with pytest.raises(OutputError, match=rf"cannot write {mix}/data/file: {mix} was removed"):
        write_text(str(mix / "data" / "file"), "text", within=str(mix))
    assert not mix.exists()
    mix.mkdir()
    write_text(str(mix / "data" / "file"), "text", within=str(mix))
    assert (mix / "data" / "file").read_text(encoding="utf-8") == "text"


def test_a_limit_of_the_process_is_an_error_with_the_size_that_was_reached(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pipelines.filesystem import OutputError, write_atomically\n"
        "def write(file):\n"
        "    for _ in range(100): file.write(bytes(1000))\n"
        "try: write_atomically(sys.argv[1], write, 'x')\n"
        "except OutputError as error: print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"cannot write {tmp_path}/file: File too large: a limit" in result.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no device that is always full")
def test_what_arrow_says_of_a_full_disk_is_the_cause_alone() -> None:
    with pa.OSFile("/dev/full", "wb") as file, pytest.raises(OSError, match="Detail") as caught:
        file.write(b"text")
    assert cause_of(caught.value) == "No space left on device"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The names of files and folders that are synced and renamed, in order."""
    made: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        made.append(("sync", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
        fsync(descriptor)

    def noted_replace(source: str, path: str) -> None:
        made.append(("rename", Path(path).name))
        replace(source, path)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    return made


linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to name descriptors")


@linux
def test_content_is_on_disk_before_the_name_and_the_name_before_it_returns(
    tmp_path: Path, calls: list[tuple[str, str]]
) -> None:
    write_text(str(tmp_path / "new" / "deeper" / "file"), "text")
    assert calls == [
        ("sync", "new"),
        ("sync", tmp_path.name),
        ("sync", ".file.text.partial"),
        ("rename", "file"),
        ("sync", "deeper"),
    ]
    calls.clear()
    move(str(tmp_path / "new" / "deeper" / "file"), str(tmp_path / "new" / "file"))
    remove(str(tmp_path / "new" / "file"))
    assert calls == [("rename", "file"), ("sync", "new"), ("sync", "new")]
    calls.clear()
    make_directory(str(tmp_path / "new"))
    assert not calls


@linux
@pytest.mark.parametrize(("code", "survives"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_name_that_cannot_be_synced_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, survives: bool
) -> None:
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")).is_dir():
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    if survives:
        write_text(str(tmp_path / "file"), "text")
    else:
        with pytest.raises(OutputError, match="Input/output error"):
            write_text(str(tmp_path / "file"), "text")
    assert [path.name for path in tmp_path.iterdir()] == (["file"] if survives else [])


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (b"Text", "what was read back is not what was written"),
        (b"tex", "4 bytes were written, 3 arrived"),
        (b"", "4 bytes were written, 0 arrived"),
    ],
)
def test_other_bytes_on_the_disk_than_were_written_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bytes, message: str
) -> None:
    fsync = os.fsync

    def damage(descriptor: int) -> None:
        fsync(descriptor)
        for path in tmp_path.glob(".*.partial"):
            path.write_bytes(damaged)

    monkeypatch.setattr(os, "fsync", damage)
    with pytest.raises(OutputError, match=message):
        write_text(str(tmp_path / "file"), "text")
    assert not list(tmp_path.iterdir())


def test_what_the_check_finds_wrong_never_gets_the_name(tmp_path: Path) -> None:
    seen = []

    def check(file: BinaryIO) -> None:
        seen.append(file.read())
        assert [path.suffix for path in tmp_path.iterdir()] == [".partial"]
        raise ValueError("holds 2 rows, not 3")

    with pytest.raises(OutputError, match=r"cannot write .*file: holds 2 rows, not 3"):
        write_atomically(str(tmp_path / "file"), writer(b"content"), "x", check)
    assert seen == [b"content"]
    assert not list(tmp_path.iterdir())
    written = write_atomically(str(tmp_path / "file"), writer(b"content"), "x", lambda file: None)
    assert written == Written(hashlib.sha256(b"content").hexdigest(), 7)


# --- Far away ---------------------------------------------------------------------------------------


class StoreError(Exception):
    """What the client of a store raises: of no class that the standard library or Beam knows."""


class FarAway(LocalFileSystem):  # type: ignore[misc]
    """Files under `far://`, which stand in a folder, with the faults that stores have."""

    folder = Path()
    fault = ""

    @classmethod
    def scheme(cls) -> str:
        return "far"

    def _here(self, path: str) -> str:
        return path.replace("far://", f"{self.folder}/")

    def split(self, path: str) -> tuple[str, str]:
        folder, _, name = path.rpartition("/")
        return folder, name

    def mkdirs(self, path: str) -> None:
        super().mkdirs(self._here(path))

    def create(self, path: str, *arguments: Any, **named: Any) -> Any:
        if self.fault == "refuses":
            raise StoreError("403 Forbidden: no permission for this bucket")
        return super().create(self._here(path), *arguments, **named)

    def open(self, path: str, *arguments: Any, **named: Any) -> Any:
        return super().open(self._here(path), *arguments, **named)

    def exists(self, path: str) -> bool:
        return bool(super().exists(self._here(path)))

    def metadata(self, path: str) -> Any:
        return super().metadata(self._here(path))

    def match(self, patterns: list[str], limits: Any = None) -> Any:
        return FileSystem.match(self, [self._here(pattern) for pattern in patterns], limits)

    def delete(self, paths: list[str]) -> None:
        super().delete([self._here(path) for path in paths])

    def rename(self, sources: list[str], paths: list[str]) -> None:
        here = [self._here(path) for path in paths]
        if self.fault == "raises":
            raise BeamIOError("Rename operation failed", {(sources[0], paths[0]): StoreError("503")})
        if self.fault == "says nothing":
            return
        super().rename([self._here(path) for path in sources], here)
        if self.fault == "cuts":
            os.truncate(here[0], 2)


@pytest.fixture
def far(tmp_path: Path) -> Iterator[type[FarAway]]:
    FarAway.folder, FarAway.fault = tmp_path, ""
    yield FarAway
    FarAway.fault = ""


def test_a_store_far_away_gets_whole_files_too(tmp_path: Path, far: type[FarAway]) -> None:
    written = write_text("far://bucket/mix/file", "text")
    assert written == Written(hashlib.sha256(b"text").hexdigest(), 4)
    assert [path.name for path in (tmp_path / "bucket" / "mix").iterdir()] == ["file"]
    assert read_text("far://bucket/mix/file") == "text"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("refuses", "403 Forbidden"),
        ("raises", "503"),
        ("says nothing", "it was not renamed"),
        ("cuts", "3 bytes were renamed, 2 arrived"),
    ],
)
def test_a_store_that_fails_leaves_no_new_file(
    tmp_path: Path, far: type[FarAway], fault: str, message: str
) -> None:
    write_text("far://bucket/old", "old text")
    far.fault = fault
    for name in ("new", "old"):
        with pytest.raises(OutputError, match=rf"cannot write far://bucket/{name}: .*{message}"):
            write_text(f"far://bucket/{name}", "new")
    left = {path.name: path.read_text() for path in (tmp_path / "bucket").iterdir()}
    assert left == ({} if fault == "cuts" else {"old": "old text"})


@pytest.mark.parametrize("module", ["show", "verify", "report"])
def test_a_look_at_a_mix_of_this_machine_waits_for_no_beam(module: str, tmp_path: Path) -> None:
    """Its import takes longer than the look."""
    code = (
        f"import sys\nimport pipelines.{module}\nfrom pipelines.filesystem import *\n"
        f"path = join({str(tmp_path)!r}, 'a.txt')\n"
        "write_text(path, 'a')\nassert exists(path) and read_text(path) == 'a'\n"
        "move(path, path + '2')\nremove(path + '2')\nassert not exists(path + '2')\n"
        "assert not [name for name in sys.modules if name.startswith('apache_beam')]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
