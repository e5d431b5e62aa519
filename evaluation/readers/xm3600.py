"""Crossmodal-3600 (Thapliyal et al. 2022, https://google.github.io/crossmodal-3600): a picture a line."""

from __future__ import annotations

from collections.abc import Iterator

from evaluation.predictions import BROKEN_RECORD
from evaluation.readers.records import (
    BadRecord,
    LeftOut,
    Record,
    Source,
    blanks_of,
    identifier,
    records,
    shown,
    texts_of,
)
from evaluation.tasks import TaskFile

_OF_PICTURE = "image/"
"""Keys of a line that are no languages start so: `image/key`, `image/locale`."""


def read(task: TaskFile, source: Source) -> Iterator[Record | LeftOut]:
    """A record per picture and language, with all captions of that language as references."""
    for where, _, values in records(source.path):
        try:
            if not isinstance(values, dict):
                raise BadRecord(f"is {shown(values)}, an object wanted")
            key = identifier(values.get("image/key"), "image/key")
        except BadRecord as error:
            yield LeftOut(BROKEN_RECORD, f"{where}: {error}")
            continue
        for code, captions in values.items():
            if code.startswith(_OF_PICTURE):
                continue
            try:
                if not isinstance(captions, dict):
                    raise BadRecord(f"`{code}` is {shown(captions)}, an object wanted")
                golds = texts_of(captions.get("caption"), "caption")
            except BadRecord as error:
                yield LeftOut(BROKEN_RECORD, f"{where}, {code}: {error}")
                continue
            own = {"code": code, "image": key}
            blank = blanks_of(captions["caption"])
            yield Record(source.prefix + key, code, None, golds, own, unit=key, blank=blank)
