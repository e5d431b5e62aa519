"""Many small segments of a translation memory into few large ones, without repetitions or damaged files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from translation.disk import PARTIAL
from translation.memory import unfinished_number
from translation.memory_segments import DAMAGED, Segment, SegmentFolder, batches, encoded, rows

SEGMENT_BYTES = 64 * 2**20

_MADE = ["translation", "score", "cut_off", "unknown", "empty"]


@dataclass(frozen=True)
class Compacted:
    """What `compact` did."""

    before: int
    """Segments."""
    after: int
    dropped: int
    """Entries that stood there twice."""
    damaged: int
    """Files deleted that were set aside as damaged."""
    kept_apart: int
    """Segments of an unfinished run, left as they are until it is finished."""


def compact(folder: str, segment_bytes: int = SEGMENT_BYTES) -> Compacted:
    """Merges segments in the order of writing; may be interrupted at any moment without loss.

    An entry is dropped if the first one of its key has the same translation, so that what is found does not
    change. No run may write into the folder meanwhile.

    Raises:
        MemoryFolderError: the folder cannot be read or written.
    """
    files = SegmentFolder(folder)
    unfinished = unfinished_number(files)
    for _ in files.read_all(files.segments()):
        # Reading sets damaged ones aside, and all that follows finds whole ones.
        pass
    segments = files.segments()
    closed = [segment for segment in segments if segment.generation != unfinished]
    dropped = 0
    written: set[Segment] = set()
    for given in (False, True):
        kind = [segment for segment in closed if segment.given == given]
        repetitions = _Repetitions(files, kind, given)
        last = Segment(0, 0, "", given)
        done = 0
        for group in _groups(files, kind, segment_bytes):
            done += len(group)
            generation = max(last.generation, _generation(kind, done))
            last, lost = _merge(files, group, generation, last, repetitions, written)
            dropped += lost
    aside = [name for name in files.names() if name.endswith((DAMAGED, PARTIAL))]
    files.remove(aside)
    damaged = sum(name.endswith(DAMAGED) for name in aside)
    return Compacted(len(segments), len(files.segments()), dropped, damaged, len(segments) - len(closed))


def _groups(files: SegmentFolder, segments: Sequence[Segment], segment_bytes: int) -> Iterator[list[Segment]]:
    """Runs of segments that make one of at most so many bytes, or single larger ones."""
    group: list[Segment] = []
    size = 0
    for segment in segments:
        its_size = files.size(segment.name)
        if group and size + its_size > segment_bytes:
            yield group
            group, size = [], 0
        group.append(segment)
        size += its_size
    if group:
        yield group


def _generation(segments: Sequence[Segment], done: int) -> int:
    """That of the segment in place of the last ones of the first so many, which stands before the others.

    Where these begin in the midst of a generation, it is the one before.
    """
    generation = segments[done - 1].generation
    if done < len(segments) and segments[done].generation == generation:
        return max((one.generation for one in segments[:done] if one.generation < generation), default=0)
    return generation


class _Repetitions:
    """Which entries can go: seen in the order of writing, row by row."""

    def __init__(self, files: SegmentFolder, segments: Sequence[Segment], given: bool) -> None:
        parts = [_halves(rows(found[1], ["key"])) for found in files.read_all(segments) if found]
        values, counts = np.unique(
            np.concatenate(parts) if parts else np.empty(0, np.uint64), return_counts=True
        )
        self._repeated = values[counts > 1]
        """First halves of keys that come more than once; with 64 bits, others hardly ever share them."""
        self._given = given
        self._made: dict[bytes, dict[str, Any]] = {}
        self._left: dict[bytes, int] = {}
        if given:
            for found in files.read_all(segments):
                if found:
                    for key in self._candidates(rows(found[1], ["key"]))[1]:
                        self._left[key] = self._left.get(key, 0) + 1

    def _candidates(self, table: pa.Table) -> tuple[list[int], list[bytes]]:
        """Rows whose key may come again, and their keys."""
        found = np.flatnonzero(np.isin(_halves(table), self._repeated))
        return found.tolist(), table.column("key").take(found).to_pylist()

    def drop(self, table: pa.Table) -> pa.Table:
        """The rows that stay: of an engine's, those that differ from the first; of imported ones the last."""
        numbers, keys = self._candidates(table)
        if not numbers:
            return table
        stays = np.ones(len(table), dtype=bool)
        made = table.select(_MADE).take(numbers)
        for number, key, values in zip(numbers, keys, made.to_pylist(), strict=True):
            if self._given:
                self._left[key] -= 1
                stays[number] = self._left[key] == 0
            else:
                first = self._made.setdefault(key, values)
                stays[number] = first is values or first != values
        return table.filter(pa.array(stays))


def _halves(table: pa.Table) -> npt.NDArray[np.uint64]:
    """The first 64 bits of each key."""
    chunks = [chunk for chunk in table.column("key").chunks if len(chunk)]
    if not chunks:
        return np.empty(0, np.uint64)
    # A chunk may be a part of a longer buffer.
    return np.concatenate(
        [
            np.frombuffer(chunk.buffers()[1], dtype=np.uint64).reshape(-1, 2)[chunk.offset :][: len(chunk), 0]
            for chunk in chunks
        ]
    )


def _merge(
    files: SegmentFolder,
    group: Sequence[Segment],
    generation: int,
    last: Segment,
    repetitions: _Repetitions,
    written: set[Segment],
) -> tuple[Segment, int]:
    """Writes one segment in place of several; returns the last of the new series, and entries dropped.

    Args:
        written: the new series, which grows. One that was interrupted left the same file, in a later group.
    """
    read = kept = 0

    def staying() -> Iterator[pa.Table]:
        nonlocal read, kept
        for segment in group:
            found = files.read_whole(segment)
            for table in batches(found[1]) if found else ():
                stays = repetitions.drop(table)
                read, kept = read + len(table), kept + len(stays)
                yield stays

    data = encoded(staying())
    if len(group) == 1 and group[0] > last and kept == read:
        return group[0], 0
    number = last.number + 1 if last.generation == generation else 1
    new = files.write_encoded(data, generation, number=number, given=last.given) if kept else last
    written.add(new)
    # Should this be interrupted, of what stays the first counts, and of what was imported the last.
    order = group if last.given else reversed(group)
    files.remove(segment.name for segment in order if segment not in written)
    return new, read - kept
