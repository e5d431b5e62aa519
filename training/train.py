"""The training loop: stages one after the other, steps of whole batches, checkpoints on the way.

Read from the top: `train` sets up and goes through the stages, `_StageRun.run` is the loop, and its methods
stand in the order in which it calls them.
"""

from __future__ import annotations

import hashlib
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import gather_object
from rich.console import Console
from torch import Tensor, nn

from training.architecture import arguments_of
from training.assembly import assemble
from training.batches import IGNORED, Batch
from training.checkpoint import Loaded, load_trained, save_weights
from training.configuration import Configuration, DataSection
from training.figures import Figures
from training.introduction import introduce
from training.loader import Loader, LoaderSettings, MixWeight
from training.loading_report import LoadingReport, summed
from training.mixes import TRAIN, VALIDATION, EmptySplit
from training.mixture import Mixture
from training.optimisation import factor, load_optimiser, optimiser_of, optimiser_state, set_rates
from training.order import OrderSettings
from training.parameters import trainable
from training.precision import Precisions, precisions_of
from training.requested import parts_of, with_settings
from training.run_directory import Progress, RunDirectory, RunError
from training.sequences import Expanded, expanded
from training.sums import Sums, merged
from training.throughput import Throughput
from translation.progress import CountProgress


@dataclass(frozen=True)
class Outcome:
    """What became of a run."""

    checkpoint: Path
    """The last one."""
    progress: Progress
    best: tuple[str, float] | None
    """Name of the checkpoint with the lowest validation loss, and that."""
    main: bool
    """Whether this process is the first of its run."""


class Stopped(RunError):
    """SIGINT or SIGTERM ended the run, after a checkpoint."""


def train(configuration: Configuration, console: Console, *, quiet: bool = False) -> Outcome:
    """Trains to the end of the last stage, from the directory's last checkpoint if there is one.

    Raises:
        SettingsError: the configuration does not fit the number of processes.
        RunError: the run cannot begin or go on; too many gradients in a row were not finite; or `Stopped`.
        MixError, LoaderError: data that cannot be trained on.
        PartError, CheckpointError: a model that cannot be assembled or read.
    """
    # Without saying so, processes on CPUs would not find each other.
    cpu = not torch.cuda.is_available()
    precisions = precisions_of(configuration.precision, PartialState(cpu=cpu).device)
    accelerator = Accelerator(mixed_precision=precisions.mixed, cpu=cpu)
    torch.set_float32_matmul_precision("high")
    with ExitStack() as stack:
        directory = stack.enter_context(RunDirectory(configuration, main=accelerator.is_main_process))
        accelerator.wait_for_everyone()
        latest = directory.latest()
        progress = Progress() if latest is None else directory.progress_of(latest)
        if latest is not None and progress.finished:
            return Outcome(latest, progress, directory.best(), accelerator.is_main_process)
        assembled = assemble(
            parts_of(configuration),
            dtype=precisions.frozen,
            device=accelerator.device,
            seed=configuration.seed,
        )
        assembled = with_settings(assembled, configuration)
        # In float32 from the beginning, whichever stage trains it: a checkpoint holds no less.
        trainable(assembled.model, configuration.trained_parts)
        if latest is not None:
            load_trained(assembled.model, latest)
        if configuration.gradient_checkpointing:
            assembled.base.gradient_checkpointing_enable()
        figures = None
        if accelerator.is_main_process:
            figures = Figures(
                directory.path,
                configuration.log,
                configuration.name,
                progress.step,
                configuration.model_dump(mode="json"),
            )
            stack.enter_context(figures)
        stopping = stack.enter_context(_signals())
        if accelerator.is_main_process and not quiet:
            introduce(configuration, assembled, progress, accelerator.num_processes, console)
        run = _Run(
            configuration, accelerator, precisions, assembled, directory, figures, console, quiet, stopping
        )
        for number in range(progress.stage, len(configuration.stages)):
            with _StageRun(run, number, progress, latest) as stage:
                progress, latest = stage.run()
        assert latest is not None
        return Outcome(latest, progress, directory.best(), accelerator.is_main_process)


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; a second SIGINT interrupts at once."""
    stopping = threading.Event()

    def stop(number: int, _: object) -> None:
        if stopping.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stopping.set()

    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class _Run:
    """What stays the same from the first step to the last."""

    configuration: Configuration
    accelerator: Accelerator
    precisions: Precisions
    assembled: Loaded
    directory: RunDirectory
    figures: Figures | None
    """Of the first rank."""
    console: Console
    quiet: bool
    stopping: threading.Event


class _Losses(nn.Module):
    """The model as accelerate and DistributedDataParallel wrap it, for one stage: forward gives losses."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, sequences: Expanded, pixel_values: Tensor | None) -> Tensor:
        """The loss of each target token, (N, T), float32; 0 where there is none."""
        losses: Tensor = self.model(**arguments_of(sequences), pixel_values=pixel_values).token_losses
        return losses


class _StageRun:
    """One stage, from where `progress` stands in it to the checkpoint at its end."""

    def __init__(self, run: _Run, number: int, progress: Progress, latest: Path | None) -> None:
        self._run, self._number, self._progress, self._latest = run, number, progress, latest
        self._stack = ExitStack()
        self._configuration = configuration = run.configuration
        self._stage = stage = configuration.stages[number]
        self._accelerator = accelerator = run.accelerator
        self._micro_batches = self._shared_micro_batches()
        self._model = run.assembled.model
        trainable(self._model, stage.learning_rates)
        self._model.train()
        self._bare_optimiser = optimiser_of(self._model, stage)
        if progress.stage_step and latest is not None:
            load_optimiser(self._model, self._bare_optimiser, run.directory.optimiser_of(latest))
        self._losses, self._optimiser = accelerator.prepare(_Losses(self._model), self._bare_optimiser)
        if accelerator.scaler is not None and progress.scaler:
            accelerator.scaler.load_state_dict(progress.scaler)
        data = stage.data or configuration.data
        self._loader = self._stack.enter_context(self._loader_of(data, TRAIN))
        if progress.loader is not None:
            self._loader.load_state_dict(progress.loader)
        self._held_out = self._held_out_of(data)
        self._sums = Sums(**progress.sums) if progress.sums and accelerator.is_main_process else Sums()
        self._throughput = Throughput(
            run.assembled.base,
            run.assembled.preprocessing.pictures,
            set(stage.learning_rates),
            accelerator.device,
        )
        self._norms: list[float] = []
        self._saved_at = time.monotonic()

    def run(self) -> tuple[Progress, Path]:
        """All steps that are left; where the run stands then, and its last checkpoint."""
        steps = self._steps()
        batches = _endless(self._loader)
        bar = CountProgress(
            self._stage.name,
            steps,
            self._run.console,
            self._run.quiet or not self._accelerator.is_main_process,
            unit="steps",
            done=self._progress.stage_step,
        )
        with bar:
            for _ in range(self._progress.stage_step, steps):
                began = time.monotonic()
                rates = set_rates(
                    self._bare_optimiser.param_groups,
                    factor(self._stage, self._progress.stage_step, steps),
                )
                norm, stop, due = self._step(list(islice(batches, self._micro_batches)))
                self._count(norm, time.monotonic() - began)
                last = self._progress.stage_step == steps
                if last or self._every(self._configuration.log.every_steps):
                    self._tell(rates)
                better = self._validate(last)
                if last or stop or due or better is not None:
                    self._save(better, ended=last)
                bar.advance(1, self._throughput.note)
                if stop and not last:
                    raise Stopped(
                        f"stopped after step {self._progress.step}, which is stored; the same command goes on"
                    )
        assert self._latest is not None
        return self._progress, self._latest

    def _step(self, batches: list[Batch]) -> tuple[float, bool, bool]:
        """Forward, backward and update of one step: the gradient's norm; whether to stop; to store the run.

        The loss is the mean over the target tokens of all batches of the step, on all processes: how examples
        are shared among batches and devices changes nothing.
        """
        accelerator, stage = self._accelerator, self._stage
        targets = sum(int((batch.labels != IGNORED).sum()) for batch in batches)
        wishes = [targets, int(self._run.stopping.is_set()), int(self._is_due())]
        shared = accelerator.reduce(torch.tensor(wishes, device=accelerator.device))
        losses: list[Tensor] = []
        for batch in batches:
            ends = batch is batches[-1]
            with nullcontext() if ends else accelerator.no_sync(self._losses):
                found = self._losses(*self._inputs(batch))
                # DistributedDataParallel takes the mean of its processes' gradients.
                accelerator.backward(found.sum() * accelerator.num_processes / shared[0])
            losses.append(found.detach().sum(1))
        norm = accelerator.clip_grad_norm_(self._losses.parameters(), stage.clip)
        norm = float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
        # float16's own scaling leaves such steps out, and learns from them.
        if math.isfinite(norm) or accelerator.scaler is not None:
            self._optimiser.step()
        self._optimiser.zero_grad()
        for batch, found in zip(batches, losses, strict=True):
            counts = (batch.labels != IGNORED).sum(1).tolist()
            self._sums.add(found.tolist(), counts, batch.tasks, batch.languages)
        if not math.isfinite(norm):
            self._leave_out(batches)
        return norm, bool(shared[1]), bool(shared[2])

    def _inputs(self, batch: Batch) -> tuple[Expanded, Tensor | None]:
        """What the model takes, on its device; and the random numbers of its dropout are this batch's own.

        So a run that goes on, or has another number of processes, drops the same.
        """
        device, assembled = self._accelerator.device, self._run.assembled
        key = f"{self._configuration.seed} {self._number} {self._loader.epoch} {batch.index}"
        torch.manual_seed(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little", signed=True))
        sequences = expanded(batch, assembled.base.visual_tokens, assembled.image_token_id)
        self._throughput.add(batch, sequences)
        if not len(batch.pixel_values):
            return sequences.to(device, non_blocking=True), None
        pixels = batch.pixel_values.to(device, non_blocking=True)
        pixels = assembled.preprocessing.normalise(pixels, self._run.precisions.frozen)
        return sequences.to(device, non_blocking=True), pixels

    def _leave_out(self, batches: list[Batch]) -> None:
        """Counts a step without an update, and stops a run that has nothing else any more."""
        progress = self._progress
        self._progress = replace(
            progress,
            left_out=progress.left_out + 1,
            left_out_in_a_row=progress.left_out_in_a_row + 1,
        )
        if self._progress.left_out_in_a_row >= self._configuration.non_finite:
            rows = ", ".join(batches[0].ids[:3])
            raise RunError(
                f"step {progress.step + 1}: the gradient is infinite or undefined for the "
                f"{self._progress.left_out_in_a_row}th step in a row (rows {rows}, ...); take lower learning "
                "rates, more warm-up, or `precision: bfloat16` or `float32`; the same command "
                "goes on from the last checkpoint"
            )

    def _count(self, norm: float, seconds: float) -> None:
        """One step more is done."""
        progress = self._progress
        self._norms.append(norm)
        self._throughput.seconds += seconds
        self._progress = replace(
            progress,
            stage_step=progress.stage_step + 1,
            step=progress.step + 1,
            left_out_in_a_row=0 if math.isfinite(norm) else progress.left_out_in_a_row,
            seconds=progress.seconds + seconds,
        )

    def _tell(self, rates: Any) -> None:
        """A line of figures of the steps since the last one."""
        report, throughput = self._report(), self._throughput.gathered(self._loader.report)
        total = self._gathered_sums()
        if self._run.figures is not None:
            finite = [norm for norm in self._norms if math.isfinite(norm)]
            self._run.figures.write(
                self._progress.step,
                "train",
                {
                    "stage": self._stage.name,
                    "epoch": self._loader.epoch,
                    **total.figures(),
                    "learning_rate": dict(rates),
                    "gradient_norm": sum(finite) / len(finite) if finite else None,
                    "steps_left_out": self._progress.left_out,
                    **throughput,
                    "padding_share": report.padding_share,
                    "examples_skipped": report.skipped.total(),
                    "seconds": self._progress.seconds,
                },
            )
        self._throughput.note = f"loss {total.figures()['loss']:.3f}"
        self._sums, self._norms = Sums(), []

    def _validate(self, last: bool) -> float | None:
        """The loss on held-out rows if that is due, and if it is the lowest so far."""
        settings = self._configuration.validation
        if self._held_out is None or settings is None or not (last or self._every(settings.every_steps)):
            return None
        sums = Sums()
        self._model.eval()
        self._held_out.seek(0)
        # Their number is that of all processes together, whatever that is.
        few = takewhile(lambda batch: batch.index < settings.batches, self._held_out)
        with torch.no_grad(), self._accelerator.autocast():
            for batch in few:
                sequences, pixels = self._inputs(batch)
                losses = self._model(**arguments_of(sequences), pixel_values=pixels).token_losses
                counts = (batch.labels != IGNORED).sum(1).tolist()
                sums.add(losses.sum(1).tolist(), counts, batch.tasks, batch.languages)
        self._model.train()
        figures = merged(Sums(**one) for one in gather_object([asdict(sums)])).figures()
        if self._run.figures is not None:
            self._run.figures.write(self._progress.step, "validation", figures)
        best = self._run.directory.best()
        loss = float(figures["loss"])
        return loss if best is None or loss < best[1] else None

    def _save(self, best: float | None, *, ended: bool) -> None:
        """Stores the run; at a stage's end so that the next one begins from it."""
        progress, accelerator = self._progress, self._accelerator
        report, sums = self._report(), self._gathered_sums()
        if accelerator.is_main_process:
            self._sums = sums
        else:
            self._sums = Sums()
        if ended:
            finished = self._number + 1 == len(self._configuration.stages)
            stored = replace(
                progress, stage=self._number + 1, stage_step=0, finished=finished, loader=None, sums={}
            )
            tensors = {}
        else:
            stored = replace(
                progress, stage=self._number, loader=self._loader.state_dict(report), sums=asdict(sums)
            )
            tensors = optimiser_state(self._model, self._bare_optimiser)
        if accelerator.scaler is not None:
            stored = replace(stored, scaler=accelerator.scaler.state_dict())
        if accelerator.is_main_process:
            assert self._run.figures is not None
            self._run.figures.sync()
            save = partial(save_weights, self._run.assembled, parts=self._configuration.trained_parts)
            self._run.directory.save(stored, tensors, save, best=best)
        accelerator.wait_for_everyone()
        self._progress = stored if ended else progress
        self._latest = self._run.directory.latest()
        self._saved_at = time.monotonic()

    def _shared_micro_batches(self) -> int:
        """Batches of one process that make a step."""
        whole = self._stage.batch_size // self._configuration.per_device
        processes: int = self._accelerator.num_processes
        count, over = divmod(whole, processes)
        if over:
            raise self._configuration.error(
                ("stages", self._number, "batch_size"),
                f"is {whole} batches of `per_device` {self._configuration.per_device}, which "
                f"{processes} processes cannot share evenly",
            )
        return count

    def _loader_of(self, data: DataSection, split: str) -> Loader:
        configuration, accelerator, assembled = self._configuration, self._accelerator, self._run.assembled
        training = split == TRAIN
        workers = data.workers if data.workers != "auto" else max(0, _cores() // _local(accelerator) - 1)
        settings = LoaderSettings(
            tuple(MixWeight(mix.path, mix.times) for mix in configuration.mixes_of(data)),
            OrderSettings(
                configuration.per_device,
                window_rows=data.window_rows,
                window_bytes=data.window_mib * 2**20,
                picture_tokens=assembled.base.visual_tokens,
            ),
            split,
            configuration.seed + self._number,
            Mixture(data.tasks, data.alpha, data.max_times) if training else Mixture(),
            assembled.texts,
            replace(assembled.preprocessing.pictures, fit=data.fit, max_pixels=data.max_pixels),
            even=training,
            together=self._stage.batch_size // configuration.per_device if training else 1,
            max_skipped=data.max_skipped,
        )
        return Loader(
            settings,
            assembled.tokenizer,
            rank=accelerator.process_index,
            ranks=accelerator.num_processes,
            workers=workers if training else min(workers, 1),
            pin_memory=accelerator.device.type == "cuda",
        )

    def _held_out_of(self, data: DataSection) -> Loader | None:
        if self._configuration.validation is None:
            return None
        try:
            return self._stack.enter_context(self._loader_of(data, VALIDATION))
        except EmptySplit as error:
            if self._accelerator.is_main_process:
                self._run.console.print(f"no validation: {error}", soft_wrap=True)
            return None

    def _steps(self) -> int:
        """Steps of the whole stage."""
        stage, loader = self._stage, self._loader
        if stage.steps is not None:
            return stage.steps
        assert stage.epochs is not None
        whole = int(stage.epochs)
        steps = sum(loader.batches_in(epoch) // self._micro_batches for epoch in range(whole))
        rest = stage.epochs - whole
        if rest:
            steps += int(loader.batches_in(whole) // self._micro_batches * rest)
        return max(steps, 1)

    def _every(self, steps: int) -> bool:
        return self._progress.step % steps == 0

    def _is_due(self) -> bool:
        """Whether the run is to be stored after the step that begins; the first process decides on time."""
        settings = self._configuration.checkpoints
        if settings.every_steps is not None and (self._progress.step + 1) % settings.every_steps == 0:
            return True
        if settings.every_minutes is None or not self._accelerator.is_main_process:
            return False
        return time.monotonic() - self._saved_at >= settings.every_minutes * 60

    def _report(self) -> LoadingReport:
        return summed(map(LoadingReport.from_state, gather_object([self._loader.report.as_state()])))

    def _gathered_sums(self) -> Sums:
        return merged(Sums(**one) for one in gather_object([asdict(self._sums)]))

    def __enter__(self) -> _StageRun:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._accelerator.free_memory()


def _endless(loader: Loader) -> Iterator[Batch]:
    """The rest of the epoch that a loader is in, and all epochs after it."""
    while True:
        yield from loader


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _local(accelerator: Accelerator) -> int:
    """Processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", accelerator.num_processes))
