"""Pieces of sources: what one worker reads at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.recipe import Recipe
from pipelines.records import Place


class SourceError(RuntimeError):
    """A source broke while it was read (disk, damaged Parquet page); says in which file, where and why."""


@dataclass(frozen=True)
class Piece:
    """A part of one file. `start` and `end` are bytes (JSON, lines) or row groups (Parquet)."""

    source: int
    """Index in the recipe's `sources`."""
    path: str
    label: str
    """The path in messages: relative to the recipe's folder where it is inside."""
    stem: str
    """What ids made from positions start with; differs between the files of a source."""
    start: int
    end: int

    def place(self, unit: str, position: int) -> Place:
        return Place(self.label, unit, position, self.stem)


@contextmanager
def disk_failures(piece: Piece) -> Iterator[None]:
    """Within, a failure of the disk is a `SourceError`."""
    try:
        yield
    except OSError as error:
        raise SourceError(f"{piece.path}: cannot be read on: {error.strerror or error}") from error


def whole_files(recipe: Recipe, index: int, files: Sequence[Path] | None = None) -> list[Piece]:
    """One piece per file of a source, `start` 0, `end` its size in bytes.

    Args:
        files: if they are others than those of the source's main key.
    """
    files = recipe.source_files(index) if files is None else files
    top = Path(os.path.commonpath([path.parent for path in files])) if files else recipe.folder
    return [
        Piece(
            source=index,
            path=str(path),
            label=_label(path, recipe.folder),
            stem=path.relative_to(top).with_suffix("").as_posix().replace("/", "."),
            start=0,
            end=path.stat().st_size,
        )
        for path in files
    ]


def _label(path: Path, folder: Path) -> str:
    resolved, folder = Path(os.path.normpath(path)), Path(os.path.normpath(folder.absolute()))
    return resolved.relative_to(folder).as_posix() if resolved.is_relative_to(folder) else path.name
