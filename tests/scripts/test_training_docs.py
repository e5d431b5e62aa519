"""docs/training.md is what the code says."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from scripts.recipe_docs import keys_of
from scripts.training_docs import PAGE, SECTIONS, page


def test_the_page_in_the_repository_is_the_one_that_the_code_gives() -> None:
    present = PAGE.read_text(encoding="utf-8")
    assert present == page(present), "run python -m scripts.training_docs"


NAMES = {"name", "projection", "weight_decay", "max_prompt_tokens", "layers", "hidden_size", "heads", "seed"}
NAMES |= {"connector", "max_pixels", "schedule", "dropout", "data", "texts", "model", "checkpoints", "log"}
NAMES |= {"every_steps", "every_minutes", "betas", "epsilon", "tensorboard", "epochs", "r"}
"""What says enough by itself, or is explained elsewhere on the page."""


@pytest.mark.parametrize("section", SECTIONS.values(), ids=lambda section: section.__name__)
def test_every_key_is_explained(section: type[BaseModel]) -> None:
    for key in keys_of(section):
        assert key.text or key.name in NAMES, f"{section.__name__}.{key.name} has no docstring"
