"""Pictures of batches decoded by worker processes, in order.

Workers see encoded bytes alone: filesystems, Parquet and tokenizers stay in the process that trains, whose
threads and connections a forked worker could not use.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from training.pictures import BadPicture, PictureSettings, pixels_of

Encoded = bytes | BadPicture
"""A picture as it was read, or why it was not."""


class LoaderError(RuntimeError):
    """The loader cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Job:
    """The pictures of one batch, encoded."""

    index: int
    """Of the batch."""
    pictures: Sequence[Encoded]


@dataclass(frozen=True)
class Decoded:
    """The pictures of one batch."""

    index: int
    pixels: Tensor
    """(those that are good, height, width, 3), uint8, in order."""
    bad: dict[int, tuple[str, str]]
    """Number of the picture in its job -> reason and detail."""

    def pin_memory(self) -> Decoded:
        """What torch calls for `pin_memory`."""
        return replace(self, pixels=self.pixels.pin_memory())


class Decoder(Dataset[Decoded]):
    """`Job` -> `Decoded`, in whichever process it is called."""

    def __init__(self, settings: PictureSettings) -> None:
        self._settings = settings

    def __getitem__(self, job: Job) -> Decoded:
        bad: dict[int, tuple[str, str]] = {}
        pixels = torch.empty(
            (len(job.pictures), self._settings.height, self._settings.width, 3), dtype=torch.uint8
        )
        good = 0
        for number, picture in enumerate(job.pictures):
            try:
                if isinstance(picture, BadPicture):
                    raise picture
                pixels[good] = pixels_of(picture, self._settings)
                good += 1
            except BadPicture as error:
                bad[number] = (error.reason, error.detail)
        return Decoded(job.index, pixels[:good], bad)


class Decoding:
    """Worker processes that decode the jobs of one epoch after the other."""

    def __init__(
        self,
        settings: PictureSettings,
        jobs: Callable[[], Iterable[Job]],
        workers: int,
        ahead: int,
        pin_memory: bool,
    ) -> None:
        """
        Args:
            jobs: called at the start of each epoch; pulled in this process, `ahead` for each worker.
            workers: 0 decodes in this process.
        """
        self.decoder = Decoder(settings)
        self._calling = _Calling(jobs)
        self._loader: DataLoader[Decoded] | None = DataLoader(
            self.decoder,
            batch_size=None,
            sampler=self._calling,
            num_workers=workers,
            prefetch_factor=ahead if workers else None,
            persistent_workers=workers > 0,
            pin_memory=pin_memory,
            # Else each loop draws from torch's own, and a run that goes on would have other dropout.
            generator=torch.Generator(),
            worker_init_fn=_undisturbed,
        )

    def __iter__(self) -> Iterator[Decoded]:
        """The decoded jobs, in their order.

        Raises:
            Exception: whatever the jobs raise, after the pictures of those before.
            LoaderError: a worker process was killed. If torch hears of it while the caller works, it raises
                its own RuntimeError there, which says the same.
        """
        if self._loader is None:
            raise LoaderError("the loader was closed")
        try:
            for decoded in self._loader:
                if decoded.index == _FAILED:
                    assert self._calling.error is not None
                    break
                yield decoded
            else:
                return
        except (RuntimeError, ConnectionError, EOFError, FileNotFoundError) as error:
            # Of a dead worker torch tells, or the connection over which its last pictures should have come.
            if isinstance(error, RuntimeError) and not is_of_worker(error):
                raise
            cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise LoaderError(
                f"a worker process that decodes pictures died ({cause}); if it ran out of memory, give fewer "
                "workers; start again to go on from the last checkpoint"
            ) from error
        raise self._calling.error

    def close(self) -> None:
        """Ends the worker processes."""
        # torch ends them when its iterator is gone, which the traceback of an error may hold for long.
        iterator = getattr(self._loader, "_iterator", None)
        if iterator is not None:
            iterator._shutdown_workers()
        self._loader = None


def is_of_worker(error: RuntimeError) -> bool:
    """Whether torch tells of a worker process that is gone."""
    return "DataLoader worker (pid" in str(error)


def _undisturbed(_: int) -> None:
    """A signal to a run and all its processes lets it store itself, so that workers outlive it once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))


_FAILED = -1
"""Number of the job that stands for an error."""


class _Calling:
    """Calls a function for a new iterator each time; what `DataLoader` takes for a sampler.

    An error goes through the loader as a job. torch pulls the first jobs before it has an iterator that could
    end its workers, and a process waits for them at its end.
    """

    def __init__(self, jobs: Callable[[], Iterable[Job]]) -> None:
        self._jobs = jobs
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[Job]:
        try:
            yield from self._jobs()
        except Exception as error:
            self.error = error
            yield Job(_FAILED, ())
