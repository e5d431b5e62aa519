"""Files appear whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

import pytest

from pipelines.filesystem import OutputError, exists, read_text, write_atomically, write_text


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
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    write_text(str(path), "old")
    with pytest.raises(OutputError, match=r"cannot write .*file: No space left on device"):
        write_atomically(str(path), fail, "x")
    assert path.read_text(encoding="utf-8") == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_rename_that_fails_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    (path / "full").mkdir(parents=True)
    with pytest.raises(OutputError, match="cannot write"):
        write_text(str(path), "text")
    assert exists(str(path / "full"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]
