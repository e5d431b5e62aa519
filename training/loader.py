"""Batches from mixes, in an order that only seed and epoch decide on, from any place in it."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

import pyarrow as pa

from training.batches import Batch, batch_of
from training.decoding import Decoded, Decoding, Job, LoaderError, is_of_worker
from training.epochs import Epoch, plan_epoch
from training.examples import Example, Skip
from training.feeding import Feed, PlannedBatch, pictures_of, read_picture
from training.loading_report import LoadingReport
from training.mixes import Mix
from training.mixture import Mixture, cells_of, check_times, times_of
from training.order import OrderSettings
from training.pictures import PictureSettings
from training.texts import TextEncoder, TextSettings, Tokenizer
from translation.languages import ENGLISH
from translation.mix_folder import TRAIN

SKIP_CHECK_AFTER = 500
"""Examples after which too many left out ones stop the run."""


@dataclass(frozen=True)
class MixWeight:
    """One mix, and how often its rows are seen in an epoch."""

    location: str
    """A directory or URL."""
    times: float = 1.0

    def __post_init__(self) -> None:
        check_times(self.times, f"times of {self.location}")


@dataclass(frozen=True)
class LoaderSettings:
    """What is loaded, and how."""

    mixes: tuple[MixWeight, ...]
    order: OrderSettings
    split: str = TRAIN
    seed: int = 17
    mixture: Mixture = field(default_factory=Mixture)
    texts: TextSettings = field(default_factory=TextSettings)
    pictures: PictureSettings = field(default_factory=PictureSettings)
    pad_to_multiple: int = 1
    even: bool = True
    """Every rank gets equally many batches of an epoch: what is over at its end is left out, in each epoch
    something else. False suits an evaluation that does not synchronise ranks."""
    together: int = 1
    """Batches of all ranks that make one step of training: with `even`, an epoch has whole steps, for any
    number of ranks that divides it."""
    max_skipped: float = 0.05
    """Share of examples that may be left out before the run stops: then the mix is broken, not some rows."""
    without: pa.Array | None = None
    """Split keys of rows that are not loaded; see `training.mixes.Mix`."""


_OTHER_ROWS = (
    "; the rows are others since: a mix has changed, or what mixes hold out (pictures of pairs too, which "
    "earlier versions trained on, and those of stages to come). Take another `output`"
)


class ShortEpoch(LoaderError):
    """An epoch has fewer batches than a step takes."""


class Loader:
    """Iterates the batches of one epoch after the other for one rank.

    `for batch in loader` goes from where the loader stands to the end of its epoch; the next loop is the next
    epoch. What comes when depends on the settings, the data and the tokenizer alone: of W ranks, rank r takes
    every W-th batch of one global order. No batch is empty: where no picture of one can be decoded, the next
    of its window comes in its place, and is counted as repeated; without `even` nothing does.

    A batch may be of text alone, without any picture: a model in DistributedDataParallel must expect that.
    """

    def __init__(
        self,
        settings: LoaderSettings,
        tokenizer: Tokenizer,
        *,
        rank: int = 0,
        ranks: int = 1,
        workers: int = 0,
        ahead: int = 2,
        pin_memory: bool = False,
    ) -> None:
        """Reads the footers of all mixes.

        Args:
            workers: processes that decode pictures; 0 decodes in this one.
            ahead: batches that each worker prepares.
            pin_memory: of the pixels, for copies to a GPU that do not block.

        Raises:
            MixError: a mix that cannot be trained on.
            TokenizerError: a tokenizer that cannot be used.
            ValueError: ranks or workers that make no sense.
        """
        if not 0 <= rank < ranks:
            raise ValueError(f"rank {rank} of {ranks}: must be 0 to {ranks - 1}")
        if workers < 0 or ahead < 1:
            raise ValueError(f"{workers} workers with {ahead} batches ahead: at least 0 and 1")
        if not settings.mixes:
            raise ValueError("mixes: none is named")
        self.settings, self.rank, self.ranks = settings, rank, ranks
        self.mixes = tuple(Mix(mix.location, settings.split, settings.without) for mix in settings.mixes)
        self._cells = cells_of(self.mixes, settings.mixture)
        self._times = times_of(self._cells, [mix.times for mix in settings.mixes], settings.mixture)
        codes = {cell.language for cell in self._cells} | {ENGLISH}
        self.encoder = TextEncoder(tokenizer, settings.texts, codes)
        self.report = LoadingReport()
        self._own = LoadingReport()
        """What this loader has left out and handed out, for `max_skipped`; `report` may go on from others."""
        self.epoch = 0
        """The one that the loader is in."""
        self._start, self._given = 0, 0
        self._plan = self._planned(0)
        self._loop = 0
        self._under_way: deque[PlannedBatch] = deque()
        self._feed = Feed(self.mixes, self.encoder, settings.order, settings.seed, max(2, workers * ahead))
        self._decoding = Decoding(settings.pictures, self._jobs, workers, ahead, pin_memory)

    @property
    def planned(self) -> int:
        """Batches that all ranks together have in the present epoch."""
        return self._plan.batches

    @property
    def rows_left_out(self) -> int:
        """Rows of all mixes that `settings.without` names."""
        return sum(mix.left_out for mix in self.mixes)

    def __len__(self) -> int:
        """Batches that this rank gets in the present epoch; without `even`, if all can be read."""
        return self.batches_in(self.epoch)

    def batches_in(self, epoch: int) -> int:
        """Batches that this rank gets in an epoch; epochs differ by a few."""
        plan = self._plan if epoch == self.epoch else self._planned(epoch)
        return len(range(self.rank, self._end(plan, 0), self.ranks))

    def batches_below(self, index: int) -> int:
        """Batches before that of this number that this rank gets in the whole of the present epoch."""
        return len(range(self.rank, min(index, self._end(self._plan, 0)), self.ranks))

    @property
    def batches_left(self) -> int:
        """Batches that this rank still gets in the present epoch."""
        return (
            len(range(self._start + self.rank, self._end(self._plan, self._start), self.ranks)) - self._given
        )

    @property
    def position(self) -> int:
        """Batches of the present epoch that all ranks together have been given."""
        return min(self._start + self._given * self.ranks, self._plan.batches)

    def _planned(self, epoch: int) -> Epoch:
        return plan_epoch(
            self.mixes, self._cells, self._times, self.settings.order, self.settings.seed, epoch
        )

    def _end(self, plan: Epoch, start: int) -> int:
        """Where the ranks stop that share the batches from `start` on."""
        step = math.lcm(self.ranks, self.settings.together)
        over = (plan.batches - start) % step if self.settings.even else 0
        return plan.batches - over

    def __iter__(self) -> Iterator[Batch]:
        """The rest of the present epoch, or the next one where nothing is left.

        Raises:
            LoaderError: a worker process died, too much is unreadable, or another loop began meanwhile.
            ShortEpoch: no step is in an epoch.
            MixError: a row group cannot be read.
        """
        self._loop += 1
        loop = self._loop
        self._start, self._given = self.position, 0
        if self._at_end:
            self._next_epoch()
        self.check_epoch()
        asked = time.perf_counter()
        self._under_way.clear()
        for decoded in self._decoding:
            batch = self._batch(self._under_way.popleft(), decoded)
            given = time.perf_counter()
            self.report.waited += given - asked
            self._given += 1
            if self._at_end:
                self._end_epoch()
            if batch is not None:
                yield batch
            if loop != self._loop:
                raise LoaderError("another loop over the loader, or another state, took its place")
            asked = time.perf_counter()
            self.report.worked += asked - given
        self._next_epoch()

    def check_epoch(self) -> None:
        """Raises ShortEpoch if the present epoch has no step left."""
        if self._at_end:
            raise ShortEpoch(
                f"an epoch has {self._plan.batches} batches of {self.settings.order.batch_size} examples, "
                f"fewer than the {math.lcm(self.ranks, self.settings.together)} of one step; "
                "take a smaller batch_size, or more data"
            )

    def _end_epoch(self) -> None:
        """Before the last batch is given: who has all that it needs asks for no more."""
        # Of the end of an epoch alone, a few examples say little.
        self._check_skipped(at_least=SKIP_CHECK_AFTER if self._start else 0)
        if self.rank == 0:
            self.report.batches_left_out += self._plan.batches - self._end(self._plan, self._start)

    @property
    def _at_end(self) -> bool:
        """No rank gets any more of the present epoch."""
        return self.position >= self._end(self._plan, self._start)

    def _next_epoch(self) -> None:
        self.epoch, self._start, self._given = self.epoch + 1, 0, 0
        self._plan = self._planned(self.epoch)

    def _jobs(self) -> Iterator[Job]:
        indices = range(self._start + self.rank, self._end(self._plan, self._start), self.ranks)
        for planned, job in self._feed.batches(self._plan, self.epoch, indices):
            self._under_way.append(planned)
            yield job

    def _batch(self, planned: PlannedBatch, decoded: Decoded) -> Batch | None:
        """What is made of a batch; None where nothing of it can be read and no step waits for it."""
        if planned.index != decoded.index:
            raise RuntimeError(f"batch {decoded.index} came where {planned.index} was due")
        skipped = [*planned.skipped, *_unreadable(planned.examples, decoded)]
        for skip in skipped:
            self.report.skip(skip)
            self._own.skip(skip)
        self._check_skipped(SKIP_CHECK_AFTER)
        made = self._made(planned.index, planned.examples, decoded)
        if made is None and self.settings.even:
            made = self._repeated(planned, skipped)
        return None if made is None else self._counted(made)

    def _made(self, index: int, examples: Sequence[Example], decoded: Decoded) -> Batch | None:
        """The batch of the examples whose pictures were all decoded; None if there is none."""
        readable: list[Example] = []
        kept: list[int] = []
        number = good = 0
        for example in examples:
            pictures = range(number, number + len(example.pictures))
            number += len(pictures)
            found = [picture for picture in pictures if picture not in decoded.bad]
            if len(found) == len(pictures):
                readable.append(example)
                kept += range(good, good + len(found))
            good += len(found)
        if not readable:
            return None
        self.report.prompts_cut += sum(example.prompt.cut for example in readable)
        self.report.targets_cut += sum(example.target.cut for example in readable)
        pixels = decoded.pixels if len(kept) == len(decoded.pixels) else decoded.pixels[kept]
        return batch_of(
            index,
            readable,
            pixels.permute(0, 3, 1, 2),
            pad_id=self.encoder.pad_id,
            joined=self.settings.texts.decoder_only,
            image_position=self.encoder.layout.image_position,
            pad_to_multiple=self.settings.pad_to_multiple,
        )

    def _repeated(self, planned: PlannedBatch, skipped: Sequence[Skip]) -> Batch:
        """The next batch of the window in which something is readable, decoded in this process."""
        window, count = planned.window, len(planned.window.batches)
        for step in range(1, count):
            examples = window.batches[(planned.place + step) % count]
            pictures = [read_picture(picture) for picture in pictures_of(examples)]
            made = self._made(planned.index, examples, self._decoding.decoder[Job(planned.index, pictures)])
            if made:
                self.report.batches_repeated += 1
                return made
        told = "; ".join(f"{skip.id}: {skip.reason}: {skip.detail}" for skip in skipped[:3])
        raise LoaderError(f"nothing in {count} batches can be read: {told}")

    def _counted(self, batch: Batch) -> Batch:
        self.report.batches += 1
        self.report.examples += len(batch)
        self._own.examples += len(batch)
        self.report.pictures += len(batch.pixel_values)
        self.report.tokens += batch.tokens
        self.report.places += batch.places
        return batch

    def _check_skipped(self, at_least: int) -> None:
        report = self._own
        skipped = report.skipped.total()
        if skipped + report.examples < at_least or report.skipped_share <= self.settings.max_skipped:
            return
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in report.skipped.most_common(5))
        first = report.listed[0]
        raise LoaderError(
            f"{skipped:,} of {skipped + report.examples:,} examples cannot be used ({reasons}), more than "
            f"max_skipped {self.settings.max_skipped:g}; the first is {first.id}: {first.detail}. If that is "
            "as it should be, go on with a larger `data.max_skipped` (the stage's, where it has its own data)"
        )

    def state_dict(self, report: LoadingReport | None = None) -> dict[str, Any]:
        """Where training stands, the same on all ranks after equally many batches; plain data.

        Args:
            report: of all ranks, see `training.loading_report.summed`; by default this rank's.
        """
        return {
            "epoch": self.epoch,
            "position": self.position,
            "identity": self._identity(),
            "report": (report or self.report).as_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where a loader stood, which may have had other ranks or workers; reads nothing.

        The counts that were stored go on at rank 0.

        Raises:
            LoaderError: the state is of other data or settings; names what differs.
        """
        mine, stored = self._identity(), state["identity"]
        for name in mine:
            if mine[name] != stored.get(name):
                why = _OTHER_ROWS if name == "mixes" else ""
                raise LoaderError(
                    f"the checkpoint's place in the data has no meaning here: {name} was "
                    f"{stored.get(name)!r} and is {mine[name]!r}{why}"
                )
        self.seek(int(state["epoch"]), int(state["position"]))
        if self.rank == 0:
            self.report = LoadingReport.from_state(state["report"])

    def seek(self, epoch: int, position: int = 0) -> None:
        """Has the next loop begin at another place, as an evaluation that shall see the same each time does.

        Args:
            position: in batches of all ranks together.
        """
        self._loop += 1
        self.epoch, self._start, self._given = epoch, position, 0
        self._plan = self._planned(epoch)

    def _identity(self) -> dict[str, Any]:
        """What decides on the order."""
        settings = self.settings
        return {
            "mixes": [
                [mix.digest, weight.times] for mix, weight in zip(self.mixes, settings.mixes, strict=True)
            ],
            "split": settings.split,
            "seed": settings.seed,
            "mixture": [dict(settings.mixture.tasks), settings.mixture.alpha, settings.mixture.max_times],
            "order": asdict(settings.order),
            "texts": self.encoder.signature(),
        }

    def close(self) -> None:
        """Ends worker processes and threads."""
        self._loop += 1
        try:
            self._decoding.close()
        except RuntimeError as error:
            # torch tells of a killed worker wherever this process is, so also here, where all shall end.
            if not is_of_worker(error):
                raise
            self._decoding.close()
        self._feed.close()

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _unreadable(examples: Sequence[Example], decoded: Decoded) -> Iterator[Skip]:
    """Examples with a picture that could not be decoded."""
    number = 0
    for example in examples:
        pictures = range(number, number + len(example.pictures))
        number += len(pictures)
        bad = next((picture for picture in pictures if picture in decoded.bad), None)
        if bad is not None:
            yield Skip(example.id, *decoded.bad[bad])
