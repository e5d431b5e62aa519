"""The table of thresholds that a mix was judged by, which the mix keeps where its recipe names one."""

from __future__ import annotations

import hashlib

from pipelines.filesystem import exists, join, read_text
from pipelines.manifest import Manifest
from pipelines.recipe import Recipe
from pipelines.staging import staged
from translation.filters import Thresholds, load_thresholds
from translation.filters.thresholds import parse_thresholds, read_table
from translation.mix_folder import THRESHOLDS


def named_table(recipe: Recipe) -> str | None:
    """The text of the table that a recipe names; None if it names none.

    Raises:
        ThresholdsError: it cannot be read.
        StagingError: it is far away and cannot be fetched.
    """
    return None if recipe.thresholds_file is None else read_table(staged(recipe.thresholds_file))


def kept_table(directory: str, manifest: Manifest) -> str | None:
    """The text of the table that a mix keeps; None if it keeps none, or somebody has changed that."""
    path = join(directory, THRESHOLDS)
    try:
        if not manifest.thresholds or not exists(path):
            return None
        text = read_text(path)
    except (OSError, UnicodeDecodeError):
        return None
    return text if table_digest(text) == manifest.thresholds else None


def table_digest(table: str | None) -> str:
    """SHA-256 (hex) of the text of a table; empty for None."""
    return "" if table is None else hashlib.sha256(table.encode()).hexdigest()


def bounds_in(table: str | None, name: str | None) -> Thresholds:
    """The bounds of a table, or for None those that ship.

    Args:
        name: of the file, for messages.

    Raises:
        ThresholdsError: the text is no such table.
    """
    return load_thresholds(None) if table is None else parse_thresholds(table, name or THRESHOLDS)
