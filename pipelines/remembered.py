"""`translate-mix memory`: what the memory of a mix holds, made smaller, given to others, filled."""

from __future__ import annotations

import hashlib
import itertools
import json
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.exchange import LeftOut, Pair, fits, kind_of, read_pairs, write_pairs
from pipelines.filesystem import is_local, join, remove, write_atomically
from pipelines.manifest import is_finished
from pipelines.ownership import locked
from translation.languages import ENGLISH
from translation.memory import GIVEN, Memory, finish, is_utf8, unfinished_number
from translation.memory_compaction import Compacted, compact
from translation.memory_segments import DAMAGED, SegmentFolder, batches, table_of
from translation.mix_folder import MEMORY, WORK
from translation.translations import Request

IMPORT_ROWS = 50_000
"""Of one segment: some megabytes."""


def memory_folder(directory: str) -> str:
    """The memory of a mix.

    Raises:
        ValueError: there is none.
    """
    folder = join(directory, MEMORY)
    if not SegmentFolder(folder).names():
        raise ValueError(f"{directory}: no translation memory ({folder} is missing or empty); name a mix")
    return folder


@dataclass(frozen=True, order=True)
class Group:
    """Entries that the same engine made between the same languages."""

    engine: str
    model: str
    decoding: str
    source: str
    target: str


@dataclass(frozen=True)
class MemoryStats:
    """What a memory holds."""

    entries: int
    repeated: int
    """Entries of a text that another batch had too; `compact` drops those that are alike."""
    segments: int
    size: int
    """Bytes."""
    damaged: int
    """Files that were set aside, now or earlier."""
    groups: dict[Group, int]


def memory_stats(directory: str) -> MemoryStats:
    """Counts the entries; damaged segments are set aside.

    Raises:
        ValueError: the mix has no memory.
        MemoryFolderError: it cannot be read.
    """
    folder = memory_folder(directory)
    files = SegmentFolder(folder)
    with Memory(folder) as memory:
        groups: Counter[Group] = Counter()
        names = ["engine", "model", "decoding", "source", "target"]
        for table in _tables(files, memory):
            counted = table.select(names).group_by(names).aggregate([([], "count_all")])
            for row in counted.to_pylist():
                groups[Group(**{name: row[name] for name in names})] += row["count_all"]
        return MemoryStats(
            entries=len(memory),
            repeated=len(memory) - int(memory.winners().sum()),
            segments=len(memory.segments),
            size=sum(files.size(segment.name) for segment in memory.segments),
            damaged=sum(name.endswith(DAMAGED) for name in files.names()),
            groups=dict(sorted(groups.items())),
        )


def _tables(files: SegmentFolder, memory: Memory) -> Iterator[pa.Table]:
    """All entries in the order of `Memory.winners`."""
    for segment in memory.segments:
        yield from batches(files.read(segment.name))


def render_memory(stats: MemoryStats, console: Console) -> None:
    """The numbers of entries by what made them and by languages, most first, and the files."""
    makers: dict[tuple[str, str, str], list[tuple[Group, int]]] = {}
    for group, entries in sorted(stats.groups.items(), key=lambda item: (-item[1], item[0])):
        makers.setdefault((group.engine, group.model, group.decoding), []).append((group, entries))
    for (engine, model, decoding), pairs in makers.items():
        console.print(Text(f"{engine}, model {model}, {_shortened(decoding)}"))
        table = Table("from", "to", box=None)
        table.add_column("entries", justify="right")
        for group, entries in pairs:
            table.add_row(group.source, group.target, f"{entries:,}")
        console.print(table)
        console.print()
    files = f"{stats.segments:,} segments, {stats.size / 2**20:,.1f} MiB, {stats.damaged:,} damaged files"
    console.print(f"{stats.entries:,} entries ({stats.repeated:,} repeated), {files}")
    if stats.repeated:
        console.print("Repeated: of a text that another batch had too; `compact` drops those that are alike.")


def _shortened(decoding: str) -> str:
    """The beam and a digest, since parameters fill a line; `--json` has all."""
    try:
        beam = json.loads(decoding)["beam_size"]
    except (ValueError, TypeError, KeyError):
        return decoding
    return f"beam {beam} ({hashlib.sha256(decoding.encode()).hexdigest()[:6]})"


@contextmanager
def _alone(directory: str) -> Iterator[None]:
    """No run and no other command works on the mix meanwhile, if it is on this machine.

    Raises:
        ValueError: one does.
    """
    if not is_local(directory):
        yield
        return
    unfinished = Path(directory, WORK).exists()
    with locked(Path(directory)):
        try:
            yield
        finally:
            # What a run that was killed left there is for the next try.
            if not unfinished:
                remove(join(directory, WORK))


def compact_memory(directory: str) -> Compacted:
    """Merges the segments of a mix's memory.

    Raises:
        ValueError: the mix has no memory, or a run works on it.
        MemoryFolderError: it cannot be read or written.
    """
    folder = memory_folder(directory)
    with _alone(directory):
        if is_finished(directory):
            # A run that was killed at its very end leaves its mark.
            finish(folder)
        return compact(folder)


@dataclass
class Exported:
    """What went into the file."""

    pairs: int = 0
    unfit: int = 0
    """Entries with characters that the format has no place for."""
    broken: int = 0
    """Entries that are cut off, empty or hold what the model could not write: no one should import those."""


def export_memory(directory: str, path: str) -> Exported:
    """Writes the translations of whole texts out of English, each once, to a TMX or TSV file, in one step.

    Raises:
        ValueError: the mix has no memory, or the suffix is neither.
        MemoryFolderError: the memory cannot be read.
        OutputError: the file cannot be written.
    """
    kind, folder = kind_of(path), memory_folder(directory)
    done = Exported()

    def pairs(memory: Memory) -> Iterator[Pair]:
        winners, start = memory.winners(), 0
        for table in _tables(SegmentFolder(folder), memory):
            kept = pa.array(winners[start : start + len(table)])
            start += len(table)
            for row in table.filter(kept).to_pylist():
                if row["source"] != ENGLISH or row["whole"]:
                    continue
                if row["cut_off"] or row["unknown"] or row["empty"]:
                    done.broken += 1
                    continue
                pair = Pair(
                    row["text"], row["target"], row["translation"],
                    row["engine"], row["model"], row["decoding"], row["score"],
                )  # fmt: skip
                if fits(pair, kind):
                    done.pairs += 1
                    yield pair
                else:
                    done.unfit += 1

    with Memory(folder) as memory:
        write_atomically(
            path,
            lambda file: write_pairs(file, kind, pairs(memory), version("translate-mix")),
            attempt=uuid.uuid4().hex,
        )
    return done


@dataclass
class Imported:
    """What came out of the file."""

    pairs: int = 0
    left_out: int = 0
    shown: list[LeftOut] = field(default_factory=list)
    """The first few of those."""


def import_memory(directory: str, path: str | Path, show: int = 5) -> Imported:
    """Adds the translations of a TMX or TSV file; runs on the mix use them before any engine's.

    The whole file is read before anything is added. Of several translations of a text the last one counts,
    and what is imported later.

    Raises:
        ValueError: the file is of another layout, or a run works on the mix.
        DamagedExchange: the file breaks off.
        MemoryFolderError: the memory cannot be written.
    """
    kind_of(str(path))
    done = Imported()
    for one in read_pairs(path):
        if isinstance(one, Pair) and is_utf8(one.text + one.translation):
            done.pairs += 1
            continue
        done.left_out += 1
        if len(done.shown) < show:
            done.shown.append(one if isinstance(one, LeftOut) else LeftOut(str(path), "no valid Unicode"))
    if not done.pairs:
        return done
    with _alone(directory):
        files = SegmentFolder(join(directory, MEMORY))
        generations = [segment.generation for segment in files.segments()]
        number = max([0, unfinished_number(files) or 0, *generations]) + 1
        pairs = (
            one for one in read_pairs(path) if isinstance(one, Pair) and is_utf8(one.text + one.translation)
        )
        # In the order of their names, so that what stands later in the file is later in the memory too.
        position = 0
        while some := list(itertools.islice(pairs, IMPORT_ROWS)):
            files.write([_given_table(some)], number, number=position, given=True)
            position += 1
    return done


def _given_table(pairs: list[Pair]) -> pa.Table:
    requests = [Request(pair.text, ENGLISH, pair.target) for pair in pairs]
    entries = [
        (ENGLISH, pair.target, pair.text, pair.translation, 0.0, False, False, False) for pair in pairs
    ]
    origin = (GIVEN.engine, GIVEN.model, GIVEN.decoding)
    return table_of(GIVEN.keys(requests, whole=False), bytes(16), origin, False, entries)
