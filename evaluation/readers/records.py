"""Records of official files, in any of the shapes that benchmarks come in: what all readers share.

Reads JSON lines, a list of objects, and an object of objects whose keys are ids. Much needs no more than the
names of the fields: xGQA, XVNLI, MaRVL, xFlickrCO, POPE.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from evaluation.predictions import BROKEN_RECORD
from evaluation.tasks import TaskFile

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """One official file."""

    path: Path
    code: str | None
    """Its language as the files spell it; None where the file holds several."""
    prefix: str = ""
    """Before its ids, where several files hold one language."""


@dataclass(frozen=True)
class Record:
    """One item, as its file has it."""

    id: str
    code: str
    """Its language, as the files spell it."""
    text: str | None
    """What stands in the prompt."""
    golds: tuple[str, ...]
    """Gold labels, answers or captions, as the file has them."""
    values: Values
    """What names of pictures are made of."""
    unit: str | None = None
    choices: tuple[str, ...] = ()
    picture: str | None = None
    """The name of the picture, where a reader knows it better than the task."""
    published: tuple[str, ...] = ()
    """The golds that published evaluations look at, where these are not all."""
    blank: int = 0
    """So many blank golds the file has beside."""


@dataclass(frozen=True)
class LeftOut:
    """A record that is not asked."""

    kind: str
    """One of `evaluation.predictions.PROBLEMS`."""
    where: str


class DataError(ValueError):
    """An official file that cannot be read; the message names the file, what is wrong and what to do."""


class BadRecord(ValueError):
    """A record that cannot be used; the message says why."""


def read(task: TaskFile, source: Source) -> Iterator[Record | LeftOut]:
    """The items of a file of records."""
    for where, key, values in records(source.path):
        yield made(task, source, where, key, values)


def made(task: TaskFile, source: Source, where: str, key: str | None, values: object) -> Record | LeftOut:
    """What becomes of one record.

    Args:
        where: names it in messages.
        key: its id, where the file has it outside of the record.
    """
    fields = task.task.fields
    try:
        if not isinstance(values, dict):
            raise BadRecord(f"is {shown(values)}, an object wanted")
        name = source.prefix + identifier(key if key is not None else values.get(fields.id), fields.id)
        code = source.code
        if fields.language is not None:
            code = text_of(values.get(fields.language), fields.language)
        golds = texts_of(values.get(fields.answers), fields.answers)
        text = None if fields.text is None else text_of(values.get(fields.text), fields.text)
        choices: tuple[str, ...] = ()
        if fields.choices is not None:
            choices = texts_of(values.get(fields.choices), fields.choices)
        unit = None if fields.unit is None else identifier(values.get(fields.unit), fields.unit)
    except BadRecord as error:
        return LeftOut(BROKEN_RECORD, f"{where}: {error}")
    if code is None:
        code = only_language(task)
    blank = blanks_of(values.get(fields.answers))
    return Record(name, code, text, golds, {"code": code, **values}, unit, choices, blank=blank)


def only_language(task: TaskFile) -> str:
    """The language of files that do not say which they hold.

    Raises:
        SettingsError: the task has not just one.
    """
    codes = task.task.languages or ()
    if len(codes) != 1:
        remedy = "name one language, or `fields.language`, or write `{code}` into `files`"
        raise task.written.error(("languages",), remedy)
    return codes[0]


def records(path: Path) -> Iterator[tuple[str, str | None, object]]:
    """Of each record where it stands, its key if the file is an object, and the record.

    Lines that are no JSON come as their text. Raises `DataError` where the whole file cannot be read.
    """
    data = contents(path)
    try:
        whole = orjson.loads(data)
    except orjson.JSONDecodeError:
        yield from _lines(path, data)
        return
    if isinstance(whole, list):
        for number, values in enumerate(whole):
            yield f"{named(path)}[{number}]", None, values
    elif isinstance(whole, dict) and whole and all(isinstance(values, dict) for values in whole.values()):
        for key, values in whole.items():
            yield f"{named(path)}: {shown(key)}", key, values
    else:
        # A single line is an object of its own.
        yield f"{named(path)}, line 1", None, whole


def named(path: Path) -> str:
    """A file in messages, with its folder: that is often the language."""
    return f"{path.parent.name}/{path.name}"


def _lines(path: Path, data: bytes) -> Iterator[tuple[str, str | None, object]]:
    good = 0
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            values = orjson.loads(line)
            good += 1
        except orjson.JSONDecodeError:
            values = line.decode("utf-8", "replace")
        yield f"{named(path)}, line {number}", None, values
    if not good:
        raise DataError(f"{path}: neither JSON nor JSON lines; is it the official file, unpacked?")


def loaded(path: Path) -> Any:
    """The JSON of a file; raises `DataError`."""
    try:
        return orjson.loads(contents(path))
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}: no JSON ({error}); is it the official file, unpacked?") from error


def contents(path: Path) -> bytes:
    """A file without its byte order mark; raises `DataError`."""
    try:
        return path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal; raises `DataError`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def identifier(value: object, key: str) -> str:
    """An id as text; raises `BadRecord`."""
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise BadRecord(f"`{key}` is {shown(value)}, a text or a number wanted")
    return str(value)


def text_of(value: object, key: str) -> str:
    """A text that is not blank; raises `BadRecord`."""
    if not isinstance(value, str) or not value.strip():
        raise BadRecord(f"`{key}` is {shown(value)}, a text wanted")
    return value.strip()


def texts_of(value: object, key: str) -> tuple[str, ...]:
    """One text or a list of them, of which truth values are `true` and `false`; blank ones are left out.

    Raises:
        BadRecord: there is none, or something else is among them.
    """
    listed = value if isinstance(value, list) else [value]
    found = tuple(as_text(one) for one in listed)
    if not any(found) or None in found:
        raise BadRecord(f"`{key}` is {shown(value)}, a text or a list of texts wanted")
    return tuple(one for one in found if one)


def blanks_of(value: object) -> int:
    """How many of what `texts_of` reads are blank."""
    return sum(as_text(one) == "" for one in value) if isinstance(value, list) else 0


def as_text(value: object) -> str | None:
    """A text, a number or a truth value as text, maybe blank; None of anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value).strip()
    return None


def shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
