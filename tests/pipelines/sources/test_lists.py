"""What sources of one big JSON list share: the check of a file before it is read, and what breaks off."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.examples import TRUNCATED
from pipelines.recipe import SettingsError
from pipelines.sources import SourceError, pieces, read_piece
from tests.pipelines.sources.conftest import MakeRecipe, examples, read_all, rejects

CAPFILT: dict[str, Any] = {"format": "capfilt", "path": "x.json", "images": "images"}
GQA: dict[str, Any] = {"format": "gqa", "path": "x.json", "images": "images"}


@pytest.mark.parametrize(
    ("source", "content", "words"),
    [
        (CAPFILT, b"", "x.json: the file is empty"),
        (CAPFILT, b'{"a": 1}\n{"a": 2}', "x.json is a JSON object, or has one a line; must be one JSON list"),
        (CAPFILT, b"caption,url", "x.json is no JSON: starts with 'caption,url'; must be one JSON list"),
        (CAPFILT, gzip.compress(b"[]", mtime=0), "x.json is compressed; unpack it first"),
        (CAPFILT, "[]".encode("utf-16"), "x.json is UTF-16, must be UTF-8"),
        (GQA, b"[{}]", "x.json is a JSON list; must be one JSON object"),
    ],
)
def test_another_file_is_an_error(
    tmp_path: Path, make_recipe: MakeRecipe, source: dict[str, Any], content: bytes, words: str
) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(SettingsError) as error:
        pieces(make_recipe(**source))
    assert "sources.0.path" in str(error.value)
    assert words in str(error.value)


@pytest.mark.parametrize(("source", "content"), [(CAPFILT, b" [ ]"), (GQA, b"\xef\xbb\xbf{}")])
def test_an_empty_list_is_a_reject(
    tmp_path: Path, make_recipe: MakeRecipe, source: dict[str, Any], content: bytes
) -> None:
    (tmp_path / "x.json").write_bytes(content)
    (found,) = rejects(read_all(make_recipe(**source)))
    assert found.reason == "source: x.json byte 0: the list is empty"


def test_a_file_that_breaks_off_says_so_after_all_that_came_before(
    tmp_path: Path, make_recipe: MakeRecipe
) -> None:
    text = json.dumps([{"caption": f"a dog {n}", "image": f"{n}.jpg"} for n in range(100)])[:-5]
    (tmp_path / "x.json").write_text(text)
    records = read_all(make_recipe(**CAPFILT))
    assert len(examples(records)) == 99
    (found,) = rejects(records)
    assert records[-1] is found
    assert found.reason.startswith(f"{TRUNCATED}: x.json byte {text.rindex('{')}: ")
    assert found.source_id == f"x@{text.rindex('{')}"


def test_a_file_that_changed_after_its_check_stops_the_run(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (tmp_path / "x.json").write_text('[{"caption": "a dog", "image": "1.jpg"}]')
    recipe = make_recipe(**CAPFILT)
    (piece,) = pieces(recipe)
    (tmp_path / "x.json").write_text("")
    with pytest.raises(SourceError, match="the file is empty"):
        list(read_piece(recipe, piece))
    (tmp_path / "x.json").unlink()
    with pytest.raises(SourceError, match="No such file"):
        list(read_piece(recipe, piece))
