"""The order of an epoch: row groups -> windows -> batches, a function of seed, epoch and data alone.

Row groups are put in a random order in which those of a language are spread evenly. Runs of them make
windows; the rows of a window are shuffled, parted into batches by length, and the batches shuffled.
Windows go into `lanes` in turn, and batch i of the epoch comes from lane i mod `lanes`: so the batches
of a training step come from many windows, and where w divides `lanes`, each of w ranks
reads a w-th of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.draws import Integers, fractions, shuffled


@dataclass(frozen=True)
class OrderSettings:
    """How finely data is shuffled, and what that costs in memory; another setting is another order."""

    batch_size: int
    """Examples of a batch at most. A window's batches differ by at most one example."""
    lanes: int = 8
    """Windows that are open at a time, over all ranks; best a multiple of the number of ranks."""
    window_rows: int = 8192
    window_bytes: int = 256 * 2**20
    """Of a window, with the pictures that a mix embeds; what it has of one row group may exceed it."""
    parts: int = 4
    """Into how many windows the rows of a row group go. So often is it read in an epoch, and so many times
    more row groups, each of one language, are mixed in the same memory. 1 reads least, 4 mixes well."""
    picture_tokens: int = 32
    """Visual tokens of a picture, which count for the length of an example as its words do."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "lanes", "window_rows", "window_bytes", "parts", "picture_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)!r} must be at least 1")


def spread(strata: Sequence[object], key: str) -> Integers:
    """A random order in which the items of every stratum lie evenly: half of the order holds half of each.

    Args:
        strata: of each item.
        key: what the order is for.
    """
    order = shuffled(key, len(strata))
    sizes: dict[object, int] = {}
    ranks = np.zeros(len(strata))
    for item in order:
        ranks[item] = sizes.setdefault(strata[item], 0)
        sizes[strata[item]] += 1
    offsets = dict(zip(sizes, fractions(f"{key} offsets", len(sizes)), strict=True))
    places = [(ranks[item] + offsets[strata[item]]) / sizes[strata[item]] for item in range(len(strata))]
    return np.argsort(places, kind="stable")


def windows_of(rows: Integers, sizes: Integers, settings: OrderSettings) -> list[tuple[int, int]]:
    """Runs of row groups, which are in order, as (first, end).

    Args:
        rows: that each group gives to the epoch.
        sizes: of each group in bytes.
    """
    windows: list[tuple[int, int]] = []
    first, held_rows, held_bytes = 0, 0, 0
    # The lanes' first windows have many sizes, so that they do not all end, and the next be read, at once.
    whole = rows.sum() <= settings.window_rows and sizes.sum() <= settings.window_bytes
    for group in range(len(rows)):
        share = 1.0 if whole else min(1.0, (len(windows) + 1) / settings.lanes)
        full = (
            held_rows + rows[group] > settings.window_rows * share
            or held_bytes + sizes[group] > settings.window_bytes * share
        )
        if group > first and full:
            windows.append((first, group))
            first, held_rows, held_bytes = group, 0, 0
        held_rows += int(rows[group])
        held_bytes += int(sizes[group])
    if len(rows) > first:
        windows.append((first, len(rows)))
    return windows


def batch_count(rows: int, batch_size: int) -> int:
    """Batches that so many rows of a window make."""
    return -(-rows // batch_size)


def interleaved(batches: Sequence[int], lanes: int) -> tuple[Integers, Integers]:
    """For each batch of the epoch its window, and its place among the batches of that window.

    Args:
        batches: of each window. Window k is in lane k mod `lanes`.
    """
    places: list[NDArray[np.int64]] = []
    reached = [0] * lanes
    for window, count in enumerate(batches):
        lane = window % lanes
        steps = reached[lane] + np.arange(count)
        places.append(np.stack([steps, np.full(count, lane), np.full(count, window), np.arange(count)]))
        reached[lane] += count
    if not places:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    table = np.concatenate(places, axis=1)
    order = np.lexsort((table[1], table[0]))
    return table[2][order], table[3][order]


def batches_of(costs: Integers, count: int, key: str) -> list[Integers]:
    """The rows of a window as `count` batches of nearly equal size, each of rows of like lengths.

    All rows are parted in halves along the kind of tokens where that leaves the least padding, and so on.

    Args:
        costs: (rows, kinds): tokens of each row that are padded apart: of its pictures, prompt, target.
        count: of batches, which come in random order.
        key: what the order is for.
    """
    order = shuffled(f"{key} rows", len(costs))
    batches = _halved(costs, order, count) if count else []
    return [batches[number] for number in shuffled(f"{key} batches", count)]


def _halved(costs: Integers, rows: Integers, count: int) -> list[Integers]:
    if count == 1:
        return [rows]
    left = count // 2
    cut = round(len(rows) * left / count)
    parted = min(
        (_sorted_by(costs, rows, kind) for kind in range(costs.shape[1])),
        key=lambda ordered: _padded(costs[ordered[:cut]]) + _padded(costs[ordered[cut:]]),
    )
    return _halved(costs, parted[:cut], left) + _halved(costs, parted[cut:], count - left)


def _sorted_by(costs: Integers, rows: Integers, kind: int) -> Integers:
    return rows[np.argsort(costs[rows, kind], kind="stable")]


def _padded(costs: Integers) -> int:
    """Tokens of rows that are all padded to the longest."""
    return len(costs) * int(costs.max(axis=0).sum()) if len(costs) else 0
