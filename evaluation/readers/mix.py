"""The held-out rows of a mix, with the prompts and pictures that they were made with."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from evaluation.items import Expected
from evaluation.predictions import BROKEN_RECORD, UNREADABLE_LANGUAGE
from evaluation.readers.records import DataError, LeftOut
from evaluation.tasks import TaskFile
from training.asking import Request
from training.mixes import TEXT_COLUMNS, Mix, MixError, RowGroup, shared_id
from translation.languages import UnknownLanguage, languages
from translation.mix_folder import VALIDATION
from translation.row import IMAGE_COLUMNS

_CACHED_GROUPS = 4


@dataclass
class _Groups:
    """The pictures of a mix's row groups, the latest kept."""

    mix: Mix
    kept: OrderedDict[tuple[str, int], Any] = field(default_factory=OrderedDict)

    def read(self, group: RowGroup, row: int, column: str, image_id: str | None) -> bytes:
        """The bytes of a row's picture; raises `training.pictures.BadPicture`."""
        from training.pictures import BadPicture

        key = (group.file, group.index)
        try:
            if key not in self.kept:
                self.kept[key] = self.mix.read(group, IMAGE_COLUMNS)
        except MixError as error:
            raise BadPicture("unreadable", str(error)) from error
        self.kept.move_to_end(key)
        while len(self.kept) > _CACHED_GROUPS:
            self.kept.popitem(last=False)
        cell = self.kept[key].column(column)[row].as_py() or {"bytes": None, "path": None}
        found: bytes = self._store.get(cell, shared_id(column, cell, image_id))
        return found

    @cached_property
    def _store(self) -> Any:
        # Rows are scored without torch, which reads pictures.
        from training.stored import StoredPictures

        return StoredPictures(self.mix)


@dataclass(frozen=True)
class RowPicture:
    """A picture of a row."""

    groups: _Groups
    group: RowGroup
    row: int
    column: str
    image_id: str | None
    """Of the row."""
    name: str
    """Which picture it is, wherever the mix has it."""

    def read(self) -> bytes:
        return self.groups.read(self.group, self.row, self.column, self.image_id)


@dataclass(frozen=True)
class HeldOut:
    """A row as it is asked."""

    expected: Expected
    request: Request
    """Without its pictures."""
    pictures: tuple[RowPicture, ...]


def open_mix(task: TaskFile) -> Mix:
    """The validation split of the task's mix; raises `DataError`."""
    location = task.task.files
    if "://" not in location:
        (path,) = task.paths(("files",), location)
        location = str(path)
    try:
        return Mix(location, VALIDATION)
    except MixError as error:
        raise DataError(str(error)) from error


def read(task: TaskFile, mix: Mix) -> Iterator[HeldOut | LeftOut]:
    """The rows of the task's languages and kinds."""
    groups = _Groups(mix)
    wanted = {task.task.language(code).nllb for code in task.task.languages or ()}
    left_out = {_known(task, code) for code in task.task.left_out}
    for group in mix.groups:
        try:
            table = mix.read(group, (*TEXT_COLUMNS, "image_id", *IMAGE_COLUMNS))
        except MixError as error:
            raise DataError(str(error)) from error
        has = {name: _present(table, name) for name in IMAGE_COLUMNS}
        # Only there is a path a picture's name; elsewhere it may be that of a folder of this machine.
        named = {name: _paths(table, name if mix.shared_files else None) for name in IMAGE_COLUMNS}
        texts = table.select([name for name in table.column_names if name not in IMAGE_COLUMNS])
        for number, row in enumerate(texts.to_pylist()):
            if (wanted and row["language"] not in wanted) or row["language"] in left_out:
                continue
            if task.task.tasks and row["task"] not in task.task.tasks:
                continue
            if row["language"] not in languages():
                yield LeftOut(UNREADABLE_LANGUAGE, row["language"])
                continue
            if not (row["prompt"] or "").strip() or not (row["target"] or "").strip():
                yield LeftOut(BROKEN_RECORD, f"{row['id']}: it has no prompt or no target")
                continue
            image = row.get("image_id")
            pictures = tuple(
                RowPicture(groups, group, number, name, image, f"{name} {named[name][number] or image}")
                for name in IMAGE_COLUMNS
                if has[name][number] or (name == IMAGE_COLUMNS[0] and image is not None)
            )
            yield HeldOut(
                Expected(row["id"], row["language"], (row["target"],), image or row["id"], task.task.choices),
                Request(row["prompt"], row["prompt_language"] or row["language"], row["language"]),
                pictures,
            )


def _known(task: TaskFile, code: str) -> str | None:
    """The NLLB code; None where the registry does not know the language, so that no row has it."""
    try:
        return task.task.language(code).nllb
    except UnknownLanguage:
        return None


def _paths(table: Any, name: str | None) -> list[str | None]:
    """Of each row the path of its picture in this column; none at all without a name."""
    if name not in table.column_names:
        return [None] * int(table.num_rows)
    paths: list[str | None] = table.column(name).combine_chunks().field("path").to_pylist()
    return paths


def _present(table: Any, name: str) -> list[bool]:
    """Of each row whether it has a picture in this column."""
    if name not in table.column_names:
        return [False] * int(table.num_rows)
    column = table.column(name).combine_chunks()
    found = column.is_valid().to_pylist()
    parts = [column.field(part).is_valid().to_pylist() for part in ("bytes", "path")]
    return [whole and any(own) for whole, *own in zip(found, *parts, strict=True)]
