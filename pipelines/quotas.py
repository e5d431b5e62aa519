"""Whole numbers of rows for shares of languages: exact for each stratum, and for all of them together."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

NEARLY_WHOLE = 1e-6
"""A product of size and share this near to a whole number is that number, as floats go for 1e9 rows."""


def fitted_shares(sizes: Integers, shares: Floats, eligible: Booleans, per_example: Integers) -> Floats:
    """Each stratum's shares [strata x languages] under which the mix has `shares`, as near as can be.

    A stratum has only its `eligible` languages [strata x languages]; elsewhere the others have less for that.
    This is iterative proportional fitting (Deming and Stephan 1940), with no share above
    1 / per_example, since a unit has a language once. A language with too few eligible units stays below.

    Args:
        sizes: units per stratum.
        shares: of the mix, per language; they sum to 1.
        eligible: which languages a stratum may have.
        per_example: languages per unit, per stratum; at most as many as are eligible and have a share.
    """
    # Strata that are restricted alike have the same shares.
    patterns, pattern_of = _distinct_rows(np.column_stack([eligible & (shares > 0), per_example]))
    open_, copies = patterns[:, :-1], patterns[:, -1]
    if np.any(copies > open_.sum(axis=1)):
        raise ValueError("a stratum has fewer eligible languages than per_example")
    rows = np.bincount(pattern_of, weights=sizes, minlength=len(patterns)) * copies
    wanted = shares * rows.sum()
    factors = np.array(shares, dtype=np.float64)
    fitted, before = _scaled(factors * open_, copies), np.inf
    for _ in range(_FITTING_STEPS):
        reached = rows @ fitted
        off = float(np.abs(reached - wanted).sum())
        if off < _FITTED or off > before * (1 - _FITTING_GAIN):
            break
        factors *= np.divide(wanted, reached, out=np.ones_like(wanted), where=reached > 0)
        # Only ratios count, but what can't be satisfied grows without end; no other may vanish for that.
        factors = np.where(shares > 0, np.maximum(factors / factors.max(), 1e-100), 0)
        fitted, before = _scaled(factors * open_, copies), off
    return fitted[pattern_of]


_FITTING_STEPS = 500
_FITTED = 1e-3
"""Rows that all languages together may be off; rounding to whole rows is coarser."""
_FITTING_GAIN = 1e-6
"""Where a step brings less than this, relatively, the rest can't be reached."""


def _scaled(values: Floats, copies: Integers) -> Floats:
    """Rows times a factor each so that they sum to 1, nothing above 1 / copies; rows without copies are 0."""
    most = np.where(copies > 0, 1 / np.maximum(copies, 1), 0)[:, None]
    full = np.zeros(values.shape, dtype=bool)
    scaled: Floats = np.zeros(values.shape)
    for _ in range(int(copies.max(initial=0)) + 1):
        # What is cut off goes to the others, which may then be too much for some of them.
        rest = np.where(full, 0, values)
        sums = rest.sum(axis=1, keepdims=True)
        room = np.maximum(1 - most * full.sum(axis=1, keepdims=True), 0)
        factor = np.divide(room, sums, out=np.zeros_like(sums), where=(sums > 0) & (most > 0))
        scaled = np.where(full, most, rest * factor)
        over = ~full & (scaled > most * (1 + 1e-12))
        if not over.any():
            break
        full |= over
    return scaled


def quotas(sizes: Integers, shares: Floats, per_example: Integers) -> Integers:
    """How many units of each stratum get each language [strata x languages], by controlled rounding.

    A row sums to exactly size * per_example; a cell is size * per_example * share rounded up or down, never
    above the size; and so is the total of each language over the strata: by largest remainder, but for rare
    cases in which the cells stand against that.

    Args:
        sizes: units per stratum.
        shares: per stratum [strata x languages]; a row sums to 1, and none is above 1 / per_example.
        per_example: languages per unit, per stratum; 0 for a row without shares.

    Raises:
        ValueError: shares do not fit that.
    """
    sums = shares.sum(axis=1)
    if np.any(shares < 0) or not np.allclose(sums, per_example > 0, rtol=0, atol=1e-9):
        raise ValueError("the shares of a stratum must be at least 0 and sum to 1")
    if np.any(shares * per_example[:, None] > 1 + 1e-9):
        raise ValueError("a share above 1 / per_example would give a unit the same language twice")
    exact = shares / np.where(sums > 0, sums, 1)[:, None] * (sizes * per_example)[:, None]
    exact = np.minimum(exact, sizes[:, None])
    whole = np.rint(exact)
    exact = np.where(np.abs(exact - whole) < NEARLY_WHOLE, whole, exact)
    floors: Integers = np.floor(exact).astype(np.int64)
    fractions: Floats = exact - floors
    left = sizes * per_example - floors.sum(axis=1)
    table: Integers = floors + _rounded_up(fractions, left)
    return table


def _rounded_up(fractions: Floats, left: Integers) -> Integers:
    """Which cells [strata x languages] get one more: `left` in each row, only where the fraction is not 0."""
    open_ = fractions > 0
    given = np.zeros(fractions.shape, dtype=bool)
    need = fractions.sum(axis=0)
    # Ryser's construction: it meets all columns where no cell is closed and these totals are possible at all.
    for row in np.flatnonzero(left):
        candidates = np.flatnonzero(open_[row])
        chosen = candidates[np.argsort(-need[candidates], kind="stable")[: left[row]]]
        given[row, chosen] = True
        need[chosen] -= 1
    _level(given, open_, -need)
    return given.astype(np.int64)


def _level(given: Booleans, open_: Booleans, excess: Floats) -> None:
    """Exchanges cells within rows until the sum of squares of the columns' `excess` is least.

    That is so when no chain of exchanges leads from a column to one whose excess is less by more than 1, for
    this is a convex flow; then every excess is below 1, since a fractional solution without any exists.
    """
    while True:
        chain = _improving_chain(given, open_, excess)
        if chain is None:
            return
        for source, target in pairwise(chain):
            row = int(np.flatnonzero(given[:, source] & open_[:, target] & ~given[:, target])[0])
            given[row, source], given[row, target] = False, True
        excess[chain[0]] -= 1
        excess[chain[-1]] += 1


def _improving_chain(given: Booleans, open_: Booleans, excess: Floats) -> list[int] | None:
    """The shortest chain of columns from one with much excess to one with the least, or None."""
    order = np.argsort(-excess, kind="stable")
    enough = 1 + 1e-9
    if excess.size == 0 or excess[order[0]] - excess[order[-1]] <= enough:
        return None
    exchanges = given.astype(np.float32).T @ (open_ & ~given).astype(np.float32) > 0
    for source in order:
        if excess[source] - excess[order[-1]] <= enough:
            return None
        # A shortest chain never uses a row twice, for then a direct exchange would shorten it.
        parents = _breadth_first(exchanges, int(source))
        target = min(parents, key=lambda column: (excess[column], column))
        if excess[source] - excess[target] > enough:
            chain = [target]
            while chain[-1] != source:
                chain.append(parents[chain[-1]])
            return chain[::-1]
    return None


def _breadth_first(edges: Booleans, start: int) -> dict[int, int]:
    """Reachable nodes to the node before them."""
    parents, reached = {start: start}, [start]
    for node in reached:
        for neighbour in np.flatnonzero(edges[node]).tolist():
            if neighbour not in parents:
                parents[neighbour] = node
                reached.append(neighbour)
    return parents


def _distinct_rows(table: Integers) -> tuple[Integers, Integers]:
    """The distinct rows, in order of first occurrence, and which of them each row is."""
    numbers: dict[bytes, int] = {}
    number_of = np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in table], dtype=np.int64)
    return table[np.unique(number_of, return_index=True)[1]], number_of
