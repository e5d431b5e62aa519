"""Rows to look at: some of each language, accepted and rejected, always the same ones of the same mix.

Which rows are shown depends on hashes of their ids. They come from a few row groups, so that a large mix is
not read whole for its pictures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.hashing import hash_of, hashes_of
from pipelines.mix_files import ShardFile
from pipelines.reasons import short_reasons
from pipelines.report.tallies import opened
from translation.row import IMAGE_COLUMNS, row_schema

GROUPS = 3
"""Row groups at least that the rows of a language and verdict come from, if it has so many."""
ENOUGH = 20
"""Rows to choose from for each one that is shown, before no further row group is asked."""
PICTURES_AT_ONCE = 16

_PURPOSE = "report"
_TEXTS = tuple(name for name in row_schema().names if name not in (*IMAGE_COLUMNS, "provenance"))


@dataclass(frozen=True)
class Sample:
    """A row that is shown."""

    row: Mapping[str, Any]
    """Its columns but pictures and provenance."""
    pictures: tuple[Mapping[str, Any], ...]
    """What its columns of pictures hold, `bytes` and `path`; without those that it has not."""


def read_samples(directory: str, files: Sequence[ShardFile], count: int) -> list[Sample]:
    """At most `count` rows of files of one language and verdict.

    Every task of accepted rows, and every reason of rejected ones, comes once before any comes twice.

    Raises:
        DamagedMix: a file cannot be read.
    """
    chosen = _choose(_candidates(directory, files, count), count)
    by_group: dict[tuple[str, int], list[int]] = {}
    for one in chosen:
        by_group.setdefault((one.path, one.group), []).append(one.place)
    found: dict[tuple[str, int, int], Sample] = {}
    for (path, group), places in by_group.items():
        for place, sample in zip(sorted(places), _read(directory, path, group, sorted(places)), strict=True):
            found[path, group, place] = sample
    return [found[one.path, one.group, one.place] for one in chosen]


@dataclass(frozen=True)
class _Candidate:
    path: str
    group: int
    place: int
    """In the row group."""
    stratum: str
    """Task of an accepted row, short reason of a rejected one."""
    hash: int


def _candidates(directory: str, files: Sequence[ShardFile], count: int) -> list[_Candidate]:
    groups: list[tuple[int, str, int, int, bool]] = []
    for file in files:
        with opened(directory, file.path) as parquet:
            for group in range(parquet.num_row_groups):
                order = hash_of(0, _PURPOSE, f"{file.path}#{group}")
                rows = parquet.metadata.row_group(group).num_rows
                groups.append((order, file.path, group, rows, file.accepted))
    found: list[_Candidate] = []
    for asked, (_, path, group, _, accepted) in enumerate(sorted(groups)):
        if asked >= GROUPS and len(found) >= ENOUGH * count:
            break
        with opened(directory, path) as parquet:
            rows = parquet.read_row_group(group, columns=["id", "task", "reason"])
        strata = rows.column("task") if accepted else pc.fill_null(short_reasons(rows.column("reason")), "")
        hashes = hashes_of(0, _PURPOSE, rows.column("id").to_pylist())
        found += [
            _Candidate(path, group, place, stratum, one)
            for place, (stratum, one) in enumerate(zip(strata.to_pylist(), hashes.tolist(), strict=True))
        ]
    return found


def _choose(candidates: Sequence[_Candidate], count: int) -> list[_Candidate]:
    """Of each stratum in turn, the commonest first, the row with the least hash; in that order."""
    rows = Counter(one.stratum for one in candidates)
    taken: Counter[str] = Counter()
    ranked: list[tuple[int, int, str, int, _Candidate]] = []
    for one in sorted(candidates, key=lambda one: (one.hash, one.path, one.group, one.place)):
        ranked.append((taken[one.stratum], -rows[one.stratum], one.stratum, len(ranked), one))
        taken[one.stratum] += 1
    return [one for *_, one in sorted(ranked, key=lambda item: item[:4])[:count]]


def _read(directory: str, path: str, group: int, places: Sequence[int]) -> Iterator[Sample]:
    """The rows at ascending places of a row group."""
    with opened(directory, path) as parquet:
        there = set(parquet.schema_arrow.names)
        texts = parquet.read_row_group(group, columns=[name for name in _TEXTS if name in there])
        rows = texts.take(pa.array(places)).to_pylist()
        columns = [name for name in IMAGE_COLUMNS if name in there]
        for row, pictures in zip(rows, _pictures(parquet, group, columns, places), strict=True):
            # An earlier version had fewer columns.
            yield Sample(dict.fromkeys(_TEXTS) | row, pictures)


def _pictures(
    parquet: pq.ParquetFile, group: int, columns: Sequence[str], places: Sequence[int]
) -> Iterator[tuple[Mapping[str, Any], ...]]:
    """Of the rows at ascending places; reads no further than the last of them."""
    first, wanted = 0, list(places)
    if not wanted:
        return
    for batch in parquet.iter_batches(PICTURES_AT_ONCE, row_groups=[group], columns=list(columns)):
        here = [place - first for place in wanted if first <= place < first + len(batch)]
        if here:
            for row in batch.take(pa.array(here, pa.int64())).to_pylist():
                yield tuple(row[name] for name in columns if row[name] is not None)
        first += len(batch)
        if first > wanted[-1]:
            return


def find_shared(directory: str, paths: Sequence[str], names: frozenset[str]) -> Iterator[tuple[str, bytes]]:
    """Pictures of a mix with `images: shared` by the names that its rows have for them.

    Raises:
        DamagedMix: a file cannot be read.
    """
    wanted = pa.array(sorted(names), pa.string())
    for path in paths:
        with opened(directory, path) as parquet:
            ids = parquet.read(columns=["image_id"]).column("image_id")
            places = np.flatnonzero(pc.is_in(ids, wanted).to_numpy(zero_copy_only=False)).tolist()
            first = 0
            for group in range(parquet.num_row_groups):
                rows = parquet.metadata.row_group(group).num_rows
                here = [place for place in places if first <= place < first + rows]
                inside = [place - first for place in here]
                for place, pictures in zip(here, _pictures(parquet, group, ["image"], inside), strict=True):
                    for picture in pictures:
                        yield ids[place].as_py(), picture["bytes"]
                first += rows
