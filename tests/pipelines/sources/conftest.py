"""Builds recipes around single sources and reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.examples import Example, Reject
from pipelines.recipe import Recipe, load_recipe
from pipelines.sources import pieces, read_piece

Records = list[Example | Reject]
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
    return [record for piece in pieces(recipe) for record in read_piece(recipe, piece)]


def examples(records: Records) -> list[Example]:
    return [record for record in records if isinstance(record, Example)]


def rejects(records: Records) -> list[Reject]:
    return [record for record in records if isinstance(record, Reject)]
