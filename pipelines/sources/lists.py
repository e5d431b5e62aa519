"""What sources of one big JSON list share: whole files as pieces, and their records as objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from typing import BinaryIO, Literal, cast

from pipelines.examples import Reject
from pipelines.recipe import Recipe
from pipelines.recipe_sources import Source
from pipelines.sources import json_lists
from pipelines.sources.json_lines import Broken, Columns, Together
from pipelines.sources.lines import json_text, plain_files
from pipelines.sources.pieces import Piece, SourceError
from pipelines.sources.records import broken_off, reject
from pipelines.sources.values import kind
from translation.settings_file import Key

_OPENERS = {"list": b"[", "object": b"{"}


_Top = Literal["list", "object"]


def list_pieces(recipe: Recipe, index: int, top: _Top | None, path: str | None = None) -> list[Piece]:
    """The files of a source, each as one piece. Raises `SettingsError` as `pieces_and_firsts`."""
    return [piece for piece, _ in pieces_and_firsts(recipe, index, top, path)]


def pieces_and_firsts(
    recipe: Recipe, index: int, top: _Top | None, path: str | None = None
) -> Iterator[tuple[Piece, json_lists.Item | None]]:
    """The files of a source, each as one piece, for JSON can only be read from its start; with their first
    records. Raises `SettingsError` as `plain_files` and `first_record`.
    """
    for piece, head in plain_files(recipe, index):
        yield piece, first_record(recipe, index, piece, head, top, path)


def first_record(
    recipe: Recipe, index: int, piece: Piece, head: bytes, top: _Top | None, path: str | None = None
) -> json_lists.Item | None:
    """The first record of a file of records; None where there is none.

    Args:
        head: the file's first bytes, as of `plain_files`.
        top: what the file must be; None for either.
        path: the key of the list of records in that object, where they are not the object's own values.

    Raises:
        SettingsError: the file is something else, or has no such list.
    """
    key = ("sources", index, recipe.sources[index].main)
    start = head.lstrip()
    if top is not None and start and not start.startswith(_OPENERS[top]):
        there = {b"[": "a JSON list", b"{": "a JSON object, or has one a line"}
        is_there = there.get(start[:1], f"no JSON: starts with {start[:20].decode(errors='replace')!r}")
        raise recipe.error(key, f"{piece.label} is {is_there}; must be one JSON {top} of records")
    return check_list(recipe, key, piece, path)


def check_list(recipe: Recipe, key: Key, piece: Piece, path: str | None) -> json_lists.Item | None:
    """The first record of the list `path`, which a file must have. Raises `SettingsError`."""
    try:
        return json_lists.first_item(piece.path, path)
    except json_lists.NoSuchList as error:
        raise recipe.error(key, f"{piece.label}: {error}") from error
    except OSError as error:
        raise recipe.error(key, f"{piece.label}: {error.strerror}") from error


def list_objects(
    source: Source, piece: Piece, file: BinaryIO, path: str | None = None
) -> Iterator[tuple[int, str | None, dict[str, object] | Reject]]:
    """Byte offset, key in an object of records, and value of each record; one that is no object is a reject.

    An empty list is a reject too. Where the file breaks off, the last reject says so in its own short name.

    Args:
        path: key of the list in the object at the top; None where that is the records.

    Raises:
        SourceError: there is no such list any more.
    """
    found = _objects(source, piece, path, lambda: json_lists.items(file, path))
    # Nothing is read together without columns.
    return cast("Iterator[tuple[int, str | None, dict[str, object] | Reject]]", found)


def list_objects_together(
    source: Source,
    piece: Piece,
    file: BinaryIO,
    columns: Columns,
    path: str | None = None,
    passed: json_lists.Passed | None = None,
) -> Iterator[tuple[int, str | None, dict[str, object] | Reject] | Together]:
    """The same records as of `list_objects`, many of them together; `passed` as of `items_together`.

    Raises:
        SourceError: as `list_objects`.
    """
    return _objects(
        source, piece, path, lambda: json_lists.items_together(file, columns, path, passed=passed)
    )


def _objects(
    source: Source, piece: Piece, path: str | None, items: Callable[[], Iterator[json_lists.Item | Together]]
) -> Iterator[tuple[int, str | None, dict[str, object] | Reject] | Together]:
    item: json_lists.Item | Together | None = None
    try:
        for item in items():
            if isinstance(item, Together) or type(item[2]) is dict:
                yield item  # type: ignore[misc]
            else:
                yield item[0], item[1], _no_object(source, piece, item[0], item[2])
    except json_lists.NoSuchList as error:
        raise SourceError(f"{piece.path}: {error}") from error
    if item is None:
        place = piece.place("byte", 0)
        what = "the list is empty" if path is None else f"the list `{path}` is empty"
        yield 0, None, reject(source.name, source.tasks[0], place, place.id, what, "")


def _no_object(source: Source, piece: Piece, position: int, value: object) -> Reject:
    place = piece.place("byte", position)
    if not isinstance(value, Broken):
        why = f"is {kind(value)}, must be an object"
        return reject(source.name, source.tasks[0], place, place.id, why, json_text(value))
    rejected = reject(source.name, source.tasks[0], place, place.id, value.reason, value.raw)
    return broken_off(rejected) if value.truncated else rejected


def first_objects(file: BinaryIO, path: str | None, number: int | None = None) -> Iterator[dict[str, object]]:
    """Those among the first records of a list, or all, that are objects; none where there is no list."""
    with suppress(json_lists.NoSuchList):
        for _, _, value in islice(json_lists.items(file, path), number):
            if isinstance(value, dict):
                yield value
