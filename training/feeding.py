"""From the plan of an epoch to encoded pictures; windows and files are read in threads, ahead of use."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from training.decoding import Encoded, Job
from training.epochs import Epoch
from training.examples import Example, Skip, StoredPicture, Window, read_window
from training.mixes import Mix
from training.order import OrderSettings
from training.pictures import BadPicture
from training.stored import StoredPictures
from training.texts import TextEncoder

WINDOWS_AT_ONCE = 2
PICTURES_AT_ONCE = 16
"""Threads that read row groups, and pictures that are files of their own."""

EXAMPLES_AHEAD = 2048
"""How far before its first batch a window is read."""


@dataclass(frozen=True)
class PlannedBatch:
    """A batch of the epoch's order whose texts are read."""

    index: int
    """In the epoch."""
    window: Window
    place: int
    """In the window."""

    @property
    def examples(self) -> Sequence[Example]:
        return self.window.batches[self.place]

    @property
    def skipped(self) -> Sequence[Skip]:
        return self.window.skipped[self.place]

    @property
    def pictures(self) -> list[StoredPicture]:
        return pictures_of(self.examples)


class Feed:
    """Reads what batches need, some batches ahead."""

    def __init__(
        self, mixes: Sequence[Mix], encoder: TextEncoder, settings: OrderSettings, seed: int, ahead: int
    ) -> None:
        """
        Args:
            ahead: batches whose pictures are fetched at a time, where they are files of their own.
        """
        self._mixes, self._encoder, self._settings, self._seed = mixes, encoder, settings, seed
        self._stores = tuple(StoredPictures(mix) for mix in mixes)
        self._ahead = ahead
        self._windows = ThreadPoolExecutor(WINDOWS_AT_ONCE, thread_name_prefix="windows")
        self._pictures = ThreadPoolExecutor(PICTURES_AT_ONCE, thread_name_prefix="pictures")

    def batches(self, plan: Epoch, epoch: int, indices: Sequence[int]) -> Iterator[tuple[PlannedBatch, Job]]:
        """The batches of an epoch at `indices`, with their encoded pictures.

        Raises:
            MixError: a row group cannot be read.
        """
        order = [int(plan.window[index]) for index in indices]
        last = {window: step for step, window in enumerate(order)}
        reach = -(-EXAMPLES_AHEAD // self._settings.batch_size)
        windows: dict[int, Future[Window]] = {}
        fetched: deque[tuple[PlannedBatch, list[_Fetched]]] = deque()
        for step, index in enumerate(indices):
            # Of the steps within reach, all but the last one were looked at before.
            for number in order[step : step + reach] if step == 0 else order[step + reach - 1 : step + reach]:
                if number not in windows:
                    windows[number] = self._windows.submit(self._window, plan, epoch, number)
            window = windows[order[step]].result()
            if last[order[step]] == step:
                del windows[order[step]]
            batch = PlannedBatch(index, window, int(plan.place[index]))
            fetched.append((batch, [self._fetched(picture) for picture in batch.pictures]))
            # Only what is on its way is worth waiting for others meanwhile.
            while fetched and (len(fetched) > self._ahead or _at_hand(fetched[0][1])):
                yield _with_job(*fetched.popleft())
        while fetched:
            yield _with_job(*fetched.popleft())

    def close(self) -> None:
        """Ends the threads."""
        self._windows.shutdown(cancel_futures=True)
        self._pictures.shutdown(cancel_futures=True)

    def _window(self, plan: Epoch, epoch: int, number: int) -> Window:
        key = f"{self._seed} {epoch} window {number}"
        shares = plan.windows[number]
        return read_window(self._mixes, self._stores, shares, self._encoder, self._settings, self._seed, key)

    def _fetched(self, picture: StoredPicture) -> _Fetched:
        return picture if picture.embedded else self._pictures.submit(read_picture, picture)


_Fetched = StoredPicture | Future[Encoded]
"""A picture that is at hand, or one that is on its way."""


def pictures_of(examples: Sequence[Example]) -> list[StoredPicture]:
    """Of all examples, in order."""
    return [picture for example in examples for picture in example.pictures]


def read_picture(picture: StoredPicture) -> Encoded:
    """Its bytes, or why it has none."""
    try:
        return picture.read()
    except BadPicture as error:
        return error


def _at_hand(pictures: Sequence[_Fetched]) -> bool:
    return not any(isinstance(picture, Future) for picture in pictures)


def _with_job(batch: PlannedBatch, pictures: Sequence[_Fetched]) -> tuple[PlannedBatch, Job]:
    encoded = [one.result() if isinstance(one, Future) else read_picture(one) for one in pictures]
    return batch, Job(batch.index, encoded)
