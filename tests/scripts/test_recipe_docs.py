"""docs/recipes.md is what the code says."""

from __future__ import annotations

import pytest

from pipelines.recipe import Recipe
from pipelines.recipe_sources import SOURCES
from scripts.recipe_docs import PAGE, example_of, keys_of, page


def test_the_page_in_the_repository_is_the_one_that_the_code_gives() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m scripts.recipe_docs"


@pytest.mark.parametrize("section", [Recipe, *SOURCES.values()], ids=lambda section: section.__name__)
def test_every_key_is_explained_and_has_an_example(section: type) -> None:
    for key in keys_of(section):
        assert key.text or key.name == "format", f"{section.__name__}.{key.name} has no docstring"
        if key.name != "sources":
            assert example_of(key, section) is not None


def test_every_key_of_every_format_stands_on_the_page() -> None:
    text = page()
    for name, section in SOURCES.items():
        assert f"### `format: {name}`" in text
        assert all(f"| `{key.name}` |" in text for key in keys_of(section))
