"""COCO's pictures by their numbers, whichever of their names a folder or archive has them under."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeGuard

from pipelines.records import Picture
from pipelines.sources.columns import Odd
from pipelines.sources.pictures import PictureStore, each_picture
from pipelines.sources.values import BadRecord, shown

PROBES = 200
"""Records at the start of a file that tell under which names its pictures are."""

_PARTS_2014 = ("train2014", "val2014", "test2014", "test2015")
_PARTS_2017 = ("train2017", "val2017", "test2017")

NAMES = (
    "{:012d}.jpg",
    *(f"COCO_{part}_{{:012d}}.jpg" for part in _PARTS_2014),
    *(f"{part}/COCO_{part}_{{:012d}}.jpg" for part in _PARTS_2014),
    *(f"{part}/{{:012d}}.jpg" for part in (*_PARTS_2017, *_PARTS_2014)),
)
"""Where a picture may be. 2017's parts hold the pictures of 2014 under the same numbers, parted anew."""

_NUMBER = re.compile(r"(\d{12})\.jpg", re.ASCII)


class CocoPictures:
    """The pictures of one file of records.

    Where one name fits all probed pictures that are there, no other is tried for the rest: looking for files
    costs more than reading records does.

    Args:
        probes: numbers of pictures of the first records, as they stand there; others than numbers tell
            nothing.
    """

    def __init__(self, store: PictureStore, probes: Iterable[object]) -> None:
        self._store = store
        self._names = _names(store, [number for number in probes if _is_number(number)])
        self._last: tuple[int, Picture] | None = None

    def picture(self, number: int) -> Picture:
        """The picture of a number; it may be missing. Raises `BadImage` where an archive lacks it."""
        # Questions about one picture stand together.
        if self._last is None or self._last[0] != number:
            name = self._names[0]
            if len(self._names) > 1:
                name = next((one for one in self._names if _is_there(self._store, one, number)), name)
            self._last = number, self._store.picture(name.format(number))
        return self._last[1]

    def named(self, names: Sequence[str], odd: Odd) -> Sequence[Picture]:
        """The pictures of records that name them, by their numbers or by paths of their own; places of those
        that have none are added to `odd`.
        """
        numbers = [_NUMBER.fullmatch(name) is not None for name in names]
        if len(self._names) == 1 and all(numbers):
            before = self._names[0].removesuffix(NAMES[0])
            return self._store.pictures([before + name for name in names] if before else names, odd)
        return (
            self._store.pictures(names, odd) if not any(numbers) else each_picture(self.of_name, names, odd)
        )

    def of_name(self, name: str) -> Picture:
        """The picture of a record that names it so. Raises `BadImage`."""
        number = number_of_name(name)
        return self._store.picture(name) if number is None else self.picture(number)


def coco_number(value: object, what: str) -> int:
    """COCO's number of a picture. Raises `BadRecord` where a value is none."""
    if _is_number(value):
        return value
    raise BadRecord(f"{what} is {shown(value)}, must be COCO's number of the picture")


def _is_number(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 10**12


def number_of_name(name: str) -> int | None:
    """The number of a picture that is named by that alone, `000000391895.jpg`."""
    found = _NUMBER.fullmatch(name)
    return int(found[1]) if found else None


def _names(store: PictureStore, numbers: Sequence[int]) -> tuple[str, ...]:
    """The names under which pictures are there, the commonest first; one if that is enough or none is."""
    found = {name: {number for number in numbers if _is_there(store, name, number)} for name in NAMES}
    there = set().union(*found.values())
    used: list[str] = []
    while there:
        best = max(found, key=lambda name: len(found[name] & there))
        used.append(best)
        there -= found[best]
    return tuple(used) or NAMES[:1]


def _is_there(store: PictureStore, name: str, number: int) -> bool:
    return store.holds(name.format(number))
