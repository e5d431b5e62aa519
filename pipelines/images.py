"""Pictures: where they are, their stable ids, their bytes, and whether they can be decoded.

A locator says where a picture is; the paths in it may be URLs (`gs://bucket/...`):

    FOLDER/./a/b.jpg                  a file; where `/./` stands, links must not lead out of FOLDER
    FILE.parquet#column=image&row=12  a cell of a Parquet file; one that holds only a path goes by that path
    FILE.tar#offset=1536&size=20480   a member of an uncompressed tar
    FILE.zip#member=a%2Fb.jpg         a member of a zip
    CACHE#url=https%3A%2F%2F...       a download, kept in the folder CACHE
    odd#row=1.jpg#file                a file whose name would read as one of these
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import re
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.archives import BadArchive, BadMember, tar_bytes, zip_bytes
from pipelines.downloading import DownloadError, downloaded
from pipelines.inputs import (
    PEEK,
    RemoteFile,
    Stamp,
    is_url,
    open_input,
    recent_stamp,
)
from translation.picture_decoding import BROKEN, Undecodable, opened
from translation.surrogates import SURROGATE

MAX_BYTES = 45 * 1024 * 1024
"""Of an encoded picture: two of them fit into a row group of 100 MB; captioning data has no larger ones."""

EMBED, SHARED, REFERENCE = "embed", "shared", "reference"
"""Where the pictures of a mix are: in its rows, in files of their own that its rows name, where they were."""

_QUOTED = r"[A-Za-z0-9_.~%-]+"  # what `quote(..., safe="")` makes

# What stands after the last `#` of a locator that is no plain path.
_FRAGMENT = re.compile(
    rf"#(?:(?P<file>file)|column=(?P<column>{_QUOTED})&row=(?P<row>[0-9]+)"
    rf"|offset=(?P<offset>[0-9]+)&size=(?P<size>[0-9]+)|member=(?P<member>{_QUOTED})|url=(?P<url>{_QUOTED}))\Z"
)

INSIDE = "/./"
"""In a locator, behind the folder that links must not lead out of."""

# COCO's and VQAv2's pictures go by several names: COCO_train2014_000000391895.jpg, 000000391895.jpg.
_COCO_NAME = re.compile(r"(?:.*/)?(?:COCO_(?:train|val|test)\d{4}_)?(\d{12})(?:\.[^./]*)?", re.ASCII)

# A path that is its own normal form, and the part of it before the suffix; most are.
_PLAIN = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*/)*[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_PLAIN_STEM = re.compile(r"([A-Za-z0-9_./-]*[A-Za-z0-9_-])\.[A-Za-z]{3,4}")

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


def file_locator(path: str) -> str:
    """The locator of a file by its path alone."""
    return f"{path}#file" if _FRAGMENT.search(path) else path


def folder_locator(folder: str, relative: str) -> str:
    """The locator of a file in a folder that links must not lead out of.

    Args:
        folder: absolute and normalised, as `os.path.abspath` makes it, or a URL.
        relative: as `relative_image_path` returns it.
    """
    return file_locator(f"{folder}{INSIDE}{relative}")


def tar_locator(path: str, offset: int, size: int) -> str:
    """The locator of a member of a tar by the place of its content, in bytes."""
    return f"{path}#offset={offset}&size={size}"


def zip_locator(path: str, member: str) -> str:
    """The locator of a member of a zip by its name as the zip has it."""
    return f"{path}#member={quote(member, safe='')}"


def url_locator(cache: str, url: str) -> str:
    """The locator of a download that is kept in the folder `cache`."""
    return f"{cache}#url={quote(url, safe='')}"


def plain_path(locator: str) -> str:
    """The path that a row names in a mix without pictures: without the mark of where its folder ends."""
    return locator.replace(INSIDE, "/", 1)


def picture_name(locator: str) -> str:
    """The file name of a picture, as a mix that embeds it calls it."""
    fragment = _FRAGMENT.search(locator)
    inner = fragment and (fragment["member"] or fragment["url"])
    if inner:
        return posixpath.basename(unquote(inner).split("?")[0].rstrip("/"))
    if fragment and not fragment["file"]:
        # A place in a file has no name of its own.
        path = posixpath.basename(locator[: fragment.start()])
        return f"{path}{fragment[0]}"
    return posixpath.basename(locator[: fragment.start()] if fragment else locator)


def relative_image_path(written: str) -> str:
    """The path of a picture as a source writes it, normalised and checked to stay in the images folder.

    Raises:
        BadImage: it is empty, absolute, a URL, climbs out with `..`, or holds what no path can.
    """
    if _PLAIN.fullmatch(written):
        return written
    if not written.strip():
        raise BadImage("empty path")
    if "\0" in written:
        raise BadImage("path holds NUL")
    if SURROGATE.search(written):
        raise BadImage(f"path {_shown(written)} holds half of a surrogate pair")
    if _URL.match(written):
        raise BadImage(
            f"{_shown(written)} is a URL; name files, or say with `columns: {{url: ...}}` that it is one"
        )
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
    plain = _PLAIN_STEM.fullmatch(relative)
    if plain:
        return coco_id(relative) or plain[1]
    # Composed, since archives made on a Mac store the accents of the same name apart.
    return coco_id(relative) or unicodedata.normalize("NFC", posixpath.splitext(relative)[0])


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
        BadImage: there is no such file, cell or member, it cannot be downloaded, or it is empty, no plain
            file, unreadable, or too large.
    """
    found = _FRAGMENT.search(locator)
    try:
        data = _bytes_at(locator[: found.start()], found) if found else _file_bytes(locator)
    except (BadArchive, BadMember, DownloadError) as error:
        raise BadImage(str(error)) from error
    if not data:
        raise BadImage("empty: 0 bytes")
    if len(data) > MAX_BYTES:
        raise BadImage(f"too large: {len(data):,} bytes, at most {MAX_BYTES:,}")
    return data


def _bytes_at(path: str, fragment: re.Match[str]) -> bytes:
    if fragment["column"] is not None:
        return _cell_bytes(Cell(path, unquote(fragment["column"]), int(fragment["row"])))
    if fragment["offset"] is not None:
        return tar_bytes(path, int(fragment["offset"]), int(fragment["size"]), MAX_BYTES)
    if fragment["member"] is not None:
        return zip_bytes(path, unquote(fragment["member"]), MAX_BYTES)
    if fragment["url"] is not None:
        return downloaded(path, unquote(fragment["url"]), MAX_BYTES)
    return _file_bytes(path)


def _file_bytes(path: str) -> bytes:
    name = _shown(PurePosixPath(path).name)
    for spelling in spellings(path):
        try:
            if is_url(path):
                return _distant_file_bytes(plain_path(spelling), name)
            return _plain_file_bytes(_inside(spelling, name), name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            raise BadImage(f"unreadable: no permission for {name}") from error
        except OSError as error:  # A failing disk must stop the run.
            if error.errno == errno.ELOOP:
                raise BadImage(f"{name} is a link that leads in a circle") from error
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise BadImage(f"missing: {name} is too long for a file name") from error
    raise BadImage(f"missing: no file {name} in the images folder")


def spellings(path: str) -> Iterator[str]:
    """The path as it is written, then with accents composed and apart: macOS once stored them apart."""
    yield path
    if not path.isascii():
        folder, mark, relative = path.partition(INSIDE)
        if not mark:
            folder, mark, relative = path.rpartition("/")
        for form in ("NFC", "NFD"):
            yield folder + mark + unicodedata.normalize(form, relative)


def _inside(path: str, name: str) -> str:
    """Where the file is after links were followed. Raises `BadImage` where one leads out of the folder."""
    folder, mark, _ = path.partition(INSIDE)
    if not mark:
        return path
    real = os.path.realpath(path)
    if not real.startswith(os.path.realpath(folder or "/").rstrip("/") + "/"):
        raise BadImage(
            f"{name} is a link, or stands behind one, that leads out of the images folder; name the folder "
            "where the pictures are"
        )
    return real


def _plain_file_bytes(path: str, name: str) -> bytes:
    status = Path(path).stat()
    if not stat.S_ISREG(status.st_mode):
        raise BadImage(f"{name} is no plain file")
    if status.st_size > MAX_BYTES:
        raise BadImage(f"{name} is too large: {status.st_size:,} bytes, at most {MAX_BYTES:,}")
    return Path(path).read_bytes()


def _distant_file_bytes(url: str, name: str) -> bytes:
    with RemoteFile(url) as file:
        if file.size > MAX_BYTES:
            raise BadImage(f"{name} is too large: {file.size:,} bytes, at most {MAX_BYTES:,}")
        return file.bytes_at(0, file.size)


def _cell_bytes(cell: Cell) -> bytes:
    name = PurePosixPath(cell.path).name
    try:
        version = recent_stamp(cell.path)
    except FileNotFoundError as error:
        raise BadImage(f"missing: no file {name}") from error
    starts = _row_group_starts(cell.path, version)
    if cell.row >= starts[-1]:
        raise BadImage(f"missing: {name} has {starts[-1]:,} rows, no row {cell.row:,}")
    group = next(index for index, end in enumerate(starts[1:]) if cell.row < end)
    value = _column(cell.path, version, group, cell.column)[cell.row - starts[group]].as_py()
    if isinstance(value, list):
        value = value[0] if value else None
    data = value.get("bytes") if isinstance(value, dict) else value
    if data is None:
        raise BadImage(f"missing: {name} row {cell.row:,} holds no picture")
    if not isinstance(data, bytes):
        raise BadImage(f"{name} row {cell.row:,} holds no bytes in column {_shown(cell.column)}")
    return data


@contextmanager
def parquet_file(place: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file, opened; of one far away only what is asked for is fetched.

    Raises:
        OSError, pyarrow.ArrowException: it cannot be read, here and within.
    """
    if not is_url(place):
        with pq.ParquetFile(place) as file:
            yield file
        return
    with open_input(place, PEEK) as source, pq.ParquetFile(source) as file:
        yield file


@lru_cache(maxsize=64)
def _row_group_starts(path: str, version: Stamp) -> tuple[int, ...]:
    """First row of each row group, then the number of rows; `version` tells a changed file apart."""
    with parquet_file(path) as file:
        starts = [0]
        for index in range(file.metadata.num_row_groups):
            starts.append(starts[-1] + file.metadata.row_group(index).num_rows)
    return tuple(starts)


# Pictures are asked for one by one and mostly in order: two groups suffice, more would only hold memory.
@lru_cache(maxsize=2)
def _column(path: str, version: Stamp, group: int, column: str) -> pa.ChunkedArray:
    with parquet_file(path) as file:
        return file.read_row_group(group, columns=[column]).column(column)


def check_image(data: bytes, max_pixels: int) -> None:
    """Decodes a picture whole, after its header says that it is small enough.

    Raises:
        BadImage: unknown format, more than `max_pixels`, or broken or truncated data.
    """
    try:
        with opened(data, max_pixels) as picture:
            picture.load()
    except Undecodable as error:
        reason = "broken or truncated" if error.reason == BROKEN else error.reason
        raise BadImage(f"{reason}: {error.detail}") from error


def _shown(text: str) -> str:
    return repr(text if len(text) <= 100 else f"{text[:97]}...")
