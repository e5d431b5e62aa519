"""Where a source's pictures are: in a folder, in tar or zip files, or at URLs."""

from __future__ import annotations

import glob
import hashlib
import os
import posixpath
import re
import string
import threading
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from pipelines.archives import BadArchive, BadMember, tar_members, zip_members
from pipelines.downloading import DownloadError, canonical_url
from pipelines.images import (
    INSIDE,
    MAX_BYTES,
    BadImage,
    coco_id,
    folder_locator,
    image_id,
    relative_image_path,
    spellings,
    tar_locator,
    url_locator,
    zip_locator,
)
from pipelines.inputs import files_below, is_dir, is_file, is_url, matching, with_folders_by_name
from pipelines.records import Picture
from pipelines.sources.columns import Bytes, Odd, lines_of

STORES = 64
"""`images:` values whose lists of members a process keeps."""

_ARCHIVES = (".zip", ".tar")


class UnusableImages(ValueError):
    """What a source's `images` names cannot be used; the message says what would be right."""


def picture_files(images: str) -> list[str]:
    """The folder or archives that `images` names, checked to exist, not to be whole; archives sorted.

    Args:
        images: absolute, or a URL; a folder, a `.zip` or `.tar` file, or a pattern of such files
            (`train-*.tar`).

    Raises:
        UnusableImages: nothing is there, or something else.
        OSError: a store far away gives no answer.
    """
    if is_dir(images):
        return [_absolute(images)]
    found = [images] if is_file(images) else _named(images)
    if not found:
        raise UnusableImages(f"no folder or file {images}; name a folder, a .zip or .tar file, or a pattern")
    for path in found:
        if not path.lower().endswith(_ARCHIVES) or not (is_url(path) or os.path.isfile(path)):
            raise UnusableImages(
                f"{path} is no .zip or uncompressed .tar file; unpack it and name the folder"
            )
    return [_absolute(path) for path in found]


def _named(pattern: str) -> list[str]:
    """What a pattern names; on this machine folders and the like too, which are no archives."""
    if is_url(pattern):
        return matching(pattern)
    if os.path.exists(pattern):
        return [pattern]
    return sorted(glob.glob(with_folders_by_name(pattern), recursive=True))


def _absolute(place: str) -> str:
    return place if is_url(place) else os.path.abspath(place)


@lru_cache(maxsize=STORES)
def picture_store(images: str) -> PictureStore:
    """The store of what `images` names, resolved once per process. Raises as `PictureStore`."""
    return PictureStore(images)


def url_picture(cache: str, url: str) -> Picture:
    """The picture at a URL, downloaded into `cache` when it is first read, if downloads are allowed there.

    Raises:
        BadImage: the URL is not of http or https, or is broken.
    """
    try:
        url = canonical_url(url)
    except DownloadError as error:
        raise BadImage(str(error)) from error
    try:
        digest = hashlib.sha256(url.encode()).hexdigest()
    except UnicodeEncodeError as error:
        raise BadImage("URL holds half of a surrogate pair") from error
    return Picture(url_locator(_absolute(cache), url), digest[:32])


def each_picture(picture: Callable[[str], Picture], written: Sequence[str], odd: Odd) -> Sequence[Picture]:
    """The pictures of many paths or URLs, one by one; places of those without are added to `odd`."""
    found = []
    for at, one in enumerate(written):
        try:
            found.append(picture(one))
        except BadImage:
            found.append(NO_PICTURE)
            odd.add(at)
    return found


NO_PICTURE = Picture("", "")

_WORD = string.ascii_letters + string.digits + "_-"
_PATHS = Bytes(before={".": 1, "/\n": 1 | 2}, behind={_WORD: 0, ".": 1, "/\n": 2})
"""Lines that are paths in their normal form, without two dots in a row."""
_IS_DIGIT = np.array([chr(byte) in string.digits for byte in range(256)])
_SUFFIX = re.compile(r"(?<=[A-Za-z0-9_-])\.[A-Za-z]{3,4}\Z")


def _ids(paths: Sequence[str]) -> Sequence[str] | None:
    """The ids of pictures, as `image_id` makes them; None where paths are not all of the same kind."""
    found = _SUFFIX.search(paths[0]) if paths else None
    if found is None:
        return None
    data, end = lines_of(paths), len(found[0])
    if data.count(f"{found[0]}\n".encode()) != len(paths) or _PATHS.others(data):
        return None
    text = np.frombuffer(data, np.uint8)
    breaks = np.flatnonzero(text == ord("\n"))
    ends, long = breaks[1:] - end, np.diff(breaks) > end + 12
    first, last = text[ends[long] - 12], text[ends[long] - 1]
    # Is all of it of COCO's form, or none?
    if not (_IS_DIGIT[first] & _IS_DIGIT[last]).any():
        return data.decode().replace(f"{found[0]}\n", "\n")[1:-1].split("\n")
    digits = text[ends[long][:, np.newaxis] + np.arange(-12, 0)] - np.uint8(ord("0"))
    starts = {path[: -end - 12] for path in paths}
    if not long.all() or (digits > 9).any() or not all(coco_id(f"{start}{0:012}") for start in starts):
        return None
    numbers: list[int] = (digits @ 10 ** np.arange(11, -1, -1)).tolist()
    return list(map(str, numbers))


class PictureStore:
    """The pictures of a source, found by the paths that the source writes.

    The members of archives are listed when the first picture is asked for, those of a folder far away when it
    must first be known what is there; in each process anew. A list holds names and places, no content.

    Args:
        images: as of `picture_files`.

    Raises:
        UnusableImages, OSError: as `picture_files`.
    """

    def __init__(self, images: str) -> None:
        self._files = picture_files(images)
        self._folder = self._files[0] if is_dir(self._files[0]) else None
        self._there: frozenset[str] | None = None
        self._members: dict[str, _Found] | None = None
        self._tops: tuple[str, ...] = ()
        self._listing = threading.Lock()

    def picture(self, written: str) -> Picture:
        """The picture that a source names by its path.

        In archives, a name that is not there is also looked for in their single top folder: `train2014.zip`
        holds `train2014/...`.

        Raises:
            BadImage: the path leaves the folder, or no archive, or more than one, has such a member.
            UnusableImages: an archive is damaged.
        """
        relative = relative_image_path(written)
        if self._folder is not None:
            return Picture(folder_locator(self._folder, relative), image_id(relative))
        return Picture(self._locator(relative), image_id(relative))

    def pictures(self, written: Sequence[str], odd: Odd) -> Sequence[Picture]:
        """The pictures of many paths, as `picture` finds them; places of those without are added to `odd`.

        Raises:
            UnusableImages: an archive is damaged.
        """
        ids = None if self._folder is None else _ids(written)
        if ids is not None:
            return list(map(Picture, map(f"{self._folder}{INSIDE}".__add__, written), ids))
        return each_picture(self.picture, written, odd)

    def holds(self, written: str) -> bool:
        """Whether a picture of this path is there; in a folder, whatever it holds.

        Raises:
            UnusableImages: an archive is damaged.
            OSError: a store far away gives no answer.
        """
        try:
            picture = self.picture(written)
        except BadImage:
            return False
        if self._folder is None:
            return True
        if not is_url(self._folder):
            return any(os.path.exists(path) for path in spellings(picture.locator.removesuffix("#file")))
        with self._listing:
            if self._there is None:
                # Once and for all: asking for each picture would take days.
                names = files_below(self._folder)
                self._there = frozenset(unicodedata.normalize("NFC", name) for name in names)
            return unicodedata.normalize("NFC", relative_image_path(written)) in self._there

    def _locator(self, relative: str) -> str:
        members = self._listed()
        name = unicodedata.normalize("NFC", relative)
        found = members.get(name)
        if found is None:
            inside = [members[path] for top in self._tops if (path := f"{top}/{name}") in members]
            if len(inside) > 1:
                raise BadImage(
                    f"{relative!r} is in {len(inside)} of the archives; write it with its top folder"
                )
            if not inside:
                where = ", ".join(posixpath.basename(path) for path in self._files[:3])
                more = f" and {len(self._files) - 3} more" if len(self._files) > 3 else ""
                raise BadImage(f"missing: no member {relative[-100:]!r} in {where}{more}")
            found = inside[0]
        if isinstance(found, str):
            raise BadImage(f"{relative[-100:]!r} {found}")
        archive = self._files[found[0]]
        return zip_locator(archive, found[1]) if len(found) == 2 else tar_locator(archive, found[1], found[2])

    def _listed(self) -> dict[str, _Found]:
        with self._listing:
            if self._members is None:
                self._tops, self._members = _listed(self._files)
            return self._members


_Found = tuple[int, str] | tuple[int, int, int] | str
"""Of a member: (number of the zip, name in it), (number of the tar, offset, size), or why it is unusable."""


def _listed(files: list[str]) -> tuple[tuple[str, ...], dict[str, _Found]]:
    """The single top folders of the archives that have one, and all members by their paths."""
    members: dict[str, _Found] = {}
    tops = set()
    for number, path in enumerate(files):
        try:
            listed = _in_tar(number, path) if path.lower().endswith(".tar") else _in_zip(number, path)
        except (BadArchive, BadMember) as error:
            raise UnusableImages(f"{path}: {error}") from error
        folders = {name.partition("/")[0] if "/" in name else "" for name in listed}
        if len(folders) == 1 and "" not in folders:
            tops |= folders
        for name in members.keys() & listed.keys() if members else ():
            listed[name] = "is in more than one of the archives; name one of them alone as images"
        members.update(listed)
    return tuple(sorted(tops)), members


def _in_zip(number: int, path: str) -> dict[str, _Found]:
    listed: dict[str, _Found] = {}
    for member in zip_members(path):
        if member.startswith("__MACOSX/"):  # Notes of the Mac's packer, beside the only folder.
            continue
        # Some old packers of Windows write its separator.
        name = _normal(member.replace("\\", "/") if "/" not in member else member)
        if name is not None:
            listed[name] = (number, member)
    return listed


def _in_tar(number: int, path: str) -> dict[str, _Found]:
    listed: dict[str, _Found] = {}
    links: dict[str, str] = {}
    for member in tar_members(path):
        name = _normal(member.name)
        if name is None:
            continue
        # A later member of the same name replaces the earlier one, as when the tar is unpacked.
        links.pop(name, None)
        if member.link is not None:
            links[name] = member.link
        elif member.sparse:
            listed[name] = "is stored as a sparse file; pack the tar without --sparse"
        elif member.size > MAX_BYTES:
            listed[name] = f"is too large: {member.size:,} bytes, at most {MAX_BYTES:,}"
        else:
            listed[name] = (number, member.offset, member.size)
    for name, link in links.items():
        target = _normal(link)
        listed[name] = listed.get(target or "", "is a link to no file of the tar")
    return listed


def _normal(name: str) -> str | None:
    """The path that sources write for a member; None where it leads out of the archive."""
    path = posixpath.normpath(name)
    if path.startswith(("/", "../")) or path in (".", ".."):
        return None
    return unicodedata.normalize("NFC", path)
