"""How often rows are seen in an epoch: weights of mixes, tasks and languages, met by quota.

Every weight is a number of times that a row is seen in an epoch: 1 once, 2 twice, 0.5 in every second one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.draws import Integers, fractions, shuffled
from training.mixes import Mix, MixError
from translation.languages import ENGLISH
from translation.row import TASKS

MAX_TIMES = 4.0
"""Rows of small languages are not seen more often by default: on repeated data, up to 4 epochs are worth
nearly as much as new data (Muennighoff et al. 2023, Scaling Data-Constrained Language Models)."""


@dataclass(frozen=True)
class Mixture:
    """Weights of what several mixes hold."""

    tasks: Mapping[str, float] = field(default_factory=dict)
    """Task -> times that its rows are seen in an epoch; 1 for tasks that are not named, 0 leaves one out."""
    alpha: float = 1.0
    """Languages other than English: 1 leaves their shares as they are, 0 makes them equal, between them the
    shares are raised to this power (as in mT5). English keeps its share: that is set when a mix is made."""
    max_times: float = MAX_TIMES
    """How often `alpha` may have a row seen in an epoch."""

    def __post_init__(self) -> None:
        for task, times in self.tasks.items():
            check_times(times, f"tasks.{task}")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha: {self.alpha!r} is not between 0 and 1")
        if not (math.isfinite(self.max_times) and self.max_times >= 1):
            raise ValueError(f"max_times: {self.max_times!r} must be at least 1")


def check_times(times: float, key: str) -> None:
    """Raises ValueError unless it is a finite number of at least 0."""
    if not (math.isfinite(times) and times >= 0):
        raise ValueError(f"{key}: {times!r} must be a number of at least 0")


@dataclass(frozen=True)
class Cell:
    """The rows of one task (all tasks if None) in one row group."""

    mix: int
    group: int
    """In the mix's `groups`."""
    task: str | None
    language: str
    rows: int


class NoSuchTask(MixError):
    """A task has a weight, and no row has it; or it is left out, and there is none of this name."""

    def __init__(self, task: str, there: Iterable[str]) -> None:
        super().__init__(f"no row has this task; there are {', '.join(sorted(there))}")
        self.task = task


def cells_of(mixes: Sequence[Mix], mixture: Mixture) -> tuple[Cell, ...]:
    """All rows, parted as finely as the mixture weighs them; with task weights this reads the column `task`.

    Raises:
        MixError: a shard cannot be read.
        NoSuchTask: a task with a weight is in no mix, or one that is left out is none that mixes are made of.
    """
    cells: list[Cell] = []
    seen: set[str] = set()
    for number, mix in enumerate(mixes):
        whole: list[dict[str | None, int]] = [{None: group.rows} for group in mix.groups]
        counts = mix.task_counts() if mixture.tasks else whole
        for index, (group, tasks) in enumerate(zip(mix.groups, counts, strict=True)):
            for task, rows in sorted(tasks.items(), key=lambda item: item[0] or ""):
                seen.add(task or "")
                cells.append(Cell(number, index, task, group.language, rows))
    for task, weight in mixture.tasks.items():
        # What some mixes lack can be left out of all; a slip of the pen would leave nothing out, unnoticed.
        if task not in seen and (weight or task not in TASKS):
            raise NoSuchTask(task, seen)
    return tuple(cells)


def times_of(cells: Sequence[Cell], weights: Sequence[float], mixture: Mixture) -> NDArray[np.float64]:
    """How often each cell's rows are seen in an epoch, on average over epochs.

    Args:
        weights: of each mix.
    """
    times = np.array(
        [weights[cell.mix] * (mixture.tasks.get(cell.task, 1.0) if cell.task else 1.0) for cell in cells]
    )
    rows = np.array([cell.rows for cell in cells], dtype=np.float64)
    languages = np.array([cell.language for cell in cells])
    present = [code for code in np.unique(languages) if code != ENGLISH]
    sizes = np.array([float((times * rows)[languages == code].sum()) for code in present])
    if mixture.alpha == 1 or not sizes.any():
        return times
    tempered = np.where(sizes > 0, np.power(np.maximum(sizes, 1), mixture.alpha), 0)
    wanted = tempered / tempered.sum() * sizes.sum()
    for code, size, want in zip(present, sizes, wanted, strict=True):
        if size > 0:
            chosen = languages == code
            # A mix or task that the user weighs more than that is the user's own will.
            limit = np.maximum(times[chosen], mixture.max_times)
            times[chosen] = np.minimum(times[chosen] * (want / size), limit)
    return times


def copies_of(rows: Integers, times: NDArray[np.float64], seed: int, epoch: int) -> tuple[Integers, Integers]:
    """How many rows each cell gives to an epoch, and where in the cell's own order they start.

    That is `times` x rows, rounded up or down; over epochs it is exact. An epoch goes on where the one before
    stopped, in a circle, so that all rows of a cell are seen before one is seen again.

    Args:
        rows: of each cell.
    """
    wanted = rows * times
    # Cells round at different places, so that their sum is right too.
    offsets = fractions(f"{seed} quota", len(rows))
    starts = np.floor(wanted * epoch + offsets).astype(np.int64)
    ends = np.floor(wanted * (epoch + 1) + offsets).astype(np.int64)
    return ends - starts, starts % rows


def rows_of(cell: Cell, copies: int, start: int, seed: int) -> Integers:
    """Which of a cell's rows an epoch sees, by their place among the cell's rows, `copies` in all."""
    order = shuffled(f"{seed} cell {cell.mix} {cell.group} {cell.task}", cell.rows)
    return order[(start + np.arange(copies)) % cell.rows]
