"""Rows of one language to the shards where a run with other filters would have put them.

Only what changes is written. Rows that change their shard go through a file on disk for each shard they go
to, so that every old file is read once for them, and at most one shard is in memory.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.filesystem import OutputError, failed_write, is_local, join, make_directory, open_binary
from pipelines.images import EMBED
from pipelines.journal import staged
from pipelines.mix_files import ShardFile, schema_of
from pipelines.sink import (
    ROW_BYTES,
    Part,
    cuts_for,
    key_of,
    ordered_groups,
    shard_name,
    sizes_of_slots,
    slot_of,
    write_shard,
)
from translation.mix_folder import DATA, REJECTED, TRAIN, WORK
from translation.row import ACCEPT, IMAGE_COLUMNS, REJECT, row_schema


class RefilterFailed(RuntimeError):
    """The mix could not be judged or written again; it is the old one, or another try finishes it."""


@dataclass(frozen=True)
class Layout:
    """What decides, apart from its content, in which shard a row stands; as the recipe says."""

    images: str
    """As the recipe has it."""
    shard_bytes: int

    @property
    def embed(self) -> bool:
        return self.images == EMBED


@dataclass(frozen=True)
class JudgedFile:
    """A shard of a mix with what is to become of its rows."""

    file: ShardFile
    reasons: pa.Array
    """New reason of each row; null accepts it."""
    changed: NDArray[np.bool_]
    """Where that is another one than before."""

    @property
    def moves(self) -> bool:
        """Whether a row is accepted that was not, or the reverse."""
        return bool((self.accepted != self.file.accepted).any())

    @property
    def accepted(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = self.reasons.is_null().to_numpy(zero_copy_only=False)
        return found


@dataclass(frozen=True)
class _Shard:
    """A shard as it shall be."""

    name: str
    part: Part
    rows: int
    stays: ShardFile | None
    """The file that holds exactly these rows already."""


@contextmanager
def opened(directory: str, file: ShardFile) -> Iterator[pq.ParquetFile]:
    """A file of a mix.

    Raises:
        RefilterFailed: it is missing or damaged, or another version wrote it.
    """
    path = join(directory, *file.path.split("/"))
    try:
        with open_binary(path) as stream:
            parquet = pq.ParquetFile(stream)
            if parquet.metadata.num_rows != file.rows:
                raise RefilterFailed(
                    f"{path}: holds {parquet.metadata.num_rows:,} rows, not {file.rows:,} as the manifest "
                    "says; `translate-mix verify` lists what is wrong"
                )
            if not parquet.schema_arrow.equals(row_schema()):
                raise RefilterFailed(
                    f"{path}: its columns are not those of this version of translate-mix; make the mix again "
                    "with `run --overwrite`"
                )
            yield parquet
    except (OSError, pa.ArrowException) as error:
        raise RefilterFailed(
            f"{path}: cannot be read ({error}); `translate-mix verify` lists what is wrong"
        ) from error


def stage_language(directory: str, judged: Sequence[JudgedFile], layout: Layout) -> list[ShardFile]:
    """Stages the shards of one language that change, and returns all that it has then.

    Raises:
        RefilterFailed: a file cannot be read, or lacks a picture that an accepted row needs.
        OutputError: a new file cannot be written.
    """
    if not any(one.changed.any() for one in judged):
        return [one.file for one in judged]
    places = _places(directory, judged, layout)
    shards = _shards(judged, places)
    make_directory(join(directory, WORK))
    with tempfile.TemporaryDirectory(
        prefix="moving-", dir=Path(directory, WORK) if is_local(directory) else None
    ) as folder:
        moving = _spill(directory, judged, places, shards, Path(folder), layout.embed)
        schema = schema_of(layout.images)
        return [_stage(directory, shard, judged, places, moving, schema) for shard in shards]


@dataclass(frozen=True)
class _Places:
    """Where rows go."""

    names: tuple[tuple[str, Part], ...]
    """Of the shards."""
    of_rows: tuple[NDArray[np.int32], ...]
    """Per judged file and row, an index into `names`."""


def _places(directory: str, judged: Sequence[JudgedFile], layout: Layout) -> _Places:
    names: dict[tuple[str, Part], int] = {}
    if not any(one.moves for one in judged):
        # Then no part has other rows than before, so each keeps its shards.
        for one in judged:
            names[one.file.path, _part(one.file)] = len(names)
        everywhere = [np.full(one.file.rows, index, np.int32) for index, one in enumerate(judged)]
        return _Places(tuple(names), tuple(everywhere))
    parts: list[list[Part]] = []
    slots: list[NDArray[np.int64]] = []
    sizes: dict[Part, NDArray[np.int64]] = {}
    for one in judged:
        with opened(directory, one.file) as parquet:
            keys, splits = _keys_and_splits(parquet)
            slots.append(np.array([slot_of(key) for key in keys], np.int64))
            pictures = _picture_sizes(parquet) if layout.embed else np.zeros(one.file.rows, np.int64)
        parts.append(
            [
                _part_of(one.file, accepted, split)
                for accepted, split in zip(one.accepted.tolist(), splits, strict=True)
            ]
        )
        for part, rows in _rows_of(parts[-1]).items():
            more = sizes_of_slots(slots[-1][rows], pictures[rows] + ROW_BYTES)
            sizes[part] = sizes[part] + more if part in sizes else more
    cuts = {part: cuts_for(of_slots, layout.shard_bytes) for part, of_slots in sizes.items()}
    of_rows = []
    for in_parts, of_file in zip(parts, slots, strict=True):
        indices = np.empty(len(of_file), np.int32)
        for row, (part, slot) in enumerate(zip(in_parts, of_file.tolist(), strict=True)):
            name = shard_name(part, bisect_right(cuts[part], slot), len(cuts[part]) + 1)
            indices[row] = names.setdefault((name, part), len(names))
        of_rows.append(indices)
    return _Places(tuple(names), tuple(of_rows))


def _rows_of(parts: Sequence[Part]) -> dict[Part, list[int]]:
    """Which rows each part has."""
    found: dict[Part, list[int]] = {}
    for row, part in enumerate(parts):
        found.setdefault(part, []).append(row)
    return found


def _part(file: ShardFile) -> Part:
    return DATA if file.accepted else REJECTED, file.language, file.split


def _part_of(file: ShardFile, accepted: bool, split: str) -> Part:
    """The part of a row of a file; a row that stays where it was keeps its split."""
    if accepted == file.accepted:
        return _part(file)
    return (DATA, file.language, split) if accepted else (REJECTED, file.language, TRAIN)


def _keys_and_splits(parquet: pq.ParquetFile) -> tuple[list[str], list[str]]:
    table = parquet.read(columns=["image_id", "id", "split"])
    keys = [
        key_of(image_id, row_id)
        for image_id, row_id in zip(
            table.column("image_id").to_pylist(), table.column("id").to_pylist(), strict=True
        )
    ]
    return keys, table.column("split").to_pylist()


def _picture_sizes(parquet: pq.ParquetFile) -> NDArray[np.int64]:
    columns = [f"{column}.bytes" for column in IMAGE_COLUMNS]
    groups = [
        _sizes(parquet.read_row_group(group, columns=columns)) for group in range(parquet.num_row_groups)
    ]
    return np.concatenate([np.empty(0, np.int64), *groups])


def _sizes(table: pa.Table) -> NDArray[np.int64]:
    """Bytes of the pictures in each row, 0 without."""
    sizes = np.zeros(len(table), np.int64)
    for column in IMAGE_COLUMNS:
        lengths = pc.binary_length(pc.struct_field(table.column(column), "bytes"))
        sizes += pc.fill_null(lengths, 0).to_numpy().astype(np.int64)
    return sizes


def _shards(judged: Sequence[JudgedFile], places: _Places) -> list[_Shard]:
    """Every shard that will have rows, and which of them are there already."""
    rows = np.zeros(len(places.names), np.int64)
    for of_rows in places.of_rows:
        rows += np.bincount(of_rows, minlength=len(places.names))
    there = {one.file.path: (one, of_rows) for one, of_rows in zip(judged, places.of_rows, strict=True)}
    made = []
    for index, (name, part) in enumerate(places.names):
        stays = None
        if name in there:
            one, of_rows = there[name]
            same = one.file.rows == rows[index] and (of_rows == index).all() and not one.changed.any()
            stays = one.file if same else None
        made.append(_Shard(name, part, int(rows[index]), stays))
    return made


def _spill(
    directory: str,
    judged: Sequence[JudgedFile],
    places: _Places,
    shards: Sequence[_Shard],
    folder: Path,
    embed: bool,
) -> Mapping[str, Path]:
    """Writes the rows that leave their file to a file for each shard they go to, to be mapped to memory.

    Raises:
        RefilterFailed, OutputError: as `stage_language`.
    """
    spilled: dict[str, _Spilled] = {}
    with ExitStack() as stack:
        for one, of_rows in zip(judged, places.of_rows, strict=True):
            goes = np.array([shard.name != one.file.path for shard in shards], np.bool_)[of_rows]
            if not goes.any():
                continue
            with opened(directory, one.file) as parquet:
                for first, rows in _judged_groups(parquet, one, goes):
                    here = of_rows[first : first + len(rows)]
                    leaving = goes[first : first + len(rows)]
                    for index in np.unique(here[leaving]).tolist():
                        name = shards[index].name
                        table = rows.filter(pa.array(leaving & (here == index)))
                        if embed and shards[index].part[0] == DATA:
                            _check_pictures(table, one.file)
                        if name not in spilled:
                            spilled[name] = _Spilled(folder / f"{index}.arrow")
                            stack.callback(spilled[name].close)
                        spilled[name].add(table)
        for file in spilled.values():
            file.finish()
    return {name: file.path for name, file in spilled.items()}


class _Spilled:
    """Rows on their way to another shard, in a file; each step raises OutputError where the disk refuses."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._written():
            self._file = pa.OSFile(str(path), "wb")
            self._writer = pa.ipc.new_file(self._file, row_schema())

    def add(self, table: pa.Table) -> None:
        with self._written():
            self._writer.write_table(table)

    def finish(self) -> None:
        with self._written():
            self._writer.close()

    def close(self) -> None:
        """Gives the file back, finished or not."""
        with self._written():
            self._file.close()

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            size = self.path.stat().st_size if self.path.exists() else 0
            raise failed_write(error, str(self.path), size) from error


def _judged_groups(
    parquet: pq.ParquetFile, judged: JudgedFile, wanted: NDArray[np.bool_]
) -> Iterator[tuple[int, pa.Table]]:
    """The row groups with a wanted row, with the new verdicts, and the position of their first row."""
    first = 0
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if wanted[first : first + rows].any():
            yield first, _with_reasons(parquet.read_row_group(group), judged.reasons.slice(first, rows))
        first += rows


def _with_reasons(table: pa.Table, reasons: pa.Array) -> pa.Table:
    new = {"reason": reasons, "verdict": pc.if_else(reasons.is_null(), ACCEPT, REJECT)}
    schema = row_schema()
    columns = [new.get(name, table.column(name)) for name in schema.names]
    return pa.Table.from_arrays(columns, schema=schema)


def _check_pictures(table: pa.Table, file: ShardFile) -> None:
    """A mix whose rejected rows hold no pictures cannot accept them."""
    for column in IMAGE_COLUMNS:
        image = table.column(column)
        missing = pc.and_(image.is_valid(), pc.struct_field(image, "bytes").is_null())
        if pc.any(missing).as_py():
            row_id = table.column("id").filter(missing)[0].as_py()
            raise RefilterFailed(
                f"{file.path}: {row_id} would be accepted, but its picture is not in the mix, which an "
                "earlier version of translate-mix made; make it again with `run --overwrite`"
            )


def _stage(
    directory: str,
    shard: _Shard,
    judged: Sequence[JudgedFile],
    places: _Places,
    moving: Mapping[str, Path],
    schema: pa.Schema,
) -> ShardFile:
    if shard.stays is not None:
        return shard.stays
    index = places.names.index((shard.name, shard.part))
    tables = [row_schema().empty_table()]
    for one, of_rows in zip(judged, places.of_rows, strict=True):
        if one.file.path == shard.name:
            stay = of_rows == index
            with opened(directory, one.file) as parquet:
                tables += [
                    rows.filter(pa.array(stay[first : first + len(rows)]))
                    for first, rows in _judged_groups(parquet, one, stay)
                ]
    with ExitStack() as stack:
        if shard.name in moving:
            source = stack.enter_context(pa.memory_map(str(moving[shard.name])))
            tables.append(pa.ipc.open_file(source).read_all())
        rows = pa.concat_tables(tables)
        if len(rows) != shard.rows:
            raise OutputError(f"{shard.name}: {len(rows):,} rows came together, not {shard.rows:,}")
        groups = (group for group, _ in ordered_groups(rows, _sizes(rows)))
        path = staged(directory, shard.name)
        return write_shard(path, shard.name, shard.part, groups, shard.rows, directory, schema)
