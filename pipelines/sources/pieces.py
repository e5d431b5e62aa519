"""Pieces of sources: what one worker reads at a time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pipelines.images import image_id, relative_image_path
from pipelines.recipe import CocoSource, Recipe, Source
from pipelines.sources.records import Picture, Place


class SourceError(RuntimeError):
    """A source broke while it was read (disk, damaged Parquet page); says in which file, where and why."""


@dataclass(frozen=True)
class Piece:
    """A part of one file. `start` and `end` are bytes (COCO, JSONL) or row groups (Parquet)."""

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


def whole_files(recipe: Recipe, index: int) -> list[Piece]:
    """One piece per file of a source, `start` 0, `end` its size in bytes."""
    files = recipe.source_files(index)
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


def images_folder(recipe: Recipe, source: Source, piece: Piece) -> Path:
    """The folder that the picture paths of a piece are relative to."""
    if isinstance(source, CocoSource) or source.images is not None:
        return recipe.path(str(source.images))
    return Path(piece.path).parent


def picture_in(folder: Path, written: str) -> Picture:
    """The picture that a source names by its path. Raises `BadImage` where the path leaves the folder."""
    relative = relative_image_path(written)
    return Picture(f"{folder}/{relative}", image_id(relative))
