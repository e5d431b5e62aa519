"""The translation memory: what an engine has translated once is never translated again.

A translation is found by a digest of everything that it depends on: engine and version, model, decoding,
languages, and text. Each call of the engine adds one segment (`translation.memory_segments`) as it ends, so
work that was killed loses the calls that were under way and nothing else.

Scores, and rarely texts, depend in their last digits on what was translated in the same call. A run that was
killed and goes on shall give the bytes of one that was not, so it sees of its own earlier tries only whole
calls: runs are numbered, and what was written under the number of this run is taken for the same call alone.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from translation.disk import PARTIAL
from translation.engine import Engine
from translation.memory_segments import (
    MemoryFolderError,
    Segment,
    SegmentFolder,
    rows,
    table_of,
)
from translation.translations import Request, Translation

MARKER = "unfinished.json"
"""In the folder while a run lasts: its number and what it makes."""

CACHE_BYTES = 64 * 2**20
"""Row groups that were read and may be needed again."""
OPEN_FILES = 256

_FIELDS = ["call", "translation", "score", "cut_off", "unknown", "empty"]


@dataclass(frozen=True)
class Origin:
    """What made a translation."""

    engine: str
    """With its version."""
    model: str
    """Digest."""
    decoding: str
    """Parameters as JSON."""

    def keys(self, requests: Iterable[Request], *, whole: bool) -> list[bytes]:
        """Digests by which the translations of requests are found, 16 bytes each."""
        started: dict[tuple[str, str], hashlib.blake2b] = {}
        found = []
        for request in requests:
            languages = request.source, request.target
            if languages not in started:
                parts = (self.engine, self.model, self.decoding, *languages, "whole" if whole else "cut")
                # No part holds this character but, at the end, the text.
                started[languages] = hashlib.blake2b(
                    "\x1f".join((*parts, "")).encode("utf-8", "surrogatepass"), digest_size=16
                )
            digest = started[languages].copy()
            digest.update(request.text.encode("utf-8", "surrogatepass"))
            found.append(digest.digest())
        return found


def with_shortlists(origin: Origin, digest: str) -> Origin:
    """The origin of what is translated with the shortlists of this digest; empty: without."""
    return replace(origin, engine=f"{origin.engine}+shortlists-{digest}") if digest else origin


GIVEN = Origin("imported", "", "")
"""Of translations that were imported; they come before an engine's."""


@dataclass(frozen=True)
class Begun:
    """A run that was begun and is not finished."""

    number: int
    run: str
    """Digest of all that decides on what it makes."""
    settled: str
    """What its first try settled for all, such as a measured size of batches."""


def begin(folder: str, run: str, settle: Callable[[], str] = str) -> Begun:
    """Makes the folder ready for a run, or for the next try of the same one.

    Takes away what killed runs left half-written. Only one process may call it at a time.

    Args:
        run: digest of all that decides on what the run makes.
        settle: is called if the run is a new one.

    Raises:
        MemoryFolderError: the folder cannot be read or written.
    """
    files = SegmentFolder(folder)
    names = files.names()
    files.remove(name for name in names if name.endswith(PARTIAL))
    begun = _marker(files, names)
    if begun is None or begun.run != run:
        numbers = [segment.generation for segment in files.segments()]
        begun = Begun(max([begun.number if begun else 0, *numbers]) + 1, run, settle())
        files.write_bytes(MARKER, json.dumps(asdict(begun)).encode())
    return begun


def finish(folder: str) -> None:
    """Says that the run is finished: from now on all that it added can be found by every run.

    What workers were writing when they were killed goes too.
    """
    files = SegmentFolder(folder)
    files.remove([*(name for name in files.names() if name.endswith(PARTIAL)), MARKER])


def unfinished_number(files: SegmentFolder) -> int | None:
    """Of the run that was begun and not finished; None if there is none."""
    begun = _marker(files, files.names())
    return begun.number if begun else None


def _marker(files: SegmentFolder, names: Sequence[str]) -> Begun | None:
    if MARKER not in names:
        return None
    try:
        content = json.loads(files.read(MARKER).to_pybytes())
        return Begun(int(content["number"]), str(content["run"]), str(content["settled"]))
    except (ValueError, TypeError, KeyError):
        # Only a failing disk leaves it so; the run counts as a new one then.
        return None


@dataclass(frozen=True)
class _Place:
    segment: int
    row: int


class Memory:
    """What stood in a folder of segments when it was opened; thread-safe. Close it after use.

    It holds 20 bytes for each translation in memory (50 while it loads) and reads the texts when they are
    asked for. Remote segments are fetched once into a temporary directory.
    """

    def __init__(self, folder: str, *, given_only: bool = False) -> None:
        """Loads the keys; a segment that is damaged is set aside, and what it lost is translated again.

        Args:
            given_only: load only what was imported.

        Raises:
            MemoryFolderError: the folder cannot be read.
        """
        self._files = SegmentFolder(folder)
        self.number = unfinished_number(self._files)
        self._copies = None if self._files.local else tempfile.TemporaryDirectory(prefix="memory-")
        self._local = self._files if self._copies is None else SegmentFolder(self._copies.name)
        self.segments: list[Segment] = []
        self.damaged: list[str] = []
        """Names of segments that were set aside while it was opened."""
        wanted = [one for one in self._files.segments() if one.given or not given_only]
        self._load(wanted)
        self.has_given = any(segment.given for segment in self.segments)
        self._lock = threading.Lock()
        self._open: OrderedDict[int, pq.ParquetFile] = OrderedDict()
        self._cache: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()
        self._cached = 0

    def _load(self, wanted: Sequence[Segment]) -> None:
        parts: list[npt.NDArray[np.uint64]] = []
        lengths = []
        for asked, found in zip(wanted, self._files.read_all(wanted), strict=True):
            if found is None or found[0] != asked:
                self.damaged.append(asked.name)
            if found is None:
                continue
            segment, data = found
            if self._copies is not None:
                Path(self._copies.name, segment.name).write_bytes(data)
            keys = rows(data, ["key"]).column(0).combine_chunks()
            parts.append(np.frombuffer(keys.buffers()[1], dtype=np.uint64).reshape(-1, 2))
            lengths.append(len(keys))
            self.segments.append(segment)
        self._starts = np.cumsum([0, *lengths])
        high = np.concatenate([part[:, 0] for part in parts]) if parts else np.empty(0, np.uint64)
        low = np.concatenate([part[:, 1] for part in parts]) if parts else np.empty(0, np.uint64)
        parts.clear()
        # Stable, so that of equal keys the one written first stands first.
        order = np.argsort(high, kind="stable")
        self._high: npt.NDArray[np.uint64] = high[order]
        del high
        self._low: npt.NDArray[np.uint64] = low[order]
        self._rows = order.astype(np.uint32 if len(order) < 2**32 else np.uint64)

    def __len__(self) -> int:
        """Translations, repetitions among them."""
        return len(self._rows)

    def __enter__(self) -> Memory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Takes away the temporary copies of remote segments."""
        self._open.clear()
        self._cache.clear()
        if self._copies is not None:
            self._copies.cleanup()

    def find(self, keys: Sequence[bytes], call: bytes) -> list[Translation | None]:
        """The translation of each key that is known and may be used in a call; see the module.

        Of several the one of the same call is taken, else what was written first, of imported ones last.

        Raises:
            MemoryFolderError: a segment cannot be read any more.
        """
        found: list[Translation | None] = [None] * len(keys)
        places = self._places(keys)
        by_segment: dict[int, list[tuple[int, _Place]]] = {}
        for index, candidates in places.items():
            for place in candidates:
                by_segment.setdefault(place.segment, []).append((index, place))
        chosen = [False] * len(keys)
        """Whether it is of the same call, and so settled."""
        with self._lock:
            for segment in sorted(by_segment):
                # What this run has added may be used in the same call alone.
                foreign = self.segments[segment].generation != self.number
                indices = [index for index, _ in by_segment[segment]]
                read = self._read(segment, [place.row for _, place in by_segment[segment]])
                for index, (its_call, *values) in zip(indices, read, strict=True):
                    same = its_call == call
                    later = self.segments[segment].given
                    if not chosen[index] and (same or (foreign and (found[index] is None or later))):
                        found[index], chosen[index] = Translation(*values), same
        return found

    def _places(self, keys: Sequence[bytes]) -> dict[int, list[_Place]]:
        """Where entries of keys stand, those first that were written first; by the index of the key."""
        if not len(self) or not keys:
            return {}
        wanted = np.frombuffer(b"".join(keys), dtype=np.uint64).reshape(-1, 2)
        first = np.searchsorted(self._high, wanted[:, 0], "left")
        end = np.searchsorted(self._high, wanted[:, 0], "right")
        places: dict[int, list[_Place]] = {}
        for index in np.flatnonzero(first < end).tolist():
            entries = np.arange(first[index], end[index])
            numbers = self._rows[entries[self._low[entries] == wanted[index, 1]]].astype(np.int64)
            segments = np.searchsorted(self._starts, numbers, "right") - 1
            starts = self._starts[segments]
            places[index] = [
                _Place(int(segment), int(row))
                for segment, row in zip(segments, numbers - starts, strict=True)
            ]
        return places

    def _read(self, segment: int, numbers: Sequence[int]) -> list[tuple[Any, ...]]:
        """The fields of rows of a segment, in the order asked for."""
        file = self._opened(segment)
        groups: dict[int, list[int]] = {}
        size = file.metadata.row_group(0).num_rows
        for position, row in enumerate(numbers):
            groups.setdefault(row // size, []).append(position)
        read: list[tuple[Any, ...]] = [()] * len(numbers)
        for group, positions in groups.items():
            table = self._group(file, segment, group)
            taken = table.take([numbers[position] - group * size for position in positions])
            columns = [column.to_pylist() for column in taken.columns]
            for position, values in zip(positions, zip(*columns, strict=True), strict=True):
                read[position] = values
        return read

    def _opened(self, segment: int) -> pq.ParquetFile:
        if segment not in self._open:
            name = self.segments[segment].name
            try:
                self._open[segment] = pq.ParquetFile(pa.BufferReader(self._local.read(name)))
            except FileNotFoundError as error:
                raise MemoryFolderError(
                    f"{self._files.folder}/{name}: gone since the memory was opened; start again"
                ) from error
            if len(self._open) > OPEN_FILES:
                self._open.popitem(last=False)
        self._open.move_to_end(segment)
        return self._open[segment]

    def _group(self, file: pq.ParquetFile, segment: int, group: int) -> pa.Table:
        key = segment, group
        if key not in self._cache:
            table = file.read_row_group(group, columns=_FIELDS, use_threads=False)
            self._cache[key] = table
            self._cached += table.nbytes
            while self._cached > CACHE_BYTES and len(self._cache) > 1:
                self._cached -= self._cache.popitem(last=False)[1].nbytes
        self._cache.move_to_end(key)
        return self._cache[key]

    def add(
        self,
        origin: Origin,
        call: bytes,
        requests: Sequence[Request],
        translations: Sequence[Translation],
        *,
        whole: bool,
    ) -> None:
        """Writes the translations of one call, as a segment of the run that goes on.

        They can be found once the memory is opened again. Text that UTF-8 has no place for is left out.

        Raises:
            MemoryFolderError: disk full, no permission, ...
        """
        if not requests:
            return
        keys = origin.keys(requests, whole=whole)
        kept = [
            (
                key,
                (
                    one.source,
                    one.target,
                    one.text,
                    made.text,
                    made.score,
                    made.cut_off,
                    made.unknown,
                    made.empty,
                ),
            )
            for key, one, made in zip(keys, requests, translations, strict=True)
            if is_utf8(one.text) and is_utf8(made.text)
        ]
        if kept:
            made_by = (origin.engine, origin.model, origin.decoding)
            table = table_of([key for key, _ in kept], call, made_by, whole, [entry for _, entry in kept])
            self._files.write([table], self.number or self._next(), given=origin == GIVEN)

    def _next(self) -> int:
        return max((segment.generation for segment in self.segments), default=0) + 1

    def winners(self) -> npt.NDArray[np.bool_]:
        """Whether an entry is the one that is found by its key, for all in the order of the segments."""
        found = np.ones(len(self), dtype=bool)
        same = (self._high[1:] == self._high[:-1]) & (self._low[1:] == self._low[:-1])
        earlier, later = self._rows[:-1][same], self._rows[1:][same]
        given = np.array([segment.given for segment in self.segments], dtype=bool)
        # Of imported ones the last, of others the first.
        last = given[np.searchsorted(self._starts, later.astype(np.int64), "right") - 1]
        found[np.where(last, earlier, later)] = False
        return found

    def given_digest(self) -> str:
        """16 hex digits that name the imported translations, in whatever files; empty without any."""
        if not self.has_given:
            return ""
        given: dict[bytes, str] = {}
        for segment in self.segments:
            if segment.given:
                table = rows(self._local.read(segment.name), ["key", "translation"])
                given.update(zip(*(column.to_pylist() for column in table.columns), strict=True))
        digest = hashlib.blake2b(digest_size=8)
        for key in sorted(given):
            digest.update(key + hashlib.blake2b(given[key].encode(), digest_size=16).digest())
        return digest.hexdigest()


def is_utf8(text: str) -> bool:
    """Whether the text has no halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class Recalled:
    """Translations in the order of the requests, and how many of the requests the memory knew."""

    translations: list[Translation]
    known: int


class RememberingEngine:
    """An engine that asks a memory first, and adds to it what it had to translate; close it after use."""

    def __init__(self, engine: Engine, memory: Memory, origin: Origin) -> None:
        """`origin`: says of the engine all that its translations depend on, but for its shortlists."""
        self._engine, self._memory, self._full = engine, memory, origin
        self._origin = with_shortlists(origin, engine.shortlist_digest)

    def close(self) -> None:
        """Closes the engine and the memory."""
        self._engine.close()
        self._memory.close()

    def supports(self, code: str) -> bool:
        """Was the model trained on this language?"""
        return self._engine.supports(code)

    def devices(self) -> int:
        """GPUs that translate side by side; 1 on a CPU."""
        return self._engine.devices

    def is_shortlisted(self, code: str) -> bool:
        """Whether translations into this language may only use a list of the vocabulary."""
        return code in self._engine.shortlisted

    def translate(
        self, requests: Sequence[Request], *, whole: bool = False, full: bool = False
    ) -> list[Translation]:
        """As `Engine.translate`; what the memory does not know is translated in one call and added to it.

        Raises:
            ValueError: a language that the model was not trained on.
            MemoryFolderError: the memory cannot be read or written.
        """
        return self.recall(requests, whole=whole, full=full).translations

    def given(self, requests: Sequence[Request]) -> list[Translation | None]:
        """The imported translations of these texts, which people made; None where there is none.

        Raises:
            MemoryFolderError: the memory cannot be read.
        """
        if not self._memory.has_given:
            return [None] * len(requests)
        # Of no call: the one that was imported last counts.
        return self._memory.find(GIVEN.keys(requests, whole=False), b"")

    def recall(self, requests: Sequence[Request], *, whole: bool = False, full: bool = False) -> Recalled:
        """As `translate`, and says how many requests were known."""
        distinct = list(dict.fromkeys(requests))
        origin = self._full if full else self._origin
        keys = origin.keys(distinct, whole=whole)
        call = hashlib.blake2b(b"".join(sorted(keys)), digest_size=16).digest()
        known = dict(zip(distinct, self._memory.find(keys, call), strict=True))
        if origin != self._full:
            # What the whole vocabulary gave, before there were lists, is as good.
            unknown = [one for one, made in known.items() if made is None]
            found = self._memory.find(self._full.keys(unknown, whole=whole), call)
            known.update(zip(unknown, found, strict=True))
        if not whole:
            given = self.given(distinct)
            known.update((one, made) for one, made in zip(distinct, given, strict=True) if made is not None)
        missing = [request for request in distinct if known[request] is None]
        if missing:
            made = self._engine.translate(missing, whole=whole, full=full)
            self._memory.add(origin, call, missing, made, whole=whole)
            known.update(zip(missing, made, strict=True))
        translations = [one for request in requests if (one := known[request]) is not None]
        lost = frozenset(missing)
        return Recalled(translations, sum(request not in lost for request in requests))
