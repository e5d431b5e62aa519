"""Requests in portions that memory holds, whose pictures are decoded while the model computes."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch

from training.pictures import BadPicture
from translation.machine import available_cores

Item = TypeVar("Item")
Result = TypeVar("Result")
Prepared = TypeVar("Prepared")

THREADS = 8
"""That decode pictures, at most."""

_OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate memory|not enough memory|failed to allocate|bad_alloc|_ALLOC_FAILED",
    re.IGNORECASE,
)


class OutOfMemory(RuntimeError):
    """Memory does not hold a single item."""


def out_of_memory(error: BaseException) -> bool:
    """Do torch, CUDA, cuBLAS or Python say that memory ran out?"""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or bool(_OUT_OF_MEMORY.search(str(error)))


class Portions:
    """How many items are computed at a time: halved for good where memory runs out."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"a portion of {size} items; it must be at least 1")
        self.size = size

    def results(
        self, items: Sequence[Item], compute: Callable[[Sequence[Item]], Sequence[Result]]
    ) -> Iterator[Result]:
        """What `compute` gives for portions of the items, one result for each, in order.

        Raises:
            OutOfMemory: one item alone is too much.
        """
        start = 0
        while start < len(items):
            portion = items[start : start + self.size]
            held = True
            try:
                results = compute(portion)
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                if len(portion) == 1:
                    raise OutOfMemory(str(error)) from error
                held = False
            if not held:
                # After the error is gone, which holds on to what was computed until then.
                self.size = len(portion) // 2
                gc.collect()
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                continue
            yield from results
            start += len(portion)


class Ahead(Generic[Item, Result]):
    """Results for items in their order, computed by threads before they are asked for."""

    def __init__(
        self, items: Sequence[Item], compute: Callable[[Item], Result], threads: ThreadPoolExecutor
    ) -> None:
        self._items, self._compute, self._threads = items, compute, threads
        self._running: dict[int, Future[Result]] = {}
        self._started = 0

    def of(self, numbers: Sequence[int]) -> list[Result]:
        """The results of items by their places; as many after them are started.

        Those before the first of them are forgotten, so it must not go back further.
        """
        until = min(numbers[-1] + 1 + len(numbers), len(self._items))
        for number in range(self._started, until):
            self._running[number] = self._threads.submit(self._compute, self._items[number])
        self._started = max(self._started, until)
        for number in [one for one in self._running if one < numbers[0]]:
            del self._running[number]
        return [self._running[number].result() for number in numbers]


def outcomes(
    order: Sequence[int],
    prepare: Callable[[int], Prepared],
    compute: Callable[[Sequence[tuple[int, Prepared]]], Sequence[Result]],
    portions: Portions,
) -> Iterator[tuple[int, Result | BadPicture]]:
    """The number of each request, in the order given, with its result or what is wrong with a picture of it.

    Args:
        order: numbers of requests.
        prepare: decodes a request's pictures, in a thread; may raise `BadPicture`.
        compute: results of requests that could be prepared, given with their numbers.

    Raises:
        OutOfMemory: see `Portions.results`.
    """

    def prepared(number: int) -> Prepared | BadPicture:
        try:
            return prepare(number)
        except BadPicture as error:
            # Another one, for this holds on to what was computed until then.
            return BadPicture(error.reason, error.detail)

    def computed(places: Sequence[int]) -> list[Result | BadPicture]:
        found = ahead.of(places)
        good = [
            (order[place], one)
            for place, one in zip(places, found, strict=True)
            if not isinstance(one, BadPicture)
        ]
        results = iter(compute(good) if good else ())
        return [one if isinstance(one, BadPicture) else next(results) for one in found]

    with ThreadPoolExecutor(min(THREADS, available_cores())) as threads:
        ahead = Ahead(order, prepared, threads)
        yield from zip(order, portions.results(range(len(order)), computed), strict=True)
