"""Pictures of official data sets by name: in folders, zip and tar archives, or Parquet files."""

from __future__ import annotations

import tarfile
import unicodedata
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from zipfile import BadZipFile, ZipFile

import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.readers.records import DataError

SUFFIXES = frozenset({".jpeg", ".jpg", ".png", ".webp", ".gif", ".bmp"})
"""Of files that are pictures, in lower case."""

_NAME_COLUMNS = ("image_id", "id", "key", "file_name")
"""Of Parquet files: what a picture is called, beside the `path` of the picture itself."""

_CACHED_GROUPS = 4
"""Row groups that are kept for their other pictures."""


_READ_ERRORS = (OSError, KeyError, EOFError, RuntimeError)
"""What archives raise beside errors of their own; RuntimeError of an encrypted one."""


class Picture(Protocol):
    """One encoded picture, or where it is."""

    def read(self) -> bytes:
        """Its bytes; raises `training.pictures.BadPicture`."""
        ...


@dataclass(frozen=True)
class StoredPicture:
    """A picture of a store."""

    place: _Place
    name: str
    """As the place has it."""

    def read(self) -> bytes:
        from training.pictures import BadPicture

        try:
            return self.place.read(self.name)
        except (*_READ_ERRORS, BadZipFile, tarfile.TarError, pa.ArrowException, zlib.error) as error:
            raise BadPicture("unreadable", f"{self.name}: {error}") from error


@dataclass(frozen=True)
class AbsentPicture:
    """A picture that is nowhere."""

    name: str

    def read(self) -> bytes:
        from training.pictures import BadPicture

        raise BadPicture("missing", self.name)


class PictureStore:
    """The pictures of some places, of which the first that has a name counts."""

    def __init__(self, places: Sequence[Path]) -> None:
        """
        Raises:
            DataError: a place is no folder, zip, tar or Parquet file, or is damaged.
        """
        self._places = [_place(path) for path in places]
        self._found: dict[tuple[str, ...], StoredPicture | None] = {}

    def find(self, names: Iterable[str]) -> StoredPicture | None:
        """The picture of the first of these names that any place has; None if none has any."""
        wanted = tuple(names)
        # All languages of a task ask for the same pictures.
        if wanted not in self._found:
            self._found[wanted] = self._look_for(wanted)
        return self._found[wanted]

    def _look_for(self, names: Sequence[str]) -> StoredPicture | None:
        for name in names:
            if not _inside(name):
                continue
            for place in self._places:
                found = place.find(name)
                if found is not None:
                    return StoredPicture(place, found)
        return None

    def listed(self) -> Iterator[tuple[str, StoredPicture]]:
        """All pictures with their names, by place, in order of names."""
        for place in self._places:
            for name in sorted(place.names()):
                if PurePosixPath(name).suffix.lower() in SUFFIXES and not _of_a_mac(name):
                    yield name, StoredPicture(place, name)


def _of_a_mac(name: str) -> bool:
    """Whether a file is what a Mac puts beside pictures when it packs them."""
    path = PurePosixPath(name)
    return path.name.startswith("._") or "__MACOSX" in path.parts


def _inside(name: str) -> bool:
    """Whether a name from a data file stays within the places."""
    path = PurePosixPath(name)
    return bool(name) and "\0" not in name and not path.is_absolute() and ".." not in path.parts


class _Place(Protocol):
    def find(self, name: str) -> str | None:
        """The name as the place spells it; None if it has no such picture."""
        ...

    def read(self, name: str) -> bytes: ...

    def names(self) -> Iterable[str]: ...


def _place(path: Path) -> _Place:
    if path.is_dir():
        return _Folder(path)
    try:
        if path.suffix == ".zip":
            return _Zip(path)
        if path.suffix == ".parquet":
            return _Parquet(path)
        if path.suffix == ".tar":
            return _Tar(path)
    except (OSError, BadZipFile, tarfile.TarError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    unpack = "; unpack it" if path.name.endswith((".gz", ".tgz", ".xz", ".bz2")) else ""
    raise DataError(f"{path}: pictures must be in a folder, or a .zip, .tar or .parquet file{unpack}")


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, name: str) -> str | None:
        # Names with accents are written composed by some systems and decomposed by others.
        for form in dict.fromkeys((name, *(unicodedata.normalize(one, name) for one in ("NFC", "NFD")))):
            if (self._path / form).is_file():
                return form
        return None

    def read(self, name: str) -> bytes:
        return (self._path / name).read_bytes()

    def names(self) -> Iterable[str]:
        return (path.relative_to(self._path).as_posix() for path in self._path.rglob("*") if path.is_file())


class _Indexed:
    """Places whose names are read once."""

    _members: Mapping[str, Any]

    @cached_property
    def _by_name(self) -> Mapping[str, str]:
        """Composed names, and those without a topmost folder that one member alone has, to the members."""
        found: dict[str, str] = {}
        shorter: dict[str, str] = {}
        doubtful: set[str] = set()
        for member in self._members:
            if _of_a_mac(member):
                continue
            name = unicodedata.normalize("NFC", member).removeprefix("./")
            found.setdefault(name, member)
            short = name.partition("/")[2]
            if shorter.setdefault(short, member) != member:
                doubtful.add(short)
        return {name: member for name, member in shorter.items() if name not in doubtful} | found

    def find(self, name: str) -> str | None:
        return self._by_name.get(unicodedata.normalize("NFC", name))

    def names(self) -> Iterable[str]:
        return self._members


class _Zip(_Indexed):
    def __init__(self, path: Path) -> None:
        self._archive = ZipFile(path)
        self._members = {one.filename: one for one in self._archive.infolist() if not one.is_dir()}

    def read(self, name: str) -> bytes:
        return self._archive.read(name)


class _Tar(_Indexed):
    def __init__(self, path: Path) -> None:
        self._path = path
        with tarfile.open(path, "r:") as archive:
            self._members = {one.name: (one.offset_data, one.size) for one in archive if one.isfile()}

    def read(self, name: str) -> bytes:
        start, size = self._members[name]
        with self._path.open("rb") as file:
            file.seek(start)
            data = file.read(size)
        if len(data) < size:
            raise OSError(f"{self._path} ends within it")
        return data


class _Parquet(_Indexed):
    """A file with a column `image` in Hugging Face's layout, or of bytes."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path)
        schema = self._file.schema_arrow
        if "image" not in schema.names:
            raise DataError(f"{path}: no column `image`; it has {', '.join(schema.names)}")
        self._whole = pa.types.is_binary(schema.field("image").type) or pa.types.is_large_binary(
            schema.field("image").type
        )
        columns = [name for name in _NAME_COLUMNS if name in schema.names]
        if not self._whole:
            columns.append("image.path")
        self._members = dict(self._named(columns))
        self._groups: OrderedDict[int, pa.ChunkedArray] = OrderedDict()

    def _named(self, columns: Sequence[str]) -> Iterator[tuple[str, tuple[int, int]]]:
        for group in range(self._file.num_row_groups):
            table = self._file.read_row_group(group, columns=list(columns))
            for row, values in enumerate(table.to_pylist()):
                found = [values.get(column) for column in _NAME_COLUMNS]
                found.append((values.get("image") or {}).get("path") if not self._whole else None)
                for name in found:
                    if name is not None:
                        yield str(name), (group, row)

    def read(self, name: str) -> bytes:
        group, row = self._members[name]
        if group not in self._groups:
            self._groups[group] = self._file.read_row_group(group, columns=["image"]).column("image")
            while len(self._groups) > _CACHED_GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(group)
        cell = self._groups[group][row].as_py()
        data = cell if self._whole else (cell or {}).get("bytes")
        if not data:
            raise KeyError("the file holds no bytes of it")
        return bytes(data)
