"""Builds recipes around single sources and reads them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from msgspec.structs import replace

from pipelines import inputs
from pipelines.examples import Example, LeftOut, Reject
from pipelines.recipe import Recipe, load_recipe
from pipelines.sources import pieces, read_piece
from pipelines.sources.json_lines import Columns
from pipelines.sources.line_blocks import Block
from pipelines.sources.pictures import picture_store
from tests.pipelines.remote_folder import FOLDER, url_of

Records = list[Example | Reject | LeftOut]
MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def make_recipe(tmp_path: Path) -> MakeRecipe:
    """A recipe in `tmp_path` with the one source that the keywords describe, named `s`."""

    def make(**source: Any) -> Recipe:
        (tmp_path / "images").mkdir(exist_ok=True)
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump({"name": "r", "sources": [{"name": "s", **source}]}))
        return load_recipe(path)

    return make


def read_all(recipe: Recipe) -> Records:
    """What a recipe's sources hold; checked to be the same read one by one, and where all is far away."""
    found = _read(recipe)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Columns, "_read", lambda *_: None)
        patch.setattr(Block, "decoded", lambda _: None)
        assert _read(recipe) == found
    folder = Path(recipe.folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(folder.parent))
        patch.setattr(inputs, "WAITS_S", ())
        forget_files()
        there = recipe.model_copy()
        there._far_away = url_of(folder, folder.parent)
        assert [_here(record, there.folder, recipe.folder) for record in _read(there)] == found
    return found


def _read(recipe: Recipe) -> Records:
    return [record for piece in pieces(recipe) for record in read_piece(recipe, piece)]


def _here(record: Example | Reject | LeftOut, url: str, folder: str) -> Example | Reject | LeftOut:
    """A record that was read far away, with the paths of this machine."""
    if isinstance(record, Reject | LeftOut):
        return record
    image, second = ((one or "").replace(url, folder) or None for one in (record.image, record.second_image))
    return replace(record, image=image, second_image=second)


FORMATS = ("jsonl", "json", "csv", "parquet")
"""Of sources whose columns a recipe names."""


def write_rows(folder: Path, kind: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Writes a file of one of these formats; returns the keys of the source that reads it."""
    path = folder / f"x.{kind}"
    match kind:
        case "jsonl":
            path.write_text("\n".join(map(json.dumps, rows)))
        case "json":
            path.write_text(json.dumps(rows))
        case "csv":
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        case "parquet":
            pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    return {"format": kind, "path": path.name}


def forget_files() -> None:
    """Drops what a process remembers of files far away, which change only in tests."""
    for remembered in (inputs._remembered_stamp, inputs._kept_open, picture_store):
        remembered.cache_clear()


def examples(records: Records) -> list[Example]:
    return [record for record in records if isinstance(record, Example)]


def rejects(records: Records) -> list[Reject]:
    return [record for record in records if isinstance(record, Reject)]


def left_out(records: Records) -> int:
    """How many records the recipe does not ask for."""
    return sum(record.records for record in records if isinstance(record, LeftOut))
