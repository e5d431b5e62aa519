"""NLVR2 and MaRVL: JSON lines of statements about two pictures."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from types import NoneType
from typing import cast

from pipelines.examples import Reject
from pipelines.images import image_id, relative_image_path
from pipelines.inputs import open_input
from pipelines.recipe import Recipe
from pipelines.recipe_sources import Nlvr2Source
from pipelines.records import Picture, Place, Record, Stated
from pipelines.sources.columns import Odd, clean_texts, identifiers, only_texts
from pipelines.sources.json_lines import Columns, Together
from pipelines.sources.lines import first_lines, json_line_pieces, json_objects_together, opened, rejected
from pipelines.sources.pictures import PictureStore, picture_store
from pipelines.sources.pieces import Piece
from pipelines.sources.records import Unusable, with_odd
from pipelines.sources.values import BadRecord, cell, clean_text, identifier, shown
from translation.languages import UnknownLanguage, resolve

PROBES = 50
"""Records at the start of a file that tell in which folders its pictures are."""

_IDENTIFIER = re.compile(r"(?P<pair>(?P<split>[A-Za-z]\w*)-\d+-\d+)-\d+", re.ASCII)
_IDENTIFIERS = re.compile(r"[A-Za-z]\w*(?:-\d+){3}(?:\n[A-Za-z]\w*(?:-\d+){3})*+", re.ASCII)
"""One a line."""

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

_ENDS = ("-img0.png", "-img1.png")
"""Of the names of the left and the right picture, behind what their statements' ids begin with."""
_MARVL = ("left_img", "right_img")
"""Keys that only MaRVL's records have."""
_GROUPS: frozenset[type] = frozenset({NoneType, str, int})
"""What names of folders are written as."""


def pieces(recipe: Recipe, index: int, source: Nlvr2Source) -> list[Piece]:
    """Byte ranges of the files. Raises `SettingsError` as `json_line_pieces`."""
    return json_line_pieces(recipe, index)


def read(recipe: Recipe, source: Nlvr2Source, piece: Piece) -> Iterator[Record | Reject]:
    """One record per statement."""
    images = recipe.source_path(source.images)
    store = picture_store(images)
    columns = Columns(("identifier", "sentence", "label", "directory", *_MARVL))
    with opened(piece) as file:
        layout = _layout(images, piece.path)

        def stated(place: Place, value: dict[str, object] | Reject) -> Record | Reject:
            if isinstance(value, Reject):
                return value
            try:
                return _stated(store, layout, place, value)
            except Unusable as error:
                return rejected(source, place, value, _id_key(value), error)

        for item in json_objects_together(source, piece, file, columns):
            if not isinstance(item, Together):
                yield stated(*item)
                continue

            def alone(at: int, together: Together = item) -> tuple[Record | Reject]:
                return (stated(piece.place("byte", together.positions[at]), together.record(at)),)

            odd: Odd = set()
            yield from with_odd(_all_stated(store, layout, piece, item, odd), odd, alone)


def _all_stated(store: PictureStore, layout: str, piece: Piece, together: Together, odd: Odd) -> list[Record]:
    """Statements of NLVR2, as `_stated` makes them; places of all others are added to `odd`."""
    written, sentences, labels, directories, *of_marvl = together.columns
    ids = only_texts(identifiers(written, odd), odd)
    if not _IDENTIFIERS.fullmatch("\n".join(ids)):
        odd.update(at for at, one in enumerate(ids) if not _IDENTIFIER.fullmatch(one))
    holds = [_LABELS.get(one) if isinstance(one, str) else one for one in labels]
    _only(frozenset({bool}), holds, odd)
    for values in of_marvl:
        _only(frozenset({NoneType}), values, odd)
    groups = _only(_GROUPS, directories, odd)
    pairs = [one.rpartition("-")[0] for one in ids]
    keys = list(zip(groups, (one.partition("-")[0] for one in ids), strict=True))
    folders = {key: _folder(layout, _group({"directory": key[0]}), key[1]) for key in set(keys)}
    pictures = []
    for end in _ENDS:
        paths = [f"{folders[key]}{pair}{end}" for key, pair in zip(keys, pairs, strict=True)]
        found = store.pictures(paths, odd)
        stem = end.removesuffix(".png")
        pictures.append([Picture(one.locator, pair + stem) for one, pair in zip(found, pairs, strict=True)])
    places = map(Place, repeat(piece.label), repeat("byte"), together.positions, repeat(piece.stem))
    both = zip(pictures[0], pictures[1], strict=True)
    # What is neither true nor false is odd.
    return list(map(Stated, places, ids, both, clean_texts(sentences, odd), cast("list[bool]", holds)))


def _only(kinds: frozenset[type], values: Sequence[object], odd: Odd) -> Sequence[object]:
    """The values of these types, with null for each of the others; its place is added to `odd`."""
    if set(map(type, values)) <= kinds:
        return values
    odd.update(at for at, value in enumerate(values) if type(value) not in kinds)
    return [value if type(value) in kinds else None for value in values]


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
    return any(value.get(key) is not None for key in _MARVL)


def _id_key(value: dict[str, object]) -> str:
    return "id" if _is_marvl(value) else "identifier"


def _names(value: dict[str, object]) -> tuple[str, str]:
    """The file names of the two pictures, without folders."""
    if not _is_marvl(value):
        found = str(cell(value, "identifier"))
        parts = _IDENTIFIER.fullmatch(found)
        if parts is None:
            raise BadRecord(f"`identifier` is {shown(found)}, must be of the form `dev-850-0-0`")
        return f"{parts['pair']}{_ENDS[0]}", f"{parts['pair']}{_ENDS[1]}"
    names = []
    for key in _MARVL:
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
    return f"{_folder(layout, _group(value), _split(value))}{name}"


def _folder(layout: str, group: str, split: str) -> str:
    return layout.format(group=group, split=split).lstrip("/")


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
