"""Captions by language, aligned with a list of pictures: `{"images": [...], "captions": {"de": [[...]]}}`.

So Babel-ImageNet's repository has XTD10 and xFlickrCO (https://github.com/gregor-ge/Babel-ImageNet).
"""

from __future__ import annotations

from collections.abc import Iterator

from evaluation.predictions import BROKEN_RECORD
from evaluation.readers.records import (
    BadRecord,
    DataError,
    LeftOut,
    Record,
    Source,
    blanks_of,
    identifier,
    loaded,
    texts_of,
)
from evaluation.tasks import TaskFile


def read(task: TaskFile, source: Source) -> Iterator[Record | LeftOut]:
    """A record per picture and language."""
    content = loaded(source.path)
    images, captions = (
        content.get(key) if isinstance(content, dict) else None for key in ("images", "captions")
    )
    if not isinstance(images, list) or not isinstance(captions, dict):
        raise DataError(f"{source.path}: has no list `images` and object `captions`")
    for code, listed in captions.items():
        if not isinstance(listed, list) or len(listed) != len(images):
            count = len(listed) if isinstance(listed, list) else 0
            raise DataError(f"{source.path}: {count:,} captions in {code!r}, {len(images):,} pictures")
        for number, (image, golds) in enumerate(zip(images, listed, strict=True)):
            try:
                name = identifier(image, "images")
                found = texts_of(golds, "captions")
            except BadRecord as error:
                yield LeftOut(BROKEN_RECORD, f"{source.path.name}: {code}[{number}]: {error}")
                continue
            values = {"code": code, "image": name}
            blank = blanks_of(golds)
            yield Record(source.prefix + name, code, None, found, values, unit=name, blank=blank)
