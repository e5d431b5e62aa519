"""Members of tar and zip files: one pass lists them, later each is read alone, without the others."""

from __future__ import annotations

import errno
import io
import lzma
import os
import posixpath
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePosixPath
from typing import NamedTuple

from pipelines.inputs import BLOCK, RemoteFile, Stamp, is_url, open_input, read_range, recent_stamp
from translation.surrogates import without_halves

OPEN_ZIPS = 64
"""Zip files whose lists of members a process keeps; opening one anew reads its list again."""

_MAX_HEADER = 4 * 1024 * 1024
"""Bytes of the longest name or record in a tar's headers; a damaged one may claim gigabytes."""

_BLOCK = tarfile.BLOCKSIZE

_ZIP_BLOCK = 256 * 1024
"""Bytes that are fetched at once from a zip far away: a picture, mostly, with its header."""

_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}

# WebDataset's rule: the key goes up to the first dot of the file name, the extension is all after it.
_KEY = re.compile(r"(?P<key>(?:.*/)?[^./][^./]*)\.(?P<extension>[^/]+)", re.DOTALL)

# WebDataset's notes about a shard: __meta__, __index__/...
_META = re.compile(r"(?:.*/)?__[^/]*__(?:/.*)?", re.DOTALL)


class BadArchive(ValueError):
    """A file that is no tar or zip, or a damaged one; the message has its name, no folder, and the byte."""


class BadMember(ValueError):
    """A member that is missing or cannot be read; the message says why and has no folder of this machine."""


class Member(NamedTuple):
    """A file in a tar; its content is `size` bytes from byte `offset` of the tar."""

    name: str
    """As the tar has it; what is not UTF-8 in it stands as backslash sequences."""
    position: int
    """Byte at which its headers start."""
    offset: int
    size: int
    link: str | None = None
    """Name of the member that this one is a link to; then there is no content."""
    sparse: bool = False
    """Its content is not in one piece, so it cannot be read by its place."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Files of a WebDataset shard that stand together and share a key."""

    key: str
    position: int
    """Byte of the tar at which its first header starts."""
    files: Mapping[str, tuple[int, int]]
    """Extension in lower case, as `jpg` or `seg.png` -> (offset, size) in the tar."""
    faults: tuple[str, ...] = ()
    """What makes the sample unsafe to use: an extension that stands twice, or a link."""


class _HeaderFile(io.FileIO):
    """A tar file of which only headers are read."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(_header_size(size)) or b""


class _DistantHeaderFile(io.BufferedReader):
    """The same of a tar far away; small members are read along, for asking for each header takes longer."""

    def __init__(self, place: str) -> None:
        super().__init__(RemoteFile(place), BLOCK)

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(_header_size(size))


class _Header(tarfile.TarInfo):
    """A member's header, whose records are looked at before `tarfile` reads them.

    Some of its regular expressions take hours for records that are long, or not as long as they say.
    """

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _RECORDS:
            file = tar.fileobj
            start = file.tell()
            _check_records(file.read(-(-self.size // _BLOCK) * _BLOCK))
            file.seek(start)
        found: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc]
        return found


_RECORDS = frozenset({tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE})
"""Kinds of headers that hold records `LENGTH KEY=VALUE`, each with a line break at its end."""

_RECORD_LENGTH = re.compile(rb"(\d{1,20}) ")

_MOST_DIGITS = 256
"""In a row, in records: a file name is no longer."""


def _check_records(data: bytes) -> None:
    """Raises `tarfile.HeaderError` where the records are none."""
    if any(len(run[0]) > _MOST_DIGITS for run in re.finditer(rb"\d+", data)):
        raise tarfile.HeaderError(f"a record with a number of more than {_MOST_DIGITS} digits")
    position = 0
    while position < len(data) and data[position]:
        length = _RECORD_LENGTH.match(data, position)
        end = position + int(length[1]) if length else 0
        if not length or not data.startswith(b"\n", end - 1) or data.find(b"=", length.end(), end) < 0:
            raise tarfile.HeaderError(f"no record at byte {position} of a header of records")
        position = end


def _header_size(size: int | None) -> int:
    if size is None or size < 0 or size > _MAX_HEADER:
        raise tarfile.HeaderError(f"a header says it is {size} bytes long")
    return size


def _headers(path: str) -> _HeaderFile | _DistantHeaderFile:
    return _DistantHeaderFile(path) if is_url(path) else _HeaderFile(path)


def tar_members(path: str | os.PathLike[str]) -> Iterator[Member]:
    """The files of an uncompressed tar, in order, in one pass that reads headers alone.

    Raises:
        BadArchive: compressed, no tar, damaged or truncated; after the members that stand before the damage.
    """
    name = PurePosixPath(path).name
    with _headers(os.fspath(path)) as file:
        end = file.seek(0, io.SEEK_END)
        file.seek(0)
        _refuse_compressed(file.read(6), name)
        file.seek(0)
        try:
            tar = tarfile.TarFile(fileobj=file, encoding="utf-8", tarinfo=_Header)
        except _DAMAGE as error:
            raise BadArchive(f"{name} is no tar, or damaged at byte 0: {error}") from error
        position = 0
        while True:
            file.seek(position)
            try:
                # Not tar.next(): that takes damage for the end of the archive, and keeps every member.
                info = _Header.fromtarfile(tar)
            except _DAMAGE as error:
                if _at_end_mark(file, position):
                    _refuse_more(file, position, name)
                    return
                words = "truncated" if position >= end else f"damaged ({error})"
                raise BadArchive(f"{name} is {words} at byte {position:,}") from error
            if tar.offset <= position or info.size < 0:
                raise BadArchive(f"{name} is damaged (a size below 0) at byte {position:,}")
            if info.isreg() and not info.issparse() and info.offset_data + info.size > end:
                raise BadArchive(
                    f"{name} is truncated at byte {end:,}: its member at byte {position:,} goes on to byte "
                    f"{info.offset_data + info.size:,}"
                )
            member = _member(info, position)
            if member is not None:
                yield member
            position = tar.offset


_DAMAGE = (tarfile.TarError, ValueError, OverflowError, IndexError, RecursionError)
"""What `tarfile` raises; the last one where one header stands before another, thousands of times."""


def _member(info: tarfile.TarInfo, position: int) -> Member | None:
    name = without_halves(info.name)
    if info.isreg():
        return Member(name, position, info.offset_data, info.size, sparse=info.issparse())
    if info.islnk():
        return Member(name, position, info.offset_data, 0, link=without_halves(info.linkname))
    if info.issym():
        # A symbolic link is relative to its folder, a hard link to the whole archive.
        target = posixpath.join(posixpath.dirname(name), without_halves(info.linkname))
        return Member(name, position, info.offset_data, 0, link=target)
    return None


def _at_end_mark(file: _HeaderFile | _DistantHeaderFile, position: int) -> bool:
    file.seek(position)
    return file.read(_BLOCK) == bytes(_BLOCK)


def _refuse_more(file: _HeaderFile | _DistantHeaderFile, position: int, name: str) -> None:
    """Tars that were joined with `cat` end for every reader at the first one's end mark."""
    while block := file.read(_MAX_HEADER):
        if block.strip(b"\0"):
            where = file.tell() - len(block.lstrip(b"\0"))
            raise BadArchive(
                f"{name} goes on at byte {where:,} after its end mark at byte {position:,}: joined tars must "
                "be split again"
            )


def _refuse_compressed(start: bytes, name: str) -> None:
    for magic, kind in _COMPRESSED.items():
        if start.startswith(magic):
            raise BadArchive(
                f"{name} is compressed with {kind}; members can be read only from an uncompressed tar: "
                "decompress it first"
            )


def tar_bytes(path: str, offset: int, size: int, limit: int) -> bytes:
    """The content of a member whose place `tar_members` told; its header is read again as a check.

    Raises:
        BadMember: larger than `limit` bytes, or the tar has no such member there any more.
    """
    name = PurePosixPath(path).name
    if size > limit:
        raise BadMember(f"member of {name} is too large: {size:,} bytes, at most {limit:,}")
    changed = BadMember(f"missing: {name} has no member of {size:,} bytes at byte {offset:,}; it was changed")
    if offset < _BLOCK:
        raise changed
    try:
        data = read_range(path, offset - _BLOCK, _BLOCK + size)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadMember(f"missing: no file {name}") from error
    except PermissionError as error:
        raise BadMember(f"unreadable: no permission for {name}") from error
    try:
        info = tarfile.TarInfo.frombuf(data[:_BLOCK], "utf-8", "surrogateescape")
    except _DAMAGE as error:
        raise changed from error
    if len(data) != _BLOCK + size or info.size != size:
        raise changed
    return data[_BLOCK:]


def zip_members(path: str) -> list[str]:
    """Names of the files in a zip, as `zip_bytes` takes them.

    Raises:
        BadArchive: no zip, or its list of members is damaged.
    """
    return [name for name, info in _zip_at(path).NameToInfo.items() if not info.is_dir()]


def zip_bytes(path: str, member: str, limit: int) -> bytes:
    """The content of a member of a zip, checked against its checksum.

    Raises:
        BadArchive: no zip, or its list of members is damaged.
        BadMember: missing, larger than `limit` bytes, encrypted, broken, or packed in an unknown way.
    """
    archive = _zip_at(path)
    info = archive.NameToInfo.get(member)
    shown = f"{member!r} of {os.path.basename(path)}"
    if info is None or info.is_dir():
        raise BadMember(f"missing: no member {shown}")
    if info.flag_bits & 0x1:
        raise BadMember(f"{shown} is encrypted; unpack the zip with its password first")
    if info.file_size > limit:
        raise BadMember(f"{shown} is too large: {info.file_size:,} bytes, at most {limit:,}")
    try:
        with archive.open(info) as file:
            # One more than the header says: a member that holds more is broken, however much it unpacks to.
            data = file.read(info.file_size + 1)
    except NotImplementedError as error:
        raise BadMember(f"{shown} is packed in an unknown way: {error}; pack the zip anew") from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError) as error:
        raise BadMember(f"{shown} is broken: {type(error).__name__}: {error}") from error
    except FileNotFoundError as error:
        raise BadMember(f"missing: no file {PurePosixPath(path).name}") from error
    except OSError as error:
        # bz2 reports bad data as an error without a number; a failing disk has one and must stop the run.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise BadMember(f"{shown} is broken: {error}") from error
    if len(data) != info.file_size:
        raise BadMember(f"{shown} is broken: {len(data):,} bytes, its header says {info.file_size:,}")
    return data


def _zip_at(path: str) -> zipfile.ZipFile:
    try:
        version = recent_stamp(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadMember(f"missing: no file {PurePosixPath(path).name}") from error
    except PermissionError as error:
        raise BadMember(f"unreadable: no permission for {PurePosixPath(path).name}") from error
    return _open_zip(path, version, os.getpid())


# Closed by their last user when they fall out. A process that was forked must not share the file's position.
@lru_cache(maxsize=OPEN_ZIPS)
def _open_zip(path: str, version: Stamp, process: int) -> zipfile.ZipFile:
    name = PurePosixPath(path).name
    try:
        return zipfile.ZipFile(open_input(path, _ZIP_BLOCK) if is_url(path) else path)
    except PermissionError as error:
        raise BadMember(f"unreadable: no permission for {name}") from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise BadArchive(f"{name} is no zip, or its list of members is damaged: {error}") from error


@dataclass(slots=True)
class _Gathering:
    """A sample whose files are still being read."""

    key: str
    position: int
    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def add(self, extension: str, member: Member) -> None:
        if member.link is not None or member.sparse:
            self.faults.append(f"{extension!r} is a {'link' if member.link is not None else 'sparse file'}")
        elif extension in self.files:
            self.faults.append(f"{extension!r} stands twice")
        else:
            self.files[extension] = (member.offset, member.size)

    def done(self) -> Sample:
        return Sample(self.key, self.position, self.files, tuple(self.faults))


def samples(path: str | os.PathLike[str]) -> Iterator[Sample]:
    """The samples of a WebDataset shard, in order: runs of files whose names agree up to the first dot.

    Files without an extension and notes such as `__meta__` belong to none.

    Raises:
        BadArchive: as `tar_members`, after the samples before the damage; that right before it may lack
            files, so it is not among them, but named in the message.
    """
    gathering: _Gathering | None = None
    try:
        for member in tar_members(path):
            name = posixpath.normpath(member.name)
            split = None if _META.fullmatch(name) else _KEY.fullmatch(name)
            if split is None:
                continue
            if gathering is None or gathering.key != split["key"]:
                if gathering is not None:
                    yield gathering.done()
                gathering = _Gathering(split["key"], member.position)
            gathering.add(split["extension"].lower(), member)
    except BadArchive as error:
        if gathering is None:
            raise
        raise BadArchive(f"{error}; the sample {gathering.key!r} right before may not be whole") from error
    if gathering is not None:
        yield gathering.done()
