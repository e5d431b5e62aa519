from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from training import portions
from training.pictures import BadPicture
from training.portions import Ahead, OutOfMemory, Portions, out_of_memory, outcomes


def doubled_within(room: int, tried: list[int]) -> object:
    def compute(items: Sequence[int]) -> list[int]:
        tried.append(len(items))
        if len(items) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [2 * item for item in items]

    return compute


def test_portions_are_halved_until_memory_holds_them_and_stay_so() -> None:
    tried: list[int] = []
    portions = Portions(8)
    assert list(portions.results(range(11), doubled_within(3, tried))) == [2 * item for item in range(11)]  # type: ignore[arg-type]
    assert tried == [8, 4, 2, 2, 2, 2, 2, 1]
    assert portions.size == 2


def test_one_item_that_is_too_much_is_an_error() -> None:
    with pytest.raises(OutOfMemory, match="CUDA out of memory"):
        list(Portions(4).results(range(3), doubled_within(0, [])))  # type: ignore[arg-type]


def test_other_errors_are_not_taken_for_want_of_memory() -> None:
    def compute(items: Sequence[int]) -> list[int]:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        list(Portions(4).results(range(3), compute))
    with pytest.raises(ValueError, match="at least 1"):
        Portions(0)


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("x"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("size of tensor a must match"), False),
    ],
)
def test_want_of_memory_is_told_from_other_errors(error: Exception, found: bool) -> None:
    assert out_of_memory(error) is found


def test_the_next_results_are_started_before_they_are_asked_for() -> None:
    started: list[str] = []
    with ThreadPoolExecutor(1) as threads:
        ahead = Ahead("abcdef", lambda item: started.append(item) or item.upper(), threads)  # type: ignore[func-returns-value]
        assert ahead.of([0, 1]) == ["A", "B"]
        assert ahead.of([0]) == ["A"]
        assert ahead.of([1, 2]) == ["B", "C"]
        assert ahead.of([3, 4, 5]) == ["D", "E", "F"]
    assert started == list("abcdef")


def test_a_bad_picture_is_its_request_s_outcome_alone() -> None:
    def prepare(number: int) -> int:
        if number % 3 == 0:
            raise BadPicture("broken", f"picture {number}")
        return number * 10

    asked: list[list[int]] = []

    def compute(prepared: Sequence[tuple[int, int]]) -> list[str]:
        asked.append([number for number, _ in prepared])
        return [f"{number}: {value}" for number, value in prepared]

    found = dict(outcomes([5, 3, 2, 6, 9, 1], prepare, compute, Portions(2)))
    assert list(found) == [5, 3, 2, 6, 9, 1]
    assert [found[5], found[2], found[1]] == ["5: 50", "2: 20", "1: 10"]
    assert all(isinstance(found[number], BadPicture) for number in (3, 6, 9))
    assert asked == [[5], [2], [1]]


def test_an_error_of_preparing_comes_through() -> None:
    def prepare(number: int) -> int:
        raise KeyError("unexpected")

    with pytest.raises(KeyError, match="unexpected"):
        list(outcomes([0], prepare, lambda prepared: [0], Portions(1)))


def test_pictures_are_decoded_by_no_more_threads_than_the_process_has_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[int] = []

    class Counted(ThreadPoolExecutor):
        def __init__(self, threads: int) -> None:
            started.append(threads)
            super().__init__(threads)

    monkeypatch.setattr(portions, "ThreadPoolExecutor", Counted)
    monkeypatch.setattr(portions, "available_cores", lambda: 2)
    assert list(outcomes([0], lambda number: number, lambda found: [5], Portions(1))) == [(0, 5)]
    assert started == [2]
