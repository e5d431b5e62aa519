"""Pictures: where they are, their stable ids, their bytes, and whether they can be decoded.

A locator says where a picture is: the path of a file, or `FILE.parquet#column=image&row=12` for the
cell of a Parquet file. A cell that holds only a path is located by that path.
"""

from __future__ import annotations

import errno
import hashlib
import io
import posixpath
import re
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""Pillow's names of the formats that are opened; its other decoders never see the data."""

MAX_BYTES = 100 * 1024 * 1024
"""Of an encoded picture; a larger file is none that a captioning data set holds."""

_CELL = re.compile(r"(?P<path>.+)#column=(?P<column>[^&#]+)&row=(?P<row>\d+)", re.DOTALL)

# COCO's and VQAv2's pictures go by several names: COCO_train2014_000000391895.jpg, 000000391895.jpg.
_COCO_NAME = re.compile(r"(?:.*/)?(?:COCO_(?:train|val|test)\d{4}_)?(\d{12})(?:\.[^./]*)?", re.ASCII)

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class BadImage(ValueError):
    """A picture that is missing or cannot be used; the message says why and has no path of this machine."""


@dataclass(frozen=True)
class Cell:
    """A cell of a Parquet file: `row` counts from 0 through the whole file."""

    path: str
    column: str
    row: int

    @property
    def locator(self) -> str:
        return f"{self.path}#column={quote(self.column, safe='')}&row={self.row}"


def relative_image_path(written: str) -> str:
    """The path of a picture as a source writes it, normalised and checked to stay in the images folder.

    Raises:
        BadImage: it is empty, absolute, a URL, climbs out with `..`, or holds what no path can.
    """
    if not written.strip():
        raise BadImage("empty path")
    if "\0" in written:
        raise BadImage("path holds NUL")
    if not written.isascii() and any("\ud800" <= character <= "\udfff" for character in written):
        raise BadImage(f"path {_shown(written)} holds half of a surrogate pair")
    if _URL.match(written):
        raise BadImage(f"{_shown(written)} is a URL; download the pictures and name files")
    path = posixpath.normpath(written)
    if path.startswith("/"):
        raise BadImage(f"{_shown(written)} is absolute; it must be relative to the images folder")
    if path == ".." or path.startswith("../"):
        raise BadImage(f"{_shown(written)} leads out of the images folder")
    if path == ".":
        raise BadImage(f"{_shown(written)} names no file")
    return path


def image_id(relative: str) -> str:
    """The id of a picture from its path in the images folder: the path without suffix, for COCO the number.

    It is the same in every source that shows the picture, so that a split by it never leaks: COCO's
    `train2014/COCO_train2014_000000391895.jpg` and LLaVA's `000000391895.jpg` are both `391895`.
    """
    return coco_id(relative) or posixpath.splitext(relative)[0]


def coco_id(path: str) -> str | None:
    """COCO's number of a picture from its file name; None where the name is not of COCO's form."""
    coco = _COCO_NAME.fullmatch(path)
    return str(int(coco[1])) if coco else None


def content_id(data: bytes) -> str:
    """The id of a picture that has no name of its own: 32 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:32]


def image_bytes(locator: str) -> bytes:
    """The encoded picture behind a locator.

    Raises:
        BadImage: there is no such file or cell, or it is empty, no plain file, unreadable, or too large.
    """
    cell = _CELL.fullmatch(locator)
    data = (
        _cell_bytes(Cell(cell["path"], unquote(cell["column"]), int(cell["row"])))
        if cell
        else _file_bytes(locator)
    )
    if not data:
        raise BadImage("empty: 0 bytes")
    if len(data) > MAX_BYTES:
        raise BadImage(f"too large: {len(data):,} bytes, at most {MAX_BYTES:,}")
    return data


def _file_bytes(path: str) -> bytes:
    name = _shown(PurePosixPath(path).name)
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise BadImage(f"{name} is no plain file")
        if status.st_size > MAX_BYTES:
            raise BadImage(f"{name} is too large: {status.st_size:,} bytes, at most {MAX_BYTES:,}")
        return Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadImage(f"missing: no file {name} in the images folder") from error
    except PermissionError as error:
        raise BadImage(f"unreadable: no permission for {name}") from error
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # A failing disk must stop the run.
            raise
        raise BadImage(f"missing: {name} is too long for a file name") from error


def _cell_bytes(cell: Cell) -> bytes:
    name = PurePosixPath(cell.path).name
    try:
        status = Path(cell.path).stat()
    except FileNotFoundError as error:
        raise BadImage(f"missing: no file {name}") from error
    version = (status.st_mtime_ns, status.st_size)
    starts = _row_group_starts(cell.path, version)
    if cell.row >= starts[-1]:
        raise BadImage(f"missing: {name} has {starts[-1]:,} rows, no row {cell.row:,}")
    group = next(index for index, end in enumerate(starts[1:]) if cell.row < end)
    value = _column(cell.path, version, group, cell.column)[cell.row - starts[group]].as_py()
    data = value.get("bytes") if isinstance(value, dict) else value
    if data is None:
        raise BadImage(f"missing: {name} row {cell.row:,} holds no picture")
    if not isinstance(data, bytes):
        raise BadImage(f"{name} row {cell.row:,} holds no bytes in column {_shown(cell.column)}")
    return data


@lru_cache(maxsize=64)
def _row_group_starts(path: str, version: tuple[int, int]) -> tuple[int, ...]:
    """First row of each row group, then the number of rows; `version` tells a changed file apart."""
    with pq.ParquetFile(path) as file:
        starts = [0]
        for index in range(file.metadata.num_row_groups):
            starts.append(starts[-1] + file.metadata.row_group(index).num_rows)
    return tuple(starts)


# Pictures are asked for one by one and mostly in order: two groups suffice, more would only hold memory.
@lru_cache(maxsize=2)
def _column(path: str, version: tuple[int, int], group: int, column: str) -> pa.ChunkedArray:
    with pq.ParquetFile(path) as file:
        return file.read_row_group(group, columns=[column]).column(column)


def check_image(data: bytes, max_pixels: int) -> None:
    """Decodes a picture whole, after its header says that it is small enough.

    Raises:
        BadImage: unknown format, more than `max_pixels`, or broken or truncated data.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height <= max_pixels:
                picture.load()
                return
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        start = data[:8].hex(" ")
        raise BadImage(
            f"unknown format: {len(data):,} bytes starting {start}; known: {', '.join(FORMATS)}"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(f"too many pixels, at most {max_pixels:,}: {error}") from error
    except Exception as error:
        # Pillow's decoders raise nearly anything on broken data: OSError, SyntaxError, struct.error, ...
        raise BadImage(f"broken or truncated: {type(error).__name__}: {error}") from error
    raise BadImage(f"too many pixels: {width} x {height} = {width * height:,}, at most {max_pixels:,}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 100 else f"{text[:97]}...")
