"""The training loop of one stage: steps of whole batches, figures and checkpoints on the way.

`StageRun.run` is the loop, and its methods stand in the order in which it calls them.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from rich.console import Console
from torch import Tensor, nn

from training.architecture import arguments_of
from training.batches import Batch
from training.checkpoint import Loaded, save_weights, trained_tensors
from training.configuration import Configuration
from training.figures import Figures
from training.loader import Loader
from training.loading_report import LoadingReport, summed
from training.mixes import EmptySplit
from training.optimisation import factor, load_optimiser, optimiser_of, optimiser_state, set_rates
from training.parameters import trainable
from training.precision import Precisions
from training.requested import with_settings
from training.run_directory import Progress, RunDirectory, RunError
from training.sequences import Expanded, expanded, nothing_expanded
from training.sharding import gathered, is_sharded, whole
from training.stage_data import check_epoch, held_out_loader, training_loader
from training.sums import Sums, merged
from training.throughput import Throughput, peak_flops
from translation.progress import CountProgress


class Stopped(RunError):
    """SIGINT or SIGTERM ended the run, after a checkpoint."""


@dataclass(frozen=True)
class Run:
    """What stays the same from the first step to the last."""

    configuration: Configuration
    accelerator: Accelerator
    precisions: Precisions
    assembled: Loaded
    picture_flops: tuple[int, int] | None
    """Where the device's peak is known; see `training.throughput`."""
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


def micro_batches(configuration: Configuration, number: int, processes: int) -> int:
    """Batches of one process that make a step of a stage.

    Raises:
        SettingsError: the processes cannot share them evenly.
    """
    whole = configuration.stages[number].batch_size // configuration.per_device
    count, over = divmod(whole, processes)
    if over:
        raise configuration.error(
            ("stages", number, "batch_size"),
            f"is {whole} batches of `per_device` {configuration.per_device}, which {processes} processes "
            "cannot share evenly",
        )
    return count


class StageRun:
    """One stage, from where `progress` stands in it to the checkpoint at its end."""

    def __init__(
        self,
        run: Run,
        number: int,
        progress: Progress,
        latest: Path | None,
        best: tuple[str, float, int] | None,
    ) -> None:
        self._run, self._number, self._progress = run, number, progress
        self._latest, self._best = latest, best
        self._stack = ExitStack()
        self._configuration = configuration = run.configuration
        self._stage = stage = configuration.stages[number]
        self._accelerator = accelerator = run.accelerator
        self._micro_batches = micro_batches(configuration, number, accelerator.num_processes)
        data = stage.data or configuration.data
        self._loaded = with_settings(run.assembled, configuration, data, run.directory.digest)
        self._model = run.assembled.model
        trainable(self._model, stage.learning_rates)
        self._model.train()
        self._bare_optimiser = optimiser_of(self._model, stage)
        self._sharded = is_sharded(self._model)
        # What is sharded gets autocast from accelerate, and nothing around it that copies gradients.
        self._losses = accelerator.prepare_model(_Losses(self._model), evaluation_mode=self._sharded)
        self._optimiser = accelerator.prepare_optimizer(self._bare_optimiser)
        if progress.stage_step and latest is not None:
            load_optimiser(self._model, self._bare_optimiser, run.directory.optimiser_of(latest))
        if accelerator.scaler is not None and progress.scaler:
            accelerator.scaler.load_state_dict(progress.scaler)
        self._loader = self._stack.enter_context(
            training_loader(configuration, number, self._loaded, accelerator)
        )
        if not progress.stage_step:
            check_epoch(configuration, number, self._loader)
        if progress.loader is not None:
            self._loader.load_state_dict(progress.loader)
        elif progress.report is not None and accelerator.is_main_process:
            self._loader.report = LoadingReport.from_state(progress.report)
        self._held_out = self._held_out_of()
        if self._loader.rows_left_out and accelerator.is_main_process:
            told = f"{stage.name}: {self._loader.rows_left_out:,} rows are not trained on"
            run.console.print(f"{told}: a mix of this run holds out what they show", soft_wrap=True)
        self._sums = Sums(**progress.sums) if progress.sums and accelerator.is_main_process else Sums()
        self._norms = list(progress.norms)
        self._throughput = Throughput(
            run.assembled.base,
            run.picture_flops,
            set(stage.learning_rates),
            accelerator.device,
            self._loader.report,
            peak_flops(accelerator.device) if run.precisions.mixed != "no" else None,
        )
        self._saved_at = time.monotonic()
        self._told_unread = False

    def run(self) -> tuple[Progress, Path, tuple[str, float, int] | None]:
        """All steps that are left; where the run stands then, its last and its best checkpoint."""
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
        return self._progress, self._latest, self._best

    def _step(self, batches: list[Batch]) -> tuple[float, bool, bool]:
        """Forward, backward and update of one step: the gradient's norm; whether to stop; to store the run.

        The loss is the mean over the target tokens of all batches of the step, on all processes: how examples
        are shared among batches and devices changes nothing.
        """
        accelerator = self._accelerator
        targets = sum(sum(batch.target_counts) for batch in batches)
        wishes = [targets, int(self._run.stopping.is_set()), int(self._is_due())]
        shared = accelerator.reduce(torch.tensor(wishes, device=accelerator.device))
        losses: list[Tensor] = []
        try:
            norm = self._backward(batches, shared[0], losses)
        except torch.OutOfMemoryError as error:
            raise RunError(
                f"step {self._progress.step + 1}: out of memory ({str(error).splitlines()[0]}); in another "
                "`output`, take a smaller `per_device` or `gradient_checkpointing: true`"
            ) from error
        # float16's own scaling leaves such steps out, and learns from them.
        if math.isfinite(norm) or accelerator.scaler is not None:
            self._optimiser.step()
        self._optimiser.zero_grad()
        if math.isfinite(norm):
            for batch, found in zip(batches, losses, strict=True):
                self._sums.add(found.tolist(), batch.target_counts, batch.tasks, batch.languages)
        else:
            self._leave_out(batches, losses)
        return norm, bool(shared[1]), bool(shared[2])

    def _backward(self, batches: list[Batch], targets: Tensor, losses: list[Tensor]) -> float:
        """Gradients of all batches of a step; the norm that they had before they were clipped.

        Args:
            targets: how many tokens all processes take the loss of.
            losses: gets the sum of each example's losses, (N,) for each batch.
        """
        accelerator = self._accelerator
        for batch in batches:
            sequences, pixels = self._inputs(batch)
            self._throughput.add(batch, sequences)
            ends = batch is batches[-1]
            with nullcontext() if ends else accelerator.no_sync(self._losses):
                device_sequences = sequences.to(accelerator.device, non_blocking=True)
                found = self._losses(device_sequences, pixels)
                # DistributedDataParallel takes the mean of its processes' gradients, as FSDP does.
                accelerator.backward(found.sum() * accelerator.num_processes / targets)
            losses.append(found.detach().sum(1))
        norm = accelerator.clip_grad_norm_(self._losses.parameters(), self._stage.clip)
        return float(whole(norm))

    def _inputs(self, batch: Batch) -> tuple[Expanded, Tensor | None]:
        """Sequences, still in main memory, and pictures on the device, or None.

        The random numbers of a batch's dropout are its own: so a run that goes on, or has another number of
        processes, drops the same.
        """
        loaded, device = self._loaded, self._accelerator.device
        key = f"{self._configuration.seed} {self._number} {self._loader.epoch} {batch.index}"
        torch.manual_seed(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little", signed=True))
        sequences = expanded(batch, loaded.base.visual_tokens, loaded.image_token_id)
        if not len(batch.pixel_values):
            return sequences, None
        pixels = batch.pixel_values.to(device, non_blocking=True)
        return sequences, loaded.preprocessing.normalise(pixels, self._run.precisions.frozen)

    def _leave_out(self, batches: list[Batch], losses: list[Tensor]) -> None:
        """Counts a step without an update, and stops a run that has nothing else any more."""
        self._progress = progress = replace(
            self._progress,
            left_out=self._progress.left_out + 1,
            left_out_in_a_row=self._progress.left_out_in_a_row + 1,
        )
        if progress.left_out_in_a_row < self._configuration.non_finite:
            return
        culprits = [
            name
            for batch, found in zip(batches, losses, strict=True)
            for name, loss in zip(batch.ids, found.tolist(), strict=True)
            if not math.isfinite(loss)
        ]
        rows = f"the loss of {', '.join(culprits[:3])} is not finite" if culprits else "all losses are finite"
        raise RunError(
            f"step {progress.step + 1}: {progress.left_out_in_a_row} steps in a row had an infinite or "
            f"undefined gradient ({rows}); in another `output`, take lower learning rates, more warm-up, or "
            "`precision: bfloat16` or `float32`"
        )

    def _count(self, norm: float, seconds: float) -> None:
        """One step more is done."""
        progress = self._progress
        if math.isfinite(norm):
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
        figures = self._gathered_sums().figures()
        if self._run.figures is not None:
            self._run.figures.write(
                self._progress.step,
                "train",
                {
                    "stage": self._stage.name,
                    "epoch": self._loader.epoch,
                    **figures,
                    "learning_rate": dict(rates),
                    "gradient_norm": sum(self._norms) / len(self._norms) if self._norms else None,
                    "steps_left_out": self._progress.left_out,
                    **throughput,
                    "padding_share": report.padding_share,
                    "examples_skipped": report.skipped.total(),
                    "rows_held_out": self._loader.rows_left_out,
                    "skipped_by_reason": dict(report.skipped),
                    "prompts_cut": report.prompts_cut,
                    "targets_cut": report.targets_cut,
                    "batches_left_out": report.batches_left_out,
                    "seconds": self._progress.seconds,
                },
            )
            self._run.directory.list_skipped(report.listed)
        loss = figures["loss"]
        self._throughput.note = "" if loss is None else f"loss {loss:.3f}"
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
        most, passed = self._most_passes(settings.batches), 0
        with torch.no_grad(), self._accelerator.autocast():
            for batch in few:
                passed += 1
                sequences, pixels = self._inputs(batch)
                losses = self._held_out_losses(sequences, pixels)
                sums.add(losses.sum(1).tolist(), batch.target_counts, batch.tasks, batch.languages)
            # Others gather shares of this process for what they have left.
            for _ in range(passed, most):
                self._held_out_losses(nothing_expanded(), None)
        self._model.train()
        figures = merged(Sums(**one) for one in gather_object([asdict(sums)])).figures()
        if self._run.figures is not None:
            self._run.figures.write(self._progress.step, "validation", figures)
        loss, best = figures["loss"], self._best
        if loss is None and self._accelerator.is_main_process and not self._told_unread:
            self._told_unread = True
            listed = self._held_out.report.listed
            first = f", the first ({listed[0].id}) since {listed[0].detail}" if listed else ""
            told = f"no validation: none of the held-out rows that are looked at can be used{first}"
            self._run.console.print(told, soft_wrap=True)
        if loss is None or not math.isfinite(loss):
            return None
        # Stages may have other held-out rows, so a later one begins anew.
        return loss if best is None or best[2] < self._number or loss < best[1] else None

    def _held_out_losses(self, sequences: Expanded, pixels: Tensor | None) -> Tensor:
        arguments = arguments_of(sequences.to(self._accelerator.device, non_blocking=True))
        losses: Tensor = self._model(**arguments, pixel_values=pixels).token_losses
        return losses

    def _most_passes(self, batches: int) -> int:
        """The most held-out batches that a process has, where all take part in each; else 0."""
        if not self._sharded:
            return 0
        assert self._held_out is not None
        most: int = max(gather_object([self._held_out.batches_below(batches)]))
        return most

    def _save(self, best: float | None, *, ended: bool) -> None:
        """Stores the run; at a stage's end so that the next one begins from it."""
        accelerator = self._accelerator
        report, sums = self._report(), self._gathered_sums()
        self._sums = sums if accelerator.is_main_process else Sums()
        if ended:
            finished = self._number + 1 == len(self._configuration.stages)
            stored = replace(
                self._progress,
                stage=self._number + 1,
                stage_step=0,
                finished=finished,
                loader=None,
                sums={},
                norms=[],
                report=report.as_state(),
            )
        else:
            stored = replace(
                self._progress,
                stage=self._number,
                loader=self._loader.state_dict(report),
                sums=asdict(sums),
                norms=list(self._norms),
            )
        if accelerator.scaler is not None:
            stored = replace(stored, scaler=accelerator.scaler.state_dict())
        main, parts = accelerator.is_main_process, self._configuration.trained_parts
        weights, tensors = None, {}
        if self._sharded:
            weights = gathered(trained_tensors(self._model, parts), keep=main)
        if not ended and (main or self._sharded):
            tensors = optimiser_state(self._model, self._bare_optimiser, keep=main)
        if main:
            assert self._run.figures is not None
            self._run.figures.sync()
            save = partial(save_weights, self._loaded, parts=parts, trained=weights)
            self._latest = self._run.directory.save(stored, tensors, save, stage=self._number, best=best)
        accelerator.wait_for_everyone()
        self._latest = self._run.directory.checkpoint_of(stored)
        if best is not None:
            self._best = (self._latest.name, best, self._number)
        elif self._best is not None and self._best[2] < self._number:
            self._best = None
        if ended:
            self._progress = stored
        self._saved_at = time.monotonic()

    def _held_out_of(self) -> Loader | None:
        if self._configuration.validation is None:
            return None
        try:
            return self._stack.enter_context(
                held_out_loader(self._configuration, self._number, self._loaded, self._accelerator)
            )
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

    def __enter__(self) -> StageRun:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        # The next stage makes its own before this object is gone.
        del self._losses, self._optimiser, self._bare_optimiser
        self._accelerator.free_memory()


def _endless(loader: Loader) -> Iterator[Batch]:
    """The rest of the epoch that a loader is in, and all epochs after it."""
    while True:
        yield from loader
