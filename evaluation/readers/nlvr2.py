"""NLVR2 (https://github.com/lil-lab/nlvr): JSON lines whose identifier names the two pictures.

`test1-0-1-0` is the statement 0 of the pair 1 in the set 0 of `test1`; its pictures are
`test1-0-1-img0.png` and `test1-0-1-img1.png`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from evaluation.predictions import BROKEN_RECORD
from evaluation.readers.records import LeftOut, Record, Source, made, records
from evaluation.tasks import TaskFile

_IDENTIFIER = re.compile(r"(?P<pair>(?P<set>(?P<split>[a-z]+\d*)-\d+)-\d+)-\d+")


def read(task: TaskFile, source: Source) -> Iterator[Record | LeftOut]:
    """A record per statement, with `pair` and `split` for the names of its pictures.

    What is resampled together is the set: its pictures and statements are combined with each other.
    """
    for where, key, values in records(source.path):
        record = made(task, source, where, key, values)
        if isinstance(record, Record):
            parts = _IDENTIFIER.fullmatch(record.id.removeprefix(source.prefix))
            if parts is None:
                yield LeftOut(BROKEN_RECORD, f"{where}: the id {record.id!r} is not as `dev-850-0-0`")
                continue
            record = replace(record, values={**record.values, **parts.groupdict()}, unit=parts["set"])
        yield record
