"""NLVR2 and MaRVL: JSON lines of statements about two pictures."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from pipelines.examples import Reject
from pipelines.images import image_id, relative_image_path
from pipelines.inputs import open_input
from pipelines.recipe import Recipe
from pipelines.recipe_sources import Nlvr2Source
from pipelines.records import Picture, Place, Record, Stated
from pipelines.sources.lines import first_lines, json_line_pieces, json_objects, opened, rejected
from pipelines.sources.pictures import PictureStore, picture_store
from pipelines.sources.pieces import Piece
from pipelines.sources.records import Unusable
from pipelines.sources.values import BadRecord, cell, clean_text, identifier, shown
from translation.languages import UnknownLanguage, resolve

PROBES = 50
"""Records at the start of a file that tell in which folders its pictures are."""

_IDENTIFIER = re.compile(r"(?P<pair>(?P<split>[A-Za-z]\w*)-\d+-\d+)-\d+", re.ASCII)

# NLVR2's download has images/train/<directory>/, dev/ and test1/; MaRVL's has <language>/images/<concept>/.
_LAYOUTS = (
    "",
    "{group}/",
    "images/{group}/",
    "{split}/",
    "{split}/{group}/",
    "images/{split}/",
    "images/{split}/{group}/",
    "{split}/images/{group}/",
)

_LABELS = {"True": True, "False": False}


def pieces(recipe: Recipe, index: int, source: Nlvr2Source) -> list[Piece]:
    """Byte ranges of the files. Raises `SettingsError` as `json_line_pieces`."""
    return json_line_pieces(recipe, index)


def read(recipe: Recipe, source: Nlvr2Source, piece: Piece) -> Iterator[Record | Reject]:
    """One record per statement."""
    images = recipe.source_path(source.images)
    store = picture_store(images)
    with opened(piece) as file:
        layout = _layout(images, piece.path)
        for place, value in json_objects(source, piece, file):
            if isinstance(value, Reject):
                yield value
                continue
            try:
                yield _stated(store, layout, place, value)
            except Unusable as error:
                yield rejected(source, place, value, _id_key(value), error)


def _stated(store: PictureStore, layout: str, place: Place, value: dict[str, object]) -> Stated:
    key = _id_key(value)
    source_id = identifier(cell(value, key), key)
    key = "caption" if _is_marvl(value) else "sentence"
    statement = clean_text(cell(value, key), f"`{key}`")
    label = cell(value, "label")
    holds = _LABELS.get(label) if isinstance(label, str) else label
    if not isinstance(holds, bool):
        raise BadRecord(f"`label` is {shown(label)}, must be True or False")
    left, right = _names(value)
    return Stated(
        place,
        source_id,
        (_picture(store, layout, value, left), _picture(store, layout, value, right)),
        statement,
        holds,
        _language(value),
    )


def _language(value: dict[str, object]) -> str | None:
    """MaRVL's language; None for English."""
    if not _is_marvl(value):
        return None
    written = cell(value, "language")
    try:
        language = resolve(str(written))
    except UnknownLanguage as error:
        raise BadRecord(f"`language` is {shown(written)}: {error}") from error
    return None if language.english else language.nllb


def _is_marvl(value: dict[str, object]) -> bool:
    return "left_img" in value or "right_img" in value


def _id_key(value: dict[str, object]) -> str:
    return "id" if _is_marvl(value) else "identifier"


def _names(value: dict[str, object]) -> tuple[str, str]:
    """The file names of the two pictures, without folders."""
    if not _is_marvl(value):
        found = str(cell(value, "identifier"))
        parts = _IDENTIFIER.fullmatch(found)
        if parts is None:
            raise BadRecord(f"`identifier` is {shown(found)}, must be of the form `dev-850-0-0`")
        return f"{parts['pair']}-img0.png", f"{parts['pair']}-img1.png"
    names = []
    for key in ("left_img", "right_img"):
        name = cell(value, key)
        if not isinstance(name, str):
            raise BadRecord(f"`{key}` is {shown(name)}, must be the name of a picture")
        # Some of MaRVL's files write the folder of the concept, others do not.
        path = relative_image_path(unicodedata.normalize("NFC", name))
        names.append(path.removeprefix(f"{_group(value)}/"))
    return names[0], names[1]


def _group(value: dict[str, object]) -> str:
    """The folder that the pictures of a record are in: NLVR2's number, MaRVL's concept."""
    group = value.get("concept" if _is_marvl(value) else "directory")
    return "" if group is None else unicodedata.normalize("NFC", str(group))


def _split(value: dict[str, object]) -> str:
    """The folder above that: NLVR2's split, MaRVL's language."""
    if _is_marvl(value):
        return str(value.get("language") or "")
    parts = _IDENTIFIER.fullmatch(str(value.get("identifier")))
    return parts["split"] if parts else ""


def _path(layout: str, value: dict[str, object], name: str) -> str:
    # A record without the folder's name goes by the rest of the path.
    return f"{layout.format(group=_group(value), split=_split(value))}{name}".lstrip("/")


def _picture(store: PictureStore, layout: str, value: dict[str, object], name: str) -> Picture:
    """The picture where the layout has it; its id does not depend on the layout."""
    group = _group(value)
    found = store.picture(_path(layout, value, name))
    # MaRVL's names are unique in their concepts only.
    return Picture(found.locator, image_id(f"{group}/{name}" if _is_marvl(value) and group else name))


@lru_cache(maxsize=64)
def _layout(images: str, path: str) -> str:
    """The layout in which most pictures of the first records are there, the first of equals.

    It is of the file, not of the piece, so that pieces decide nothing, and found once, since looking for
    files costs far more than reading records does.
    """
    store = picture_store(images)
    found = dict.fromkeys(_LAYOUTS, 0)
    with open_input(path) as file:
        for value in first_lines(file, PROBES):
            try:
                names = _names(value)
            except ValueError:
                continue
            for layout in _LAYOUTS:
                found[layout] += all(store.holds(_path(layout, value, name)) for name in names)
    return max(found, key=lambda layout: found[layout])
