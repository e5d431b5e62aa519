"""WebDataset shards, as img2dataset writes them: uncompressed tars in which files of one key are a sample."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import orjson

from pipelines.archives import BadArchive, Sample, samples
from pipelines.examples import LeftOut, Reject
from pipelines.images import tar_locator
from pipelines.inputs import open_ranges, read_at
from pipelines.recipe import Recipe
from pipelines.recipe_sources import JsonlSource, WebdatasetSource
from pipelines.records import Picture, Place, Record
from pipelines.sources.json_lines import Broken, accepted
from pipelines.sources.lines import distinct_stems
from pipelines.sources.pieces import Piece, whole_files
from pipelines.sources.records import RecordReader, broken_off, reject
from pipelines.sources.values import MAX_TEXT, BadRecord, kind, shown

PICTURES = ("jpg", "jpeg", "png", "webp", "gif", "bmp")
"""Extensions of pictures; where a sample has several, the first of these counts, others are masks of it."""

MAX_MEMBER = 50 * MAX_TEXT
"""Bytes of a text or JSON file in a shard."""

_KEY, _PICTURE = "__key__", "picture"
_ROLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "caption": ("caption",),
        "matching": ("caption",),
        "vqa": ("question", "answer"),
        "vqg": ("question", "answer"),
        "instruct": ("conversation",),
    }
)
"""Task -> the keys of the source that say where its texts are."""


def pieces(recipe: Recipe, index: int, source: WebdatasetSource) -> list[Piece]:
    """One piece per shard.

    Raises:
        SettingsError: a file is compressed, or no tar of samples.
    """
    found = distinct_stems(whole_files(recipe, index))
    for piece in found:
        key = ("sources", index, "path")
        try:
            first = next(samples(piece.path), None)
        except BadArchive as error:
            raise recipe.error(key, str(error)) from error
        except OSError as error:
            raise recipe.error(key, f"{piece.label}: {error.strerror or error}") from error
        if first is None:
            remedy = f"{piece.label} has no samples; files of one must be named alike, as 000.jpg and 000.txt"
            raise recipe.error(key, remedy)
    return found


def read(recipe: Recipe, source: WebdatasetSource, piece: Piece) -> Iterator[Record | Reject | LeftOut]:
    """The records and rejects of the samples in the shard."""
    kinds = [(one, RecordReader(one, _picture)) for one in _record_sources(source)]
    position = 0
    with open_ranges(piece.path) as file:
        try:
            for sample in samples(piece.path):
                position = sample.position
                members = _Members(file, sample)
                for one, reader in kinds:
                    yield from _records(one, reader, piece, members)
        except BadArchive as error:
            place = piece.place("byte", position)
            # Not the id of the sample there, which was read.
            yield broken_off(reject(source.name, source.tasks[0], place, f"{place.id}-", str(error), ""))


def _record_sources(source: WebdatasetSource) -> list[JsonlSource]:
    """The source as sources of records, one for each kind; columns are named as the recipe names places."""
    tasks_of: dict[tuple[str, ...], list[str]] = {}
    for task in source.tasks:
        tasks_of.setdefault(_ROLES[task], []).append(task)
    return [
        JsonlSource.model_validate(
            {
                "format": "jsonl",
                "name": source.name,
                "path": source.path,
                "tasks": tuple(tasks),
                "columns": {"id": _KEY, "image": _PICTURE, **{role: getattr(source, role) for role in roles}},
            }
        )
        for roles, tasks in tasks_of.items()
    ]


class _Members:
    """The files of one sample, each read when it is asked for."""

    def __init__(self, file: io.FileIO | io.BufferedReader, sample: Sample) -> None:
        self._file = file
        self.sample = sample
        self._json: dict[str, Mapping[str, object]] = {}
        """Content by extension."""

    @property
    def extensions(self) -> str:
        return ", ".join(list(self.sample.files)[:12]) or "none"

    def picture(self) -> str:
        """The extension of the picture. Raises `BadRecord` if there is none."""
        found = next((extension for extension in PICTURES if extension in self.sample.files), None)
        if found is None:
            raise BadRecord(f"no picture in sample {shown(self.sample.key)}; files: {self.extensions}")
        return found

    def text(self, written: str) -> object:
        """What stands at `txt`, or as text or list at `json:caption`.

        Raises:
            BadRecord: there is no such file or key, or it cannot be read.
        """
        extension, _, key = written.partition(":")
        if not key:
            data, offset = self._read(extension)
            try:
                return data.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                where = offset + error.start
                raise BadRecord(f"no UTF-8 at byte {where} (0x{data[error.start]:02x})") from error
        if extension not in self._json:
            self._json[extension] = self._read_json(extension)
        content = self._json[extension]
        if key not in content:
            there = ", ".join(list(content)[:12]) or "none"
            raise BadRecord(f"no key {key!r} in `.{extension}`; there: {there[:200]!r}")
        return content[key]

    def _read_json(self, extension: str) -> Mapping[str, object]:
        data, offset = self._read(extension)
        value: object
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            value = accepted(data, offset, f"`.{extension}`")
        if isinstance(value, Broken):
            raise BadRecord(value.reason)
        if not isinstance(value, dict):
            raise BadRecord(f"`.{extension}` is {kind(value)}, must be an object")
        return value

    def _read(self, extension: str) -> tuple[bytes, int]:
        """Content and offset of a file."""
        place = self.sample.files.get(extension.removeprefix(".").lower())
        if place is None:
            raise BadRecord(f"no `.{extension}` in sample {shown(self.sample.key)}; files: {self.extensions}")
        offset, size = place
        if size > MAX_MEMBER:
            raise BadRecord(f"`.{extension}` has {size:,} bytes, at most {MAX_MEMBER:,}")
        return read_at(self._file, offset, size), offset


def _picture(cell: object) -> Picture:
    assert isinstance(cell, Picture)
    return cell


def _records(
    source: JsonlSource, reader: RecordReader, piece: Piece, members: _Members
) -> Iterator[Record | Reject | LeftOut]:
    """What one sample says of one kind."""
    sample = members.sample
    place = Place(piece.label, "byte", sample.position, piece.stem)
    key = f"{piece.stem}/{sample.key}"

    def raw() -> str:
        # Without contents: img2dataset's hold URLs, which a mix does not pass on.
        return f"{sample.key}: {members.extensions}"

    try:
        if sample.faults:
            raise BadRecord(f"sample {shown(sample.key)}: {'; '.join(sample.faults)}")
        offset, size = sample.files[members.picture()]
        # Keys are numbers: without the name of the source, another one's would be the same picture.
        picture = Picture(tar_locator(piece.path, offset, size), f"{source.name}/{key}")
        record: dict[str, object] = {_KEY: key, _PICTURE: picture}
        for column in (source.column(role) for role in source.text_roles):
            record[column] = members.text(column)
    except BadRecord as error:
        yield reject(source.name, source.tasks[0], place, place.id, str(error), raw())
        return
    yield from reader.read(record, place, raw)
