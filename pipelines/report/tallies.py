"""Counts over all rows of a mix: tasks, sources and scores, streamed from its files without pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.filesystem import cause_of, join, open_binary
from pipelines.mix_files import ShardFile
from pipelines.report.histograms import Histogram
from pipelines.report.rules import FLAGS
from translation.row import PROMPT_PREFIX, ROW_SCORES

PLOTTED = tuple(
    name for name in ROW_SCORES if name.removeprefix(PROMPT_PREFIX) not in ("words", "letters", *FLAGS)
)
"""Scores with a distribution: sizes are none, and flags are counted by their reason."""

BATCH_ROWS = 50_000
BUFFER = 2**20
"""Bytes that are read at once of a column; by default Arrow takes a column of a row group whole."""


class DamagedMix(RuntimeError):
    """A file of a mix is missing, cannot be read, or holds something else than the manifest says."""


@dataclass
class Tally:
    """What was counted of some rows; keys are (name, accepted)."""

    tasks: Counter[tuple[str, bool]] = field(default_factory=Counter)
    sources: Counter[tuple[str, bool]] = field(default_factory=Counter)
    scores: dict[str, Histogram] = field(default_factory=dict)
    """By name, those that some row has."""

    @property
    def shown(self) -> list[str]:
        """Names of the scores, those of targets before those of prompts."""
        return [name for name in PLOTTED if name in self.scores]

    def include(self, other: Tally) -> None:
        """Adds what another tally counted."""
        self.tasks += other.tasks
        self.sources += other.sources
        for name, histogram in other.scores.items():
            self.scores.setdefault(name, Histogram(name)).include(histogram)


@contextmanager
def opened(directory: str, path: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file of a mix, for reading by and by.

    Raises:
        DamagedMix: it is missing or damaged.
    """
    whole = join(directory, *path.split("/"))
    try:
        with open_binary(whole) as stream:
            yield pq.ParquetFile(stream, buffer_size=BUFFER)
    except (OSError, pa.ArrowException) as error:
        raise DamagedMix(
            f"{whole}: cannot be read ({cause_of(error)}); `translate-mix verify` says what is wrong"
        ) from error


def tally_file(
    directory: str, file: ShardFile, advance: Callable[[int], object] = lambda rows: None
) -> Tally:
    """Counts the rows of a file.

    Args:
        advance: is told how many rows more were counted.

    Raises:
        DamagedMix: the file cannot be read, or holds other rows than the manifest says.
    """
    tally = Tally()
    with opened(directory, file.path) as parquet:
        if parquet.metadata.num_rows != file.rows:
            raise DamagedMix(
                f"{file.path}: holds {parquet.metadata.num_rows:,} rows, not {file.rows:,} as the manifest "
                "says; `translate-mix verify` says what is wrong"
            )
        there = {parquet.schema.column(index).path for index in range(len(parquet.schema))}
        scores = [name for name in PLOTTED if f"scores.{name}" in there]
        columns = ["task", "dataset", *(f"scores.{name}" for name in scores)]
        for batch in parquet.iter_batches(BATCH_ROWS, columns=columns):
            _count(tally, batch, scores, file.accepted)
            advance(len(batch))
    return tally


def _count(tally: Tally, rows: pa.RecordBatch, scores: list[str], accepted: bool) -> None:
    for name, counter in (("task", tally.tasks), ("dataset", tally.sources)):
        found = pc.value_counts(rows.column(name))
        for value, count in zip(
            found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True
        ):
            counter[value, accepted] += count
    structs = rows.column("scores")
    for name in scores:
        values = pc.struct_field(structs, name)
        if values.null_count < len(values):
            as_numbers = values.to_numpy(zero_copy_only=False).astype(np.float32)
            tally.scores.setdefault(name, Histogram(name)).add(as_numbers, accepted)
