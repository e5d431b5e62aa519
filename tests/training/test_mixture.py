from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.conftest import MakeMix, row_of
from training.mixes import Mix, MixError
from training.mixture import Cell, Mixture, NoSuchTask, cells_of, copies_of, rows_of, times_of

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@given(SIZES, st.floats(0, 5), st.integers(0, 20))
def test_cells_give_their_share_rounded(sizes: list[int], times: float, epoch: int) -> None:
    rows = np.array(sizes)
    copies, starts = copies_of(rows, np.full(len(rows), times), 17, epoch)
    assert (np.abs(copies - rows * times) < 1 + 1e-6).all()
    assert ((starts >= 0) & (starts < rows)).all()


def test_rounding_does_not_add_up() -> None:
    rows = np.full(10_000, 5)
    copies, _ = copies_of(rows, np.full(10_000, 0.1), 17, 3)
    assert abs(copies.sum() - 5000) < 200  # 4 standard deviations


@given(SIZES, st.integers(0, 9))
def test_weight_one_sees_each_row_once(sizes: list[int], epoch: int) -> None:
    rows = np.array(sizes)
    copies, starts = copies_of(rows, np.ones(len(rows)), 17, epoch)
    assert copies.tolist() == sizes
    for size, count, start in zip(sizes, copies.tolist(), starts.tolist(), strict=True):
        assert sorted(rows_of(Cell(0, 0, None, "a", size), count, start, 17).tolist()) == list(range(size))


@given(st.integers(1, 60), st.floats(0.01, 4), st.integers(1, 20))
def test_no_row_is_seen_twice_more_than_another(size: int, times: float, epochs: int) -> None:
    cell, seen = Cell(0, 0, None, "a", size), Counter[int]()
    for epoch in range(epochs):
        copies, starts = copies_of(np.array([size]), np.array([times]), 17, epoch)
        seen.update(rows_of(cell, int(copies[0]), int(starts[0]), 17).tolist())
    counts = [seen[row] for row in range(size)]
    assert max(counts) - min(counts) <= 1
    assert abs(sum(counts) - epochs * times * size) < 1 + 1e-6


def test_alpha_evens_out_the_others_and_leaves_english() -> None:
    made = [
        Cell(0, 0, None, "eng_Latn", 1000),
        Cell(0, 1, None, "deu_Latn", 900),
        Cell(0, 2, None, "swh_Latn", 100),
    ]
    equal = times_of(made, [1.0], Mixture(alpha=0.0, max_times=100))
    assert (equal * [1000, 900, 100]).round(6).tolist() == [1000, 500, 500]
    tempered = times_of(made, [1.0], Mixture(alpha=0.5, max_times=100))
    assert (tempered * [1000, 900, 100]).round(6).tolist() == [1000, 750, 250]
    assert times_of(made, [1.0], Mixture()).tolist() == [1, 1, 1]


def test_alpha_repeats_rows_at_most_so_often() -> None:
    made = [Cell(0, 0, None, "deu_Latn", 990), Cell(0, 1, None, "swh_Latn", 10)]
    assert times_of(made, [1.0], Mixture(alpha=0.0, max_times=4)).round(3).tolist() == [0.505, 4.0]
    # What the user weighs more is not held back.
    assert times_of(made, [6.0], Mixture(alpha=0.0, max_times=4))[1] == 6.0


def test_weights_of_mixes_and_tasks_multiply() -> None:
    made = [Cell(0, 0, "caption", "deu_Latn", 10), Cell(1, 0, "vqa", "deu_Latn", 10)]
    assert times_of(made, [1.0, 2.0], Mixture({"vqa": 0.25})).tolist() == [1.0, 0.5]


def test_tasks_are_counted_where_they_are_weighted(make_mix: MakeMix) -> None:
    rows = [row_of(number, "deu_Latn", task="vqa" if number % 3 else "caption") for number in range(12)]
    mix = Mix(str(make_mix({"deu_Latn": rows}, group_rows=6)))
    found = cells_of([mix], Mixture({"vqa": 2.0}))
    assert [(cell.group, cell.task, cell.rows) for cell in found] == [
        (0, "caption", 2), (0, "vqa", 4), (1, "caption", 2), (1, "vqa", 4),
    ]  # fmt: skip
    assert [cell.task for cell in cells_of([mix], Mixture())] == [None, None]


def test_a_weight_for_a_task_that_no_row_has_is_an_error(make_mix: MakeMix) -> None:
    mix = Mix(str(make_mix({"deu_Latn": 3})))
    with pytest.raises(NoSuchTask, match="no row has this task; there are caption") as caught:
        cells_of([mix], Mixture({"vqq": 2.0}))
    assert caught.value.task == "vqq"


def test_a_task_that_is_left_out_and_that_no_mix_is_made_of_is_an_error(make_mix: MakeMix) -> None:
    rows = [row_of(number, "deu_Latn", task="own" if number else "caption") for number in range(3)]
    mix = Mix(str(make_mix({"deu_Latn": rows})))
    with pytest.raises(NoSuchTask, match="no row has this task; there are caption, own") as caught:
        cells_of([mix], Mixture({"captions": 0.0}))
    assert caught.value.task == "captions"
    cells_of([mix], Mixture({"own": 0.0}))


def test_a_task_that_no_row_has_can_be_left_out(make_mix: MakeMix) -> None:
    mix = Mix(str(make_mix({"deu_Latn": 3})))
    assert [cell.task for cell in cells_of([mix], Mixture({"text": 0.0}))] == ["caption"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tasks": {"vqa": -1.0}}, r"tasks\.vqa: -1\.0 must be"),
        ({"tasks": {"vqa": float("nan")}}, r"tasks\.vqa: nan must be"),
        ({"alpha": 1.5}, "alpha: 1.5 is not between 0 and 1"),
        ({"max_times": 0.5}, "max_times: 0.5 must be at least 1"),
    ],
)
def test_bad_weights_are_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Mixture(**options)  # type: ignore[arg-type]


def test_paths_may_be_given(tmp_path: Path) -> None:
    with pytest.raises(MixError, match="no such directory"):
        Mix(str(tmp_path / "nothing"))
