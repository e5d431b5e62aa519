"""Pieces of sources: what one worker reads at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipelines.inputs import is_dir, is_url, name_of, stamp
from pipelines.recipe import Recipe
from pipelines.records import Place
from translation.console import printable
from translation.surrogates import without_halves


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
    """Within, a failure of the disk, or of a store far away, is a `SourceError`."""
    try:
        yield
    except OSError as error:
        other = f"{error.filename}: " if error.filename not in (None, piece.path) else ""
        raise SourceError(f"{piece.path}: cannot be read on: {other}{error.strerror or error}") from error


def whole_files(recipe: Recipe, index: int, files: Sequence[str] | None = None) -> list[Piece]:
    """One piece per file of a source, `start` 0, `end` its size in bytes.

    Args:
        files: if they are others than those of the source's main key.
    """
    files = recipe.source_files(index) if files is None else files
    # Without the `gs://`, which no path has.
    paths = [PurePosixPath(file.partition("://")[2] if is_url(file) else file) for file in files]
    top = os.path.commonpath([path.parent for path in paths]) if paths else ""
    return [
        Piece(
            source=index,
            path=file,
            label=printable(without_halves(_label(file, recipe.folder))),
            stem=without_halves(path.relative_to(top).with_suffix("").as_posix().replace("/", ".")),
            start=0,
            end=0 if is_dir(file) else stamp(file).size,
        )
        for file, path in zip(files, paths, strict=True)
    ]


def _label(place: str, folder: str) -> str:
    if is_url(place) or is_url(folder):
        inside = place.startswith(f"{folder.rstrip('/')}/")
        return place[len(folder.rstrip("/")) + 1 :] if inside else name_of(place)
    path, top = Path(os.path.normpath(place)), Path(os.path.normpath(folder))
    return path.relative_to(top).as_posix() if path.is_relative_to(top) else path.name
