"""ImageNet: pictures in folders, or archives, by synset; the class of a picture is the name of its folder.

Pictures of one class are named alike, so whatever is wrong with files of a folder is one reject that counts.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import PurePosixPath

from pipelines.archives import BadArchive, BadMember, tar_members, zip_members
from pipelines.examples import Reject
from pipelines.images import folder_locator, tar_locator, zip_locator
from pipelines.inputs import files_below, first_file, folders_in, is_dir, is_url, name_of
from pipelines.names import NameTable, names_of
from pipelines.recipe import Recipe
from pipelines.recipe_sources import ImagenetSource
from pipelines.records import Classified, Picture, Place, Record
from pipelines.sources.pictures import UnusableImages, picture_files
from pipelines.sources.pieces import Piece, whole_files
from pipelines.sources.records import broken_off, reject
from pipelines.sources.values import MAX_ID, BadRecord, identifier

PIECE_CLASSES = 20
"""Classes of one piece: some 26,000 pictures of the training set."""

SUFFIXES = frozenset({".jpeg", ".jpg", ".png", ".webp", ".gif", ".bmp"})
"""Of files that are pictures, in lower case."""

_PARTS = ("train", "val", "test")
"""Folders of the official layout that may stand between."""


_LOOKED_AT = 1_000
"""Members of an archive in which a class must be found."""


@dataclass(frozen=True, slots=True)
class _File:
    """What stands in the folder of a class."""

    folder: str
    """Path in the source; its last part is the class."""
    name: str
    position: int
    """Its number in the folder or zip, or the byte of the tar that it starts at."""
    locator: str | None
    """None for what is no plain file: a folder, a link."""
    unit: str
    """What the position counts: `file`, `member` or `byte`."""


def pieces(recipe: Recipe, index: int, source: ImagenetSource) -> list[Piece]:
    """Of a folder, twenty classes a piece, by their numbers in `classes`; archives are a piece each.

    Raises:
        SettingsError: a file of names is broken; there is no folder or archive of a class, or of several
            parts of ImageNet.
    """
    names = names_of(recipe, index)
    try:
        files = picture_files(recipe.source_path(source.images))
        if not is_dir(files[0]):
            for file in files:
                _check_archive(file, names)
            return whole_files(recipe, index, files)
        folder = _folder_of_classes(files[0], names)
    except (UnusableImages, BadArchive, BadMember) as error:
        raise recipe.error(("sources", index, "images"), str(error)) from error
    (whole,) = whole_files(recipe, index, [folder])
    number = len(names.keys())
    return [
        dataclasses.replace(whole, start=start, end=min(start + PIECE_CLASSES, number))
        for start in range(0, number, PIECE_CLASSES)
    ]


def _folder_of_classes(folder: str, names: NameTable) -> str:
    """Where the folders of the classes stand: the folder itself, or `train` or `val` in it."""
    candidates = [one for one in (folder, *(f"{folder}/{part}" for part in _PARTS)) if is_dir(one)]
    found = [one for one in candidates if _has_class(one, names)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UnusableImages(f"{folder} holds several parts; name {' or '.join(found)}")
    there = ", ".join(_folders(folder)[:5]) or "no folder"
    raise UnusableImages(f"{folder} has no folder of a class, such as {_example(names)}; there: {there}")


def _has_class(folder: str, names: NameTable) -> bool:
    if not is_url(folder):
        return not names.synsets.keys().isdisjoint(_folders(folder))
    # Nearly always the first folder is one of a class, or none is named like one.
    first = first_file(f"{folder}/n")
    if first is None:
        return False
    synset = first[len(folder) + 1 :].partition("/")[0]
    return synset in names.synsets or any(is_dir(f"{folder}/{one}") for one in names.synsets)


def _example(names: NameTable) -> str:
    return next(iter(names.synsets))


def _folders(folder: str) -> list[str]:
    if is_url(folder):
        return [name for name in folders_in(folder) if not name.startswith(".")]
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _check_archive(path: str, names: NameTable) -> None:
    first = list(islice(_members(path), _LOOKED_AT))
    inner = next((one.name for one in first if one.name.lower().endswith(".tar")), None)
    if inner is not None:
        raise UnusableImages(
            f"{name_of(path)} holds an archive for each class ({inner}, ...); unpack it, and name those: "
            "`FOLDER/*.tar`"
        )
    if len(first) < _LOOKED_AT and not any(_class_of(one, path) in names.synsets for one in first):
        there = f"{first[0].folder}/{first[0].name}".lstrip("/") if first else "nothing"
        raise UnusableImages(
            f"{name_of(path)}: neither its name nor a folder in it is a class, such as {_example(names)}; it "
            f"holds {there}"
        )


def _class_of(file: _File, path: str) -> str:
    """WordNet's id as it is written: the folder, or the name of an archive without folders."""
    return file.folder.rpartition("/")[2] or PurePosixPath(path).stem


def read(recipe: Recipe, source: ImagenetSource, piece: Piece) -> Iterator[Record | Reject]:
    """The records and rejects of the piece, in the order of folders and names, or of the archive."""
    names = names_of(recipe, piece.source)
    if is_dir(piece.path):
        for folder in _folders_of_piece(piece, names):
            yield from _of_folder(source, piece, folder, names)
    else:
        yield from _of_archive(source, piece, piece.path, names)


def _folders_of_piece(piece: Piece, names: NameTable) -> list[str]:
    """Those of its classes that are there, and for the first piece those of no class."""
    own = frozenset(islice(names.synsets, piece.start, piece.end))
    if is_url(piece.path) and piece.start > 0:
        # Far away, all folders can be listed only with all pictures.
        return sorted(own)
    there = _folders(piece.path)
    return [one for one in there if one in own or (piece.start == 0 and one not in names.synsets)]


def _of_folder(
    source: ImagenetSource, piece: Piece, folder: str, names: NameTable
) -> Iterable[Record | Reject]:
    files, other = _files(piece.path, folder)
    together = None if other else _together(piece, folder, files, names)
    if together is not None:
        return together
    there = sorted([*((name, False) for name in files), *((name, True) for name in other)])
    found = []
    for number, (name, is_folder) in enumerate(there):
        locator = None if is_folder else folder_locator(piece.path, f"{folder}/{name}")
        found.append(_File(folder, name, number, locator, "file"))
    return _records(source, piece, found, names)


def _files(path: str, folder: str) -> tuple[list[str], list[str]]:
    """The names of the files in a folder, sorted, and of the folders."""
    if is_url(path):
        inside = [name.partition("/") for name in files_below(f"{path}/{folder}")]
        folders = {name for name, slash, _ in inside if slash}
        files = {name for name, slash, _ in inside if not slash}
    else:
        with os.scandir(f"{path}/{folder}") as entries:
            there = list(entries)
        folders = {entry.name for entry in there if entry.is_dir()}
        files = {entry.name for entry in there} - folders
    return _shown(files), _shown(folders)


def _shown(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if not name.startswith("."))


def _together(
    piece: Piece, folder: str, files: Sequence[str], names: NameTable
) -> Iterable[Classified] | None:
    """The pictures of a class where all its files are named as in ImageNet; None where they are not.

    Args:
        folder: the class.
        files: their names, sorted.
    """
    suffix = os.path.splitext(files[0])[1] if files else ""
    if folder not in names.synsets or suffix.lower() not in SUFFIXES:
        return None
    lines = "\n".join(["", *files, ""])
    parts = (f"{suffix}\n", f"\n{folder}_", "\n")
    if [lines.count(part) for part in parts] != [len(files), len(files), len(files) + 1]:
        return None
    if not lines.isascii() or not lines.replace("\n", "").isprintable() or max(map(len, files)) > MAX_ID:
        return None
    ids = lines.replace(f"{suffix}\n", "\n")[1:-1].split("\n")
    locators = map(f"{folder_locator(piece.path, folder)}/".__add__, files)
    label, stem = f"{piece.label}/{folder}", f"{piece.stem}.{folder}"
    places = map(Place, repeat(label), repeat("file"), range(len(files)), repeat(stem))
    return map(Classified, places, ids, map(Picture, locators, ids), repeat(names.synsets[folder]))


def _of_archive(
    source: ImagenetSource, piece: Piece, path: str, names: NameTable
) -> Iterator[Record | Reject]:
    held: list[_File] = []
    broken: ValueError | None = None
    try:
        for file in _members(path):
            if held and held[0].folder != file.folder:
                yield from _records(source, piece, held, names)
                held = []
            held.append(file)
    except (BadArchive, BadMember) as error:
        broken = error
    yield from _records(source, piece, held, names)
    if broken is not None:
        place = piece.place("byte", held[-1].position if held else 0)
        rejected = reject(source.name, source.tasks[0], place, place.id, str(broken), "")
        yield broken_off(rejected)


def _members(path: str) -> Iterator[_File]:
    """The files of an archive, in its order."""
    if path.lower().endswith(".zip"):
        for position, member in enumerate(zip_members(path)):
            folder, _, name = member.rpartition("/")
            if not name.startswith(".") and not member.startswith("__MACOSX/"):
                yield _File(folder, name, position, zip_locator(path, member), "member")
        return
    for file in tar_members(path):
        folder, _, name = file.name.removeprefix("./").rpartition("/")
        plain = file.link is None and not file.sparse
        if not name.startswith("."):
            locator = tar_locator(path, file.offset, file.size) if plain else None
            yield _File(folder, name, file.position, locator, "byte")


def _records(
    source: ImagenetSource, piece: Piece, files: Sequence[_File], names: NameTable
) -> Iterator[Record | Reject]:
    """Of the files of one folder."""
    if not files:
        return
    synset = _class_of(files[0], piece.path)
    if synset not in names.synsets:
        why = f"{synset!r} is no class of `classes`; what is in it was left out, files: {len(files):,}"
        yield _reject(source, piece, files[0], why)
        return
    others = []
    place = _place(piece, files[0])
    for file in files:
        stem, suffix = os.path.splitext(file.name)
        if file.locator is None or suffix.lower() not in SUFFIXES:
            others.append(file)
            continue
        # `n01440764_18` is unique in all of ImageNet, other names only in their folder.
        source_id = stem if stem.startswith(f"{synset}_") else f"{synset}/{stem}"
        try:
            identifier(source_id, "file name")
        except BadRecord as error:
            yield _reject(source, piece, file, str(error))
            continue
        here = Place(place.file, place.unit, file.position, place.stem)
        yield Classified(here, source_id, Picture(file.locator, source_id), names.synsets[synset])
    if others:
        first = others[0]
        why = f"no picture: {first.name!r}; files of {synset} left out for that: {len(others):,}"
        yield _reject(source, piece, first, why)


def _place(piece: Piece, file: _File) -> Place:
    if file.unit == "file":
        return Place(f"{piece.label}/{file.folder}", "file", file.position, f"{piece.stem}.{file.folder}")
    return piece.place(file.unit, file.position)


def _reject(source: ImagenetSource, piece: Piece, file: _File, why: str) -> Reject:
    place = _place(piece, file)
    raw = f"{file.folder}/{file.name}".lstrip("/")
    return reject(source.name, source.tasks[0], place, place.id, why, raw)
