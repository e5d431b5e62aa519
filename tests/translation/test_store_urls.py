from __future__ import annotations

from pathlib import Path

import pytest
from pyarrow import fs

from translation.store_urls import arrow_uri


@pytest.mark.parametrize("path", ["bucket/a b", "bucket/50%/a#b?c", "bucket/ü/日本"])
def test_arrow_finds_the_path_that_a_url_names(path: str) -> None:
    assert fs.FileSystem.from_uri(arrow_uri(f"gs://{path}"))[1] == path
    assert fs.FileSystem.from_uri(arrow_uri(f"gcs://{path}", 120))[1] == path


def test_a_file_url_may_be_encoded(tmp_path: Path) -> None:
    for url in (f"file://{tmp_path}/a b", (tmp_path / "a b").as_uri()):
        assert fs.FileSystem.from_uri(arrow_uri(url))[1] == f"{tmp_path}/a b"
