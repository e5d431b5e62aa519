"""What one epoch sees, and in what order: the plan that is made before any row is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.draws import Integers
from training.mixes import Mix
from training.mixture import Cell, copies_of
from training.order import OrderSettings, batch_count, interleaved, spread, windows_of


@dataclass(frozen=True)
class Share:
    """What a cell gives to an epoch."""

    cell: Cell
    copies: int
    start: int
    """Where in the cell's own order they start; see `training.mixture.rows_of`."""


@dataclass(frozen=True)
class Epoch:
    """The windows and batches of one epoch."""

    windows: Sequence[Sequence[Share]]
    window: Integers
    """Of each batch."""
    place: Integers
    """Of each batch in its window."""

    @property
    def batches(self) -> int:
        return len(self.window)


def plan_epoch(
    mixes: Sequence[Mix],
    cells: Sequence[Cell],
    times: NDArray[np.float64],
    settings: OrderSettings,
    seed: int,
    epoch: int,
) -> Epoch:
    """The plan of one epoch, a function of its arguments alone.

    Args:
        times: that the rows of each cell are seen in an epoch.
    """
    cell_rows = np.array([cell.rows for cell in cells], dtype=np.int64)
    copies, starts = copies_of(cell_rows, times, seed, epoch)
    pieces: dict[tuple[int, int, int], list[Share]] = {}
    for cell, count, start in zip(cells, copies.tolist(), starts.tolist(), strict=True):
        for part in range(settings.parts):
            first, end = count * part // settings.parts, count * (part + 1) // settings.parts
            if end > first:
                piece = pieces.setdefault((cell.mix, cell.group, part), [])
                piece.append(Share(cell, end - first, start + first))
    members = list(pieces.values())
    strata = [(shares[0].cell.mix, shares[0].cell.language) for shares in members]
    order = spread(strata, f"{seed} {epoch} pieces")
    rows = np.array([sum(share.copies for share in members[piece]) for piece in order], dtype=np.int64)
    sizes = np.array([_size(mixes, members[piece]) for piece in order], dtype=np.int64)
    windows = windows_of(rows, sizes, settings)
    counts = [batch_count(int(rows[first:end].sum()), settings.batch_size) for first, end in windows]
    window, place = interleaved(counts, settings.lanes)
    shares = [[share for piece in order[first:end] for share in members[piece]] for first, end in windows]
    return Epoch(shares, window, place)


def _size(mixes: Sequence[Mix], shares: Sequence[Share]) -> int:
    """Bytes in memory of the rows of one row group."""
    cell = shares[0].cell
    group = mixes[cell.mix].groups[cell.group]
    rows = sum(min(share.copies, share.cell.rows) for share in shares)
    return group.bytes * rows // group.rows
