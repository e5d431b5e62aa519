from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.epochs import Epoch, plan_epoch
from training.mixes import RowGroup
from training.mixture import Cell, rows_of
from training.order import OrderSettings


def mix_of(sizes: list[tuple[str, int]]) -> Any:
    """Row groups by language and rows; a plan looks at nothing else of a mix."""
    groups = [RowGroup(f"{number}", 0, rows, rows * 1000, code) for number, (code, rows) in enumerate(sizes)]
    return SimpleNamespace(groups=groups)


def planned(sizes: list[tuple[str, int]], epoch: int = 0, times: float = 1.0, **options: int) -> Epoch:
    cells = [Cell(0, number, None, code, rows) for number, (code, rows) in enumerate(sizes)]
    settings = OrderSettings(**({"batch_size": 4, "lanes": 3, "window_rows": 40} | options))
    return plan_epoch([mix_of(sizes)], cells, np.full(len(cells), times), settings, 17, epoch)


SIZES = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 60)), min_size=1, max_size=15)


@given(SIZES, st.integers(1, 6), st.integers(0, 3))
def test_parts_of_row_groups_make_them_whole(sizes: list[tuple[str, int]], parts: int, epoch: int) -> None:
    plan = planned(sizes, epoch, parts=parts)
    seen = Counter[tuple[int, int]]()
    for shares in plan.windows:
        for share in shares:
            rows = rows_of(share.cell, share.copies, share.start, 17).tolist()
            seen.update((share.cell.group, row) for row in rows)
    assert seen == {(group, row): 1 for group, (_, rows) in enumerate(sizes) for row in range(rows)}


@given(SIZES, st.integers(1, 9))
def test_windows_have_the_batches_that_their_rows_need(sizes: list[tuple[str, int]], batch_size: int) -> None:
    plan = planned(sizes, batch_size=batch_size)
    counts = Counter(plan.window.tolist())
    for number, shares in enumerate(plan.windows):
        assert counts[number] == -(-sum(share.copies for share in shares) // batch_size)
    assert plan.batches == counts.total()


def test_parts_mix_more_languages_in_a_window() -> None:
    sizes = [(f"language {number % 40}", 40) for number in range(400)]

    def languages(parts: int) -> float:
        plan = planned(sizes, window_rows=160, parts=parts)
        return float(np.mean([len({share.cell.language for share in one}) for one in plan.windows]))

    assert languages(4) > 3 * languages(1)


def test_a_group_seen_in_part_takes_its_part_of_a_windows_bytes() -> None:
    sizes = [("a", 100)] * 20
    whole = planned(sizes, window_rows=10_000, window_bytes=400_000, parts=1)
    half = planned(sizes, times=0.5, window_rows=10_000, window_bytes=400_000, parts=1)
    assert len(whole.windows) > len(half.windows) >= 3


@pytest.mark.parametrize("times", [0.0, 0.3, 2.5])
def test_weights_decide_how_many_rows_an_epoch_has(times: float) -> None:
    plan = planned([("a", 50)] * 8, times=times)
    assert abs(sum(share.copies for one in plan.windows for share in one) - 400 * times) < 8
