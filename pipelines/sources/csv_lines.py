"""CSV and TSV with a header line, quoted as RFC 4180 says; positions and made-up ids are lines, from 1.

Where a line of a TSV cannot be read so, its quotation marks are taken as they stand: CC3M's are.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, TextIO

from pipelines.examples import LeftOut, Reject
from pipelines.recipe import Recipe
from pipelines.recipe_sources import CsvSource
from pipelines.records import Record
from pipelines.sources.lines import json_text, opened, plain_files
from pipelines.sources.pieces import Piece
from pipelines.sources.records import PictureCells, RecordReader, check_columns, columns_of_table, reject
from pipelines.sources.values import MAX_TEXT

MAX_RECORD = 10 * MAX_TEXT
"""Characters of a record; a longer one has a quotation mark that nothing closes."""

_TOGETHER = 64 * 1024
"""Characters whose records are read together."""

LONG_NAME = 60
"""Characters of what is hardly the name of a column."""


class _TooLong(Exception):
    """A record of more than `MAX_RECORD` characters."""


@dataclass(frozen=True)
class _BadRow:
    reason: str
    raw: str


_Row = list[str] | _BadRow


@dataclass(frozen=True)
class _Rows:
    """Records of one line each, one after the other."""

    rows: list[list[str]]


def pieces(recipe: Recipe, index: int, source: CsvSource) -> list[Piece]:
    """One piece per file: whether a line break is in quotes shows only from the start.

    Raises:
        SettingsError: a file is compressed, UTF-16 or empty, its header lacks a column or names it twice, or
            the tasks need conversations, which cells cannot hold.
    """
    if source.in_turns:
        remedy = "cells hold no conversations; name the columns of `question` and `answer`"
        raise recipe.error(("sources", index, "columns"), remedy)
    found = []
    for piece, _ in plain_files(recipe, index):
        _check_header(recipe, index, source, piece)
        found.append(piece)
    return found


def _check_header(recipe: Recipe, index: int, source: CsvSource, piece: Piece) -> None:
    key = ("sources", index, source.main)
    with opened(piece) as file:
        _, header = next(_rows(file, piece), (0, None))
    assert not isinstance(header, _Rows), "they come only together"
    if header is None:
        raise recipe.error(key, f"{piece.label} is empty; its first line must name the columns")
    if isinstance(header, _BadRow):
        raise recipe.error(key, f"{piece.label}: the first line must name the columns: {header.reason}")
    hint = ""
    if len(header) == 1:
        hint = f"; {'commas' if _separator(piece) == ',' else 'tabs'} part the columns, by the file's name"
    elif any("://" in name or len(name) > LONG_NAME for name in header):
        hint = "; the first line must name the columns, is it a record? Put one with the names before it"
    check_columns(recipe, index, source, header, piece.label, hint)
    for place, column in columns_of_table(source).items():
        if header.count(column) > 1:
            remedy = f"{piece.label} has {header.count(column)} columns `{column}`; rename all but one"
            raise recipe.error(("sources", index, *place), remedy)


def read(recipe: Recipe, source: CsvSource, piece: Piece) -> Iterator[Record | Reject | LeftOut]:
    """The records and rejects of the file; empty cells are null, but for those of texts."""
    cells = PictureCells(recipe, source, piece)
    reader = RecordReader(source, cells.one, cells.many)
    texts = set(source.text_columns)
    with opened(piece) as file:
        found = _rows(file, piece, together=reader.common is not None)
        _, header = next(found)
        assert isinstance(header, list), "checked with the recipe"
        is_text = [name in texts for name in header]
        last = {name: number for number, name in enumerate(header)}

        def read_one(line: int, row: _Row) -> Sequence[Record | Reject | LeftOut]:
            place = piece.place("line", line)
            if isinstance(row, _BadRow):
                return (reject(source.name, source.tasks[0], place, place.id, row.reason, row.raw),)
            record: dict[str, object] = {
                name: cell if cell or text else None
                for name, cell, text in zip(header, row, is_text, strict=True)
            }
            return reader.read(record, place, partial(json_text, record))

        for line, row in found:
            if not isinstance(row, _Rows):
                yield from read_one(line, row)
                continue
            values = list(zip(*row.rows, strict=True))
            columns: list[Sequence[object]] = []
            for name in reader.common or ():
                column: Sequence[object] = values[last[name]] if name in last else [None] * len(row.rows)
                columns.append(column if name in texts else [cell or None for cell in column])

            def alone(at: int, line: int = line, rows: _Rows = row) -> Sequence[Record | Reject | LeftOut]:
                return read_one(line + at, rows.rows[at])

            yield from reader.read_many(piece, "line", range(line, line + len(row.rows)), columns, alone)


def _separator(piece: Piece) -> str:
    return "\t" if piece.path.lower().endswith(".tsv") else ","


def _rows(file: BinaryIO, piece: Piece, *, together: bool = False) -> Iterator[tuple[int, _Row | _Rows]]:
    """Number of the first line and cells of every record; the first record decides how many cells are right.

    With `together`, records that are one line each come many at a time where nothing is wrong with any.

    Reading goes on behind the first line of a bad record, where one of its further lines has the right number
    of cells itself: so a quotation mark that nothing closes costs one record.
    """
    separator = _separator(piece)
    # What is no UTF-8 becomes lone surrogates, which nothing else becomes.
    lines = _Lines(io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline=""))
    reader = csv.reader(lines, delimiter=separator, strict=True)
    width = 0
    while True:
        if together and width:
            first, rows = lines.rows(separator, width)
            if rows:
                yield first, _Rows(rows)
                continue
        first = lines.begin()
        reason = None
        row: list[str] = []
        try:
            row = next(reader)
        except StopIteration:
            return
        except _TooLong:
            reason = f"more than {MAX_RECORD:,} characters; is a quotation mark not closed?"
        except csv.Error as error:
            reason = f"no CSV: {error}"
        if reason is None and lines.simple and 0 < width == len(row) and row[0].strip():
            yield first, row
            continue
        if reason is None and (len(row) < 2 or not width) and not any(map(str.strip, row)):
            continue
        reason = reason or lines.no_utf8()
        if reason is None and separator == "\t" and any("\t" in cell and "\n" in cell for cell in row):
            reason = "quotation marks around tabs and line breaks; is the first not closed?"
        if width and reason is None and len(row) != width:
            reason = f"{len(row)} columns, but the header has {width}"
        if reason is not None and separator == "\t" and width and lines.no_utf8() is None:
            plain = lines.plain_cells(separator, width)
            if plain is not None:
                row, reason = plain, None
        if reason is None:
            width = width or len(row)
            yield first, row
        else:
            yield first, _BadRow(reason, lines.bad_record(separator, width))


class _Lines:
    """The lines of a file, of which those of a bad record can be had again."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._again: deque[str] = deque()
        self._number = 0
        self._record: list[str] = []
        self._size = 0
        self.simple = True
        """Whether the record is one line of ASCII."""

    def begin(self) -> int:
        """Starts a record; returns the number of its first line."""
        self._record, self._size, self.simple = [], 0, True
        return self._number + 1

    def rows(self, separator: str, width: int) -> tuple[int, list[list[str]]]:
        """The number of the next line, and the records of the next lines if each of them is a good one.

        Where one is not, or may not be, there are none, and the lines will be read again.
        """
        if self._again:
            return self._number + 1, []
        text = self._file.read(_TOGETHER)
        if not text.endswith("\n"):
            text += self._file.readline(MAX_RECORD + 1)
        found = io.StringIO(text, newline="").readlines()
        rows = _good_rows(found, separator, width)
        first = self._number + 1
        if rows:
            self._number += len(found)
        else:
            self._again.extend(found)
        return first, rows

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._file.readline(MAX_RECORD + 1)
        if not line:
            raise StopIteration
        self._number += 1
        self._record.append(line)
        self._size += len(line)
        if len(self._record) > 1 or not line.isascii():
            self.simple = False
        if self._size > MAX_RECORD:
            rest = line
            while rest and not rest.endswith(("\n", "\r")):
                rest = self._file.readline(MAX_RECORD)
            raise _TooLong
        return line

    def no_utf8(self) -> str | None:
        """What is wrong with the bytes of the record."""
        for number, line in enumerate(self._record, self._number - len(self._record) + 1):
            if not line.isascii():
                try:
                    line.encode()
                except UnicodeEncodeError as error:
                    byte = ord(line[error.start]) - 0xDC00
                    return f"no UTF-8 at character {error.start} of line {number} (0x{byte:02x})"
        return None

    def plain_cells(self, separator: str, width: int) -> list[str] | None:
        """The cells of the record's first line, whatever is quoted, if they are as many as they should be.

        The other lines will be read again then.
        """
        cells = self._record[0].rstrip("\r\n").split(separator)
        if len(cells) != width:
            return None
        self._put_back(1)
        return cells

    def bad_record(self, separator: str, width: int) -> str:
        """The lines of the record that are bad; the others will be read again."""
        for index in range(1, len(self._record)):
            if _width(self._record[index], separator) == width:
                self._put_back(index)
                break
        return "".join(self._record)

    def _put_back(self, index: int) -> None:
        """The record's lines from this one on will be read again."""
        self._again.extendleft(reversed(self._record[index:]))
        self._number -= len(self._record) - index
        del self._record[index:]


def _good_rows(lines: list[str], separator: str, width: int) -> list[list[str]]:
    """The cells of lines that are a record each; none where one is not, or has anything odd about it."""
    text = "".join(lines)
    if len(text) > MAX_RECORD or (separator == "\t" and '"' in text):
        return []
    try:
        # What is no UTF-8 is half of a surrogate pair here.
        if not text.isascii():
            text.encode()
        rows = list(csv.reader(lines, delimiter=separator, strict=True))
    except (UnicodeEncodeError, csv.Error):
        return []
    # A record of several lines, or an empty line, is not among as many rows of this width.
    if len(rows) != len(lines) or set(map(len, rows)) != {width} or not all(row[0].strip() for row in rows):
        return []
    return rows


def _width(line: str, separator: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=separator), []))
    except csv.Error:
        return 0
